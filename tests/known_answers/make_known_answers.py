#!/usr/bin/env python3
"""Writes conversions.txt: what ml_dtypes and gfloat say float32 and float64 inputs round to.

    python3 -m venv venv && venv/bin/pip install ml_dtypes==0.6.0 gfloat==0.5.2 numpy==2.4.6
    venv/bin/python make_known_answers.py > conversions.txt

The file has one block of inputs a format and source type, and under it one block of answers for
each reference, rounding and overflow rule, in the order of the inputs. `nan` is any NaN pattern.
`-` is no answer: the reference refuses the input, or differs from halfbyte by design (a sign bit
of NaN, a NaN in a format without one, a negative number in an unsigned format, and in ml_dtypes
the ties of e8m0, which it sends up where IEEE 754 says even, and what lies between 2^-127 and
2^-126, which it sends up even just above 2^-127).
"""
import importlib.metadata
import math
import random
import struct

import gfloat
import gfloat.formats
import ml_dtypes
import numpy as np
from gfloat.types import Domain, FormatInfo, RoundMode

VERSIONS = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("ml_dtypes", "gfloat", "numpy"))


def description(name, k, mantissa_bits, bias, *, signed=True, infinity=False, nans=0, minus_zero=True,
                fixed=False, subnormals=True):
    return FormatInfo(name, k, mantissa_bits + (0 if fixed else 1), bias=bias, is_signed=signed,
                      domain=Domain.Extended if infinity else Domain.Finite, has_nz=minus_zero,
                      num_high_nans=nans, has_subnormals=subnormals, is_twos_complement=fixed)


# name -> (gfloat description, ml_dtypes type)
FORMATS = {
    "e2m1": (description("e2m1", 4, 1, 1), ml_dtypes.float4_e2m1fn),
    "e2m3": (description("e2m3", 6, 3, 1), ml_dtypes.float6_e2m3fn),
    "e3m2": (description("e3m2", 6, 2, 3), ml_dtypes.float6_e3m2fn),
    "e4m3": (description("e4m3", 8, 3, 7, nans=1), ml_dtypes.float8_e4m3fn),
    "e5m2": (description("e5m2", 8, 2, 15, infinity=True, nans=3), ml_dtypes.float8_e5m2),
    "e3m4": (description("e3m4", 8, 4, 3, infinity=True, nans=15), ml_dtypes.float8_e3m4),
    "e4m3fnuz": (description("e4m3fnuz", 8, 3, 8, minus_zero=False), ml_dtypes.float8_e4m3fnuz),
    "e5m2fnuz": (description("e5m2fnuz", 8, 2, 16, minus_zero=False), ml_dtypes.float8_e5m2fnuz),
    "ue4m3": (description("ue4m3", 7, 3, 7, signed=False, nans=1, minus_zero=False), None),
    "ue8m0": (gfloat.formats.format_info_ocp_e8m0, ml_dtypes.float8_e8m0fnu),
    "fixed8": (gfloat.formats.format_info_ocp_int8, None),
    "bfloat16": (gfloat.formats.format_info_bfloat16, ml_dtypes.bfloat16),
    "float16": (gfloat.formats.format_info_binary16, np.float16),
}

MODES = {
    "nearest_even": RoundMode.TiesToEven,
    "nearest_away": RoundMode.TiesToAway,
    "toward_zero": RoundMode.TowardZero,
    "upward": RoundMode.TowardPositive,
    "downward": RoundMode.TowardNegative,
}
STOCHASTIC = {"stochastic": RoundMode.StochasticFastest, "stochastic_unbiased": RoundMode.Stochastic}
WORDS = [(4, 7), (8, 93)]


def f32(x):
    return float(np.float32(x))


def neighbours(x, kind):
    t = np.float32 if kind == "float32" else np.float64
    x = t(x)
    return [float(np.nextafter(x, t(-np.inf))), float(x), float(np.nextafter(x, t(np.inf)))]


def magnitudes(info):
    top = 1 << (info.k - (1 if info.is_signed else 0))
    values = [gfloat.decode_float(info, code).fval for code in range(top)]
    return sorted(v for v in values if math.isfinite(v))


