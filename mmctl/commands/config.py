"""The commands on settings: what instances go by, and what can be set for all of them while they run."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from meshcore import dynamic
from mmctl import views
from mmctl.connect import Target, run
from mmctl.errors import Failed, Usage
from mmctl.options import Debug, DryRun, Output, connected
from mmctl.output import Form, say, show_list, show_one

app = typer.Typer(
    name="config",
    help="Settings: what an instance goes by, and what can be set for all while they run.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of a setting.")]


@app.command("list")
@connected
def list_(
    target: Target,
    all_: Annotated[bool, typer.Option("--all", help="Those too that each instance is started with.")] = False,
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """List what can be set while the mesh runs, with value and origin."""
    names = [] if all_ else list(dynamic.BY_NAME)
    show_list(views.SETTINGS, run(target, lambda cluster: cluster.settings(names)), output)


@app.command("get")
@connected
def get(target: Target, name: Name, output: Output = Form.TABLE, debug: Debug = False) -> None:
    """Show one setting of the instance that answers, with value, origin and unit."""
    (setting,) = run(target, lambda cluster: cluster.settings([name]))
    show_one(views.SETTINGS, setting, output)


@app.command("set")
@connected
def set_(
    target: Target,
    name: Name,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="What it is for all instances from now on.")],
    output: Output = Form.TABLE,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Set one for all instances; it is in force at once, and after restarts."""
    _set(target, name, value, output, dry_run)


@app.command("unset")
@connected
def unset(
    target: Target, name: Name, output: Output = Form.TABLE, dry_run: DryRun = False, debug: Debug = False
) -> None:
    """Have each instance go by its own again."""
    _set(target, name, None, output, dry_run)


def _set(target: Target, name: str, value: str | None, form: Form, dry_run: bool) -> None:
    known = dynamic.BY_NAME.get(name)
    if known is not None and value is not None:
        try:
            known.parsed(value.encode())
        except ValueError as wrong:
            raise Usage(str(wrong)) from None
    if dry_run:
        (before,) = run(target, lambda cluster: cluster.settings([name]))
        if not before.dynamic:
            raise Failed(f"{name} cannot be set while instances run")
        setting = replace(before, value=value or "", origin="" if value is None else "store")
        say("nothing was done (--dry-run)")
    else:
        setting = run(target, lambda cluster: cluster.set_setting(name, value))
    show_one(views.SETTINGS, setting, form)
