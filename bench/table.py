#!/usr/bin/env python3
"""Makes the table and the picture of README.md from what the benchmarks print.

    ./convert_bench --benchmark_repetitions=5 --benchmark_format=csv > convert.csv
    python3 bench/peers/python_peers.py > peers.txt
    python3 bench/table.py bench/speed.svg convert.csv quantize.csv hadamard.csv cuda.csv peers.txt

Takes the best repetition of each case. The share is bytes in and out over those of the memcpy in
the same file. Peers get bars of another colour: `cuda` in its name tells the file of
peers/cuda_host_bench.cpp, `peers` that of python_peers.py.
"""
import csv
import html
import re
import sys

picture, files = sys.argv[1], sys.argv[2:]
bars = []
for name in files:
    lines = [line for line in open(name) if line.strip()]
    if "peers" in name:  # of python_peers.py: peer, function, its rate, ours, ratio, our share
        for line in lines:
            found = re.match(r"(\S+ .*\S) +[\d.]+ +[\d.]+ +([\d.]+) +(\d+) %", line)
            if found:
                bars.append((found[1], float(found[3]) / float(found[2]), True))
        continue
    start = next(i for i, line in enumerate(lines) if line.startswith("name,"))
    cases = {}
    for row in csv.DictReader(lines[start:]):
        case = row["name"].replace("hb::", "").replace("minifloat<bfloat16>", "bfloat16")
        case = case.replace("minifloat<float16>", "float16")
        if case.endswith(("_mean", "_median", "_stddev", "_cv")) or not row.get("bytes"):
            continue
        rate = float(row["bytes"]), float(row["elements"])
        cases[case] = max(cases.get(case, (0, 0)), rate)
    copy = cases.pop("memcpy")[0]
    print(f"\n{name}: memcpy {copy / 1e9:.1f} GB/s in and out\n")
    print("| case | Gelement/s | share of memcpy |\n|---|---:|---:|")
    for case, (rate, elements) in cases.items():
        print(f"| `{case}` | {elements / 1e9:.2f} | {100 * rate / copy:.0f} % |")
        if not case.startswith("halfbyte"):  # beside a peer
            bars.append((case, 100 * rate / copy, "cuda" in name))

left, wide, high = 430, 480, 18
most = max(100.0, max(share for _, share, _ in bars))
out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + wide + 60}" '
       f'height="{high * len(bars) + 40}" font-family="sans-serif" font-size="12">']
for i, (case, share, peer) in enumerate(bars):
    y = 20 + high * i
    colour = "#cc7722" if peer else "#999999" if "scalar" in case else "#2266aa"
    out.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{html.escape(case)}</text>')
    out.append(f'<rect x="{left}" y="{y + 2}" width="{wide * share / most:.1f}" height="{high - 5}" '
               f'fill="{colour}"/>')
    out.append(f'<text x="{left + wide * share / most + 4:.1f}" y="{y + 12}">{share:.0f}</text>')
x = left + wide * 100 / most
out.append(f'<line x1="{x:.1f}" y1="10" x2="{x:.1f}" y2="{20 + high * len(bars)}" stroke="#000"/>')
out.append(f'<text x="{x:.1f}" y="{high * len(bars) + 34}" text-anchor="middle">memcpy = 100 %</text>')
out.append("</svg>")
open(picture, "w").write("\n".join(out) + "\n")
