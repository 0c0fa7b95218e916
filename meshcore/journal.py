"""What a journal says: who it is of, the state it begins with, then a line for each time the node was asked.

One JSON object a line. The first two open the file, so that it replays alone (docs/operations.md, journals). There are
no bodies in it: a runtime's reply is written as absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import Any, cast

from meshcore.asks import Asked, Done, Failed, Outcome, Step
from meshcore.capacity import CacheParams
from meshcore.commands import Command
from meshcore.events import Event
from meshcore.me import Me
from meshcore.plain import NotPlain, Plain, decode, encode
from meshcore.rules import Rules
from meshcore.settings import Settings

VERSION = 1


@dataclass(frozen=True, slots=True)
class Header:
    """What a node is made from, beside its state."""

    core: str
    """The version of the rules, by ``fingerprint``."""
    me: Me
    settings: Settings
    params: CacheParams
    rules: Mapping[str, str]
    """The name of each rule that can be exchanged."""
    seed: int


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of asking the node: its commands, or the text of the defect that kept it from giving any."""

    commands: tuple[Command, ...] = ()
    defect: str = ""


@dataclass(frozen=True, slots=True)
class Stepped:
    """The node was told of an event."""

    now: int
    event: Event
    ran: Ran


@dataclass(frozen=True, slots=True)
class Resumed:
    """A flow went on: it began, with what was ``asked``, or got ``outcome``. ``step`` is where it stands now."""

    now: int
    flow: int
    asked: Asked | None
    outcome: Outcome | None
    step: Step | Done | Failed | None
    ran: Ran


@dataclass(frozen=True, slots=True)
class Heard:
    """A flow that was under way when the file began went on: what it did at the desk, (method, arguments) each.

    A flow reaches its node by no other way, so doing the same again is as good as the flow itself.
    """

    now: int
    flow: int
    did: tuple[tuple[str, tuple[object, ...], Mapping[str, object]], ...]
    ran: Ran


@dataclass(frozen=True, slots=True)
class Left:
    """Nobody waits for a flow any more that has not ended."""

    flow: int


Line = Stepped | Resumed | Heard | Left


@dataclass(frozen=True, slots=True)
class Copy:
    """Stands for the copy here of a model among the arguments of what a flow did."""

    model: str
    gen: int


def named_rules(rules: Rules) -> dict[str, str]:
    """The names that a header has for ``rules``."""
    functions = {field.name: getattr(rules, field.name) for field in fields(rules)}
    return {name: f"{function.__module__}.{function.__qualname__}" for name, function in functions.items()}


def fingerprint(version: str, sources: Iterable[bytes]) -> str:
    """The version of the rules: the package's, and what tells apart two texts of ``sources``."""
    digest = sha256()
    for source in sources:
        digest.update(sha256(source).digest())
    return f"{version}-{digest.hexdigest()[:12]}"


# -- writing -------------------------------------------------------------------------------------------------


def header_line(header: Header, t0: int) -> str:
    """The first line of a file that begins at ``t0``."""
    return _text(
        {
            "v": VERSION,
            "core": header.core,
            "instance": header.me.instance,
            "me": encode(header.me),
            "settings": asdict(header.settings),
            "params": asdict(header.params),
            "rules": dict(header.rules),
            "seed": header.seed,
            "t0": t0,
        }
    )


def state_line(state: Plain) -> str:
    """The second line; None: a node fresh from its constructor."""
    return _text({"state": state})


def line_text(line: Line) -> str:
    """Any other line. Raises NotPlain."""
    match line:
        case Stepped(now, event, ran):
            return _text({"t": now, "e": encode(event), **_ran(ran)})
        case Resumed(now, flow, asked, outcome, step, ran):
            given = {"a": encode(asked)} if asked is not None else {"o": encode(outcome)}
            return _text({"t": now, "f": flow, **given, "s": encode(step), **_ran(ran)})
        case Heard(now, flow, did, ran):
            calls = [
                [name, [_encoded(each) for each in given], {key: _encoded(each) for key, each in named.items()}]
                for name, given, named in did
            ]
            return _text({"t": now, "f": flow, "h": calls, **_ran(ran)})
    return _text({"l": line.flow})


def gap_line(why: str, since: int, until: int | None) -> str:
    """The last line of a file that could not be carried on: nothing is known from ``since`` on (epoch ms)."""
    return _text({"gap": why, "from": since, "to": until})


def _ran(ran: Ran) -> dict[str, Plain]:
    return {"x": ran.defect} if ran.defect else {"c": encode(ran.commands)}


def _encoded(argument: object) -> Plain:
    return {"copy": [argument.model, argument.gen]} if isinstance(argument, Copy) else encode(argument)


def _text(plain: Plain) -> str:
    return json.dumps(plain, separators=(",", ":")) + "\n"


# -- reading -------------------------------------------------------------------------------------------------


def read_header(plain: Plain) -> tuple[Header, int]:
    """The header, and the instant that the file begins at. Raises NotPlain."""
    if not isinstance(plain, dict) or "v" not in plain:
        raise NotPlain("this is no journal: its first line does not say which version it is of")
    if plain["v"] != VERSION:
        raise NotPlain(f"this journal is of version {plain['v']!r}, and this program reads version {VERSION}")
    values = [plain.get(name) for name in ("core", "rules", "seed", "t0")]
    if [type(value) for value in values] != [str, dict, int, int]:
        raise NotPlain("the first line of this journal lacks core, rules, seed or t0")
    core, rules, seed, t0 = cast("tuple[str, dict[str, str], int, int]", values)
    me = decode(plain.get("me"))
    if not isinstance(me, Me):
        raise NotPlain("the first line of this journal does not say whose it is")
    settings = decode({"@": "Settings", **_numbers(plain, "settings")})
    params = decode({"@": "CacheParams", **_numbers(plain, "params")})
    return Header(core, me, settings, params, rules, seed), t0


def _numbers(plain: dict[str, Any], name: str) -> dict[str, Plain]:
    given = plain.get(name)
    if not isinstance(given, dict):
        raise NotPlain(f"the first line of this journal lacks {name}")
    return given


def decode_calls(plain: Plain) -> list[tuple[str, list[object], dict[str, object]]]:
    """What a flow did, (method, arguments) each. Raises NotPlain."""
    try:
        return [
            (str(name), [_argument(each) for each in given], {key: _argument(each) for key, each in named.items()})
            for name, given, named in plain
        ]
    except (TypeError, ValueError, AttributeError):
        raise NotPlain("what a flow did is not written as it should be") from None


def _argument(plain: Plain) -> object:
    if isinstance(plain, dict) and plain.keys() == {"copy"}:
        return Copy(*plain["copy"])
    return decode(plain)
