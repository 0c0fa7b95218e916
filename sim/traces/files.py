"""Files of traces: read in pieces of bounded size, compressed or not; written whole or not at all."""

from __future__ import annotations

import io
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from meshcore.trace import MOST_LINE, BadTrace, End, Event, Header, Line, Model, read, text
from sim.problems import TraceError, TraceFailed

MAGIC = b"\x28\xb5\x2f\xfd"
"""What zstd begins with."""
PIECE = 8 << 10
"""Bytes decompressed at once: even of a file made to be large there is then no more than memory has."""
GZIP = b"\x1f\x8b\x08"

State = tuple[int, int]
"""Size and instant of the last change of a file: its contents are the same as long as these are."""


def state_of(path: Path) -> State:
    """Of a file that is read more than once. Raises TraceError."""
    try:
        found = path.stat()
    except OSError as error:
        raise _unread(path, error) from None
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise TraceError(f"{path}: must be a file, as it is read twice")
    return found.st_size, found.st_mtime_ns


def changed(path: Path) -> TraceFailed:
    """The error that says that what was read first and what was read then do not belong together."""
    return TraceFailed(f"{path}: was changed while it was read")


def read_trace(path: Path, is_part_enough: bool = False) -> Iterator[Line | End]:
    """The lines of a trace, as ``meshcore.trace.read`` checks them. Raises TraceError."""
    with opened(path, is_part_enough) as file:
        try:
            yield from read(iter(partial(file.readline, MOST_LINE), b""), is_part_enough)
        except BadTrace as bad:
            raise TraceError(f"{path}: {bad}") from None


@contextmanager
def opened(path: Path, is_part_enough: bool = False) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed if its name ends in .zst or it begins as such. Raises TraceError, unless
    ``is_part_enough`` for one that was cut too."""
    try:
        with path.open("rb") as file:
            if file.peek(len(GZIP)).startswith(GZIP):
                raise TraceError(f"{path}: byte 0: is compressed with gzip; it must be plain, or compressed with zstd")
            if path.suffix == ".zst" or file.peek(len(MAGIC)).startswith(MAGIC):
                yield io.BufferedReader(_Decompressed(path, file, is_part_enough), 1 << 16)
            else:
                yield file
    except OSError as error:
        raise _unread(path, error) from None


def _unread(path: Path, error: OSError) -> TraceError:
    if isinstance(error, FileNotFoundError):
        return TraceError(f"{path}: there is no such file")
    return TraceError(f"{path}: cannot be read: {error.strerror or error}")


def _zstandard(path: Path) -> Any:
    try:
        import zstandard
    except ImportError:
        raise TraceError(f"{path}: zstd takes the package zstandard; pip install 'meshd[traces]'") from None
    return zstandard


class _Decompressed(io.RawIOBase):
    """Notices, unlike zstandard's own readers, where a file was cut."""

    def __init__(self, path: Path, file: IO[bytes], is_part_enough: bool) -> None:
        self._path, self._file, self._zstandard = path, file, _zstandard(path)
        self._is_part_enough = is_part_enough
        self._frame = self._zstandard.ZstdDecompressor().decompressobj()
        self._left, self._is_within, self._taken = b"", False, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            piece = self._frame.unused_data if self._frame.eof else b""
            piece = piece or self._file.read(PIECE)
            if not piece:
                if (self._is_within or not self._taken) and not self._is_part_enough:
                    raise TraceError(f"{self._path}: byte {self._taken}: the compressed file is cut")
                return 0
            self._decompress(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count

    def _decompress(self, piece: bytes) -> None:
        if self._frame.eof:
            self._frame = self._zstandard.ZstdDecompressor().decompressobj()
        try:
            self._left = self._frame.decompress(piece)
        except self._zstandard.ZstdError:
            raise TraceError(f"{self._path}: byte {self._taken}: cannot be decompressed as zstd") from None
        self._is_within = not self._frame.eof
        self._taken += len(piece) - len(self._frame.unused_data)


class Writer:
    """Writes a trace, to the file's own name only once it is whole; of several who write it at once the last to end has
    it. Raises TraceFailed."""

    def __init__(self, path: Path, header: Header) -> None:
        self._path, self._part = path, path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        compressor = _zstandard(path).ZstdCompressor() if path.suffix == ".zst" else None
        with _writing(path):
            self._raw = self._part.open("xb")
            self._out: Any = compressor.stream_writer(self._raw) if compressor else self._raw
        self.count, self._latest = 0, 0.0
        self._write(text(header))

    def model(self, model: Model) -> None:
        """Write what is known of a model, before its first event."""
        self._write(text(model))

    def event(self, event: Event) -> None:
        """Write an event, none earlier than the one before."""
        assert event.t_ms >= self._latest, "events come in order"
        self.count, self._latest = self.count + 1, event.t_ms
        self._write(text(event))

    def end(self, until_ms: float = 0.0) -> None:
        """It is whole, for at least so long; from now on the file is there."""
        self._write(text(End(self.count, max(self._latest, until_ms))))
        with _writing(self._path):
            self._out.close()
            self._raw.close()
            os.replace(self._part, self._path)

    def _write(self, line: str) -> None:
        with _writing(self._path):
            self._out.write(line.encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):
            self._raw.close()  # writes what is left, for which there may be no room
        with suppress(OSError):
            self._part.unlink()  # nothing, once it has its own name


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TraceFailed(f"{path}: cannot be written: {error.strerror or error}") from None
