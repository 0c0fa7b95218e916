"""The commands on a mesh on this machine: up, down, restart."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated, Any

import typer

from mmctl import views
from mmctl.connect import Target, run
from mmctl.errors import Failed, NotFound, Usage, nearest
from mmctl.local import etcd, plan
from mmctl.local.home import Home, default_data_dir
from mmctl.local.plan import Wish
from mmctl.local.start import bring_up, launch
from mmctl.local.state import MESHD, RUNTIME, Service, State
from mmctl.local.stop import restart as restart_instances
from mmctl.local.stop import take_down
from mmctl.local.watch import detached, look_after
from mmctl.options import DataDir, Debug, DryRun, Output
from mmctl.output import Cell, Column, Form, View, say, show_list, show_value
from mmctl.progress import Progress
from mmctl.sizes import count, shortened
from mmctl.values import Registered, Registration

MODEL_SUFFIX = ".onnx"
MODEL_TYPE = "onnx"

Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=1, help="How long a start may take.")]


def up(
    instances: Annotated[int, typer.Option("--instances", "-n", help="How many.")] = 3,
    runtime: Annotated[str, typer.Option("--runtime", help="The model server: onnx or fake.")] = "onnx",
    runtime_arg: Annotated[
        list[str], typer.Option("--runtime-arg", metavar="ARG", help="Passed on to each runtime; repeat it for more.")
    ] = [],  # noqa: B006  (typer copies it)
    capacity: Annotated[str, typer.Option("--capacity", help="Memory for models in each runtime.")] = "512MiB",
    model_dir: Annotated[
        Path | None, typer.Option("--model-dir", help="Registers each *.onnx there under its path without suffix.")
    ] = None,
    set_: Annotated[
        list[str], typer.Option("--set", metavar="NAME=VALUE", help="A setting of meshd; repeat it for more.")
    ] = [],  # noqa: B006
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when all is ready, and leave it up.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Start again what ends by itself.")] = False,
    base_port: Annotated[int | None, typer.Option("--base-port", min=1024, help="Count ports from here.")] = None,
    data_dir: DataDir = None,
    timeout: Timeout = 90,
    output: Output = Form.TABLE,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Bring a mesh up on this machine: etcd, and instances of meshd with a model server each. Ctrl-C takes it down."""
    settings = plan.parse_settings(set_)
    wish = Wish(instances, runtime, tuple(runtime_arg), capacity, model_dir, settings, base_port)
    plan.check(wish)
    if model_dir is not None and runtime != "onnx":
        raise Usage("--model-dir needs --runtime onnx: the other has no use for files")
    found = _models_in(model_dir) if model_dir is not None else []
    home = Home(data_dir or default_data_dir())
    before = _refuse_if_up(home)
    if dry_run:
        _show_plan(plan.make(wish, home, _etcd_for(before), before, installed("meshd")), output)
        return
    with Progress() as progress, _signals_as_interrupt():
        with home.locked():
            _plan(home, wish, progress)
            try:
                state = bring_up(home, timeout, progress)
                if found:
                    _register(state, found, progress)
                if detach and restart:
                    state = home.change(lambda state: replace(state, services=(*state.services, detached(home))))
                    launch(home, [detached(home).name])
            except BaseException:
                take_down(home, progress)
                raise
        progress.still()
        _show_state(home, state, output)
        if detach:
            say(f"{count(instances, 'instance')} up; `mmctl down{_dir_option(data_dir)}` takes them down")
            return
        try:
            say(f"{count(instances, 'instance')} up; Ctrl-C takes them down")
            look_after(home, restart, progress)
        except KeyboardInterrupt:
            progress.line("taking it down")
            _take_down(home, progress)
            return
    remaining = home.read()
    if remaining is not None and remaining.phase != "down":
        raise Failed(f"nothing of the mesh runs any more; the logs are in {home.logs}")
    say("it was taken down")


def down(data_dir: DataDir = None, output: Output = Form.TABLE, dry_run: DryRun = False, debug: Debug = False) -> None:
    """Take the mesh on this machine down: instances first, each with its drain. What was registered is kept."""
    home = Home(data_dir or default_data_dir())
    state = home.read()
    running = [service.name for service in state.services if service.is_up] if state else []
    killed: list[str] = []
    if not running:
        say(f"no mesh is up in {home.path}")
    elif dry_run:
        say(f"{count(len(running), 'process', 'processes')} would be stopped: {', '.join(running)}")
    else:
        with Progress() as progress:
            killed = _take_down(home, progress)
    if output in (Form.JSON, Form.YAML):
        show_value({"data_dir": str(home.path), "stopped": running, "killed": killed}, output)
    elif output is Form.NAME:
        for name in running:
            typer.echo(name)


