#!/usr/bin/env python3
"""Counts the results in Meson's testlog.json and prints them as the last line.

    count_results.py build/meson-logs/testlog.json

A log that is missing means that nothing could be built: one failure.
"""
import collections
import json
import pathlib
import sys

log = pathlib.Path(sys.argv[1])
results = collections.Counter({"ERROR": 1})
if log.exists():
    results = collections.Counter(json.loads(line)["result"] for line in log.open())
passed = results["OK"] + results["EXPECTEDFAIL"]
skipped = results["SKIP"]
failed = results.total() - passed - skipped
print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
sys.exit(failed != 0 or passed == 0)
