"""What settings that hold JSON say, and the one that holds two sizes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from meshcore.constraints import TypeConstraint
from meshd.settings.kinds import Kind, Unfit, contents, match, whole_number


@dataclass(frozen=True, slots=True)
class RpcConfig:
    """Where a method's requests hold the model's id, as field numbers; none: in a header only."""

    id_path: tuple[int, ...] = ()
    is_vmodel: bool = False


@dataclass(frozen=True, slots=True)
class DataPlaneConfig:
    """Which methods clients may call, as ``package.Service/Method``, and whether others may be called too."""

    rpcs: Mapping[str, RpcConfig]
    allows_others: bool


@dataclass(frozen=True, slots=True)
class StaticModel:
    """A model that is there from the start; with ``vmodel`` a virtual model comes to point at it."""

    model: str
    type: str
    path: str
    key: str
    vmodel: str = ""
    is_retained: bool = False
    """Whether the model stays when the virtual one goes on to another."""
    should_load: bool = False


@dataclass(frozen=True, slots=True)
class RetryBuffer:
    """How much of requests may be kept to send them again: of one request, and of all together. 0: nothing."""

    request_bytes: int
    process_bytes: int


def type_constraints(text: str) -> Mapping[str, TypeConstraint]:
    """By type. Raises Unfit."""
    constraints = {}
    for name, given in _object(_json(text), "the whole").items():
        where = f"type {name!r}"
        _text(name, where)
        found = _object(given, where)
        required = [_text(label, f"{where}, required") for label in _list(found, "required", where)]
        preferred = [_text(label, f"{where}, preferred") for label in _list(found, "preferred", where)]
        constraints[name] = TypeConstraint.of(required, preferred)
    return MappingProxyType(constraints)


def data_plane_config(text: str) -> DataPlaneConfig:
    """Raises Unfit, also for an attribute that does not exist."""
    whole = _object(_json(text), "the whole")
    _only(whole, ("rpcConfigs", "allowOtherRpcs"), "the whole")
    rpcs = {}
    for method, given in _object(whole.get("rpcConfigs", {}), "rpcConfigs").items():
        found = _object(given, method)
        _only(found, ("idExtractionPath", "vModelId"), method)
        path = _list(found, "idExtractionPath", method)
        if not all(type(number) is int and 0 < number < 2**29 for number in path):
            raise Unfit(f"{method}: idExtractionPath has what is no field number")
        rpcs[method] = RpcConfig(tuple(path), _flag(found, "vModelId", method))
    return DataPlaneConfig(MappingProxyType(rpcs), _flag(whole, "allowOtherRpcs", "the whole"))


def static_models(text: str) -> tuple[StaticModel, ...]:
    """In their order. Raises Unfit."""
    whole = _json(text)
    if not isinstance(whole, list):
        raise Unfit("the whole is not a list")
    return tuple(_static_model(_object(given, f"model {at}"), f"model {at}") for at, given in enumerate(whole))


def log_headers(text: str) -> tuple[tuple[str, str], ...]:
    """Pairs of a header and the key under which its value is logged. Raises Unfit."""
    found = _object(_json(text), "the whole")
    if not found:
        raise Unfit("the object has no attributes")
    for header, key in found.items():
        if not header.strip() or not _text(key, f"header {header!r}").strip():
            raise Unfit(f"header {header!r}: neither it nor its key can be blank")
    return tuple((header.strip().lower(), key.strip()) for header, key in found.items())


def retry_buffer(text: str) -> RetryBuffer:
    """Raises ValueError."""
    found = match(r"(\d+)(?:\s*,\s*(\d+))?", text)
    request, process = whole_number(found[1]), whole_number(found[2] or PROCESS_BYTES)
    if request > process:
        raise Unfit(f"{request} bytes of one request are more than the {process} of all together")
    return RetryBuffer(request, process)


def _static_model(found: dict[str, Any], where: str) -> StaticModel:
    inner = f"{where}, modelInfo"
    info = _object(found.get("modelInfo"), inner)
    model = StaticModel(
        _attribute(found, "modelId", where),
        _attribute(info, "type", inner),
        _attribute(info, "path", inner, ""),
        _attribute(info, "key", inner, ""),
        _attribute(found, "vModelId", where, ""),
        _flag(found, "retainAfterTransition", where),
        _flag(found, "ensureLoaded", where),
    )
    if not model.model or not model.type:
        raise Unfit(f"{where}: modelId and the type of modelInfo cannot be empty")
    if model.is_retained and not model.vmodel:
        raise Unfit(f"{where}: retainAfterTransition needs a vModelId")
    return model


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unfit(f"not JSON: {error}") from error


def _object(found: object, where: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise Unfit(f"{where} is not an object")
    return found


def _only(found: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    if unknown := [name for name in found if name not in known]:
        raise Unfit(f"{where} has {unknown[0]!r}; known: {', '.join(known)}")


def _list(found: dict[str, Any], name: str, where: str) -> list[Any]:
    value = found.get(name, [])
    if not isinstance(value, list):
        raise Unfit(f"{where}: {name} is not a list")
    return value


def _text(found: object, where: str) -> str:
    if not isinstance(found, str):
        raise Unfit(f"{where} is not a text")
    try:
        found.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair, which JSON may escape
        raise Unfit(f"{where} is not Unicode text") from error
    return found


def _attribute(found: dict[str, Any], name: str, where: str, default: str | None = None) -> str:
    """A text; ``default`` is what it is where it is not there, None: it has to be there."""
    value = found.get(name, default)
    if name in found and value is None:
        raise Unfit(f"{where}: {name} is null; give it a text{'' if default is None else ', or leave it out'}")
    if value is None:
        raise Unfit(f"{where} has no {name}")
    return _text(value, f"{where}, {name}")


def _flag(found: dict[str, Any], name: str, where: str) -> bool:
    value = found.get(name, False)
    if not isinstance(value, bool):
        raise Unfit(f"{where}: {name} is {'null, ' if value is None else ''}neither true nor false")
    return value


def _inline(parse: Callable[[str], object], allowed: str) -> Kind:
    return Kind(parse, allowed, is_json=True)


def _in_file(parse: Callable[[str], object], allowed: str) -> Kind:
    """The value is the path; what the file says is only checked, for it may change while the process runs."""

    def checked(path: str) -> str:
        text = contents(path)
        try:
            parse(text)
        except ValueError as error:
            raise Unfit(f"{path}: {error}") from error
        return path

    return Kind(checked, f"the path of a file that holds {allowed}")


PROCESS_BYTES = "67108864"
_CONSTRAINTS = 'a JSON object as in {"<type>": {"required": ["<label>"], "preferred": []}}'
_DATA_PLANE = 'a JSON object as in {"rpcConfigs": {"<method>": {"idExtractionPath": [1]}}, "allowOtherRpcs": true}'
_MODELS = 'a JSON list as in [{"modelId": "<id>", "modelInfo": {"type": "<type>", "path": "<path>"}}]'
TYPE_CONSTRAINTS = _inline(type_constraints, _CONSTRAINTS)
TYPE_CONSTRAINTS_FILE = _in_file(type_constraints, _CONSTRAINTS)
DATA_PLANE = _inline(data_plane_config, _DATA_PLANE)
DATA_PLANE_FILE = _in_file(data_plane_config, _DATA_PLANE)
STATIC_MODELS = _inline(static_models, _MODELS)
STATIC_MODELS_FILE = _in_file(static_models, _MODELS)
LOG_HEADERS = _inline(log_headers, 'a JSON object as in {"<header>": "<key>"}')
RETRY_BUFFER = Kind(retry_buffer, "<bytes of a request>[,<bytes of all>], the first not above the second")
