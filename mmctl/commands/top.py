"""``mmctl top``: the mesh on a whole screen, or once where there is no terminal."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import typer

from mmctl.connect import Target, local_state, opened, run
from mmctl.health import Examiner, Health
from mmctl.health_views import load_text, memory_text, models_text, plain_health
from mmctl.options import Debug, Output, connected
from mmctl.output import Cell, Column, Form, show_fields, show_heading, show_list, show_table, show_value
from mmctl.progress import Progress
from mmctl.refreshing import LEAST_S, PERIOD_S
from mmctl.sizes import count
from mmctl.top.state import Frame, Place, State
from mmctl.top.tables import INSTANCES
from mmctl.views import INSTANCES as LISTED


@connected
def top(
    target: Target,
    sort: Annotated[str, typer.Option("--sort", metavar="COLUMN", help="The column that rows are ordered by.")] = "id",
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", min=LEAST_S, help="How often it is renewed.")
    ] = PERIOD_S,
    once: Annotated[bool, typer.Option("--once", help="Print it once, as where there is no terminal.")] = False,
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """The instances, live: Enter looks into one, and into a model; / filters, < and > sort, q quits."""
    frame = Frame(Place.INSTANCES, sort=INSTANCES.named(sort), reverse=reverse)
    from mmctl.top import terminal

    if once or output is not Form.TABLE or not terminal.is_there():
        health = run(target, lambda cluster: Examiner(cluster, lambda: local_state(target)).look())
        _print(health, frame, output)
        return

    from mmctl.top.feed import Feed
    from mmctl.top.live import Top

    async def watched() -> None:
        async with opened(target) as cluster:
            feed = Feed(cluster, Examiner(cluster, lambda: local_state(target)))
            with Progress() as progress:
                progress.waiting(f"asking {cluster.target}")
                first = await feed.first()
            await Top(feed, State((frame,)), first, every).run()

    try:
        asyncio.run(watched())
    except KeyboardInterrupt:
        return


def _print(health: Health, frame: Frame, form: Form) -> None:
    instances = INSTANCES.rows(health.instances, frame)
    match form:
        case Form.NAME:
            show_list(LISTED, instances, form)
        case Form.JSON | Form.YAML:
            show_value({**plain_health(health), "instances": [LISTED.plain(each) for each in instances]}, form)
        case _:
            now_ms = int(time.time() * 1000)
            head = [("mesh", health.info.service), ("models", models_text(health)), ("memory", memory_text(health))]
            show_fields([*head, ("load", load_text(health))])
            show_heading(count(len(instances), "instance"))
            columns = [Column(each.title, str, right=each.right, spare=each.spare) for each in INSTANCES.columns]
            rows = [[Cell(column.text(each, now_ms)) for column in INSTANCES.columns] for each in instances]
            show_table(columns, rows)
