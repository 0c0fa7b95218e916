"""Writes the generated modules beside their .proto files, or checks that they are current.

`python -m protos.generate` writes; with `--check` nothing is written, and the exit code is 1 when a file differs from
what the .proto files say. Needs the grpcio-tools of the `dev` extra.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")


def generate(into: Path) -> list[str]:
    """Generate all modules into a directory; returns their file names, sorted."""
    from grpc_tools import protoc

    sources = sorted(path.name for path in HERE.glob("*.proto"))
    google = files("grpc_tools") / "_proto"
    options = [f"--{kind}_out={into}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", f"-I{HERE}", f"-I{google}", *options, *sources]) != 0:
        raise SystemExit("protos.generate: protoc failed, see above")
    names = [f"{source.removesuffix('.proto').replace('-', '_')}{suffix}" for source in sources for suffix in SUFFIXES]
    for name in names:
        path = into / name
        text = as_package_member(path.read_text())
        if path.suffix == ".pyi":
            text = '# mypy: disable-error-code="type-arg"\n' + text
        path.write_text(text)
    return sorted(names)


def as_package_member(text: str) -> str:
    """Make a generated top-level module one of this package, with the package's descriptor pool.

    protoc knows modules only by the path of their file, and a path with `protos/` in it would not be the name that
    users know the file by.
    """
    text = re.sub(r"^import (\w+_pb2) as ", r"from protos import \1 as ", text, flags=re.MULTILINE)
    text = re.sub(r"(BuildTopDescriptorsAndMessages\(DESCRIPTOR, ')(\w+_pb2')", r"\1protos.\2", text)
    text = text.replace(
        "from google.protobuf import descriptor_pool as _descriptor_pool\n", "from protos import POOL as _POOL\n"
    )
    return text.replace("_descriptor_pool.Default()", "_POOL")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m protos.generate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a module is not current")
    if not parser.parse_args(arguments).check:
        print(f"protos.generate: wrote {len(generate(HERE))} files")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        wanted = {name: (Path(scratch) / name).read_bytes() for name in generate(Path(scratch))}
    there = {path.name: path.read_bytes() for suffix in SUFFIXES for path in HERE.glob(f"*{suffix}")}
    differing = [name for name in sorted(wanted | there) if wanted.get(name) != there.get(name)]
    for name in differing:
        print(f"protos.generate: protos/{name} is not what the .proto files say", file=sys.stderr)
    if differing:
        print("protos.generate: run python -m protos.generate", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
