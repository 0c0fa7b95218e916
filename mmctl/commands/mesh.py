"""The commands on the cluster as a whole: status, instances, version."""

from __future__ import annotations

from importlib.metadata import version as installed
from typing import Any

from mmctl import views
from mmctl.connect import Target, local_state, run
from mmctl.errors import Unavailable
from mmctl.health import Health, examine
from mmctl.options import Debug, Output, connected
from mmctl.output import Cell, Form, say, show_fields, show_heading, show_list, show_value
from mmctl.sizes import count, human_size
from mmctl.values import Info, Status


@connected
def status(target: Target, output: Output = Form.TABLE, debug: Debug = False) -> None:
    """The cluster at a glance: instances, models, memory, and what is wrong."""
    local = local_state(target)
    health = run(target, lambda cluster: examine(cluster, local))
    match output:
        case Form.TABLE | Form.WIDE:
            _describe(health, output)
        case Form.NAME:
            show_list(views.INSTANCES, health.instances, output)
        case _:
            show_value(_plain(health), output)


@connected
def instances(target: Target, output: Output = Form.TABLE, debug: Debug = False) -> None:
    """List the instances by id."""
    show_list(views.INSTANCES, run(target, lambda cluster: cluster.instances()), output)


@connected
def version(target: Target, output: Output = Form.TABLE, debug: Debug = False) -> None:
    """The version of mmctl, and of the instance that answers, if one does."""
    client = installed("meshd")
    try:
        info: Info | None = run(target, lambda cluster: cluster.info())
    except Unavailable as error:
        info = None
        if target != Target():
            say(str(error), style="yellow")
    if output in (Form.JSON, Form.YAML):
        server = {"version": info.version, "instance": info.instance, "service": info.service} if info else None
        show_value({"client": client, "server": server}, output)
        return
    fields: list[tuple[str, str | Cell]] = [("mmctl", client)]
    if info is not None:
        fields.append(("meshd", f"{info.version or 'unknown'} ({info.instance or info.service})"))
    show_fields(fields)


def _plain(health: Health) -> dict[str, Any]:
    info = health.info
    return {
        "service": info.service,
        "instance": info.instance,
        "version": info.version,
        "data_plane": info.data_plane,
        "store": info.store,
        "store_available": info.store_available,
        "read_only": info.read_only,
        "leader": info.leader,
        "revision": info.revision,
        "models": {"registered": health.registered, **{state.value: number for state, number in health.counts.items()}},
        "capacity_bytes": health.capacity_bytes,
        "used_bytes": health.used_bytes,
        "instances": [views.plain_instance(instance) for instance in health.instances],
        "problems": list(health.problems),
    }


def _describe(health: Health, form: Form) -> None:
    info = health.info
    store = info.store + ("" if info.store_available else ", not available")
    share = f" ({100 * health.used_bytes / health.capacity_bytes:.0f}%)" if health.capacity_bytes else ""
    fields: list[tuple[str, str | Cell]] = [
        ("mesh", info.service),
        ("store", f"{store}, revision {info.revision:,}"),
        ("models", f"{health.registered:,} registered, {_counts(health)}"),
        ("memory", f"{human_size(health.used_bytes)} of {human_size(health.capacity_bytes)}{share}"),
    ]
    if info.instance:
        about = ", ".join(filter(None, (info.version, f"data plane {info.data_plane}")))
        fields.insert(1, ("answered by", f"{info.instance} ({about})"))
    if info.leader:
        fields.append(("leader", info.leader))
    show_fields(fields)
    show_heading(count(len(health.instances), "instance"))
    show_list(views.INSTANCES, health.instances, form)
    if health.problems:
        show_heading("what is wrong")
        show_fields([("-", Cell(problem, "yellow")) for problem in health.problems])


def _counts(health: Health) -> str:
    words = {Status.LOADED: "loaded", Status.LOADING: "loading", Status.LOADING_FAILED: "failed"}
    return ", ".join(
        f"{health.counts[state]:,} {word}"
        for state, word in words.items()
        if health.counts[state] or state is Status.LOADED
    )
