#!/usr/bin/env python3
"""Compiles and runs the C++ programs in the documents and compares what they print.

    check_documents.py ROOT [FILE...] -- COMPILER FLAGS...

Documents: README.md and docs/**/*.md, or the files named. A program is a ```cpp block that defines
main(). The next block before the following program or heading holds what it prints: a ```text block
or an indented one, of which lines that start with "$ " are commands and not output. A program
without such a block has to exit with 0.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

split = sys.argv.index("--")
root, named, compiler = pathlib.Path(sys.argv[1]), sys.argv[2:split], sys.argv[split + 1:]
documents = ([pathlib.Path(name) for name in named] if named else
             [p for p in [root / "README.md", *sorted(root.glob("docs/**/*.md"))] if p.exists()])


def blocks(text):
    """Yields (kind, first line number, lines): kind is "heading", "indented" or a fence's word."""
    lines = text.splitlines()
    i = 0
    while i < len(lines):
        fence = re.match(r"(`{3,})\s*(\w*)", lines[i])
        start = i
        i += 1
        if fence:
            while i < len(lines) and not lines[i].startswith(fence[1]):
                i += 1
            yield fence[2], start + 1, lines[start + 1:i]
            i += 1
        elif lines[start].startswith("    ") and re.match(r"\s*$|```", lines[start - 1]):
            while i < len(lines) and (lines[i].startswith("    ") or not lines[i].strip()):
                i += 1
            yield "indented", start + 1, [line[4:] for line in lines[start:i]]
        elif lines[start].startswith("#"):
            yield "heading", start + 1, []


def programs(document):
    """Yields (where, source, lines it should print or None)."""
    where = source = None
    for kind, line, lines in blocks(document.read_text()):
        if source is not None and kind in ("text", "indented"):
            yield where, source, [l for l in lines if not l.startswith("$ ")]
            source = None
        if source is not None and kind in ("heading", "cpp"):
            yield where, source, None
            source = None
        if kind == "cpp" and any(re.match(r"int main\(", l) for l in lines):
            where, source = f"{document.relative_to(root)}:{line}", "\n".join(lines) + "\n"
    if source is not None:
        yield where, source, None


def trimmed(lines):
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def check(program):
    """Returns what is wrong with the program, or nothing."""
    where, source, expected = program
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "program.cpp")
        path.write_text(source)
        built = subprocess.run([*compiler, str(path), "-o", str(path.with_suffix(""))],
                               capture_output=True, text=True)
        if built.returncode:
            return f"{where}: does not compile\n{built.stderr}"
        ran = subprocess.run([str(path.with_suffix(""))], cwd=root, capture_output=True, text=True,
                             timeout=120)
    if ran.returncode:
        return f"{where}: exits with {ran.returncode}\n{ran.stdout}{ran.stderr}"
    printed = trimmed(ran.stdout.splitlines())
    if expected is not None and printed != trimmed(expected):
        return f"{where}: prints\n{printed}\nbut the document says\n{trimmed(expected)}"
    return ""


found = [program for document in documents for program in programs(document)]
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    bad = [answer for answer in pool.map(check, found) if answer]
print(f"{len(documents)} documents, {len(found)} programs, {len(bad)} wrong")
sys.exit("\n".join(bad) or 0)
