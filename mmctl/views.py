"""How models, instances and results look in tables, and their names and fields in json (docs/mmctl.md, output)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from mmctl.output import Cell, Column, Form, View, show_fields, show_heading, show_list
from mmctl.sizes import count, human_age, human_size, shortened
from mmctl.values import Copy, Failure, Instance, Loaded, Model, Registered, Setting, Status, Unregistered

_STYLES = {
    Status.LOADED: "green",
    Status.LOADING: "cyan",
    Status.LOADING_FAILED: "red",
    Status.NOT_LOADED: "dim",
    Status.UNKNOWN: "yellow",
}
_PHASES = {"ready": "green", "starting": "cyan", "draining": "yellow", "stopping": "yellow"}
_RESULTS = {"failed": "red", "created": "green", "changed": "green", "removed": "green", "not found": "yellow"}


def status_cell(status: Status) -> Cell:
    """A status in its colour."""
    return Cell(status.value.replace("_", " "), _STYLES[status])


def _age(then_ms: int) -> str:
    return human_age(then_ms, int(time.time() * 1000))


def _size(size_bytes: int) -> str:
    return human_size(size_bytes) if size_bytes else "-"


def _pairs(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items()) or "-"


def _copies(model: Model) -> str:
    loaded = sum(copy.state is Status.LOADED for copy in model.copies)
    loading = len(model.copies) - loaded
    return f"{loaded}+{loading}" if loading else str(loaded)


def _wanted(model: Model) -> str:
    """How many copies it is to have: at least, at most; without either: as it is used."""
    if not model.min_copies and not model.max_copies:
        return "-"
    return f"{model.min_copies}-{model.max_copies}" if model.max_copies else f"{model.min_copies}+"


# -- models ------------------------------------------------------------------------------------------


def plain_model(model: Model) -> dict[str, Any]:
    """The fields of a model in json and yaml."""
    return {
        "id": model.name,
        "type": model.type,
        "path": model.path,
        "key": model.key,
        "size_bytes": model.size_bytes,
        "labels": dict(model.labels),
        "min_copies": model.min_copies,
        "max_copies": model.max_copies,
        "pinned": model.pinned,
        "priority": model.priority,
        "status": model.status.value,
        "copies": [
            {"instance": copy.instance, "state": copy.state.value, "load_ts_ms": copy.load_ts_ms}
            for copy in model.copies
        ],
        "failures": [
            {"instance": failure.instance, "at_ms": failure.at_ms, "text": failure.text} for failure in model.failures
        ],
        "last_used_ms": model.last_used_ms,
        "references": model.references,
        "auto_delete": model.auto_delete,
        "revision": model.revision,
        "unsatisfied": list(model.unsatisfied),
    }


MODELS: View[Model] = View(
    columns=(
        Column("ID", lambda model: model.name, flexible=True),
        Column("TYPE", lambda model: model.type or "-", flexible=True),
        Column("STATUS", lambda model: status_cell(model.status)),
        Column("COPIES", _copies, right=True),
        Column("SIZE", lambda model: _size(model.size_bytes), right=True),
        Column("USED", lambda model: _age(model.last_used_ms), right=True),
        Column("PATH", lambda model: model.path or "-", wide=True, flexible=True),
        Column("INSTANCES", lambda model: ",".join(copy.instance for copy in model.copies) or "-", wide=True),
        Column("LABELS", lambda model: _pairs(model.labels), wide=True, flexible=True),
        Column("WANTED", _wanted, wide=True, right=True),
        Column("PIN", lambda model: "yes" if model.pinned else "-", wide=True),
        Column("PRIO", lambda model: str(model.priority), wide=True, right=True),
        Column("REVISION", lambda model: str(model.revision), wide=True, right=True),
        Column("ERROR", lambda model: model.failures[0].text if model.failures else "-", wide=True, flexible=True),
    ),
    plain=plain_model,
    name=lambda model: model.name,
    nothing="no models",
)

_COPY_COLUMNS: View[Copy] = View(
    columns=(
        Column("INSTANCE", lambda copy: copy.instance),
        Column("STATE", lambda copy: status_cell(copy.state)),
        Column("SINCE", lambda copy: _age(copy.load_ts_ms), right=True),
    ),
    plain=lambda copy: {},
    name=lambda copy: copy.instance,
    nothing="",
)

_FAILURE_COLUMNS: View[Failure] = View(
    columns=(
        Column("INSTANCE", lambda failure: failure.instance or "-"),
        Column("AGO", lambda failure: _age(failure.at_ms), right=True),
        Column("REASON", lambda failure: failure.text),
    ),
    plain=lambda failure: {},
    name=lambda failure: failure.instance,
    nothing="",
)


def describe_model(model: Model) -> None:
    """A model for a person who asked for this one."""
    fields: list[tuple[str, str | Cell]] = [
        ("id", model.name),
        ("type", model.type or "-"),
        ("status", status_cell(model.status)),
        ("path", model.path or "-"),
        ("size", _size(model.size_bytes)),
        ("labels", _pairs(model.labels)),
        ("copies wanted", _wanted(model)),
        ("priority", f"{model.priority}{', pinned' if model.pinned else ''}"),
        ("last used", _ago(model.last_used_ms)),
        ("revision", str(model.revision)),
    ]
    if model.references:
        fields.append(("referred to by", count(model.references, "virtual model")))
    if model.auto_delete:
        fields.append(("goes", "when no virtual model refers to it"))
    fields += [("unsatisfied", Cell(text, "yellow")) for text in model.unsatisfied]
    show_fields(fields)
    if model.copies:
        show_heading("copies")
        show_list(_COPY_COLUMNS, model.copies, Form.TABLE)
    if model.failures:
        show_heading("failures")
        show_list(_FAILURE_COLUMNS, model.failures, Form.TABLE)


def _ago(then_ms: int) -> str:
    age = _age(then_ms)
    return age if age in ("-", "now") else f"{age} ago"


# -- instances ---------------------------------------------------------------------------------------


def plain_instance(instance: Instance) -> dict[str, Any]:
    """The fields of an instance in json and yaml."""
    return {
        "id": instance.id,
        "phase": instance.phase,
        "grpc": instance.grpc,
        "address": instance.address,
        "http": instance.http,
        "version": instance.version,
        "data_plane": instance.data_plane,
        "location": instance.location,
        "zone": instance.zone,
        "labels": list(instance.labels),
        "start_ms": instance.start_ms,
        "lru_ms": instance.lru_ms,
        "models": instance.models,
        "capacity_bytes": instance.capacity_bytes,
        "lost_bytes": instance.lost_bytes,
        "used_bytes": instance.used_bytes,
        "load_threads": instance.load_threads,
        "loads_in_progress": instance.loads_in_progress,
        "rpm": instance.rpm,
        "requests_per_minute": instance.requests_per_minute,
        "is_java": instance.is_java,
        "cordoned": instance.cordoned,
        "silent": instance.is_silent,
        "revision": instance.revision,
        "seen_revision": instance.now.seen_revision if instance.now else 0,
    }


def _phase(instance: Instance) -> Cell:
    phase = instance.phase or ("java" if instance.is_java else "unknown")
    if instance.is_silent:
        return Cell(f"{phase}, silent", "red")
    return Cell(f"{phase}, cordoned" if instance.cordoned else phase, _PHASES.get(phase, ""))


def _seen(instance: Instance) -> str:
    """The newest revision of the store that it knows of."""
    return f"{instance.now.seen_revision:,}" if instance.now else "-"


def _capacity(instance: Instance) -> str:
    lost = f" ({human_size(instance.lost_bytes)} lost)" if instance.lost_bytes else ""
    return _size(instance.capacity_bytes) + lost


def _share(instance: Instance) -> str:
    return f"{100 * instance.used_bytes / instance.capacity_bytes:.0f}%" if instance.capacity_bytes else "-"


INSTANCES: View[Instance] = View(
    columns=(
        Column("ID", lambda instance: instance.id, flexible=True),
        Column("PHASE", _phase),
        Column("MODELS", lambda instance: f"{instance.models:,}", right=True),
        Column("USED", lambda instance: human_size(instance.used_bytes), right=True),
        Column("CAPACITY", _capacity, right=True),
        Column("%", _share, right=True),
        Column("LOADING", lambda instance: f"{instance.loads_in_progress}/{instance.load_threads}", right=True),
        Column("RPM", lambda instance: f"{instance.requests_per_minute:,}", right=True),
        Column("LRU", lambda instance: _age(instance.lru_ms), right=True, spare=True),
        Column("AGE", lambda instance: _age(instance.start_ms), right=True, spare=True),
        Column("GRPC", lambda instance: instance.grpc or "-", spare=True),
        Column("ADDRESS", lambda instance: instance.address or "-", wide=True),
        Column("HTTP", lambda instance: instance.http or "-", wide=True),
        Column("VERSION", lambda instance: instance.version or "-", wide=True),
        Column(
            "SEEN", lambda instance: f"{instance.now.seen_revision:,}" if instance.now else "-", wide=True, right=True
        ),
        Column("PLANE", lambda instance: instance.data_plane or "-", wide=True),
        Column("LOCATION", lambda instance: instance.location or "-", wide=True),
        Column("ZONE", lambda instance: instance.zone or "-", wide=True),
        Column("LABELS", lambda instance: ",".join(instance.labels) or "-", wide=True, flexible=True),
    ),
    plain=plain_instance,
    name=lambda instance: instance.id,
    nothing="no instances",
)


# -- results -----------------------------------------------------------------------------------------


def registered_word(result: Registered) -> str:
    """created, changed, unchanged or failed."""
    if result.error:
        return "failed"
    return "created" if result.created else "changed" if result.changed else "unchanged"


def unregistered_word(result: Unregistered) -> str:
    """removed, not found or failed."""
    return "failed" if result.error else "removed" if result.existed else "not found"


def _word(word: str) -> Cell:
    return Cell(word, _RESULTS.get(word, ""))


REGISTERED: View[Registered] = View(
    columns=(
        Column("ID", lambda result: result.name, flexible=True),
        Column("RESULT", lambda result: _word(registered_word(result))),
        Column("STATUS", lambda result: status_cell(result.status)),
        Column("ERROR", lambda result: f"{result.code}: {result.error}" if result.error else "-"),
    ),
    plain=lambda result: {
        "id": result.name,
        "result": registered_word(result),
        "status": result.status.value,
        "code": result.code,
        "error": result.error,
    },
    name=lambda result: result.name,
    nothing="nothing to register",
)

UNREGISTERED: View[Unregistered] = View(
    columns=(
        Column("ID", lambda result: result.name, flexible=True),
        Column("RESULT", lambda result: _word(unregistered_word(result))),
        Column("ERROR", lambda result: f"{result.code}: {result.error}" if result.error else "-"),
    ),
    plain=lambda result: {
        "id": result.name,
        "result": unregistered_word(result).replace(" ", "_"),
        "code": result.code,
        "error": result.error,
    },
    name=lambda result: result.name,
    nothing="nothing to unregister",
)

SETTINGS: View[Setting] = View(
    columns=(
        Column("NAME", lambda setting: setting.name),
        Column("VALUE", lambda setting: setting.value or "-", flexible=True),
        Column("UNIT", lambda setting: setting.unit or "-"),
        Column("ORIGIN", lambda setting: setting.origin or "each instance"),
        Column("DEFAULT", lambda setting: setting.default or "-", wide=True, flexible=True),
        Column("DYNAMIC", lambda setting: "yes" if setting.dynamic else "-", wide=True),
        Column("MEANING", lambda setting: setting.meaning, wide=True, flexible=True),
    ),
    plain=lambda setting: {
        "name": setting.name,
        "value": setting.value,
        "default": setting.default,
        "origin": setting.origin,
        "unit": setting.unit,
        "meaning": setting.meaning,
        "dynamic": setting.dynamic,
    },
    name=lambda setting: setting.name,
    nothing="no settings",
)

LOADED: View[Loaded] = View(
    columns=(
        Column("ID", lambda loaded: loaded.name, flexible=True),
        Column("STATUS", lambda loaded: status_cell(loaded.status)),
        Column("INSTANCES", lambda loaded: ",".join(loaded.instances) or "-"),
        Column("ERROR", lambda loaded: shortened(loaded.errors, 1) or "-"),
    ),
    plain=lambda loaded: {
        "id": loaded.name,
        "status": loaded.status.value,
        "instances": list(loaded.instances),
        "errors": list(loaded.errors),
        "code": loaded.code,
    },
    name=lambda loaded: loaded.name,
    nothing="nothing to load",
)
