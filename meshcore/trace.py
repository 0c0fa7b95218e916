"""What a trace says: who recorded it, which models there are, then a line for each request, ascending by instant.

One JSON object a line: a header, lines for models and lines for events, each model before the first event that names
it, and a line that ends it, so that a file that was cut is noticed (docs/simulator.md, traces). Instants are
milliseconds from the trace's start.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import blake2b
from typing import Any, NamedTuple

VERSION = 1
REQUEST, LOAD, REGISTER, UNREGISTER = KINDS = ("request", "load", "register", "unregister")
HIT, COLD = "hit", "cold"
"""Outcomes of requests that were answered; of others it is the status."""
MOST_MS = 10 * 366 * 86_400_000
MOST_INSTANT_MS = 253_402_300_799_999
"""The end of the year 9999."""
MOST_BYTES = 2**62
MOST_CHARACTERS = 1024
"""Of a name."""
MOST_LINE = 64 << 10
"""Bytes of one line."""


class BadTrace(Exception):
    """A trace that cannot be taken as it is; ``line`` counts from 1."""

    def __init__(self, line: int, problem: str) -> None:
        self.line, self.problem = line, " ".join(problem.splitlines())  # keys may have anything in them
        super().__init__(f"line {line}: {self.problem}")


@dataclass(frozen=True, slots=True)
class Header:
    """``start_ms`` is the epoch millisecond that instants count from, None: not known. ``sample`` below 1: requests
    for that part of all models."""

    start_ms: int | None = None
    by: str = ""
    sample: float = 1.0


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of a model; empty, or None: that is not."""

    id: str
    type: str = ""
    size_bytes: int | None = None
    load_ms: float | None = None
    service_ms: float | None = None


class Event(NamedTuple):
    """A request, by the instance that it came to; a load there; or a model that came or went."""

    t_ms: float
    model: str
    kind: str = REQUEST
    instance: str = ""
    outcome: str = ""
    ms: float | None = None
    """From the arrival to the answer; of a load: how long it took."""
    service_ms: float | None = None
    """Of that, the runtime's work, where the request was answered by the instance that it came to."""
    wait_ms: float | None = None
    """Of that, what a request waited for a load there."""
    size_bytes: int | None = None
    """What a load found the model to take."""


@dataclass(frozen=True, slots=True)
class End:
    """The last line: how many events there are, and until when they are all there are."""

    count: int
    t_ms: float
    early: str = ""
    """Why the recording could not be carried on; empty: it was ended in order."""


Line = Header | Model | Event


