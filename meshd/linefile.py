"""Files that grow by a line at a time: only this user may read them, and what was there before is put aside."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILES_KEPT = 8
"""Full files kept beside the one that is written."""
INSTANCE = "{instance}"
"""Stands for the instance's id in a path, so that instances with one configuration have a file each."""


def path_of(template: str, instance: str) -> Path:
    """The path of this instance's own file."""
    return Path(template.replace(INSTANCE, instance))


class LineFile:
    """One file, compressed where its name ends in ``.zst``; only this user may read it. Raises OSError, ImportError."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        flush: Callable[[], object]
        compressor = _compressor() if path.suffix == ".zst" else None
        self._raw = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        self._out: Any = self._raw
        flush = self._raw.flush
        if compressor is not None:
            self._out = compressor.stream_writer(self._raw)
            flush = self._out.flush
        self._flush_out = flush
        self.began = 0
        """Bytes of what the file begins with."""

    def write(self, text: str) -> None:
        self._out.write(text.encode())

    def flush(self) -> None:
        """Hand everything to the system: a process that is killed then takes nothing with it."""
        self._flush_out()
        self._raw.flush()

    def begin(self) -> None:
        self.flush()
        self.began = self._raw.tell()

    def grown(self) -> int:
        return self._raw.tell() - self.began

    def close(self) -> None:
        try:
            self._out.close()
        finally:
            self._raw.close()


def _compressor() -> Any:
    try:
        import zstandard
    except ImportError:
        raise ImportError(
            "its name ends in .zst, which needs the package zstandard (pip install 'meshd[traces]')"
        ) from None
    return zstandard.ZstdCompressor()


def put_aside(path: Path) -> None:
    """Give the file that is there the next number, and forget the oldest of those that have one."""
    if not path.exists():
        return
    numbered = _numbered(path)
    stem, suffix = _parts(path)
    path.rename(path.with_name(f"{stem}.{max(numbered, default=0) + 1}{suffix}"))
    for number in sorted(numbered)[: max(0, len(numbered) + 1 - FILES_KEPT)]:
        numbered[number].unlink(missing_ok=True)


def _numbered(path: Path) -> dict[int, Path]:
    stem, suffix = _parts(path)
    pattern = re.compile(rf"{re.escape(stem)}\.(\d+){re.escape(suffix)}", re.ASCII)
    return {int(match[1]): other for other in path.parent.iterdir() if (match := pattern.fullmatch(other.name))}


def _parts(path: Path) -> tuple[str, str]:
    """The name without, and with nothing but, its suffix: ``.jsonl.zst`` counts as one."""
    end = ".zst" if path.suffix == ".zst" else ""
    name = Path(path.name.removesuffix(end))
    return name.stem, name.suffix + end
