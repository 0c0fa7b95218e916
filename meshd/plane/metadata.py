"""Which metadata names the model, and what of it the runtime and the client get to see (docs/design.md, data plane)."""

from __future__ import annotations

from collections.abc import Iterable

from meshcore.errors import InvalidRequest

Metadata = tuple[tuple[str, str | bytes], ...]

ID_MISSING = "must include mm-model-id header"
ID_EMPTY = "provided model-id header must be non-empty"
VMODEL_ID_EMPTY = "provided vmodel-id header must be non-empty"
TWO_KINDS = "must include only one of model id and vmodel id"
ONE_ID = "only one model id is taken by a request"

_TRANSPORT = frozenset({"content-type", "user-agent", "te"})


def model_id(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[str, bool]:
    """The model that a request is for, and whether that is a virtual model; raises InvalidRequest."""
    ids: dict[str, list[str]] = {}
    for key, value in metadata:
        if key in _ID_HEADERS:
            ids.setdefault(key, []).append(value.decode(errors="replace") if isinstance(value, bytes) else value)
    if not ids:
        raise InvalidRequest(ID_MISSING)
    model_ids = ids.get("mm-model-id") or ids.get("mm-model-id-bin")
    vmodel_ids = ids.get("mm-vmodel-id") or ids.get("mm-vmodel-id-bin")
    if model_ids and vmodel_ids:
        raise InvalidRequest(TWO_KINDS)
    given = vmodel_ids or model_ids or ids["tas-model-id"]
    if not all(given):
        raise InvalidRequest(VMODEL_ID_EMPTY if vmodel_ids else ID_EMPTY)
    if len(given) > 1:
        raise InvalidRequest(ONE_ID)
    return given[0], bool(vmodel_ids)


_ID_HEADERS = frozenset({"mm-model-id", "mm-model-id-bin", "mm-vmodel-id", "mm-vmodel-id-bin", "tas-model-id"})


def sticky_key(metadata: Iterable[tuple[str, str | bytes]]) -> bytes | None:
    """What the client wants to be kept with: requests with the same go to the same target of a split; None: it says
    nothing of that."""
    found = None
    for key, value in metadata:
        if key == "mm-vmodel-key":
            return value.encode() if isinstance(value, str) else value
        if key == "mm-vmodel-key-bin" and found is None:
            found = value if isinstance(value, bytes) else value.encode()
    return found


def is_balanced(metadata: Iterable[tuple[str, str | bytes]]) -> bool:
    """Whether the client says that it spreads its requests over the instances."""
    return any(key == "mm-balanced" and value == "true" for key, value in metadata)


def for_runtime(metadata: Iterable[tuple[str, str | bytes]], model: str) -> Metadata:
    """What the runtime sees: the client's own metadata and the model's id."""
    kept = tuple((key, value) for key, value in metadata if not _is_ours(key))
    named: Metadata = (("mm-model-id-bin", model.encode()),)
    if all(" " <= letter <= "~" for letter in model):
        named += (("mm-model-id", model),)
    return kept + named


def for_peer(metadata: Iterable[tuple[str, str | bytes]]) -> Metadata:
    """What travels to another instance: the client's own metadata."""
    return tuple((key, value) for key, value in metadata if not _is_ours(key))


def for_client(metadata: Iterable[tuple[str, str | bytes]]) -> Metadata:
    """What the client sees of the runtime's metadata."""
    return tuple((key, value) for key, value in metadata if not _is_ours(key))


def _is_ours(key: str) -> bool:
    return key.startswith(("mm-", "grpc-", ":")) or key in _TRANSPORT or key == "tas-model-id"
