#!/usr/bin/env python3
"""Builds and runs consumer.cpp as a user of halfbyte would, in a folder whose name has a space.

    consume.py ROUTE SOURCE COMPILER...

ROUTE: plain (-I), pkg-config, cmake-package (find_package), cmake-fetch (FetchContent) or meson
(a subproject by way of a wrap file). Exits with 77, "skipped", where the route's tool is missing.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

route, source, compiler = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
here = pathlib.Path(__file__).resolve().parent
version = (source / "VERSION").read_text().strip()
tools = {"pkg-config": "pkg-config", "cmake-package": "cmake", "cmake-fetch": "cmake"}


def run(*command, **more):
    print("$", *command, flush=True)
    subprocess.run([str(word) for word in command], check=True, **more)


def meson_setup(*arguments):
    run("meson", "setup", *arguments, env={**os.environ, "CXX": " ".join(compiler)})


def install(folder):
    """Installs the headers under `folder` and returns the prefix."""
    prefix = folder / "prefix"
    off = [f"-D{part}=disabled" for part in ("tests", "examples", "bench", "cuda")]
    meson_setup(source, folder / "library", "--prefix", prefix, *off)
    run("meson", "install", "-C", folder / "library")
    return prefix


def plain(folder):
    run(*compiler, "-std=c++20", "-I", source / "include", "consumer.cpp", "-o", "consumer")
    return "consumer"


def pkg_config(folder):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(install(folder) / "share/pkgconfig")}
    run("pkg-config", "--exact-version", version, "halfbyte", env=environment)
    script = 'eval "$@ consumer.cpp -o consumer $(pkg-config --cflags --libs halfbyte)"'
    run("sh", "-c", script, "sh", *compiler, "-std=c++20", env=environment)
    return "consumer"


def cmake(folder, *arguments):
    run("cmake", "-G", "Ninja", "-S", ".", "-B", "build", f"-DCMAKE_CXX_COMPILER={compiler[-1]}",
        *arguments)
    run("cmake", "--build", "build")
    return "build/consumer"


def cmake_package(folder):
    return cmake(folder, f"-DCMAKE_PREFIX_PATH={install(folder)}")


def cmake_fetch(folder):
    return cmake(folder, f"-DHALFBYTE_SOURCE={source}")


def meson(folder):
    """The wrap file names a release archive; Meson finds it in its cache of downloads."""
    name = f"halfbyte-{version}"
    cache = folder / "subprojects/packagecache"
    cache.mkdir(parents=True)
    archive = cache / f"{name}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for part in ("meson.build", "meson_options.txt", "VERSION", "include", "cuda/include"):
            if (source / part).exists():
                tar.add(source / part, f"{name}/{part}")
    (folder / "subprojects/halfbyte.wrap").write_text(
        f"[wrap-file]\ndirectory = {name}\n"
        f"source_url = https://example.invalid/{archive.name}\nsource_filename = {archive.name}\n"
        f"source_hash = {hashlib.sha256(archive.read_bytes()).hexdigest()}\n"
        "[provide]\ndependency_names = halfbyte\n")
    meson_setup("build")
    run("meson", "compile", "-C", "build")
    installed = subprocess.run(["meson", "introspect", "--installed", "build"],
                               check=True, capture_output=True, text=True).stdout
    if installed.strip() != "{}":
        sys.exit(f"a subproject must install nothing, but Meson lists {installed}")
    return "build/consumer"


if not shutil.which(tools.get(route, "sh")):
    print(f"{tools[route]} is not here")
    sys.exit(77)
with tempfile.TemporaryDirectory(prefix="a consumer ") as temporary:
    folder = pathlib.Path(temporary)
    project = here / route.replace("-", "_")
    if project.is_dir():
        shutil.copytree(project, folder, dirs_exist_ok=True)
    shutil.copy(here / "consumer.cpp", folder)
    os.chdir(folder)
    ways = {"plain": plain, "pkg-config": pkg_config, "cmake-package": cmake_package,
            "cmake-fetch": cmake_fetch, "meson": meson}
    program = ways[route](folder)
    run(folder / program)
