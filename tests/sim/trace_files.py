"""Small traces for tests, written without any of the code that they are to test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HEADER = {"trace": 1, "unit": "ms", "start_ms": 1_700_000_000_000, "by": "a test", "sample": 1}


def write(path: Path, models: Iterable[Mapping[str, Any]], events: Iterable[Mapping[str, Any]], **header: Any) -> Path:
    """A whole trace; ``models`` and ``events`` are the objects on their lines."""
    listed = list(events)
    end = {"end": len(listed), "t": listed[-1]["t"] if listed else 0}
    write_lines(path, [HEADER | header, *models, *listed, end])
    return path


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Any objects, one a line."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
