"""How a request looks between instances: internal headers there, a verdict in the trailers back."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable

from google.protobuf.message import DecodeError

from meshcore.asks import Kind, Refused, Request, Verdict
from meshd.codes import TO_NUMBER, from_number
from protos import meshd_internal_pb2 as internal

VERSION = "1"
ANSWER = "mm-i-answer"
"""Trailer of an error that an instance sends, as against one that a broken connection makes up."""

WAITED = "mm-i-waited"
"""Trailer of a request that waited for a load on its way."""

WHOLE = "mm-i-whole"
"""Metadata before an answer of one message that is complete: only its end follows, so it is worth waiting for."""

MOST_TRIED = 8
"""Copies that a forwarded request names as tried already."""

Metadata = tuple[tuple[str, str | bytes], ...]


_KINDS = {kind.value: kind for kind in (Kind.HIT, Kind.LOAD)}


class NotAPeer(Exception):
    """A call on the mesh port that no instance of this service makes, or one of another version."""


def by_key(key: bytes) -> Metadata:
    """What shows an instance that another one of its mesh asks."""
    return (("mm-i-v", VERSION), ("mm-i-key-bin", key))


def to_metadata(request: Request, key: bytes) -> Metadata:
    """The internal headers of a forwarded request."""
    headers: list[tuple[str, str | bytes]] = [
        *by_key(key),
        ("mm-i-kind", request.kind.value),
        ("mm-i-model-bin", request.model.encode()),
        ("mm-i-from", request.origin),
        ("mm-i-hops", str(request.hops)),
    ]
    if request.tried:
        headers.append(("mm-i-tried-bin", json.dumps(request.tried[-MOST_TRIED:]).encode()))
    if request.targets:
        headers.append(("mm-i-targets-bin", json.dumps(request.targets).encode()))
    if request.size_units:
        headers.append(("mm-i-size", str(request.size_units)))
    if request.vmodel:
        headers.append(("mm-i-vmodel-bin", request.vmodel.encode()))
    if request.is_shadow:
        headers.append(("mm-i-shadow", "1"))
    return tuple(headers)


def is_peer(metadata: Iterable[tuple[str, str | bytes]], key: bytes) -> bool:
    """Whether a call carries the key of this cluster; compared in constant time."""
    given = next((value for name, value in metadata if name == "mm-i-key-bin"), b"")
    return isinstance(given, bytes) and hmac.compare_digest(given, key)


def to_request(metadata: Iterable[tuple[str, str | bytes]]) -> Request:
    """The request that internal headers describe; raises NotAPeer."""
    headers = {name: value for name, value in metadata if name.startswith("mm-i-")}
    if headers.get("mm-i-v") != VERSION:
        raise NotAPeer(f"this instance speaks version {VERSION} between instances")
    is_shadow = "mm-i-shadow" in headers
    try:
        tried = json.loads(headers.get("mm-i-tried-bin", b"[]"))
        return Request(
            model=_bytes(headers["mm-i-model-bin"]).decode(),
            kind=_KINDS[str(headers["mm-i-kind"])],
            tried=tuple((str(instance), int(load_ts)) for instance, load_ts in tried),
            targets=tuple(str(target) for target in json.loads(headers.get("mm-i-targets-bin", b"[]"))),
            origin=str(headers["mm-i-from"]),
            hops=int(headers["mm-i-hops"]),
            size_units=int(headers.get("mm-i-size", "0")),
            is_asked_for=not is_shadow,
            is_shadow=is_shadow,
            vmodel=_bytes(headers.get("mm-i-vmodel-bin", b"")).decode(),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise NotAPeer(f"internal headers cannot be read: {error!r}") from error


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def is_whole(initial: Iterable[tuple[str, str | bytes]]) -> bool:
    """Whether an answer that begins with this metadata is one message, of which all is there."""
    return any(name == WHOLE for name, _ in initial)


def to_verdict(refused: Refused) -> internal.Verdict:
    """A verdict as it travels."""
    return internal.Verdict(
        kind=refused.verdict.value, instance=refused.instance, load_ts=refused.load_ts, record=refused.record,
        code=TO_NUMBER[refused.code], text=refused.text,
    )  # fmt: skip


def from_verdict(verdict: internal.Verdict) -> Refused:
    """The verdict that travelled; one of a kind unknown here counts as declined."""
    kind = verdict.kind if verdict.kind in Verdict.__members__.values() else Verdict.DECLINED.value

    return Refused(
        Verdict(kind), verdict.instance, verdict.load_ts, verdict.record, from_number(verdict.code), verdict.text
    )


def to_trailers(refused: Refused) -> Metadata:
    """The trailers that carry a verdict."""
    return (
        ("mm-i-verdict", refused.verdict.value),
        ("mm-i-verdict-bin", to_verdict(refused).SerializeToString()),
    )


def from_trailers(trailers: Iterable[tuple[str, str | bytes]]) -> Refused | None:
    """The verdict in a call's trailers; None: the call's end is the runtime's own."""
    for name, value in trailers:
        if name == "mm-i-verdict-bin":
            try:
                return from_verdict(internal.Verdict.FromString(_bytes(value)))
            except DecodeError:
                return Refused(Verdict.DECLINED, text="a verdict that cannot be read")
    return None
