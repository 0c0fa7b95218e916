"""Journals as files: their lines, whether they are compressed or not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from meshcore.journal import fingerprint
from mmctl.errors import Usage


def lines(path: Path) -> Iterator[bytes]:
    """The lines of the journal at ``path``. Raises Usage."""
    try:
        with path.open("rb") as file:
            if path.suffix == ".zst":
                yield from _decompressed(path, file)
            else:
                yield from file
    except OSError as error:
        raise Usage(f"{path}: {error.strerror or error}") from None


def _decompressed(path: Path, file: Any) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError:
        raise Usage(f"{path}: reading it takes the package zstandard; pip install 'meshd[traces]'") from None
    with closing(io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file))) as reader:
        try:
            yield from reader
        except zstandard.ZstdError as error:
            raise Usage(f"{path}: it cannot be decompressed: {error}") from None


def core_version() -> str:
    """The version of the rules that are installed here."""
    sources = (source for source in files("meshcore").iterdir() if source.name.endswith(".py"))
    ordered = sorted(sources, key=lambda source: source.name)
    return fingerprint(version("meshd"), (source.read_bytes() for source in ordered))
