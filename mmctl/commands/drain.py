"""The commands that take an instance out of a mesh: drain, cordon, uncordon."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mmctl.cluster import Cluster
from mmctl.completion import instance_names
from mmctl.connect import Target, run
from mmctl.errors import Failed
from mmctl.options import Debug, Output, connected
from mmctl.output import Form, say, show_text, show_value
from mmctl.progress import Progress
from mmctl.sizes import parse_ms
from mmctl.values import Drained, Taking

Instance = Annotated[
    str,
    typer.Argument(
        metavar="INSTANCE", help="The id of an instance, as `instances` lists it.", autocompletion=instance_names
    ),
]


@connected
def drain(
    target: Target,
    instance: Instance,
    budget: Annotated[
        str,
        typer.Option("--budget", metavar="TIME", help="How long it may take, as 60s.", show_default="its own"),
    ] = "",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Begin it, and do not wait for its end.")] = False,
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """Have others take over what an instance has loaded, then stop it: no client notices."""
    _take(target, instance, Taking.DRAIN, parse_ms("--budget", budget) if budget else 0, output, is_awaited=not no_wait)


@connected
def cordon(target: Target, instance: Instance, output: Output = Form.TABLE, debug: Debug = False) -> None:
    """Give an instance no more loads; it answers for what it has."""
    _take(target, instance, Taking.CORDON, 0, output, is_awaited=True)


@connected
def uncordon(target: Target, instance: Instance, output: Output = Form.TABLE, debug: Debug = False) -> None:
    """Give an instance loads again."""
    _take(target, instance, Taking.UNCORDON, 0, output, is_awaited=True)


def _take(target: Target, instance: str, what: Taking, budget_ms: int, form: Form, is_awaited: bool) -> None:
    with Progress() as progress:

        async def followed(cluster: Cluster) -> Drained:
            last, text = Drained(instance), ""
            async for last in cluster.take(instance, what, budget_ms):
                if not is_awaited or last.done:
                    break
                said = f"{instance} {last.phase}: {last.settled} of {last.models} settled; {last.text}"
                if said != text:
                    progress.line(said)
                text = said
            return last

        last = run(target, followed)
    if is_awaited and not last.done:
        raise Failed(f"{instance}: no word of its end came")
    if form is Form.NAME:
        show_text(f"{instance}\n")
    elif form in (Form.JSON, Form.YAML):
        show_value(asdict(last), form)
    else:
        say(last.text if is_awaited else f"{instance} drains; `mmctl instances` shows how far it is")
