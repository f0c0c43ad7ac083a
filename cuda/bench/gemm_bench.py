#!/usr/bin/env python3
"""Runs gemm_bench, times Triton's dot_scaled on the same shapes, prints both and draws a picture.

usage: gemm_bench.py path/to/gemm_bench [output-folder]
Needs PyTorch and Triton for the Triton rows, matplotlib for the picture; what is absent is left out.
"""

import csv
import pathlib
import subprocess
import sys


def triton_rows(shapes):
    """MXFP4 x MXFP4 through tl.dot_scaled: the best of a few tilings, as (shape, microseconds)."""
    try:
        import torch
        import triton
        import triton.language as tl
    except ImportError as missing:
        print(f"Triton left out: {missing}")
        return []

    @triton.jit
    def kernel(a, b, c, a_scale, b_scale, M, N, K, BM: tl.constexpr, BN: tl.constexpr,
               BK: tl.constexpr):
        pid = tl.program_id(0)
        tiles_m = tl.cdiv(M, BM)
        band = 8
        group = pid // (band * tl.cdiv(N, BN))
        width = min(tiles_m - group * band, band)
        inside = pid % (band * tl.cdiv(N, BN))
        m = group * band + inside % width
        n = inside // width
        rows = m * BM + tl.arange(0, BM)
        columns = n * BN + tl.arange(0, BN)
        k = tl.arange(0, BK // 2)
        scales = tl.arange(0, BK // 32)
        total = tl.zeros((BM, BN), tl.float32)
        for start in range(0, K, BK):
            x = tl.load(a + rows[:, None] * (K // 2) + start // 2 + k[None, :])
            y = tl.load(b + columns[None, :] * (K // 2) + start // 2 + k[:, None])
            sx = tl.load(a_scale + rows[:, None] * (K // 32) + start // 32 + scales[None, :])
            sy = tl.load(b_scale + columns[:, None] * (K // 32) + start // 32 + scales[None, :])
            total = tl.dot_scaled(x, sx, "e2m1", y, sy, "e2m1", total)
        tl.store(c + rows[:, None] * N + columns[None, :], total.to(tl.bfloat16))

    results = []
    for m, n, k in shapes:
        a = torch.randint(0, 256, (m, k // 2), dtype=torch.uint8, device="cuda")
        b = torch.randint(0, 256, (n, k // 2), dtype=torch.uint8, device="cuda")
        sa = torch.randint(124, 130, (m, k // 32), dtype=torch.uint8, device="cuda")
        sb = torch.randint(124, 130, (n, k // 32), dtype=torch.uint8, device="cuda")
        c = torch.empty(m, n, dtype=torch.bfloat16, device="cuda")
        best = None
        for bm, bn, bk, warps, stages in ((128, 128, 128, 8, 3), (128, 256, 128, 8, 3),
                                          (128, 128, 64, 4, 3), (256, 128, 64, 8, 3)):
            grid = (triton.cdiv(m, bm) * triton.cdiv(n, bn),)
            try:
                time = triton.testing.do_bench(
                    lambda: kernel[grid](a, b, c, sa, sb, m, n, k, bm, bn, bk, num_warps=warps,
                                         num_stages=stages), warmup=20, rep=60,
                    return_mode="median")
            except Exception as error:  # a tiling that does not fit this GPU
                print(f"Triton {bm}x{bn}x{bk}: {type(error).__name__}")
                continue
            best = time if best is None else min(best, time)
        if best is not None:
            results.append(((m, n, k), 1e3 * best))
    return results


def draw(rows, path):
    try:
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        return
    shapes = sorted({r["shape"] for r in rows}, key=lambda s: s[0] * s[1] * s[2])
    kernels = list(dict.fromkeys(r["kernel"] for r in rows))
    figure, axes = plt.subplots(figsize=(11, 6))
    width = 0.85 / len(kernels)
    owners = [k.split()[0] for k in kernels]
    shades = {"cuBLASLt": plt.cm.Greys, "halfbyte": plt.cm.viridis, "Triton": plt.cm.Oranges}
    for i, (name, owner) in enumerate(zip(kernels, owners)):
        rate = {r["shape"]: r["tflops"] for r in rows if r["kernel"] == name}
        place = (owners[:i].count(owner) + 0.5) / owners.count(owner)
        axes.bar([j + i * width for j in range(len(shapes))], [rate.get(s, 0) for s in shapes],
                 width, label=name, color=shades[owner](0.2 + 0.7 * place))
    axes.set_xticks([j + 0.42 for j in range(len(shapes))],
                    [" x ".join(map(str, s)) for s in shapes], fontsize=8)
    axes.set_xlabel("M x N x K")
    axes.set_ylabel("TFLOP/s")
    axes.legend(fontsize=8, ncol=4, loc="lower center", bbox_to_anchor=(0.5, 1.01))
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    print(f"wrote {path}")


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else ".")
    table = folder / "gemm_bench.csv"
    subprocess.run([str(binary), str(table)], check=True)
    with table.open() as file:
        rows = [dict(r, shape=(int(r["m"]), int(r["n"]), int(r["k"])), tflops=float(r["tflops"]))
                for r in csv.DictReader(file)]
    large = [r for r in rows if r["job"] == "large"]
    for shape, time in triton_rows(list(dict.fromkeys(r["shape"] for r in large))):
        rate = 2e-6 * shape[0] * shape[1] * shape[2] / time
        print(f"large    {shape[0]:5d} x {shape[1]:5d} x {shape[2]:5d}  "
              f"{'Triton dot_scaled mxfp4':34s} {time:9.1f} us {rate:8.1f} TFLOP/s")
        large.append({"kernel": "Triton dot_scaled mxfp4", "shape": shape, "tflops": rate})
        with table.open("a") as file:
            file.write(f"large,Triton dot_scaled mxfp4,{shape[0]},{shape[1]},{shape[2]},"
                       f"{time:.3f},{rate:.2f}\n")
    draw(large, folder / "gemm_bench.png")


if __name__ == "__main__":
    main()