def is_sampled(model: str, part: float) -> bool:
    """Whether ``model`` is in a sample of that part of all models: the same ones, whoever asks."""
    if part >= 1:
        return True
    digest = blake2b(model.encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return int.from_bytes(digest, "big") < part * 2**48


_TEXT = json.JSONEncoder(separators=(",", ":"))

# -- writing -------------------------------------------------------------------------------------------------


def text(line: Line | End) -> str:
    """A line of the file."""
    match line:
        case Header():
            plain = {"trace": VERSION, "unit": "ms", "start_ms": line.start_ms, "by": line.by, "sample": line.sample}
        case Model():
            plain = {"model": line.id, **_given(line, _MODEL)}
        case End():
            plain = {"end": line.count, "t": line.t_ms, **({"early": line.early} if line.early else {})}
        case _:
            plain = _given(line, _EVENT)
            if line.kind == REQUEST:
                del plain["k"]
    return _TEXT.encode(plain) + "\n"


def _given(line: object, fields: dict[str, _Field]) -> dict[str, Any]:
    values = {key: getattr(line, field.name) for key, field in fields.items()}
    return {key: value for key, value in values.items() if value not in (None, "")}


# -- reading -------------------------------------------------------------------------------------------------


def read(lines: Iterable[bytes], is_part_enough: bool = False) -> Iterator[Line | End]:
    """The lines of a whole trace, the header first; every one is checked. Raises BadTrace.

    An iteration that comes to its end has seen all that was recorded, and all in order; where ``is_part_enough`` all
    until the instant of the End, which says so if there was more.
    """
    number, count, latest = 0, 0, 0.0
    models: set[str] = set()
    end: End | None = None
    for number, raw in enumerate(lines, start=1):
        if end is not None:
            raise BadTrace(number, "nothing may follow the line that ends the trace")
        if is_part_enough and number > 1 and not raw.endswith(b"\n") and len(raw) < MOST_LINE:
            break
        plain = _object(number, raw)
        if number == 1:
            yield _header(plain)
        elif "t" in plain and "end" not in plain:
            event = Event(**_values(number, plain, _EVENT, ("t", "m")))
            if event.t_ms < latest:
                raise BadTrace(number, f"t: {event.t_ms:.15g} must not be less than the one before, {latest:.15g}")
            if event.model not in models:
                raise BadTrace(number, f"m: {event.model!r} must be a model that has a line before this one")
            latest, count = event.t_ms, count + 1
            yield event
        elif "model" in plain:
            model = Model(plain.pop("model"), **_values(number, plain, _MODEL))
            _check_name(number, "model", model.id)
            if model.id in models:
                raise BadTrace(number, f"model: {model.id!r} must not have two lines")
            models.add(model.id)
            yield model
        elif "end" in plain:
            end = _end(number, plain, count, latest)
            if end.early and not is_part_enough:
                raise BadTrace(number, f"the trace is not whole, it ends early: {end.early}")
            yield end
        else:
            raise BadTrace(number, f"must have model, t or end; it has {', '.join(plain)[:200] or 'nothing'}")
    if number == 0:
        raise BadTrace(1, "the file is empty; a trace begins with a line that has trace")
    if end is None and is_part_enough:
        yield End(count, latest, "the file is cut")
    elif end is None:
        raise BadTrace(number, "the trace is cut: its last line must be the one with end")


def _object(number: int, raw: bytes) -> dict[str, Any]:
    if not raw.endswith(b"\n"):
        what = f"is longer than {MOST_LINE} bytes" if len(raw) >= MOST_LINE else "is cut: it does not end"
        raise BadTrace(number, f"the line {what}{_other(number)}")
    try:
        plain = _PLAIN.decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadTrace(number, f"byte {error.start + 1} is not UTF-8{_other(number)}") from None
    except (ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict):
        raise BadTrace(number, f"must be a JSON object{_other(number)}")
    return plain


def _other(number: int) -> str:
    """What may help who gave a file of another kind."""
    return "; other formats are read by mmctl trace convert" if number == 1 else ""


def _refuse(constant: str) -> float:
    raise ValueError(constant)


_PLAIN = json.JSONDecoder(parse_constant=_refuse)


def _header(plain: dict[str, Any]) -> Header:
    if "trace" not in plain:
        raise BadTrace(1, f"the first line of a trace must have trace{_other(1)}")
    if plain.pop("trace") != VERSION:
        raise BadTrace(1, f"trace: the version must be {VERSION}")
    if plain.pop("unit", None) != "ms":
        raise BadTrace(1, "unit: must be ms")
    return Header(**_values(1, plain, _HEADER))


def _end(number: int, plain: dict[str, Any], count: int, latest: float) -> End:
    end = End(**_values(number, plain, _END, ("end", "t")))
    if end.count != count:
        raise BadTrace(number, f"end: {end.count} must be the number of events before it, {count}")
    if end.t_ms < latest:
        raise BadTrace(number, f"t: {end.t_ms:.15g} must not be less than the one before, {latest:.15g}")
    return end


def _values(
    number: int, plain: dict[str, Any], fields: dict[str, _Field], needed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What a line says, by the attribute's name. Raises BadTrace."""
    values = {}
    for key, value in plain.items():
        field = fields.get(key)
        if field is None:
            near = get_close_matches(key, fields, n=1)
            hint = f", did you mean {near[0]}" if near else ""
            raise BadTrace(number, f"{key[:40]}: unknown key{hint}; allowed: {', '.join(fields)}")
        if not field.is_fit(value):
            shown = json.dumps(value)
            raise BadTrace(number, f"{key}: {shown[:40]}{'…' if len(shown) > 40 else ''} must be {field.allowed}")
        values[field.name] = value
    for key in needed:
        if key not in plain:
            raise BadTrace(number, f"{key}: is missing; it must be {fields[key].allowed}")
    return values


def _check_name(number: int, key: str, value: Any) -> None:
    if not _is_name(value):
        raise BadTrace(number, f"{key}: {json.dumps(value)[:40]} must be {_NAME[1]}")


def _is_name(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MOST_CHARACTERS


def _is_millis(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= MOST_MS


class _Field(NamedTuple):
    """The attribute that a key stands for, and what it may be."""

    name: str
    is_fit: Callable[[Any], bool]
    allowed: str


_NAME = (_is_name, f"text of 1 to {MOST_CHARACTERS} characters")
_MILLIS = (_is_millis, f"milliseconds from 0 to {MOST_MS}")
_SIZE = (
    lambda value: type(value) is int and 1 <= value <= MOST_BYTES,
    f"a whole number of bytes from 1 to {MOST_BYTES}",
)
_HEADER = {
    "start_ms": _Field(
        "start_ms",
        lambda value: value is None or (type(value) is int and 0 <= value <= MOST_INSTANT_MS),
        f"a whole number from 0 to {MOST_INSTANT_MS}, or null",
    ),
    "by": _Field("by", lambda value: type(value) is str and len(value) <= MOST_CHARACTERS, "text"),
    "sample": _Field("sample", lambda value: type(value) in (int, float) and 0 < value <= 1, "more than 0, up to 1"),
}
_MODEL = {
    "type": _Field("type", *_NAME),
    "size_bytes": _Field("size_bytes", *_SIZE),
    "load_ms": _Field("load_ms", *_MILLIS),
    "service_ms": _Field("service_ms", *_MILLIS),
}
_EVENT = {
    "t": _Field("t_ms", *_MILLIS),
    "k": _Field("kind", lambda value: value in KINDS, " or ".join(KINDS)),
    "m": _Field("model", *_NAME),
    "at": _Field("instance", *_NAME),
    "o": _Field("outcome", *_NAME),
    "ms": _Field("ms", *_MILLIS),
    "s": _Field("service_ms", *_MILLIS),
    "w": _Field("wait_ms", *_MILLIS),
    "size": _Field("size_bytes", *_SIZE),
}
_END = {
    "end": _Field("count", lambda value: type(value) is int and value >= 0, "a whole number from 0"),
    "t": _Field("t_ms", *_MILLIS),
    "early": _Field("early", *_NAME),
}
