"""The commands that roll a new version through a mesh: upgrade plan, start, status, abort."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar

import typer

from mmctl.connect import Target
from mmctl.errors import Failed, Interrupted, NotFound, Usage
from mmctl.local.plan import parse_settings
from mmctl.options import Debug, DryRun, Output, connected, gathered
from mmctl.output import Form, say
from mmctl.progress import Progress
from mmctl.sizes import parse_ms
from mmctl.upgrade import kubernetes, local
from mmctl.upgrade.carrying import carry_out, follow, see_through
from mmctl.upgrade.change import Change
from mmctl.upgrade.driver import Driver
from mmctl.upgrade.kubernetes import Wish
from mmctl.upgrade.ledger import myself
from mmctl.upgrade.reach import Reach, run
from mmctl.upgrade.record import Ask, Limits, Phase, Upgrade
from mmctl.upgrade.runner import Told
from mmctl.upgrade.views import Plan, show_plan, show_upgrade, sided

T = TypeVar("T")

app = typer.Typer(
    name="upgrade",
    no_args_is_help=True,
    help="Roll a new version through a mesh, one instance at a time; hold or go back when it goes wrong.",
)

_HERE = "A mesh on this machine"
_KUBERNETES = "Kubernetes"
_LIMITS = "Limits"

Set = Annotated[
    list[str], typer.Option("--set", metavar="NAME=VALUE", rich_help_panel=_HERE, help="A setting of meshd; repeat it.")
]
Version = Annotated[
    str, typer.Option("--version", metavar="LABEL", rich_help_panel=_HERE, help="What it is called: SERVICE_VERSION.")
]
Runtime = Annotated[str, typer.Option("--runtime", rich_help_panel=_HERE, help="The model server: onnx or fake.")]
RuntimeArg = Annotated[
    list[str],
    typer.Option("--runtime-arg", metavar="ARG", rich_help_panel=_HERE, help="In place of those before; repeat it."),
]
Capacity = Annotated[str, typer.Option("--capacity", rich_help_panel=_HERE, help="Memory for models in each runtime.")]
Python = Annotated[
    str, typer.Option("--python", metavar="PATH", rich_help_panel=_HERE, help="The Python that has the new meshd.")
]
Name = Annotated[
    str, typer.Option("--deployment", metavar="NAME", rich_help_panel=_KUBERNETES, help="The Deployment to upgrade.")
]
Namespace = Annotated[
    str, typer.Option("--namespace", "-n", rich_help_panel=_KUBERNETES, help="Its namespace.", show_default="kubectl's")
]
Image = Annotated[str, typer.Option("--image", rich_help_panel=_KUBERNETES, help="The new image of its container.")]
Container = Annotated[str, typer.Option("--container", rich_help_panel=_KUBERNETES, help="The container with meshd.")]
Kustomize = Annotated[
    str, typer.Option("--kustomize", "-k", metavar="DIR", rich_help_panel=_KUBERNETES, help="To apply in its place.")
]
File = Annotated[
    str, typer.Option("--file", "-f", metavar="FILE", rich_help_panel=_KUBERNETES, help="To apply in its place.")
]
Binary = Annotated[
    str,
    typer.Option(
        "--kubectl", metavar="PATH", rich_help_panel=_KUBERNETES, help="The kubectl to use.",
        show_default="kubectl",
    ),
]  # fmt: skip
KubeContext = Annotated[
    str,
    typer.Option("--kube-context", rich_help_panel=_KUBERNETES, help="A context of kubectl.", show_default="current"),
]
MaxFailed = Annotated[
    int | None,
    typer.Option(
        "--max-failed", min=0, rich_help_panel=_LIMITS, help="Models that may fail on new instances.", show_default="2"
    ),
]
MaxWait = Annotated[
    str,
    typer.Option(
        "--max-wait",
        metavar="TIME",
        rich_help_panel=_LIMITS,
        help="How long a step or load may take.",
        show_default="5m",
    ),
]
Settle = Annotated[
    str,
    typer.Option("--settle", metavar="TIME", rich_help_panel=_HERE, help="Pause after each step.", show_default="2s"),
]
AutoRollback = Annotated[
    bool, typer.Option("--auto-rollback", rich_help_panel=_LIMITS, help="Go back where it would be held.")
]


_NEW: dict[str, tuple[Any, Any]] = {
    "set_": (Set, []),
    "version": (Version, ""),
    "runtime": (Runtime, ""),
    "runtime_arg": (RuntimeArg, []),
    "capacity": (Capacity, ""),
    "python": (Python, ""),
    "deployment": (Name, ""),
    "namespace": (Namespace, ""),
    "image": (Image, ""),
    "container": (Container, "mm"),
    "kustomize": (Kustomize, ""),
    "file": (File, ""),
    "kubectl": (Binary, ""),
    "kube_context": (KubeContext, ""),
}
"""The options that say what is new, by the names of their values, and what each is when it is not given."""


@dataclass(frozen=True, slots=True)
class New:
    """What is to be new, of a mesh on this machine or on Kubernetes."""

    change: Change
    wish: Wish

    @property
    def is_of_kubernetes(self) -> bool:
        """Whether anything is said of Kubernetes, but which kubectl."""
        return self.wish != Wish(kubectl=self.wish.kubectl)


def _new(values: Mapping[str, Any]) -> New:
    """What the values of options mean, which are by name."""
    said = {name: values[name] for name in _NEW}
    args = tuple(said["runtime_arg"]) or None
    change = Change(
        said["version"], parse_settings(said["set_"]), said["runtime"], args, said["capacity"], said["python"]
    )
    wish = Wish(**{name: said[name] for name in Wish.__slots__ if name in said}, context=said["kube_context"])
    return New(change, wish)


upgrading = gathered("new", _NEW, _new)


@app.command("plan")
@connected
@upgrading
def plan(
    target: Target,
    new: New,
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """Show what an upgrade would do, and do nothing."""

    async def planned(reach: Reach) -> Plan:
        return (await _prepared(reach, new, Limits()))[0]

    show_plan(run(target, planned), output)


@app.command("start")
@connected
@upgrading
def start(
    target: Target,
    new: New,
    max_failed: MaxFailed = None,
    max_wait: MaxWait = "",
    settle: Settle = "",
    auto_rollback: AutoRollback = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the one that is held, or whose mmctl is gone.")
    ] = False,
    output: Output = Form.TABLE,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Begin an upgrade and see it to its end: 0 when all is new, 1 when it was rolled back."""

    def limited(before: Limits) -> Limits:
        return Limits(
            before.max_failed if max_failed is None else max_failed,
            parse_ms("--max-wait", max_wait) if max_wait else before.max_wait_ms,
            parse_ms("--settle", settle) if settle else before.settle_ms,
            before.auto_rollback or auto_rollback,
        )

    limits = limited(Limits())
    if resume and (new.change != Change() or new.is_of_kubernetes):
        raise Usage("--resume goes on with what was begun: say nothing about what is new")

    async def begun(reach: Reach) -> Upgrade | Plan:
        if resume:
            if dry_run:
                return await _under_way(reach)
            with Progress() as progress:
                ask = _asking(Ask.RESUME, limited)
                return await see_through(reach, ask, _by(new.wish.kubectl), progress, is_awaited=True)
        await _refuse_second(reach)
        told, upgrade = await _prepared(reach, new, limits)
        if dry_run:
            return told
        return await _started(reach, upgrade)

    ended = _run(target, begun)
    if isinstance(ended, Plan):
        show_plan(ended, output)
        say("nothing was begun (--dry-run)")
        return
    if dry_run:
        say(f"would go on with the upgrade to {ended.wanted} (--dry-run)")
        return
    _show_end(target, output)
    if ended.phase is Phase.ROLLED_BACK:
        raise Failed(f"the upgrade to {ended.wanted} was rolled back: {_cause(ended)}")


