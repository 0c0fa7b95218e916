"""The command that shows the logs of a mesh on this machine."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Annotated

import typer

from mmctl.completion import service_names
from mmctl.errors import Failed, NotFound, Usage, nearest
from mmctl.local.home import Home, default_data_dir
from mmctl.local.logs import Line, Log, merged
from mmctl.options import DataDir, Debug, Output
from mmctl.output import Form, show_line, show_text
from mmctl.sizes import parse_ms, printable

_POLL_S = 0.25


def logs(
    name: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME...]", help="Only of these processes, as mesh-0, mesh-0-runtime, etcd.", show_default=False,
            autocompletion=service_names,
        ),
    ] = [],  # noqa: B006  (typer copies it)
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines, until Ctrl-C.")] = False,
    since: Annotated[str, typer.Option("--since", metavar="5m", help="Only so long ago: 30s, 5m, 2h, 1d.")] = "",
    data_dir: DataDir = None,
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:  # fmt: skip
    """The logs of a mesh on this machine in the order of time, also after it was taken down."""
    if output not in (Form.TABLE, Form.JSON):
        raise Usage(f"-o {output.value}: logs are shown as table, which is lines, or json")
    since_ms = int(time.time() * 1000) - parse_ms("--since", since) if since else 0
    home = Home(data_dir or default_data_dir())
    state = home.read()
    if state is None:
        raise Failed(f"no mesh is kept in {home.path}")
    known = [service.name for service in state.services]
    for word in name:
        if word not in known:
            raise NotFound(f"the mesh in {home.path} has no process {word!r}; {nearest(word, known)}")
    names = list(dict.fromkeys(name)) or known
    width = max(map(len, names)) if len(names) > 1 else 0
    with ExitStack() as stack:
        found = [Log(each, home.log(each)) for each in names]
        for log in found:
            stack.callback(log.close)
        try:
            while True:
                for line in merged(found, since_ms):
                    _show(line, width, output)
                if not follow:
                    return
                time.sleep(_POLL_S)
        except KeyboardInterrupt:
            return


def _show(line: Line, width: int, output: Form) -> None:
    if output is Form.JSON:
        show_line({"name": line.name, "at_ms": line.at_ms, "text": line.text})
        return
    show_text((f"{line.name:{width}}  " if width else "") + printable(line.text) + "\n")
