#!/usr/bin/env python3
"""Times what halfbyte.hpp and one call of `quantize` take to compile, beside Eigen/Core and one
product: CPU time of the compiler, many runs in turn.

    python3 bench/compile_time.py [RUNS [COMPILER ...]]
"""
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

INCLUDE = pathlib.Path(__file__).resolve().parent.parent / "include"
PROGRAMS = {
    "Eigen": """#include <Eigen/Core>
Eigen::MatrixXf f(const Eigen::MatrixXf& a, const Eigen::MatrixXf& b) { return a * b; }
""",
    "halfbyte": """#include <halfbyte/halfbyte.hpp>
halfbyte::quantized<halfbyte::mxfp4> f(halfbyte::matrix_view<const float> x) {
  return halfbyte::quantize<halfbyte::mxfp4>(x);
}
""",
}

runs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
command = sys.argv[2:] or ["g++"]
command += ["-std=c++20", "-O2", f"-I{INCLUDE}", "-I/usr/include/eigen3", "-c", "-o", "/dev/null"]
seconds = {name: [] for name in PROGRAMS}
with tempfile.TemporaryDirectory() as folder:
    for _ in range(runs):
        for name, text in PROGRAMS.items():
            source = pathlib.Path(folder) / f"{name}.cpp"
            source.write_text(text)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([*command, source], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

for name, values in seconds.items():
    print(f"{name:9s} {statistics.median(values):6.2f} s, at best {min(values):.2f} s")
medians = {name: statistics.median(values) for name, values in seconds.items()}
print(f"halfbyte / Eigen {medians['halfbyte'] / medians['Eigen']:.2f}, at best "
      f"{min(seconds['halfbyte']) / min(seconds['Eigen']):.2f}")
