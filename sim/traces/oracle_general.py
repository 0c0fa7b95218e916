"""libCacheSim's oracleGeneral: records of 24 bytes, little-endian, without anything before or after them.

Each is the time in seconds (u32), the object's id (u64), its size (u32) and which request is the next for it (i64).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import Struct

from sim.problems import TraceError
from sim.traces.files import opened
from sim.traces.rows import Options, Row

RECORD = Struct("<IQIq")
AT_ONCE = 4096
NEVER = 2**63 - 1
MOST_RECORDS = 2**42
"""What names a later record than this as the next is of another format."""


def read(path: Path, options: Options) -> Iterator[Row]:
    """Its requests; a whole second's come at one instant. Raises TraceError."""
    number = 0
    with opened(path) as file:
        while piece := file.read(RECORD.size * AT_ONCE):
            left = len(piece) % RECORD.size
            for at_s, obj_id, size_bytes, next_request in RECORD.iter_unpack(piece[: len(piece) - left]):
                if not size_bytes:
                    raise _wrong(path, number, "obj_size: 0 must be at least 1")
                if 0 <= next_request <= number or MOST_RECORDS < next_request < NEVER:
                    problem = f"{next_request} must be the number of a later record, negative or {NEVER}"
                    raise _wrong(path, number, f"next_access_vtime: {problem}")
                number += 1
                yield Row(number, at_s * 1000.0, str(obj_id), size_bytes)
            if left:
                raise _wrong(path, number, f"the file is cut: a record has {RECORD.size} bytes, the last has {left}")
    if not number:
        raise TraceError(f"{path}: record 1: the file is empty")


def _wrong(path: Path, before: int, problem: str) -> TraceError:
    place = f"record {before + 1} (byte {before * RECORD.size})"
    return TraceError(f"{path}: {place}: {problem}; is this oracleGeneral?")