def inputs(name, info, kind):
    rng = random.Random(f"{name} {kind}")
    values = magnitudes(info)
    gap = values[-1] - values[-2] if name != "ue8m0" else values[-1]
    following = values[-1] + gap
    pairs = list(zip(values, values[1:] + [following]))
    limit = {"float32": 50, "float64": 16}[kind]
    if len(pairs) > limit:
        keep = set(range(4)) | {len(pairs) - 1, len(pairs) - 2} | set(rng.sample(range(len(pairs)), limit - 6))
        pairs = [p for i, p in enumerate(pairs) if i in keep]
    out = []
    for low, high in pairs:
        middle = low / 2 + high / 2 if name == "ue8m0" else (low + high) / 2
        for x in neighbours(middle, kind) + (neighbours(low, kind) if kind == "float32" else []):
            out.append(x)
    if following < 3e38:
        out += neighbours(following, kind)
    for _ in range(60 if kind == "float32" else 20):
        low, high = math.log2(values[1]) - 3, math.log2(values[-1]) + 2
        out.append(math.ldexp(rng.random() + 1, int(rng.uniform(max(low, -140), min(high, 127)))) / 2)
    out += [1e-45, 1.1754942e-38, 1.1754944e-38, 3.4028234e38, 0.0]
    if kind == "float64":
        out += [5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 431.99999999999994, 1.0625 + 2.0**-40]
    else:
        out = [f32(x) for x in out]
    out = [x for x in out if x >= 0 and math.isfinite(x)]
    signed = []
    for i, x in enumerate(dict.fromkeys(out)):
        both = len(out) < 100 or i % 3 == 0
        signed += [x, -x] if both else [x if i % 2 else -x]
    return signed + [math.inf, -math.inf, math.nan]


def unanswerable(name, info, x):
    if math.isnan(x):
        return info.num_nans == 0
    if name == "ue8m0":
        return not x >= 2.0**-127
    if name == "fixed8":
        return x < -127 / 64  # gfloat uses -128/64, halfbyte does not
    return not info.is_signed and math.copysign(1, x) < 0


def by_gfloat(name, info, x, mode, sat, bits=0, word=0):
    if unanswerable(name, info, x):
        return "-"
    try:
        y = gfloat.round_float(info, x, mode, sat, word, bits) if bits else gfloat.round_float(info, x, mode, sat)
    except ValueError:
        return "-"
    return "nan" if math.isnan(y) else f"{gfloat.encode_float(info, y):x}"


def by_ml_dtypes(name, info, kind, xs):
    dtype = FORMATS[name][1]
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.array(xs, kind).astype(dtype)
    width = np.uint16 if y.itemsize == 2 else np.uint8
    answers = []
    for x, code, value in zip(xs, y.view(width), y.astype(np.float32)):
        refused = unanswerable(name, info, x)
        if name == "ue8m0" and not refused and math.isfinite(x):
            refused = math.frexp(x)[0] == 0.75 or x >= 2.0**127 or 2.0**-127 < x < 2.0**-126
        answers.append("-" if refused else "nan" if math.isnan(value) else f"{int(code):x}")
    return answers


def wrapped(tokens):
    line = ""
    for token in tokens:
        if len(line) + len(token) + 1 > 100:
            print(line)
            line = ""
        line += (" " if line else "") + token
    print(line)


def main():
    print(f"# Made by make_known_answers.py with {VERSIONS}. Do not edit.")
    for kind in ("float32", "float64"):
        for name, (info, dtype) in FORMATS.items():
            xs = inputs(name, info, kind)
            letter = ">f" if kind == "float32" else ">d"
            print(f"inputs {name} {kind} {len(xs)}")
            wrapped([struct.pack(letter, x).hex() for x in xs])
            if dtype is not None and kind == "float32":
                special = info.domain == Domain.Extended or info.num_nans > 0
                print(f"answers ml_dtypes nearest_even {'to_special' if special else 'saturate'}")
                wrapped(by_ml_dtypes(name, info, kind, xs))
            for rounding, mode in MODES.items():
                for overflow, sat in (("saturate", True), ("to_special", False)):
                    if kind == "float64" and (sat or rounding not in ("nearest_even", "upward")):
                        continue
                    print(f"answers gfloat {rounding} {overflow}")
                    wrapped([by_gfloat(name, info, x, mode, sat) for x in xs])
            if kind == "float32" and name not in ("ue8m0",):
                for rounding, mode in STOCHASTIC.items():
                    for bits, word in WORDS:
                        print(f"answers gfloat {rounding} saturate {bits} {word}")
                        wrapped([by_gfloat(name, info, x, mode, True, bits, word) for x in xs])


main()
