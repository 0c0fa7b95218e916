"""The commands that change models, and have them work: register, set, unregister, load, infer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from mmctl import views
from mmctl.cluster import Cluster
from mmctl.collecting import Collected, collected
from mmctl.confirm import confirm
from mmctl.connect import Target, run
from mmctl.documents import check, read_registrations
from mmctl.errors import CommandError, NotFound, Unavailable, Usage, exit_code
from mmctl.filters import parse_labels
from mmctl.options import Debug, DryRun, Labels, Name, Names, Output, Timeout, TypeFilter, Yes, connected
from mmctl.output import Form, say, show_list, show_value
from mmctl.progress import Progress
from mmctl.sizes import count, parse_size, shortened
from mmctl.values import Change, Loaded, ModelFilter, Registered, Registration, Status, Unregistered

LOADS_AT_ONCE = 8
_LOAD_S = 600.0
_INFER_S = 60.0

Min = Annotated[
    int | None, typer.Option("--min", metavar="N", help="Have at least so many copies; 0: any.", show_default=False)
]
Max = Annotated[
    int | None, typer.Option("--max", metavar="N", help="Have at most so many copies; 0: any.", show_default=False)
]
Priority = Annotated[
    int | None,
    typer.Option("--priority", metavar="0-9", help="Lower ones make room first; 5 if not given.", show_default=False),
]


@connected
def register(
    target: Target,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The id of the model.", show_default=False)] = "",
    type_: Annotated[str, typer.Option("--type", help="What kind of model; its runtime decides by it.")] = "",
    path: Annotated[str, typer.Option("--path", help="Where its runtime finds it.")] = "",
    key: Annotated[str, typer.Option("--key", help="What else its runtime needs to find it.")] = "",
    size: Annotated[str, typer.Option("--size", help="As 50MiB, when known before the first load.")] = "",
    label: Labels = [],  # noqa: B006  (typer copies it)
    min_: Min = None,
    max_: Max = None,
    pin: Annotated[bool, typer.Option("--pin", help="Never give its copies up for others.")] = False,
    priority: Priority = None,
    file: Annotated[
        list[str], typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON with many; - for stdin.")
    ] = [],  # noqa: B006
    load: Annotated[bool, typer.Option("--load", help="Load a copy straight away.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the loads have ended.")] = False,
    timeout: Timeout = _LOAD_S,
    output: Output = Form.TABLE,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Register a model, or many with -f. One that is there already with the same type, path and key is fine."""
    if bool(name) == bool(file):
        raise Usage("give either the NAME of one model or -f FILE" if name else "give the NAME of a model, or -f FILE")
    if file:
        if type_ or path or key or size or label or pin or (min_, max_, priority) != (None, None, None):
            raise Usage("with -f, all that is said about models stands in the file")
        registrations = read_registrations(file)
    else:
        if not type_:
            raise Usage("--type is missing")
        size_bytes = parse_size(size) if size else 0
        one = Registration(name, type_, path, key, size_bytes, parse_labels(label), pinned=pin)
        one = replace(one, **Change(min_, max_, None, priority).given)
        check(one)
        registrations = [one]
    if load:
        registrations = [replace(one, load=True) for one in registrations]
    if wait and not any(one.load for one in registrations):
        raise Usage("--wait is about loads: give --load too, or set load in the file")
    told = run(target, lambda cluster: _register(cluster, registrations, wait and not dry_run, timeout, dry_run))
    show_list(views.REGISTERED, told.results, output)
    words = [views.registered_word(result) for result in told.results]
    _summarise(words, "model", dry_run)
    _check(told)
    if wait and any(result.status is Status.LOADING_FAILED for result in told.results):
        raise typer.Exit(1)


async def _register(
    cluster: Cluster, registrations: list[Registration], wait: bool, timeout_s: float, dry_run: bool
) -> Collected[Registered]:
    with Progress() as progress:
        names = [one.name for one in registrations]
        told = await collected(cluster.register(registrations, dry_run), names, "registering", progress)
        if not wait or told.error is not None:
            return told
        by_name = {result.name: result for result in told.results}
        wanted = [one.name for one in registrations if one.load and not by_name[one.name].error]
        for outcome in await _load_all(cluster, wanted, True, timeout_s, progress):
            by_name[outcome.name] = _with_outcome(by_name[outcome.name], outcome)
        return Collected(list(by_name.values()))


def _with_outcome(result: Registered, outcome: Loaded) -> Registered:
    if outcome.status is Status.LOADED:
        return replace(result, status=outcome.status)
    text = outcome.errors[0] if outcome.errors else outcome.status.value
    code = "INTERNAL" if outcome.code == "OK" else outcome.code
    return replace(result, status=outcome.status, code=code, error=f"registered, but not loaded: {text}")


