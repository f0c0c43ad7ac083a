#!/usr/bin/env python3
"""Checks that the headers keep the architecture that meson.build lists.

    check_layers.py INCLUDE --core A B ... --host C D ... --opt-in E F ...

The lists together are the layer order, lowest first. A header may include only headers listed
before it; up to the umbrella (the last of --host) it may include nothing foreign, and a core header
nothing that allocates, throws or prints. The umbrella includes every header before it. Files x/*.inc
are parts of the header x.hpp and include nothing.
"""
import argparse
import pathlib
import re
import sys

LONGEST_FILE = 450  # lines; a longer one is two concepts
LONGEST_LINE = 100
# Standard headers, the intrinsics of a SIMD path, and where a system is asked for huge pages.
STANDARD = re.compile(r"[a-z0-9_]+|immintrin\.h|arm_neon\.h|sys/mman\.h")
HOST_ONLY = {"cstdio", "fstream", "iomanip", "iostream", "map", "memory", "ostream", "span",
             "sstream", "stdexcept", "string", "thread", "unordered_map", "vector"}

parser = argparse.ArgumentParser()
parser.add_argument("include", type=pathlib.Path)
parser.add_argument("--core", nargs="*", default=[])
parser.add_argument("--host", nargs="*", default=[])
parser.add_argument("--opt-in", nargs="*", default=[])
arguments = parser.parse_args()

order = arguments.core + arguments.host + arguments.opt_in
bad = [f"{name}: not listed in meson.build"
       for name in sorted(str(p.relative_to(arguments.include))
                          for p in arguments.include.rglob("*.hpp")) if name not in order]


def check_text(name):
    """Returns what the file includes; adds lengths to `bad`."""
    text = (arguments.include / name).read_text()
    lines = text.splitlines()
    if len(lines) > LONGEST_FILE:
        bad.append(f"{name}: {len(lines)} lines, more than {LONGEST_FILE}")
    bad.extend(f"{name}:{i}: longer than {LONGEST_LINE} columns"
               for i, line in enumerate(lines, 1) if len(line) > LONGEST_LINE)
    return text, re.findall(r"^\s*#\s*include\s*(\S+)", text, re.M)


for position, name in enumerate(order):
    text, used = check_text(name)
    folder = name.removesuffix(".hpp")
    parts = [str(p.relative_to(arguments.include))
             for p in sorted((arguments.include / folder).glob("*.inc"))]
    for part in parts:
        bad += [f"{part}: includes {include}" for include in check_text(part)[1]]
        if f"<{part}>" not in used:
            bad.append(f"{part}: {name} does not include it")
    if not re.search(r"^#pragma once$", text, re.M):
        bad.append(f"{name}: no #pragma once")
    for include in used:
        target = include[1:-1]
        if not include.startswith("<"):
            bad.append(f"{name}: includes {include}, not <halfbyte/...>")
        elif target in parts:
            pass
        elif target.startswith("halfbyte/"):
            if target not in order[:position]:
                bad.append(f"{name}: includes {target}, which is not below it")
        elif name not in arguments.opt_in:
            if not STANDARD.fullmatch(target):
                bad.append(f"{name}: includes {target}; only an opt-in header may")
            elif name in arguments.core and target in HOST_ONLY:
                bad.append(f"{name}: includes {target}; a core header runs on the device")
    if arguments.host and name == arguments.host[-1]:
        bad += [f"{name}: does not include {other}"
                for other in order[:position] if f"<{other}>" not in used]

sys.exit("\n".join(bad) or 0)
