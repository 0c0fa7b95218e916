"""``mmctl describe``: all that is known of one model, on one page."""

from __future__ import annotations

from typing import Any

from mmctl import views
from mmctl.cluster import Cluster
from mmctl.commands.why import EVENTS, show_explanation
from mmctl.connect import Target, run
from mmctl.decisions import plain_explanation, plain_reason
from mmctl.errors import Unavailable, Usage
from mmctl.options import Debug, Name, Output, connected
from mmctl.output import Form, say, show_heading, show_list, show_value
from mmctl.values import Model

LAST = 10
"""Decisions about the model that are shown, the newest."""


@connected
def describe(target: Target, name: Name, output: Output = Form.TABLE, debug: Debug = False) -> None:
    """Show all that is known of a model: what get and explain say, and the last decisions about it.

    Without an instance that answers it is what the registry knows.
    """
    if output is Form.NAME:
        raise Usage("-o name: a description has no name; table, json or yaml")
    model, plain, decisions = run(target, lambda cluster: _known(cluster, name))
    if output not in (Form.TABLE, Form.WIDE):
        show_value({"model": views.plain_model(model), "explanation": plain, "decisions": decisions}, output)
        return
    views.describe_model(model)
    if plain is not None:
        show_heading("why")
        show_explanation(plain)
        show_heading("last decisions about it")
        show_list(EVENTS, decisions, output)


async def _known(cluster: Cluster, name: str) -> tuple[Model, dict[str, Any] | None, list[dict[str, Any]]]:
    """The model, its explanation (None: nobody answers who could explain), decisions about it in the order of time."""
    model = await cluster.get(name)
    try:
        explanation = plain_explanation(await cluster.explain(name))
        reasons = [plain_reason(reason) async for reason in cluster.decisions({"model": name}, LAST, follow=False)]
    except Unavailable as silent:
        say(f"{silent}; why it is so is known to instances only", "yellow")
        return model, None, []
    return model, explanation, [plain for plain in reasons if plain["rule"] != "lost"]
