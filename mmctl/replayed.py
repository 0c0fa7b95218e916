"""How a replayed journal is shown: in a line, and its first difference in full."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meshcore.replay import Replayed
from mmctl import journals
from mmctl.output import Column, View, say, show_fields, show_heading

_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Result:
    """A file, and what came of it."""

    path: Path
    of: Replayed


def remark(result: Result) -> None:
    """What a reader should know of a journal that can be replayed all the same."""
    path, of = result.path, result.of
    if of.core != (here := journals.core_version()):
        say(f"{path} was written by version {of.core} of the rules; this is {here}", style="yellow")
    if of.is_cut:
        say(f"{path} ends within a line, as when its process is killed; the rest was replayed", style="yellow")
    if of.gap is not None:
        until = f"until {_time(of.gap.until_ms)}" if of.gap.until_ms is not None else "on"
        say(f"{path} has a gap from {_time(of.gap.since_ms)} {until}: {of.gap.why}; it was replayed as far as that",
            style="yellow")  # fmt: skip


def show(result: Result) -> None:
    """The first difference, if there is one."""
    difference = result.of.difference
    if difference is None:
        return
    show_heading(str(result.path))
    show_fields(
        [
            ("line", str(difference.line)),
            ("time", _time(difference.at_ms)),
            ("after", _words(difference.cause)),
            ("recorded", _words(difference.recorded)),
            ("because", _reason(difference.recorded)),
            ("now", _words(difference.now)),
            ("because", _reason(difference.now)),
        ]
    )


def _words(plain: Any) -> str:
    """What a line says, on one line for people; ``-o json`` has all of it."""
    if isinstance(plain, list):
        return "a request that was under way: " + ", ".join(str(call[0]) for call in plain)
    if not isinstance(plain, dict):
        return "nothing" if plain is None else str(plain)
    said = " ".join(f"{name}={_value(value)}" for name, value in plain.items() if name not in ("@", "why"))
    text = f"{plain.get('@', '')} {said}"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _value(plain: Any) -> str:
    if isinstance(plain, dict) and "of" in plain:
        return str(plain["of"])
    if isinstance(plain, dict):
        return "{" + _words(plain).strip() + "}"
    return "[" + ", ".join(_value(item) for item in plain) + "]" if isinstance(plain, list) else str(plain)


def _reason(plain: Any) -> str:
    why = plain.get("why") if isinstance(plain, dict) else None
    if not isinstance(why, dict):
        return "-"
    inputs = "".join(f", {name} {value}" for name, value in why.get("inputs", {}).items())
    return f"{_value(why['rule'])} (reason {why.get('seq', 0)}): {why.get('cause', '')}{inputs}"


def _time(instant_ms: int) -> str:
    return datetime.fromtimestamp(instant_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(result: Result) -> dict[str, Any]:
    of, difference, gap = result.of, result.of.difference, result.of.gap
    return {
        "file": str(result.path),
        "instance": of.instance,
        "core": of.core,
        "from_ms": of.t0_ms,
        "until_ms": of.until_ms,
        "lines": of.lines,
        "commands": of.commands,
        "is_same": difference is None,
        "is_cut": of.is_cut,
        "gap": {"why": gap.why, "from_ms": gap.since_ms, "until_ms": gap.until_ms} if gap else None,
        "difference": {
            "line": difference.line, "at_ms": difference.at_ms, "after": difference.cause,
            "recorded": difference.recorded, "now": difference.now,
        } if difference else None,
    }  # fmt: skip


VIEW: View[Result] = View(
    [
        Column("FILE", lambda result: str(result.path), flexible=True),
        Column("INSTANCE", lambda result: result.of.instance),
        Column("FROM", lambda result: _time(result.of.t0_ms), wide=True),
        Column("UNTIL", lambda result: _time(result.of.until_ms), wide=True),
        Column("LINES", lambda result: f"{result.of.lines:,}", right=True),
        Column("COMMANDS", lambda result: f"{result.of.commands:,}", right=True),
        Column("RESULT", lambda result: _verdict(result.of)),
    ],
    _plain,
    lambda result: str(result.path),
    "nothing could be replayed",
)


def _verdict(of: Replayed) -> str:
    return "the same" if of.difference is None else f"differs in line {of.difference.line}"
