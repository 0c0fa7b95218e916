"""One tar.gz that is there as a whole or not at all, with a bound on what goes in."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmctl.errors import Failed

PART_BYTES = 32 << 20
WHOLE_BYTES = 128 << 20
"""Of a part, and of all parts together, before they are compressed."""
CUT = b"\n... cut here: the bundle has a bound\n"


class Archive:
    """Parts are added one after the other, under one directory."""

    def __init__(self, tar: tarfile.TarFile, directory: str) -> None:
        self._tar, self._directory = tar, directory
        self._left = WHOLE_BYTES
        self.names: list[str] = []

    def add(self, name: str, content: bytes) -> bool:
        """Add a part; False: its end is cut off, for the part or the whole would be too large."""
        return self._add(name, content, min(PART_BYTES, self._left))

    def add_last(self, name: str, content: bytes) -> None:
        """Add a part for which there is room beyond that of the others, for it says what they lack."""
        self._add(name, content, PART_BYTES)

    def _add(self, name: str, content: bytes, most: int) -> bool:
        is_whole = len(content) <= most
        if not is_whole:
            content = content[: max(0, most - len(CUT))] + CUT
        entry = tarfile.TarInfo(f"{self._directory}/{name}")
        entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
        self._tar.addfile(entry, io.BytesIO(content))
        self._left = max(0, self._left - len(content))
        self.names.append(name)
        return is_whole


@contextmanager
def archive(path: Path, directory: str) -> Iterator[Archive]:
    """An archive that stands at ``path`` when the block has ended well; else nothing does. Only its owner can read it.

    Raises Failed when there is something already, or when it cannot be written.
    """
    if path.exists():
        raise Failed(f"{path} is there already: give another --out")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                with tarfile.open(fileobj=file, mode="w:gz") as tar:
                    yield Archive(tar, directory)
                file.flush()
                os.fsync(file.fileno())
            beside.rename(path)
        except OSError as error:
            raise Failed(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            beside.unlink()
