#!/usr/bin/env python3
"""Checks that names.hpp visits every constant and every policy that the other headers define.

    check_names.py INCLUDE

A policy is what a static_assert says is one, as in static_assert(rounding<upward>).
"""
import pathlib
import re
import sys

folder = pathlib.Path(sys.argv[1]) / "halfbyte"
text = {path.name: path.read_text() for path in folder.glob("*.hpp")}
visited = re.findall(r"^  visit\((.+?)(?:<\d+>)?\{.*\}\);$", text.pop("names.hpp"), re.M)
visited = [re.sub(r"^(?:block_)?format_constant<(.*)>$", r"\1", name) for name in visited]
everything = "\n".join(text.values())
defined = re.findall(r"^inline constexpr (?:block_)?format (\w+)", everything, re.M)
for concept in ["rounding", "overflow_policy", "scale_rule"]:
    policies = re.findall(rf"\b{concept}<(\w+)(?:<\d*>)?>", "".join(
        re.findall(r"^static_assert\([^;]*;", everything, re.M)))
    defined += policies or sys.exit(f"no {concept} has a static_assert")
missing = sorted(set(defined) - set(visited))
print(f"{len(set(defined))} constants and policies, {len(visited)} visits")
sys.exit(f"names.hpp does not visit {', '.join(missing)}" if missing else 0)
