"""The kinds of settings: how the text of a variable becomes a value, and what to say when it does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

MEMORY_DETAILS = ("all", "none", "netty", "gc", "bp", "mp", "ma")


@dataclass(frozen=True, slots=True)
class Kind:
    """``parse`` raises ValueError for a text that is not what ``allowed`` says."""

    parse: Callable[[str], object]
    allowed: str


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """What ``MM_METRICS`` says; ``problem``: why there are none although something was asked for."""

    is_on: bool = True
    port: int = 2112
    scheme: str = "http"
    has_full_names: bool = False
    is_per_model: bool = False
    problem: str = ""


def whole(low: int, high: int | None = None) -> Kind:
    return Kind(lambda text: _whole(text, low, high), f"a whole number from {low}" + (f" to {high}" if high else " on"))


def choice(*options: str) -> Kind:
    return Kind(lambda text: _one_of(text.lower(), options), " or ".join(options))


def matching(pattern: str, allowed: str) -> Kind:
    return Kind(lambda text: _match(pattern, text)[0], allowed)


FLAG = Kind(lambda text: _one_of(text.lower(), ("true", "false")) == "true", "true or false")
TEXT = Kind(str, "any text")
LABELS = Kind(
    lambda text: tuple(sorted({part.strip() for part in text.split(",")} - {""})), "labels with commas between"
)
PATHS = Kind(lambda text: tuple(part.strip() for part in text.split(",") if part.strip()), "paths with commas between")
WHOLE = Kind(lambda text: _whole(text), "a whole number")
PORT = whole(1, 65535)
PORT_OR_ANY = whole(0, 65535)
PORT_OR_NONE = Kind(
    lambda text: None if text.upper() == "NONE" else _whole(text, 0, 65535), f"NONE or {PORT_OR_ANY.allowed}"
)
METRICS = Kind(
    lambda text: _metrics(text), "disabled or prometheus, with parameters as in prometheus:port=2112;scheme=http"
)


def _whole(text: str, low: int | None = None, high: int | None = None) -> int:
    number = int(_match(r"-?\d{1,18}", text)[0])
    if (low is not None and number < low) or (high is not None and number > high):
        raise ValueError(f"{number} is not from {low} to {high}")
    return number


def _one_of(text: str, options: tuple[str, ...]) -> str:
    if text not in options:
        raise ValueError(f"{text!r} is none of {', '.join(options)}")
    return text


def _match(pattern: str, text: str) -> re.Match[str]:
    match = re.fullmatch(pattern, text, re.ASCII)
    if match is None:
        raise ValueError(f"{text!r} has another form")
    return match


def _metrics(text: str) -> MetricsConfig:
    """A wrong form is an error; a type or parameter that does not exist leaves the mesh without metrics."""
    match = _match(r"(\w+)(?::(\w+=[^;=]*(?:;\w+=[^;=]*)*))?", text)
    pairs = match[2].split(";") if match[2] else []
    given = {"port": "2112", "scheme": "https", "fq_names": "false", "per_model_metrics": "false", "mem_detail": "all"}
    known = tuple(given)
    try:
        if _one_of(match[1], ("prometheus", "disabled")) == "disabled":
            return MetricsConfig(is_on=False)
        for key, value in (pair.split("=") for pair in pairs):
            given[_one_of(key, known)] = value
        for detail in given["mem_detail"].split(","):
            _one_of(detail, MEMORY_DETAILS)
        return MetricsConfig(
            port=_whole(given["port"], 0, 65535),
            scheme=_one_of(given["scheme"], ("http", "https")),
            has_full_names=_one_of(given["fq_names"], ("true", "false")) == "true",
            is_per_model=_one_of(given["per_model_metrics"], ("true", "false")) == "true",
        )
    except ValueError as error:
        return MetricsConfig(is_on=False, problem=str(error))
