#!/usr/bin/env python3
"""Times ml_dtypes with numpy and PyTorch on one CPU thread beside ours, in one run: 16 Mi normally
distributed floats.

    pip install numpy ml_dtypes torch
    python3 bench/peers/python_peers.py

Whatever is not installed is left out. Prints Gelement/s, the best of several runs in turn with ours,
the share of numpy's copy at equal traffic, and whether the peer's bytes or floats are ours. Ours
packs e2m1 two to a byte, the peers do not. Compiles ours.cpp with g++ -O2.
"""
import ctypes
import pathlib
import subprocess
import tempfile
import time

import numpy

N = 1 << 24
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
x = numpy.random.default_rng(1).standard_normal(N, dtype=numpy.float32)
y = numpy.empty_like(x)

with tempfile.TemporaryDirectory() as folder:
    library = pathlib.Path(folder) / "ours.so"
    subprocess.run(["g++", "-std=c++20", "-O2", "-shared", "-fPIC", f"-I{ROOT}/include",
                    ROOT / "bench/peers/ours.cpp", "-o", library], check=True)
    ours = ctypes.CDLL(library)


def call(name, source, target):
    getattr(ours, name)(ctypes.c_void_p(source.ctypes.data), ctypes.c_ssize_t(N),
                        ctypes.c_void_p(target.ctypes.data))


def best(*runs, times=7):
    """The least CPU time of each of the runs, which take turns."""
    seconds = [[] for _ in runs]
    for run in runs:
        run()
    for _ in range(times):
        for run, taken in zip(runs, seconds):
            start = time.process_time()
            run()
            taken.append(time.process_time() - start)
    return [min(taken) for taken in seconds]


copy = 8 * N / best(lambda: numpy.copyto(y, x))[0]
print(f"copy {copy / 1e9:.1f} GB/s in and out")
print(f"{'':26s} Gelement/s  ours  ratio  share of copy, ours  same")


def report(peer, name, theirs, mine, bytes_per_element, same):
    peer_time, our_time = best(theirs, mine)
    share = 100 * bytes_per_element * N / our_time / copy
    print(f"{peer + ' ' + name:26s} {N / peer_time / 1e9:10.3f} {N / our_time / 1e9:5.2f} "
          f"{peer_time / our_time:6.2f} {share:17.0f} %  {same()}", flush=True)


def compare(peer, name, encode, decode, bytes_of, floats_of):
    """`encode` and `decode` into arrays that are there already, `*_of` views of those."""
    packed = numpy.zeros(N, dtype=numpy.uint8)
    size = 4.5 if name == "e2m1" else 5

    def same_bytes():
        mine = packed
        if name == "e2m1":
            mine = numpy.stack([packed[:N // 2] & 15, packed[:N // 2] >> 4], axis=1).ravel()
        return numpy.array_equal(bytes_of(), mine)

    report(peer, f"to {name}", encode, lambda: call(f"to_{name}", x, packed), size, same_bytes)
    report(peer, f"from {name}", decode, lambda: call(f"from_{name}", packed, y), size,
           lambda: numpy.array_equal(floats_of(), y))


try:
    import ml_dtypes

    for name, dtype in (("e4m3", ml_dtypes.float8_e4m3fn), ("e5m2", ml_dtypes.float8_e5m2),
                        ("e2m1", ml_dtypes.float4_e2m1fn)):
        encoded = numpy.zeros(N, dtype=dtype)
        floats = numpy.empty_like(x)
        compare("ml_dtypes", name, lambda: numpy.copyto(encoded, x, casting="unsafe"),
                lambda: numpy.copyto(floats, encoded), lambda: encoded.view(numpy.uint8),
                lambda: floats)
except ImportError:
    print("ml_dtypes is not installed")

try:
    import torch

    torch.set_num_threads(1)
    t = torch.from_numpy(x)
    print(f"torch {torch.__version__}")
    for name, dtype in (("e4m3", torch.float8_e4m3fn), ("e5m2", torch.float8_e5m2)):
        encoded, floats = torch.zeros(N, dtype=dtype), torch.zeros(N)
        compare("torch", name, lambda: encoded.copy_(t), lambda: floats.copy_(encoded),
                lambda: encoded.view(torch.uint8).numpy(), lambda: floats.numpy())
except ImportError:
    print("torch is not installed")