@connected
def set_(
    target: Target,
    name: Names,
    min_: Min = None,
    max_: Max = None,
    pin: Annotated[
        bool | None, typer.Option("--pin/--no-pin", help="Never give its copies up for others.", show_default=False)
    ] = None,
    priority: Priority = None,
    output: Output = Form.TABLE,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Change how many copies models have, whether they are pinned, their priority; all else stays as it is."""
    wanted = Change(min_, max_, pin, priority)
    if not wanted.given:
        raise Usage("say what is to be changed: --min, --max, --pin, --no-pin, --priority")
    check(replace(Registration("", ""), **wanted.given))

    async def command(cluster: Cluster) -> Collected[Registered]:
        with Progress() as progress:
            names = list(dict.fromkeys(name))
            return await collected(cluster.change(names, wanted, dry_run), names, "changing", progress)

    told = run(target, command)
    show_list(views.REGISTERED, told.results, output)
    _summarise([views.registered_word(result) for result in told.results], "model", dry_run)
    _check(told)


@connected
def unregister(
    target: Target,
    name: Annotated[list[str], typer.Argument(metavar="[NAME...]", help="The ids of models.", show_default=False)] = [],  # noqa: B006
    file: Annotated[
        list[str], typer.Option("--file", "-f", metavar="FILE", help="All that a file registers; - for stdin.")
    ] = [],  # noqa: B006
    type_: TypeFilter = "",
    label: Labels = [],  # noqa: B006
    yes: Yes = False,
    output: Output = Form.TABLE,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Forget models; their copies are unloaded. Of more than one it is asked first."""
    if bool(name) + bool(file) + bool(type_ or label) != 1:
        raise Usage("say which: the NAMEs of models, or -f FILE, or --type and --label")
    wanted = ModelFilter(type_, labels=parse_labels(label))
    given = [one.name for one in read_registrations(file)] if file else list(dict.fromkeys(name))

    async def chosen(cluster: Cluster) -> list[str]:
        return given or [model.name async for model in cluster.models(wanted, 0)]

    async def command(cluster: Cluster, names: Sequence[str]) -> Collected[Unregistered]:
        with Progress() as progress:
            return await collected(cluster.unregister(names, dry_run), names, "unregistering", progress)

    names = given or run(target, chosen)
    if len(names) > 1 and not dry_run:
        confirm(f"unregister {count(len(names), 'model')} ({shortened(names)})", yes)
    told = run(target, lambda cluster: command(cluster, names))
    show_list(views.UNREGISTERED, told.results, output)
    words = [views.unregistered_word(result) for result in told.results]
    _summarise(words, "model", dry_run)
    _check(told)
    if "not found" in words:
        raise typer.Exit(NotFound.exit_code)


@connected
def load(
    target: Target,
    name: Names,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the loads have ended.")] = False,
    timeout: Timeout = _LOAD_S,
    output: Output = Form.TABLE,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Have models loaded before they are asked for."""

    async def command(cluster: Cluster) -> list[Loaded]:
        names = list(dict.fromkeys(name))
        with Progress() as progress:
            if dry_run:
                models = [await cluster.get(one) for one in names]
                copies = [tuple(copy.instance for copy in model.copies) for model in models]
                return [Loaded(model.name, model.status, held) for model, held in zip(models, copies, strict=True)]
            if len(names) == 1:
                progress.waiting(f"loading {names[0]}")
                return [await cluster.load(names[0], wait, timeout)]
            return await _load_all(cluster, names, wait, timeout, progress)

    outcomes = run(target, command)
    show_list(views.LOADED, outcomes, output)
    if dry_run:
        cold = sum(outcome.status not in (Status.LOADED, Status.LOADING) for outcome in outcomes)
        say(f"{count(cold, 'model')} would be loaded; nothing was done (--dry-run)")
    elif code := exit_code(outcome.code for outcome in outcomes if outcome.code != "OK"):
        raise typer.Exit(code)


@connected
def infer(
    target: Target,
    name: Name,
    json: Annotated[
        str,
        typer.Option(
            "--json",
            metavar="JSON|@FILE",
            help='V2 tensors: {"inputs": [{"name", "shape", "datatype", "data"}]}, or @ and a file, @- for stdin.',
        ),
    ],
    timeout: Timeout = _INFER_S,
    output: Output = Form.JSON,
    debug: Debug = False,
) -> None:
    """Send one inference and print the tensors of the answer."""
    from mmctl.tensors import from_response, read_request

    request = read_request(json, name)
    response = run(target, lambda cluster: cluster.infer(name, request, timeout))
    show_value(from_response(response), output)


async def _load_all(
    cluster: Cluster, names: Sequence[str], wait: bool, timeout_s: float, progress: Progress
) -> list[Loaded]:
    """Outcomes in the order of the names; that one could not be had is an outcome, too."""
    slots = asyncio.Semaphore(LOADS_AT_ONCE)
    ended = 0

    async def one(name: str) -> Loaded:
        nonlocal ended
        async with slots:
            try:
                outcome = await cluster.load(name, wait, timeout_s)
            except CommandError as error:
                status = Status.UNKNOWN if isinstance(error, Unavailable) else Status.LOADING_FAILED
                outcome = Loaded(name, status, errors=(str(error),), code=error.code)
            ended += 1
            progress.waiting(f"loading {ended:,} of {len(names):,}")
            return outcome

    return list(await asyncio.gather(*(one(name) for name in names)))


def _check(told: Collected[Registered] | Collected[Unregistered]) -> None:
    """Raise what ended it before its time, else what the exit code is where something did not work."""
    told.check()
    if code := exit_code(result.code for result in told.results if result.error):
        raise typer.Exit(code)


def _summarise(words: Sequence[str], noun: str, dry_run: bool) -> None:
    if len(words) > 1 or dry_run:
        parts = [f"{words.count(word):,} {word}" for word in dict.fromkeys(words)]
        say(f"{count(len(words), noun)}: {', '.join(parts)}{' (--dry-run: nothing was done)' if dry_run else ''}")
