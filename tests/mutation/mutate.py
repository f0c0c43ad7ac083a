#!/usr/bin/env python3
"""Puts one fault after another into a copy of the headers; the unit tests must notice each.

Usage: mutate.py SOURCE_ROOT [--jobs 2] [--only TEXT] [--from N] [--compiler g++]. The faults are in
faults.txt beside this file. For each, the tests named with it are compiled (without optimization:
that is quickest) and run, and all others of the core if those notice nothing. A test notices when
it fails, runs for too long, or does not compile because of a static_assert. Exits with 1 when a
fault stays unnoticed or is none: when its text is not in the header exactly once, or no C++.
"""
import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ALL_TESTS = ['bits', 'format', 'pack', 'unpacked', 'block_format', 'quantized', 'scale', 'block',
             'quantize_relations', 'quantize', 'vendor_formulas', 'overflow', 'encode', 'rounding',
             'random', 'known_answers', 'minifloat']
FLAGS = ['-std=c++20', '-O0', '-w']
ENVIRONMENT = dict(os.environ, MALLOC_PERTURB_='165')  # new memory is not zero
LONGEST_RUN = 300  # seconds
SOUND, SOUND_LOCK = {}, threading.Lock()  # which tests pass without a fault


def read_faults(path):
    faults, header, tests, old = [], None, [], None
    for line in path.read_text().splitlines():
        if line.startswith('- '):
            old = line[2:]
        elif line.startswith('+ '):
            faults.append((header, tests, old, line[2:]))
            old = None
        elif line and not line.startswith('#'):
            header, names = line.split(':')
            tests = names.split()
    return faults


class Copy:
    """A copy of the headers and the tests, with one fault at a time."""

    def __init__(self, root, folder, compile, doctest_main):
        self.folder = pathlib.Path(folder)
        self.compile = compile
        self.main = doctest_main
        shutil.copytree(root / 'include', self.folder / 'include')
        shutil.copytree(root / 'tests', self.folder / 'tests', ignore=shutil.ignore_patterns(
            'fuzz', 'consumers', 'variants', 'mutation', 'slow'))

    def is_sound(self, test):
        """Whether a test passes without a fault. Needs the headers as they were."""
        with SOUND_LOCK:
            if test not in SOUND:
                SOUND[test] = self.notices(test) is None
                if not SOUND[test]:
                    print(f'{test} fails without any fault: it is left out', flush=True)
            return SOUND[test]

    def notices(self, test):
        """What a test says to the headers as they are now: None when it passes."""
        program = self.folder / 'program'
        compile = subprocess.run(
            self.compile + ['-I', self.folder / 'include',
                            self.folder / 'tests' / f'{test}_test.cpp', self.main, '-o', program],
            capture_output=True, text=True)
        if compile.returncode != 0:
            if 'static' in compile.stderr or 'constant' in compile.stderr:
                return f'{test} does not compile: static_assert'
            raise SyntaxError(compile.stderr[:2000])
        try:
            run = subprocess.run([program, '-aa=1', '-m'], cwd=self.folder / 'tests',
                                 capture_output=True, text=True, errors='replace',
                                 timeout=LONGEST_RUN, env=ENVIRONMENT)
        except subprocess.TimeoutExpired:
            return f'{test} does not end'
        if run.returncode == 0:
            return None
        case = next((l for l in run.stdout.splitlines() if l.startswith('TEST CASE')), '')
        return f'{test}: {case[10:].strip() or "ends with " + str(run.returncode)}'

    def try_fault(self, header, tests, old, new):
        path = self.folder / 'include/halfbyte' / header
        text = path.read_text()
        if text.count(old) != 1:
            return False, f'no fault: its text is there {text.count(old)} times'
        try:
            for test in tests + [t for t in ALL_TESTS if t not in tests]:
                if not self.is_sound(test):
                    continue
                path.write_text(text.replace(old, new))
                said = self.notices(test)
                path.write_text(text)
                if said:
                    return True, said
            return False, 'nobody'
        except SyntaxError as error:
            return False, f'no fault: it does not compile\n{error}'
        finally:
            path.write_text(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('root', type=pathlib.Path)
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--only', default='', help='faults whose header or text contains this')
    parser.add_argument('--from', type=int, default=1, dest='first', help='number of the first fault')
    parser.add_argument('--compiler', default='g++')
    arguments = parser.parse_args()
    compile = [arguments.compiler] + FLAGS
    faults = read_faults(pathlib.Path(__file__).with_name('faults.txt'))
    chosen = [(n, f) for n, f in enumerate(faults, 1)
              if n >= arguments.first and any(arguments.only in str(part) for part in f)]
    begin, wrong = time.time(), 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        doctest_main = folder / 'main.o'
        subprocess.run(compile + ['-c', arguments.root / 'tests/main.cpp', '-o', doctest_main],
                       check=True)
        copies, lock = [], threading.Lock()
        for job in range(arguments.jobs):
            copies.append(Copy(arguments.root, folder / str(job), compile, doctest_main))

        def attempt(fault):
            with lock:
                copy = copies.pop()
            try:
                return copy.try_fault(*fault)
            finally:
                with lock:
                    copies.append(copy)

        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            results = {pool.submit(attempt, fault): (n, fault) for n, fault in chosen}
            for done in concurrent.futures.as_completed(results):
                n, (header, _, old, new) = results[done]
                noticed, said = done.result()
                wrong += not noticed
                print(f'{n:3} {header}: {"caught" if noticed else "NOT CAUGHT"} by {said}', flush=True)
                if not noticed:
                    print(f'      - {old}\n      + {new}', flush=True)
    print(f'{len(chosen) - wrong} of {len(chosen)} faults caught in {time.time() - begin:.0f} s')
    return 1 if wrong else 0


sys.exit(main())
