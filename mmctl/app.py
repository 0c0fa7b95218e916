"""The command tree."""

from __future__ import annotations

import typer

from mmctl.commands import (
    config,
    contexts,
    debug,
    doctor,
    drain,
    files,
    lists,
    local,
    mesh,
    models,
    trace,
    upgrade,
    vmodels,
    why,
)
from mmctl.commands.describe import describe
from mmctl.commands.logs import logs
from mmctl.commands.replay import replay_
from mmctl.commands.simulate import simulate
from mmctl.commands.top import top
from mmctl.commands.tune import tune
from mmctl.examples import with_examples
from mmctl.options import Debug

app = typer.Typer(
    name="mmctl",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(debug: Debug = False) -> None:
    """The hand on a model mesh: bring one up, register models, see what it does."""


_HERE = "A mesh on this machine"
_MODELS = "Models"
_CLUSTER = "The cluster"
_SIMULATOR = "The simulator"

app.command("up", rich_help_panel=_HERE)(local.up)
app.command("down", rich_help_panel=_HERE)(local.down)
app.command("restart", rich_help_panel=_HERE)(local.restart)
app.command("logs", rich_help_panel=_HERE)(logs)
app.command("register", rich_help_panel=_MODELS)(models.register)
app.command("set", rich_help_panel=_MODELS)(models.set_)
app.command("unregister", rich_help_panel=_MODELS)(models.unregister)
app.command("list", rich_help_panel=_MODELS)(lists.list_)
app.command("get", rich_help_panel=_MODELS)(lists.get)
app.command("describe", rich_help_panel=_MODELS)(describe)
app.command("wait", rich_help_panel=_MODELS)(lists.wait)
app.command("load", rich_help_panel=_MODELS)(models.load)
app.command("apply", rich_help_panel=_MODELS)(files.apply)
app.command("diff", rich_help_panel=_MODELS)(files.diff)
app.command("export", rich_help_panel=_MODELS)(files.export)
app.command("infer", rich_help_panel=_MODELS)(models.infer)
app.command("status", rich_help_panel=_CLUSTER)(mesh.status)
app.command("instances", rich_help_panel=_CLUSTER)(mesh.instances)
app.command("top", rich_help_panel=_CLUSTER)(top)
app.command("explain", rich_help_panel=_CLUSTER)(why.explain)
app.command("events", rich_help_panel=_CLUSTER)(why.events)
app.command("drain", rich_help_panel=_CLUSTER)(drain.drain)
app.command("cordon", rich_help_panel=_CLUSTER)(drain.cordon)
app.command("uncordon", rich_help_panel=_CLUSTER)(drain.uncordon)
app.command("doctor", rich_help_panel=_CLUSTER)(doctor.doctor)
app.command("version", rich_help_panel=_CLUSTER)(mesh.version)
app.add_typer(vmodels.app, rich_help_panel=_MODELS)
app.add_typer(upgrade.app, rich_help_panel=_CLUSTER)
app.add_typer(config.app, rich_help_panel=_CLUSTER)
app.add_typer(contexts.app, rich_help_panel=_CLUSTER)
app.add_typer(debug.app, rich_help_panel=_CLUSTER)
app.command("simulate", rich_help_panel=_SIMULATOR)(simulate)
app.command("tune", rich_help_panel=_SIMULATOR)(tune)
app.command("replay", rich_help_panel=_SIMULATOR)(replay_)
app.add_typer(trace.app, rich_help_panel=_SIMULATOR)
with_examples(app)