def restart(
    instance: Annotated[
        str, typer.Argument(metavar="INSTANCE", help="One instance; none: all.", show_default=False)
    ] = "",
    data_dir: DataDir = None,
    timeout: Timeout = 90,
    output: Output = Form.TABLE,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Restart instances on this machine, runtime and meshd, one at a time."""
    home = Home(data_dir or default_data_dir())
    state = home.read()
    if state is None or not state.is_up:
        raise Failed(f"no mesh is up in {home.path}: start it with `mmctl up{_dir_option(data_dir)}`")
    if instance and instance not in state.instances:
        raise NotFound(f"no instance {instance!r}; {nearest(instance, state.instances)}")
    names = [instance] if instance else list(state.instances)
    if dry_run:
        say(f"would be restarted, one at a time: {', '.join(names)}")
        return
    with Progress() as progress, home.locked():
        restart_instances(home, names, timeout, progress)
    _show_state(home, home.read() or state, output)


def _plan(home: Home, wish: Wish, progress: Progress) -> None:
    """Write down what is to be started; Failed, with nothing changed, where that cannot be."""
    before = _refuse_if_up(home)
    binary = _etcd_for(before)
    if binary.warning:
        progress.line(binary.warning, style="yellow")
    if before is not None and before.phase != "down":
        progress.line(f"the mesh in {home.path} was not taken down; its processes are gone, its registry is kept")
    if wish.settings:
        changed = ", ".join(f"{name}={value}" for name, value in wish.settings.items())
        progress.line(f"settings other than the defaults: {changed}")
    if wish.runtime == "onnx" and wish.model_dir is None:
        home.models.mkdir(parents=True, exist_ok=True)
        progress.line(f"models are looked for in {home.models}; --model-dir chooses another place")
    home.write(plan.make(wish, home, binary, before, installed("meshd")))


def _etcd_for(before: State | None) -> etcd.Binary:
    return etcd.find(before.etcd if before is not None else etcd.NONE)


def _refuse_if_up(home: Home) -> State | None:
    state = home.read()
    if state is not None and state.is_up:
        running = [service.name for service in state.services if service.is_up]
        raise Failed(f"a mesh is up in {home.path} ({shortened(running)}): `mmctl down` first, or another --data-dir")
    return state


def _take_down(home: Home, progress: Progress) -> list[str]:
    with home.locked():
        return take_down(home, progress)


@contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """SIGTERM and a closed terminal end the foreground as Ctrl-C does."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _models_in(folder: Path) -> list[Registration]:
    files = sorted(path.relative_to(folder) for path in folder.rglob(f"*{MODEL_SUFFIX}") if path.is_file())
    if not files:
        say(f"no *{MODEL_SUFFIX} in {folder}", style="yellow")
    return [Registration(file.with_suffix("").as_posix(), MODEL_TYPE, file.as_posix()) for file in files]


def _register(state: State, registrations: list[Registration], progress: Progress) -> None:
    async def command(cluster: Any) -> list[Registered]:
        return [result async for result in cluster.register(registrations, dry_run=False)]

    progress.waiting(f"registering {count(len(registrations), 'model')}")
    results = run(Target(endpoints=state.endpoints), command)
    words = [views.registered_word(result) for result in results]
    parts = [f"{words.count(word):,} {word}" for word in dict.fromkeys(words)]
    progress.line(f"{count(len(results), 'model')} registered: {', '.join(parts)}")
    for result in results:
        if result.error:
            progress.line(f"{result.name}: {result.error}", style="yellow")


def _dir_option(data_dir: Path | None) -> str:
    return f" --data-dir {data_dir}" if data_dir else ""


# -- what is shown -----------------------------------------------------------------------------------


def _runtime_of(state: State, instance: str) -> Service:
    return next(service for service in state.of_role(RUNTIME) if service.instance == instance)


def _plain(home: Home, state: State) -> dict[str, Any]:
    return {
        "data_dir": str(home.path),
        "service": state.service,
        "kv_store": state.kv_store,
        "endpoints": [f"127.0.0.1:{service.ports['grpc']}" for service in state.of_role(MESHD)],
        "processes": [
            {
                "name": service.name,
                "role": service.role,
                "instance": service.instance,
                "pid": service.process.pid if service.process else None,
                "ports": dict(service.ports),
                "log": str(home.log(service.name)),
            }
            for service in state.services
        ],
    }


def _port(ports: Mapping[str, int], kind: str) -> str:
    return f"127.0.0.1:{ports[kind]}"


def _view(state: State) -> View[Service]:
    return View(
        columns=(
            Column("INSTANCE", lambda service: service.instance),
            Column("GRPC", lambda service: _port(service.ports, "grpc")),
            Column("METRICS", lambda service: f"http://{_port(service.ports, 'metrics')}/metrics"),
            Column(
                "PID",
                lambda service: str(service.process.pid) if service.is_up and service.process else Cell("-", "red"),
            ),
            Column("MESH", lambda service: _port(service.ports, "mesh"), wide=True),
            Column("PROBES", lambda service: _port(service.ports, "probe"), wide=True),
            Column("RUNTIME", lambda service: _port(_runtime_of(state, service.instance).ports, "spi"), wide=True),
        ),
        plain=lambda service: {},
        name=lambda service: service.instance,
        nothing="no instances",
    )


def _show_state(home: Home, state: State, form: Form) -> None:
    if form in (Form.JSON, Form.YAML):
        show_value(_plain(home, state), form)
    else:
        show_list(_view(state), list(state.of_role(MESHD)), form)


def _show_plan(state: State, form: Form) -> None:
    commands = [
        {"name": service.name, "command": list(service.command), "env": dict(service.env), "ports": dict(service.ports)}
        for service in state.services
    ]
    view: View[dict[str, Any]] = View(
        columns=(
            Column("NAME", lambda one: one["name"]),
            Column("PORTS", lambda one: ",".join(str(port) for port in one["ports"].values())),
            Column("COMMAND", lambda one: " ".join(one["command"])),
            Column(
                "ENVIRONMENT", lambda one: " ".join(f"{name}={value}" for name, value in one["env"].items()), wide=True
            ),
        ),
        plain=lambda one: one,
        name=lambda one: one["name"],
        nothing="nothing",
    )
    show_list(view, commands, form)
    say(f"{count(len(commands), 'process', 'processes')} in all; nothing was started (--dry-run)")