@app.command("status")
@connected
def status(
    target: Target,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Tell what happens until it is over.")] = False,
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """Show the upgrade that is under way, or the last one."""
    if watch:

        async def watched(reach: Reach) -> None:
            await _known(reach)
            with Progress() as progress:
                await follow(reach.ledger, Told(progress))

        try:
            run(target, watched)
        except KeyboardInterrupt:
            return
    _show(target, output)


@app.command("abort")
@connected
def abort(
    target: Target,
    kubectl: Binary = "",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Ask for it, and do not wait for its end.")] = False,
    output: Output = Form.TABLE,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Bring the former version back, one instance at a time; another mmctl that carries the upgrade out obeys."""

    async def aborted(reach: Reach) -> Upgrade:
        if dry_run:
            return await _under_way(reach)
        with Progress() as progress:
            return await see_through(reach, _asking(Ask.ABORT), _by(kubectl), progress, is_awaited=not no_wait)

    ended = _run(target, aborted)
    if dry_run:
        say(f"{ended.former} would be brought back in place of {ended.wanted} (--dry-run)")
        return
    _show_end(target, output)
    if ended.phase is Phase.DONE:
        raise Failed(f"the upgrade was done already: all of it is {ended.wanted}")


def _run(target: Target, command: Callable[[Reach], Awaitable[T]]) -> T:
    """What ``command`` comes to; an interrupt leaves the upgrade as it is."""
    try:
        return run(target, command)
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; an upgrade that has begun stays as it is: `mmctl upgrade start --resume` goes on with it,"
            " `abort` goes back"
        ) from None


async def _prepared(reach: Reach, new: New, limits: Limits) -> tuple[Plan, Upgrade]:
    if new.is_of_kubernetes and new.change != Change():
        raise Usage("options for a mesh on this machine and for Kubernetes do not go together")
    if new.is_of_kubernetes:
        return await kubernetes.prepare(reach, new.wish, limits)
    if reach.home is None:
        raise Usage("say what is to be upgraded: --deployment with --image, -k or -f on Kubernetes")
    return await local.prepare(reach, new.change, limits)


def _by(kubectl: str) -> Callable[[Upgrade], Driver]:
    """What finds what carries an upgrade out; ``kubectl``: in place of the one that it began with, unless empty."""
    return lambda upgrade: local.driver(upgrade) if upgrade.kind == local.KIND else kubernetes.driver(upgrade, kubectl)


async def _started(reach: Reach, upgrade: Upgrade) -> Upgrade:
    now = int(time.time() * 1000)
    # Known beforehand are the names of processes, and one may have failed under such a name before; never a pod.
    counted_ms = dict.fromkeys(upgrade.new, now)
    upgrade = replace(
        upgrade, id=secrets.token_hex(4), started_ms=now, phase_ms=now, moved_ms=now, counted_ms=counted_ms,
        reason="begins",
    ).with_event(now, f"begins: {upgrade.former} -> {upgrade.wanted}")  # fmt: skip
    async with reach.ledger.claimed():
        await _refuse_second(reach)
        if await reach.ledger.put(upgrade) is None:
            raise Failed("another upgrade has just begun")
        with Progress() as progress:
            return await carry_out(reach, upgrade, _by("")(upgrade), Told(progress))


async def _refuse_second(reach: Reach) -> None:
    under_way = await reach.ledger.read()
    if under_way is not None and not under_way.phase.is_over:
        raise Failed(
            f"an upgrade to {under_way.wanted} is under way ({under_way.phase.value.replace('_', ' ')}):"
            " `mmctl upgrade status` shows it, `start --resume` goes on with it, `abort` goes back"
        )


async def _known(reach: Reach) -> Upgrade:
    upgrade = await reach.ledger.read()
    if upgrade is None:
        raise NotFound("there never was an upgrade of this mesh")
    return upgrade


async def _under_way(reach: Reach) -> Upgrade:
    upgrade = await _known(reach)
    if upgrade.phase.is_over:
        raise NotFound("no upgrade of this mesh is under way")
    return upgrade


def _asking(ask: Ask, limited: Callable[[Limits], Limits] = lambda before: before) -> Callable[[Upgrade], Upgrade]:
    return lambda upgrade: replace(upgrade, asked=ask, asked_by=myself(), limits=limited(upgrade.limits))


def _cause(ended: Upgrade) -> str:
    """Why it was turned back."""
    told = "rolling back: "
    texts = [event.text.removeprefix(told) for event in ended.events if event.text.startswith(told)]
    return texts[-1] if texts else ended.reason


def _show_end(target: Target, form: Form) -> None:
    """Where people read, all of it has been told; a program reads how it ended."""
    if form in (Form.JSON, Form.YAML, Form.NAME):
        _show(target, form)


def _show(target: Target, form: Form) -> None:
    async def shown(reach: Reach) -> None:
        upgrade = await _known(reach)
        instances = sided(upgrade, await reach.cluster.instances())
        show_upgrade(upgrade, await reach.ledger.runner(), instances, form)

    run(target, shown)
