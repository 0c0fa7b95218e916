"""The commands on virtual models: what answers for a name, and what sees its requests."""

from __future__ import annotations

from typing import Annotated

import typer

from mmctl import vmodel_views
from mmctl.cluster import Cluster
from mmctl.connect import Target, run
from mmctl.errors import CommandError, NotFound, Usage, exit_code
from mmctl.options import Debug, DryRun, Output, connected
from mmctl.output import Form, say, show_list, show_one
from mmctl.progress import Progress
from mmctl.values import Unregistered, VModel, VModelChange, VModelStatus
from mmctl.views import UNREGISTERED
from mmctl.weights import parse_targets

app = typer.Typer(
    name="vmodel",
    help="Virtual models: names that stand for one model, or for several by weight.",
    no_args_is_help=True,
)

_WAIT_S = 600.0
_CALL_S = 30.0

Name = Annotated[str, typer.Argument(metavar="NAME", help="The id of a virtual model.")]


@app.command("set")
@connected
def set_(
    target: Target,
    name: Name,
    target_: Annotated[
        list[str],
        typer.Option(
            "--target",
            metavar="MODEL[=PERCENT]",
            help="The model that shall answer; repeat it for several, with shares.",
        ),
    ] = [],  # noqa: B006  (typer copies it)
    shadow: Annotated[
        str | None, typer.Option("--shadow", metavar="MODEL", help="A model that sees a copy of each request.")
    ] = None,
    no_shadow: Annotated[bool, typer.Option("--no-shadow", help="Have none that does.")] = False,
    owner: Annotated[str, typer.Option("--owner", help="Whose it is; it is not changed if it is another's.")] = "",
    expected: Annotated[
        str, typer.Option("--expected", metavar="MODEL", help="Only if this is its heaviest target.")
    ] = "",
    update_only: Annotated[bool, typer.Option("--update-only", help="Only if there is such a virtual model.")] = False,
    force: Annotated[bool, typer.Option("--force", help="At once, whether the models are loaded or not.")] = False,
    load: Annotated[bool, typer.Option("--load", help="Load the models also where nothing waits for it.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when they answer, or cannot be loaded.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long to wait at most.")
    ] = _WAIT_S,
    output: Output = Form.TABLE,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Have a model, or several by weight, answer for a name, once they are loaded."""
    if not target_:
        raise Usage("say what shall answer: --target MODEL, or --target MODEL=PERCENT for each of several")
    if shadow is not None and no_shadow:
        raise Usage("either --shadow or --no-shadow")
    if shadow == "":
        raise Usage("--shadow names no model; --no-shadow has none")
    weights = parse_targets(name, target_)
    if shadow in weights:
        raise Usage(f"{shadow} is a target and cannot be the shadow too")
    wanted = VModelChange(
        name, weights, "" if no_shadow else shadow, owner, expected, update_only, force, load, wait and not dry_run
    )

    async def command(cluster: Cluster) -> VModel:
        with Progress() as progress:
            if wait:
                progress.waiting(f"waiting for {', '.join(weights)}")
            return await cluster.set_vmodel(wanted, dry_run, timeout if wait else _CALL_S)

    vmodel = run(target, command)
    if dry_run:
        say("it can be done; nothing was (--dry-run)")
        return
    show_one(vmodel_views.VMODELS, vmodel, output)
    if wait and vmodel.status is VModelStatus.TRANSITION_FAILED:
        say(f"{', '.join(vmodel.next)}: not loaded; `mmctl get` says why. What answered before goes on to")
        raise typer.Exit(1)


@app.command("get")
@connected
def get(target: Target, name: Name, output: Output = Form.TABLE, debug: Debug = False) -> None:
    """Show one virtual model: what answers, what shall, what sees its requests."""
    show_one(vmodel_views.VMODELS, run(target, lambda cluster: cluster.vmodel(name)), output, vmodel_views.describe)


@app.command("list")
@connected
def list_(target: Target, output: Output = Form.TABLE, debug: Debug = False) -> None:
    """List virtual models in the order of their ids."""

    async def command(cluster: Cluster) -> list[VModel]:
        return [vmodel async for vmodel in cluster.vmodels()]

    show_list(vmodel_views.VMODELS, run(target, command), output)


@app.command("delete")
@connected
def delete(
    target: Target,
    name: Annotated[list[str], typer.Argument(metavar="NAME...", help="The ids of virtual models.")],
    output: Output = Form.TABLE,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Forget virtual models, and the models that were registered to go with them."""

    names = list(dict.fromkeys(name))

    async def deleted(cluster: Cluster, one: str) -> Unregistered:
        try:
            await cluster.vmodel(one)
        except NotFound:
            return Unregistered(one)
        if not dry_run:
            await cluster.delete_vmodel(one)
        return Unregistered(one, existed=True)

    async def command(cluster: Cluster) -> list[Unregistered]:
        if len(names) == 1:
            return [await deleted(cluster, names[0])]
        results = []
        for one in names:
            try:
                results.append(await deleted(cluster, one))
            except CommandError as error:
                results.append(Unregistered(one, code=error.code, error=str(error)))
        return results

    results = run(target, command)
    show_list(UNREGISTERED, results, output)
    if dry_run:
        say("nothing was done (--dry-run)")
    if code := exit_code(result.code for result in results if result.error):
        raise typer.Exit(code)
    if not all(result.existed for result in results):
        raise typer.Exit(NotFound.exit_code)
