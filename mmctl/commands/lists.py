"""The commands that look at models: list, get, wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from mmctl import views
from mmctl.cluster import Cluster
from mmctl.completion import instance_names
from mmctl.connect import Target, run
from mmctl.errors import Failed, NotFound, Usage, nearest
from mmctl.filters import parse_labels, parse_status
from mmctl.options import Debug, Labels, Name, Names, Output, Timeout, TypeFilter, connected
from mmctl.output import Cell, Column, Form, Listing, View, say, show_line, show_list, show_one
from mmctl.pager import paged
from mmctl.progress import Progress
from mmctl.sizes import count, shortened
from mmctl.values import Model, ModelFilter
from mmctl.watching import Seen, Waited, Wanted, wait_for, watched

PAGE = 500
_WAIT_S = 600.0

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Go on with what changes, until Ctrl-C.")]


@connected
def list_(
    target: Target,
    type_: TypeFilter = "",
    status: Annotated[str, typer.Option("--status", help="Only models in this state, as loaded.")] = "",
    instance: Annotated[
        str, typer.Option("--instance", help="Only models with a copy there.", autocompletion=instance_names)
    ] = "",
    label: Labels = [],  # noqa: B006  (typer copies it)
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many; 0: all.")] = 0,
    watch: Watch = False,
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """List models in the order of their ids."""
    wanted = ModelFilter(type_, parse_status(status), instance, parse_labels(label))
    if watch:
        if limit:
            raise Usage("--watch is about all that pass: leave --limit out")
        _watch(target, lambda cluster: _by_name(cluster, wanted), output)
        return

    async def command(cluster: Cluster) -> None:
        listing = Listing(views.MODELS, output)
        is_empty = True
        async for page in _pages(cluster.models(wanted, limit)):
            is_empty = is_empty and not page
            listing.add(page)
        if is_empty and instance:
            _check_is_there(instance, [each.id for each in await cluster.instances()])
        listing.end()

    with paged(output):
        run(target, command)


@connected
def get(target: Target, name: Name, watch: Watch = False, output: Output = Form.TABLE, debug: Debug = False) -> None:
    """Show one model: where it is loaded, and what went wrong."""
    if watch:
        _check_watched(output)
    model = run(target, lambda cluster: cluster.get(name))
    if not watch:
        show_one(views.MODELS, model, output, views.describe_model)
        return

    async def look(cluster: Cluster) -> Mapping[str, Model]:
        try:
            return {name: await cluster.get(name)}
        except NotFound:
            return {}

    _watch(target, look, output)


@connected
def wait(
    target: Target,
    name: Names,
    wanted: Annotated[
        Wanted,
        typer.Option(
            "--for", help="loaded: a copy answers; ready: as many as it is to have; gone: it is not registered."
        ),
    ] = Wanted.LOADED,
    timeout: Timeout = _WAIT_S,
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """Wait until models are loaded, ready or gone; nothing is done about it. Exit code 1: not within --timeout.

    Where nobody answers any more that is borne until then; exit code 4: nobody does at the end, or at the first look.
    """

    async def command(cluster: Cluster) -> list[Waited]:
        with Progress() as progress:
            names = list(dict.fromkeys(name))
            return await wait_for(
                cluster.get, names, wanted, timeout,
                lambda left: progress.waiting(f"{left:,} of {len(names):,} not {wanted.value} yet"),
                lambda text: say(text, style="yellow"),
            )  # fmt: skip

    found = run(target, command)
    show_list(_WAITED, found, output)
    missing = [one.name for one in found if one.model is None and not one.is_met]
    if missing:
        raise NotFound(f"{count(len(missing), 'model')} not registered: {shortened(missing)}")
    left = [one for one in found if not one.is_met]
    if left:
        raise Failed(f"{count(len(left), 'model')} not {wanted.value} within {timeout:g} s")


async def _pages(models: AsyncIterator[Model]) -> AsyncIterator[list[Model]]:
    page: list[Model] = []
    async for model in models:
        page.append(model)
        if len(page) == PAGE:
            yield page
            page = []
    yield page


def _check_is_there(instance: str, known: Sequence[str]) -> None:
    """Nothing is on it: that may be so as there is no such instance. Raises NotFound."""
    if instance not in known:
        raise NotFound(f"no instance {instance!r}; {nearest(instance, known) if known else 'there is none at all'}")


async def _by_name(cluster: Cluster, wanted: ModelFilter) -> Mapping[str, Model]:
    return {model.name: model async for model in cluster.models(wanted, 0)}


def _check_watched(output: Form) -> None:
    if output in (Form.YAML, Form.NAME):
        raise Usage(f"-o {output.value}: what is watched is shown as table, wide or json")


def _watch(target: Target, look: Callable[[Cluster], Awaitable[Mapping[str, Model]]], output: Form) -> None:
    _check_watched(output)

    async def command(cluster: Cluster) -> None:
        listing = Listing(_SEEN, output)
        async for seen in watched(lambda: look(cluster), lambda text: say(text, style="yellow")):
            if output is Form.JSON:
                for one in seen:
                    show_line(_SEEN.plain(one))
            else:
                listing.add(seen)

    try:
        run(target, command)
    except KeyboardInterrupt:
        return


def _of_model(column: Column[Model]) -> Column[Seen]:
    def cell(seen: Seen) -> str | Cell:
        is_gone = seen.is_gone and column.title == "STATUS"
        return Cell("gone", "dim") if is_gone else column.cell(seen.model)

    return Column(column.title, cell, column.wide, column.right, column.flexible)


def _plain_waited(waited: Waited) -> dict[str, Any]:
    status = waited.model.status.value if waited.model else "not_found"
    return {"id": waited.name, "met": waited.is_met, "status": status}


_SEEN: View[Seen] = View(
    nothing=views.MODELS.nothing,
    columns=tuple(map(_of_model, views.MODELS.columns)),
    plain=lambda seen: {**views.plain_model(seen.model), "gone": seen.is_gone},
    name=lambda seen: seen.model.name,
)

_WAITED: View[Waited] = View(
    columns=(
        Column("ID", lambda waited: waited.name, flexible=True),
        Column("MET", lambda waited: Cell("yes", "green") if waited.is_met else Cell("no", "yellow")),
        Column("STATUS", lambda waited: views.status_cell(waited.model.status) if waited.model else "not found"),
    ),
    plain=_plain_waited,
    name=lambda waited: waited.name,
    nothing="nothing to wait for",
)
