"""How the health of a cluster looks for people, and its names and fields in json (docs/mmctl.md, output)."""

from __future__ import annotations

from typing import Any

from mmctl import views
from mmctl.health import Health
from mmctl.output import Cell, Form, show_fields, show_heading, show_list
from mmctl.problems import Level
from mmctl.sizes import count, human_size

STYLES = {Level.ERROR: "red", Level.WARNING: "yellow", Level.NOTE: "cyan"}


def plain_health(health: Health) -> dict[str, Any]:
    """The fields of a status in json and yaml."""
    info, census = health.info, health.census
    return {
        "at_ms": health.at_ms,
        "service": info.service,
        "instance": info.instance,
        "version": info.version,
        "data_plane": info.data_plane,
        "store": info.store,
        "store_available": info.store_available,
        "read_only": info.read_only,
        "leader": info.leader,
        "revision": info.revision,
        "models": {
            "registered": census.registered,
            "loaded": census.loaded,
            "loading": census.loading,
            "loading_failed": census.failed,
            "stuck": census.stuck,
            "unsatisfied": census.short,
            "unreadable": census.unreadable,
        },
        "copies": census.copies,
        "capacity_bytes": health.capacity_bytes,
        "used_bytes": health.used_bytes,
        "loads_in_progress": health.loads_in_progress,
        "requests_per_minute": health.requests_per_minute,
        "instances": [views.plain_instance(instance) for instance in health.instances],
        "problems": [
            {"kind": each.kind, "level": each.level.value, "text": each.text, "do": each.do} for each in health.problems
        ],
    }


def describe_health(health: Health, form: Form) -> None:
    """A status for people; ``form`` is that of the table of instances."""
    info = health.info
    store = info.store + ("" if info.store_available else ", not available")
    fields: list[tuple[str, str | Cell]] = [
        ("mesh", info.service),
        ("store", f"{store}, revision {info.revision:,}"),
        ("models", models_text(health)),
        ("memory", memory_text(health)),
        ("load", load_text(health)),
    ]
    if info.instance:
        about = ", ".join(filter(None, (info.version, f"data plane {info.data_plane}")))
        fields.insert(1, ("answered by", f"{info.instance} ({about})"))
    fields.append(("leader", info.leader or Cell("nobody", "red")))
    show_fields(fields)
    show_heading(count(len(health.instances), "instance"))
    show_list(views.INSTANCES, health.instances, form)
    for title, levels in (("what is wrong", (Level.ERROR, Level.WARNING)), ("to know", (Level.NOTE,))):
        told = [each for each in health.problems if each.level in levels]
        if told:
            show_heading(title)
            show_fields(
                [field for each in told for field in (("-", Cell(each.text, STYLES[each.level])), ("", each.do))]
            )


def models_text(health: Health) -> str:
    """How many models are in which state."""
    census = health.census
    parts = [f"{census.registered:,} registered", f"{census.loaded:,} loaded"]
    parts += [f"{census.loading:,} loading"] if census.loading else []
    parts += [f"{census.failed:,} failed"] if census.failed else []
    return ", ".join(parts) + f"; {count(census.copies, 'copy', 'copies')}"


def memory_text(health: Health) -> str:
    """How much of the memory is used."""
    share = f" ({100 * health.used_bytes / health.capacity_bytes:.0f}%)" if health.capacity_bytes else ""
    return f"{human_size(health.used_bytes)} of {human_size(health.capacity_bytes)}{share}"


def load_text(health: Health) -> str:
    """How busy the mesh is."""
    requests, loads = health.requests_per_minute, health.loads_in_progress
    return f"{count(requests, 'request')} a minute, {count(loads, 'load')} in progress"
