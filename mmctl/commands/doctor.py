"""The command that says what is wrong: with a mesh, with a runtime, with a ModelMesh that is to be replaced."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mmctl.connect import Target
from mmctl.doctor.check import Told, chosen, examine
from mmctl.doctor.deployment import Given, read_environment
from mmctl.doctor.finding import Finding, has_problem
from mmctl.doctor.runtime import Patience, Runtime, Wanted, users_of
from mmctl.doctor.view import FINDINGS, describe, summary, teller
from mmctl.errors import Failed, Usage
from mmctl.options import Debug, Output, connected
from mmctl.output import Form, say, show_list
from mmctl.progress import Progress
from mmctl.sizes import count, parse_ms

_RUNTIME = "A runtime"
_MODELMESH = "ModelMesh"


@connected
def doctor(
    target: Target,
    only: Annotated[list[str], typer.Option("--only", metavar="CHECK", help="Only this check; again: these.")] = [],  # noqa: B006
    skip: Annotated[list[str], typer.Option("--skip", metavar="CHECK", help="Not this check; again: these.")] = [],  # noqa: B006
    env_file: Annotated[
        Path | None,
        typer.Option("--env-file", metavar="FILE", help="The environment of an instance, NAME=VALUE on each line."),
    ] = None,
    runtime: Annotated[
        str,
        typer.Option(
            "--runtime",
            metavar="HOST:PORT|unix:PATH",
            rich_help_panel=_RUNTIME,
            show_default=False,
            help="Try whether a model runtime does what a mesh relies on. It loses all models that it has.",
        ),
    ] = "",
    model_type: Annotated[
        str, typer.Option("--model-type", metavar="T", rich_help_panel=_RUNTIME, help="Type of a model it can load.")
    ] = "",
    model_path: Annotated[
        str, typer.Option("--model-path", metavar="P", rich_help_panel=_RUNTIME, help="Path of that model.")
    ] = "",
    model_key: Annotated[
        str, typer.Option("--model-key", metavar="K", rich_help_panel=_RUNTIME, help="Key of that model.")
    ] = "",
    bad_path: Annotated[
        str,
        typer.Option(
            "--bad-path",
            metavar="P",
            rich_help_panel=_RUNTIME,
            show_default="one that is not there",
            help="Path of a model that it cannot load.",
        ),
    ] = "",
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="TIME", rich_help_panel=_RUNTIME, help="How long a call may take.")
    ] = "30s",
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            rich_help_panel=_RUNTIME,
            help="Though somebody uses the runtime, or nobody can tell: its models go.",
        ),
    ] = False,
    modelmesh: Annotated[
        bool,
        typer.Option(
            "--modelmesh",
            rich_help_panel=_MODELMESH,
            help="Look at a ModelMesh in its etcd: can instances of meshd take its place?",
        ),
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            rich_help_panel=_MODELMESH,
            help="Its Deployment, YAML or JSON, for the environment of its container.",
        ),
    ] = None,
    deployment: Annotated[
        str,
        typer.Option(
            "--deployment",
            metavar="[NAMESPACE/]NAME",
            rich_help_panel=_MODELMESH,
            show_default=False,
            help="The same, asked of Kubernetes by kubectl.",
        ),
    ] = "",
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """Say what is wrong with a mesh and its etcd, and what to do; exit code 1 when there is a problem.

    Nothing is changed by it, but that --runtime makes a runtime drop its models.
    """
    if runtime and modelmesh:
        raise Usage("--runtime and --modelmesh are two examinations: ask for one")
    if (file or deployment) and not modelmesh:
        raise Usage("--file and --deployment are about a ModelMesh: give --modelmesh too")
    if runtime:
        wanted = Wanted(model_type, model_path, model_key, bad_path)
        limit_s = parse_ms("--timeout", timeout) / 1000
        linger_s = min(limit_s, Patience().linger_s)
        patience = Patience(call_s=limit_s, ready_s=limit_s, load_s=limit_s, unload_s=limit_s, linger_s=linger_s)
        found = _run(lambda told: _of_runtime(runtime, wanted, patience, force, only, skip, told))
    else:
        given = read_environment(env_file, file, deployment)
        found = _run(lambda told: _of_mesh(target, given, modelmesh, only, skip, told))
    if output is Form.TABLE and found:
        describe(found, shutil.get_terminal_size().columns if sys.stdout.isatty() else None)
    else:
        show_list(FINDINGS, found, output)
    if output in (Form.TABLE, Form.WIDE):
        say(summary(found))
    if has_problem(found):
        raise typer.Exit(1)


def _run(examination: Callable[[Told], Coroutine[Any, Any, list[Finding]]]) -> list[Finding]:
    with Progress() as progress:
        progress.waiting("looking")
        return asyncio.run(examination(teller(progress)))


async def _of_mesh(
    target: Target, given: Given, modelmesh: bool, only: Sequence[str], skip: Sequence[str], told: Told
) -> list[Finding]:
    from mmctl.doctor.mesh_checks import mesh_checks
    from mmctl.doctor.modelmesh_checks import modelmesh_checks
    from mmctl.doctor.modelmesh_rules import verdict
    from mmctl.doctor.store_checks import store_checks
    from mmctl.doctor.subject import examined

    async with examined(target, given.env) as subject:
        of_instances = modelmesh_checks(subject, given.elsewhere) if modelmesh else mesh_checks(subject)
        checks = [*store_checks(subject), *of_instances]
        found = await examine(chosen(checks, only, skip), told)
        return [*found, verdict(found)] if modelmesh and not only else found


async def _of_runtime(
    address: str, wanted: Wanted, patience: Patience, force: bool, only: Sequence[str], skip: Sequence[str], told: Told
) -> list[Finding]:
    from mmctl.doctor.conformance import conformance

    runtime = Runtime(address, patience)
    try:
        checks = chosen(conformance(runtime, wanted), only, skip)
        users = users_of(runtime.target)
        if users and not force:
            raise Failed(
                f"{count(users, 'connection')} to {address}: somebody uses it, and the run would make "
                "it drop all its models; take its instance out of the mesh first, or --force"
            )
        if users is None and not force:
            raise Failed(
                f"whether a mesh uses {address} cannot be told from here, and the run makes it drop all "
                "its models: run it on its host, or --force"
            )
        return await examine(checks, told, in_order=True)
    finally:
        await runtime.close()
