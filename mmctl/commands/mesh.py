"""The commands on the cluster as a whole: status, instances, version."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version as installed
from typing import Annotated, Any, TypeVar

import typer

from mmctl import views
from mmctl.cluster import Cluster
from mmctl.connect import Target, local_state, opened, run
from mmctl.errors import Unavailable
from mmctl.health import Examiner, Health
from mmctl.health_views import describe_health, plain_health
from mmctl.options import Debug, Output, connected
from mmctl.output import Cell, Form, say, show_fields, show_list, show_text, show_value
from mmctl.refreshing import LEAST_S, PERIOD_S, begin_anew, refreshing
from mmctl.values import Info, Instance

T = TypeVar("T")

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again, until Ctrl-C.")]
Every = Annotated[
    float, typer.Option("--every", metavar="SECONDS", min=LEAST_S, help="How often, with --watch.", show_default=True)
]


@connected
def status(
    target: Target,
    expect: Annotated[
        int, typer.Option("--expect", metavar="N", min=0, help="Fewer instances than this are a problem.")
    ] = 0,
    watch: Watch = False,
    every: Every = PERIOD_S,
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """The cluster at a glance: instances, models, memory, load, and what is wrong with it and what to do."""

    def show(health: Health) -> None:
        show_health(health, output)

    def asking(cluster: Cluster) -> Callable[[], Awaitable[Health]]:
        return Examiner(cluster, lambda: local_state(target), expect).look

    if watch:
        _watched(target, asking, show, plain_health, every, output)
    else:
        show(run(target, lambda cluster: asking(cluster)()))


@connected
def instances(
    target: Target, watch: Watch = False, every: Every = PERIOD_S, output: Output = Form.TABLE, debug: Debug = False
) -> None:
    """List the instances by id, with what each says of itself now."""

    def asking(cluster: Cluster) -> Callable[[], Awaitable[list[Instance]]]:
        return lambda: cluster.instances(asked=True)

    def show(found: list[Instance]) -> None:
        show_list(views.INSTANCES, found, output)

    def plain(found: list[Instance]) -> Any:
        return [views.plain_instance(instance) for instance in found]

    if watch:
        _watched(target, asking, show, plain, every, output)
    else:
        show(run(target, lambda cluster: asking(cluster)()))


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


def show_health(health: Health, form: Form) -> None:
    """A status in ``form``; by name: the instances."""
    match form:
        case Form.TABLE | Form.WIDE:
            describe_health(health, form)
        case Form.NAME:
            show_list(views.INSTANCES, health.instances, form)
        case _:
            show_value(plain_health(health), form)


def _watched(
    target: Target,
    asking: Callable[[Cluster], Callable[[], Awaitable[T]]],
    show: Callable[[T], None],
    plain: Callable[[T], Any],
    every_s: float,
    form: Form,
) -> None:
    """Show each answer: on a terminal in place of the one before, as json one on a line, as yaml one a document."""

    async def watched() -> None:
        async with opened(target) as cluster:
            async for answer in refreshing(asking(cluster), every_s):
                if form is Form.JSON:
                    show_text(json.dumps(plain(answer.value), ensure_ascii=False) + "\n")
                else:
                    begin_anew("---\n" if form is Form.YAML else "\n")
                    show(answer.value)
                if answer.error:
                    age_s = asyncio.get_running_loop().time() - answer.at_s
                    say(f"this is {age_s:.0f} s old: {answer.error}", style="yellow")
                sys.stdout.flush()

    try:
        asyncio.run(watched())
    except KeyboardInterrupt:
        return
