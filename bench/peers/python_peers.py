#!/usr/bin/env python3
"""Times ml_dtypes with numpy and PyTorch on one CPU thread: 16 Mi normally distributed floats.

    pip install numpy ml_dtypes torch --index-url https://download.pytorch.org/whl/cpu \\
        --extra-index-url https://pypi.org/simple
    python3 bench/peers/python_peers.py

Whatever is not installed is left out. Prints Gelement/s, the best of several runs, and the share
of numpy's copy at equal traffic.
"""
import time

import numpy

N = 1 << 24
x = numpy.random.default_rng(1).standard_normal(N, dtype=numpy.float32)
y = numpy.empty_like(x)


def best(run, times=5):
    run()
    seconds = []
    for _ in range(times):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds)


copy = 8 * N / best(lambda: numpy.copyto(y, x))
print(f"copy                       {copy / 1e9:6.2f} GB/s in and out")


def report(name, run, bytes_per_element):
    seconds = best(run)
    share = 100 * bytes_per_element * N / seconds / copy
    print(f"{name:26s} {N / seconds / 1e9:6.3f} Gelement/s {share:5.1f} %")


try:
    import ml_dtypes

    for name in ("float8_e4m3fn", "float8_e5m2", "float4_e2m1fn"):
        dtype = getattr(ml_dtypes, name)
        encoded = x.astype(dtype)
        report(f"ml_dtypes to {name}", lambda: x.astype(dtype), 5)
        report(f"ml_dtypes from {name}", lambda: encoded.astype(numpy.float32), 5)
except ImportError:
    print("ml_dtypes is not installed")

try:
    import torch

    torch.set_num_threads(1)
    t = torch.from_numpy(x)
    for dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        encoded = t.to(dtype)
        report(f"torch to {str(dtype)[6:]}", lambda: t.to(dtype), 5)
        report(f"torch from {str(dtype)[6:]}", lambda: encoded.to(torch.float32), 5)
except ImportError:
    print("torch is not installed")
