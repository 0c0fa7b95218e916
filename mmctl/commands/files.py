"""The commands that go by files of registrations: apply, diff, export."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import typer

from mmctl.apply.export import Language, Unwritable, is_within, model_document, vmodel_document, written
from mmctl.apply.plan import Action, Step, plan
from mmctl.apply.run import apply as apply_steps
from mmctl.apply.run import find
from mmctl.apply.views import DONE, PLAN, Done, say_plan, summary
from mmctl.cluster import Cluster
from mmctl.confirm import confirm
from mmctl.connect import Target, run
from mmctl.documents import Described, read_described
from mmctl.errors import CommandError, Failed, Usage, exit_code
from mmctl.filters import parse_labels
from mmctl.options import Debug, DryRun, Labels, Output, TypeFilter, Yes, connected
from mmctl.output import Form, say, show_list, show_text
from mmctl.progress import Progress
from mmctl.sizes import count, printable, shortened
from mmctl.values import Model, ModelFilter

PAGE = 500

Files = Annotated[
    list[str], typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON, as of export; - for stdin; repeat it.")
]
Prune = Annotated[
    bool,
    typer.Option("--prune", help="Unregister models that no file names, of those of --type and --label."),
]


@connected
def apply(
    target: Target,
    file: Files,
    prune: Prune = False,
    type_: TypeFilter = "",
    label: Labels = [],  # noqa: B006  (typer copies it)
    yes: Yes = False,
    output: Output = Form.TABLE,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Have the models and virtual models of files be as they say; the plan is shown, and agreed to, first."""
    described = read_described(file)
    scope = _scope(prune, type_, label)
    steps = _planned(target, described, scope)
    say_plan(steps)
    refused = [step.name for step in steps if step.action is Action.REFUSE]
    if refused:
        raise Failed(f"{shortened(refused)}: cannot be as the files say; nothing was done")
    to_do = [step for step in steps if step.action is not Action.KEEP]
    if dry_run:
        say("nothing was done (--dry-run)")
        return
    if to_do:
        confirm(f"apply to {count(len(to_do), 'model or virtual model', 'models and virtual models')}", yes)
    done: list[Done] = []

    async def command(cluster: Cluster) -> CommandError | None:
        with Progress() as progress:
            try:
                await apply_steps(cluster, to_do, described, progress, done.append)
            except CommandError as error:
                return error
        return None

    ended = run(target, command) if to_do else None
    show_list(DONE, done, output)
    if ended is not None:
        raise ended
    if code := exit_code(each.code for each in done if each.result == "failed"):
        raise typer.Exit(code)


@connected
def diff(
    target: Target,
    file: Files,
    prune: Prune = False,
    type_: TypeFilter = "",
    label: Labels = [],  # noqa: B006
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """What apply would do. Exit code 0: nothing, 1: something."""
    described = read_described(file)
    steps = _planned(target, described, _scope(prune, type_, label))
    found = [step for step in steps if step.is_telling]
    show_list(PLAN, found, output)
    if found:
        say(summary(steps))
    if any(step.action is not Action.KEEP for step in found):
        raise typer.Exit(1)


@connected
def export(
    target: Target,
    name: Annotated[list[str], typer.Argument(metavar="[NAME...]", help="Only these models.", show_default=False)] = [],  # noqa: B006
    type_: TypeFilter = "",
    label: Labels = [],  # noqa: B006
    output: Annotated[
        Language, typer.Option("--output", "-o", help="YAML documents, or JSON lines.", show_default=True)
    ] = Language.YAML,
    debug: Debug = False,
) -> None:
    """Write models, and the virtual models that refer to no others, as documents that apply takes."""
    wanted = ModelFilter(type_, labels=parse_labels(label))
    if name and (type_ or label):
        raise Usage("give either the NAMEs of models, or --type and --label")
    unwritable: list[str] = []

    async def command(cluster: Cluster) -> None:
        names: set[str] = set()
        page = []

        async for model in _chosen(cluster, name, wanted):
            names.add(model.name)
            try:
                page.append(model_document(model))
            except Unwritable as why:
                unwritable.append(f"model {printable(model.name)}: {why}")
            if len(page) == PAGE:
                show_text(written(page, output))
                page = []
        async for vmodel in cluster.vmodels():
            try:
                page += [vmodel_document(vmodel)] if is_within(vmodel, names) else []
            except Unwritable as why:
                unwritable.append(f"virtual model {printable(vmodel.name)}: {why}")
        show_text(written(page, output))

    run(target, command)
    if unwritable:
        raise Failed("\n".join(["not written:", *unwritable]))


async def _chosen(cluster: Cluster, names: list[str], wanted: ModelFilter) -> AsyncIterator[Model]:
    for name in dict.fromkeys(names):
        yield await cluster.get(name)
    if not names:
        async for model in cluster.models(wanted, 0):
            yield model


def _scope(prune: bool, type_: str, label: list[str]) -> ModelFilter | None:
    if bool(type_ or label) != prune:
        raise Usage(
            "--prune needs --type or --label, which say what may go"
            if prune
            else "--type and --label say what --prune may unregister: give that too, or leave them out"
        )
    return ModelFilter(type_, labels=parse_labels(label)) if prune else None


def _planned(target: Target, described: Described, scope: ModelFilter | None) -> list[Step]:
    return plan(described, run(target, lambda cluster: find(cluster, described, scope)))
