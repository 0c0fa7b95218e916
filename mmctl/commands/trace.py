"""The commands on traces: put together what instances recorded, convert other formats, say what is in one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from mmctl.errors import Failed, Interrupted, NotFound, Usage, nearest
from mmctl.local.home import Home, default_data_dir
from mmctl.local.state import MESHD
from mmctl.options import DataDir, Debug, Output
from mmctl.output import Form, say, show_text, show_value
from mmctl.progress import Progress
from mmctl.runs import check_target

app = typer.Typer(name="trace", no_args_is_help=True, help="Traces: what clients asked a mesh for, and when.")

MESH = "mesh"
_VARIABLE, _INSTANCE = "MM_TRACE_PATH", "{instance}"
_SUFFIXES = (".jsonl", ".jsonl.zst")


@app.command("record")
def record(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The trace to write; compressed if it ends in .zst.")
    ],
    path: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH...]",
            help="Traces of instances (MM_TRACE_PATH), or directories of .jsonl and .jsonl.zst files.",
            show_default="those of the mesh on this machine",
        ),
    ] = None,
    is_part_enough: Annotated[
        bool, typer.Option("--until-cut", help="Where one ends early, take what all have until then.")
    ] = False,
    data_dir: DataDir = None,
    debug: Debug = False,
) -> None:
    """Put the traces of instances together to one, in the order of time, each model with all that is known of it."""
    from sim.traces.gather import gather

    paths = _files(path, out) if path else _of_mesh(Home(data_dir or default_data_dir()))
    _written(out, paths, lambda: gather(paths, out, is_part_enough=is_part_enough))


@app.command("convert")
def convert_(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A file in another format; .zst is decompressed.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The trace to write; compressed if it ends in .zst.")],
    kind: Annotated[
        str, typer.Option("--from", metavar="FORMAT", help="azure2021, csv, lcs-csv, oracle-general or mesh.")
    ],
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=COLUMN,...",
            help="Of csv: time, model, size and service, by name or number from 1; of lcs-csv as libCacheSim has it: "
            "time-col=1,obj-id-col=2,obj-size-col=3.",
            show_default=False,
        ),
    ] = None,
    delimiter: Annotated[str | None, typer.Option(help="Between columns; tab is a tab.", show_default=",")] = None,
    time_unit: Annotated[str | None, typer.Option(help="Of times in csv: s, ms, us or ns.", show_default="s")] = None,
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header", help="Whether the first line names columns.", show_default="if some go by name"
        ),
    ] = None,
    sort: Annotated[bool, typer.Option("--sort", help="Put in order what is not, on disk beside OUT.")] = False,
    debug: Debug = False,
) -> None:
    """Make a trace of a file in another format."""
    from sim.traces import REGISTRY
    from sim.traces.convert import convert
    from sim.traces.gather import gather
    from sim.traces.rows import UNITS_MS, Options

    given = {"columns": columns, "delimiter": delimiter, "time_unit": time_unit, "has_header": header}
    takes = REGISTRY[kind].takes if kind in REGISTRY else frozenset[str]()
    if kind != MESH and kind not in REGISTRY:
        raise Usage(f"--from {kind}: {nearest(kind, [*REGISTRY, MESH])}")
    for name, value in given.items():
        if value is not None and name not in takes:
            option = name.removeprefix("has_").replace("_", "-")
            raise Usage(f"--{option}: --from {kind} does not take it; it has the columns of its format")
    if time_unit is not None and time_unit not in UNITS_MS:
        raise Usage(f"--time-unit {time_unit}: one of {', '.join(UNITS_MS)}")
    between = "\t" if delimiter == "tab" else delimiter
    if between is not None and (len(between) != 1 or between in '"\r\n'):
        raise Usage(f"--delimiter {delimiter!r}: one character, or tab")
    if kind == MESH:
        _written(out, [source], lambda: gather([source], out))
        return
    options = Options(_pairs(columns or ""), between, time_unit, header)
    _written(out, [source], lambda: convert(source, out, REGISTRY[kind], options, sort=sort))


@app.command("inspect")
def inspect_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A trace.")],
    top: Annotated[int, typer.Option(min=0, max=1000, help="So many of the models that are asked for most.")] = 10,
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """Say what is in a trace: how much, of what, how popular, how large, how soon again."""
    from sim.problems import TraceError
    from sim.traces.inspect import as_table, inspect

    try:
        with Progress() as progress:
            progress.waiting(f"reading {file}")
            found = inspect(file, top)
    except TraceError as error:
        raise Usage(str(error)) from None
    if output in (Form.JSON, Form.YAML):
        show_value(found, output)
    else:
        show_text(f"{file}\n" if output is Form.NAME else as_table(found))


def _written(out: Path, sources: Sequence[Path], write: Callable[[], int]) -> None:
    from sim.problems import TraceError, TraceFailed

    check_target(str(out), out, sources)
    try:
        with Progress() as progress:
            progress.waiting(f"writing {out}")
            count = write()
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {out} is not written") from None
    except TraceFailed as error:
        raise Failed(str(error)) from None
    except TraceError as error:
        raise Usage(str(error)) from None
    say(f"{out}: {count:,} events")


def _files(paths: Sequence[Path], out: Path) -> list[Path]:
    """The traces that ``paths`` are or hold, each once, but for what is written: no event may be there twice."""
    found: dict[str, Path] = {}
    for path in paths:
        inside = [path]
        try:
            if path.is_dir():
                here = sorted(each for each in path.iterdir() if each.name.endswith(_SUFFIXES))
                inside = [each for each in here if os.path.realpath(each) != os.path.realpath(out)]
        except OSError as error:
            raise Usage(f"{path}: cannot be read: {error.strerror or error}") from None
        if not inside:
            raise NotFound(f"{path}: there is no file in it whose name ends in {' or '.join(_SUFFIXES)}")
        for each in inside:
            found.setdefault(os.path.realpath(each), each)
    return list(found.values())


def _of_mesh(home: Home) -> list[Path]:
    """The traces that the mesh in a data directory was told to record."""
    state = home.read()
    if state is None:
        raise NotFound(f"there is no mesh in {home.path}; give the traces of instances")
    services = [service for service in state.services if service.role == MESHD and service.env.get(_VARIABLE)]
    if not services:
        raise NotFound(
            f"the mesh in {home.path} records none; `mmctl up --set {_VARIABLE}=/DIR/{_INSTANCE}.jsonl` does"
        )
    return [Path(service.env[_VARIABLE].replace(_INSTANCE, service.instance)) for service in services]


def _pairs(text: str) -> dict[str, str]:
    pairs = {}
    for part in filter(None, text.split(",")):
        name, equals, place = part.partition("=")
        if not equals or not place:
            raise Usage(f"--columns {part}: write NAME=COLUMN, as time=1,model=2")
        pairs[name.strip()] = place.strip()
    return pairs
