#!/usr/bin/env python3
"""Runs an example and compares what it prints with what its source says.

    check_output.py SOURCE PROGRAM [ARGUMENT...]

The source ends with a comment: a line "// Prints:" and one comment line per line of output. Without
such a comment the program only has to exit with 0.
"""
import pathlib
import subprocess
import sys

source, command = pathlib.Path(sys.argv[1]), sys.argv[2:]
lines = source.read_text().splitlines()
printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
print(printed, end="")
if "// Prints:" in lines:
    comment = lines[lines.index("// Prints:") + 1:]
    expected = [line.removeprefix("//").removeprefix(" ").rstrip() for line in comment]
    if [line.rstrip() for line in printed.splitlines()] != expected:
        sys.exit(f"{source.name} says it prints\n" + "\n".join(expected))
