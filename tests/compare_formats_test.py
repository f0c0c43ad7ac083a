#!/usr/bin/env python3
"""Runs the demo as its user does and looks at what it leaves behind.

    compare_formats_test.py PROGRAM MODEL

MODEL is the sample in examples/data, or the whole model that it was taken from. Reads the files it writes with a reader of its own, from the layouts' descriptions.
"""
import html.parser
import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile

PROGRAM, MODEL = (pathlib.Path(p).resolve() for p in sys.argv[1:3])
E2M1 = [0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6]
QUERY = "encoder.layer.0.attention.self.query.weight"


def run(folder, *arguments):
    return subprocess.run([PROGRAM, *arguments], cwd=folder, capture_output=True, text=True)


def read(path):
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    metadata = header.pop("__metadata__", {})
    return {name: (t["dtype"], t["shape"], data[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]])
            for name, t in header.items()}, metadata


def floats(tensor):
    return struct.unpack(f"<{len(tensor[2]) // 4}f", tensor[2])


def elements(packed):
    for byte in packed:
        yield E2M1[byte & 15]
        yield E2M1[byte >> 4]


def e4m3(byte):
    exponent, fraction = byte >> 3 & 15, byte & 7
    return math.ldexp(fraction, -9) if exponent == 0 else math.ldexp(8 + fraction, exponent - 10)


def sqnr(x, y):
    return 10 * math.log10(sum(a * a for a in x) / sum((a - b) ** 2 for a, b in zip(x, y)))


def safetensors(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class Page(html.parser.HTMLParser):
    """Counts tags; a page that needs nothing besides itself links to nothing."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links = {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.links += [value for name, value in attributes if name in ("src", "href")]


def test_first_look(folder):
    """Without arguments, or with a file alone: a table, and a page with five pictures."""
    result = run(folder, *([] if MODEL.stem == "minilm_sample" else [MODEL]))
    assert result.returncode == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines() if line.count("nearest_even")]
    assert {row[0] for row in rows} >= {"mxfp4", "nvfp4", "mxfp8_e4m3", "mxint8", "fp8_128x128"}
    best = {row[0]: float(row[5]) for row in reversed(rows)}
    assert 4.25 == float(rows[0][3]) and 18 < best["mxfp4"] < best["nvfp4"] < best["mxfp8_e4m3"]
    page = Page((folder / "compare_formats.html").read_text())
    assert page.tags["svg"] == page.tags["figcaption"] == 5, page.tags
    assert page.tags["tr"] > len(rows) and "script" not in page.tags and not page.links


def test_choices(folder):
    """Options may come before the file, and names with commas between or one by one."""
    result = run(folder, "--tensors", "*.query.*", "--scale", "absmax", "--scale", "four_over_six,absmax",
                 "--format", "nvfp4,mxfp4", "--rounding", "upward", "--report", "", MODEL)
    assert result.returncode == 0, result.stderr
    rows = [line.split()[:3] for line in result.stdout.splitlines() if "upward" in line]
    assert rows == [["nvfp4", "absmax", "upward"], ["nvfp4", "four_over_six", "upward"],
                    ["mxfp4", "absmax", "upward"]], rows
    tensors = read(MODEL)[0]
    queries = [name for name in tensors if ".query." in name and len(tensors[name][1]) == 2]
    assert f"{len(queries)} of {len(tensors)} tensors" in result.stdout and not list(folder.iterdir())


def test_checkpoints(folder):
    """What --write leaves is what the three layouts say, and near the weights."""
    source, notes = read(MODEL)
    x = floats(source[QUERY])
    for layout in ("huggingface_mxfp4", "modelopt_nvfp4", "compressed_tensors_nvfp4"):
        result = run(folder, MODEL, "--format", "mxfp4", "--report", "", "--write", "w", "--layout", layout)
        assert result.returncode == 0, result.stderr
        assert [p.name for p in folder.iterdir()] == ["w"]
        written, written_notes = read(folder / "w")
        assert written_notes == notes
        for name, tensor in source.items():
            if len(tensor[1]) != 2 or tensor[0] != "F32":
                assert written[name] == tensor, name
        if layout == "huggingface_mxfp4":
            kind, shape, blocks = written[QUERY + "_blocks"]
            assert (kind, shape) == ("U8", [384, 12, 16])
            scales = written[QUERY + "_scales"]
            assert scales[:2] == ("U8", [384, 12])
            y = [v * math.ldexp(1, scales[2][i // 32] - 127) for i, v in enumerate(elements(blocks))]
            least = 18
        else:
            divides = layout != "modelopt_nvfp4"
            kind, shape, packed = written[QUERY + ("_packed" if divides else "")]
            assert (kind, shape) == ("U8", [384, 192])
            scales = written[QUERY + "_scale"]
            assert scales[:2] == ("F8_E4M3", [384, 24])
            whole = written[QUERY + ("_global_scale" if divides else "_scale_2")]
            assert whole[:2] == ("F32", [1] if divides else [])
            s = floats(whole)[0]
            s = 1 / s if divides else s
            y = [v * e4m3(scales[2][i // 16]) * s for i, v in enumerate(elements(packed))]
            least = 20
        assert QUERY not in written or written[QUERY][0] == "U8"
        assert sqnr(x, y) > least, (layout, sqnr(x, y))
        (folder / "w").unlink()


def test_bad_files(folder):
    """Bad files: exit code 2, an error on stderr, nothing written."""
    bad = folder / "bad"
    u8 = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
    for content, message in [
        (b"", "byte 0"), (b"garbage", "byte 7"), (b"\xff" * 8 + b"{}", "byte 0"),
        (MODEL.read_bytes()[:-1], "byte"), (MODEL.read_bytes() + b"x", "byte"),
        (safetensors(b'{"a":' * 100000, b""), "byte"), (safetensors({"a": u8}, b""), "byte"),
        (safetensors({"\x1b[31m": u8}, b""), "\\u001b[31m"),
        (safetensors({"a": u8}, b"x"), "no matrix"),
    ]:
        bad.write_bytes(content)
        result = run(folder, bad, "--write", "w", "--report", "r")
        assert result.returncode == 2, content[:20]
        assert message in result.stderr and "\x1b" not in result.stderr, result.stderr
        assert [p.name for p in folder.iterdir()] == ["bad"]
    bad.unlink()
    for arguments in [("none",), (".",), ("--format", "mxfp5"), ("--scale", "nvfp4_te", "--format", "mxfp4"),
                      ("--rounding", "up"), ("--nonsense",), ("--layout", "gguf"), ("--tensors", "x*")]:
        result = run(folder, *arguments, "--write", "w")
        assert result.returncode == 2 and result.stderr and not list(folder.iterdir()), arguments


def test_unwritable_files(folder):
    """When one of the files cannot be written, neither is."""
    small = ("--tensors", "*layer.0*query*", "--format", "mxfp4")
    (folder / "taken").mkdir()
    (folder / "old").write_text("old")
    before = sorted(folder.iterdir())
    for write, page in [("w", "missing/r"), ("missing/w", "r"), ("w", "taken"), ("taken", "r"),
                        ("w", "old/r"), ("old", "taken"), ("taken", "old"), ("w", "./w")]:
        result = run(folder, *small, "--write", write, "--report", page, MODEL)
        assert result.returncode == 2 and result.stderr.startswith("compare_formats: "), (write, page)
        assert sorted(folder.iterdir()) == before and (folder / "old").read_text() == "old", (write, page)
    if pathlib.Path("/dev/full").exists():
        with open("/dev/full", "w") as full:
            result = subprocess.run([PROGRAM, *small, "--write", "w", "--report", "r", MODEL],
                                    cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True)
        assert result.returncode == 2 and "the table" in result.stderr, result.stderr
        assert sorted(folder.iterdir()) == before


def test_names_in_the_page(folder):
    """A name that a file makes up is text in the page, whatever it says."""
    name = "<script>alert(1)</script>&\x1b"
    header = {name: {"dtype": "F32", "shape": [2, 32], "data_offsets": [0, 256]}}
    (folder / "m").write_bytes(safetensors(header, struct.pack("<64f", *range(64))))
    result = run(folder, "m", "--format", "mxfp4,nvfp4", "--report", "r")
    assert result.returncode == 0, result.stderr
    text = (folder / "r").read_text()
    assert "script" not in Page(text).tags and "&lt;script&gt;" in text and "\x1b" not in text


for test in [test_first_look, test_choices, test_checkpoints, test_bad_files, test_unwritable_files,
             test_names_in_the_page]:
    with tempfile.TemporaryDirectory() as scratch:
        test(pathlib.Path(scratch))
    print("passed:", test.__doc__)
