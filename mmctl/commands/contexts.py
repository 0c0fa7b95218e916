"""The commands on contexts, which are named ways to a mesh: list, use, set, delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from mmctl import contexts
from mmctl.completion import context_names
from mmctl.connect import CONTEXT_FIELDS, of_context
from mmctl.contexts import Contexts
from mmctl.errors import Usage
from mmctl.options import (
    CaFile,
    CertFile,
    Debug,
    DryRun,
    Endpoint,
    KeyFile,
    KvStore,
    Output,
    Prefix,
    ServerName,
    Service,
)
from mmctl.output import Column, Form, View, say, show_list

app = typer.Typer(name="context", help="Contexts: named ways to a mesh, kept on this machine.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of a context.", autocompletion=context_names)]


@dataclass(frozen=True, slots=True)
class Context:
    """One of them, as it stands in the file."""

    name: str
    is_current: bool
    values: Any


@app.command("list")
def list_(output: Output = Form.TABLE, debug: Debug = False) -> None:
    """List them; the current one is where commands go that name no mesh, unless one is up on this machine."""
    kept = contexts.read()
    found = [Context(name, name == kept.current, values) for name, values in kept.contexts.items()]
    show_list(_CONTEXTS, found, output)


@app.command("use")
def use(name: Name, dry_run: DryRun = False, debug: Debug = False) -> None:
    """Make one the current one."""
    kept = contexts.read()
    of_context(name, kept.get(name))
    _keep(kept.used(name), f"{name} is the current context", dry_run)


@app.command("set")
def set_(
    name: Name,
    endpoint: Endpoint = [],  # noqa: B006  (typer copies it)
    kv_store: KvStore = "",
    service: Service = "",
    prefix: Prefix = "",
    ca_file: CaFile = "",
    cert_file: CertFile = "",
    key_file: KeyFile = "",
    server_name: ServerName = "",
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Keep a way to a mesh under a name, in place of what stood there."""
    if not name:
        raise Usage("give the NAME of a context")
    said = {
        "endpoint": list(endpoint), "kv_store": kv_store, "service": service, "prefix": prefix,
        "ca_file": ca_file, "cert_file": cert_file, "key_file": key_file, "server_name": server_name,
    }  # fmt: skip
    values = {field: value for field, value in said.items() if value}
    of_context(name, values)
    kept = contexts.read()
    _keep(kept.with_context(name, values), f"{name} is kept as a context", dry_run)


@app.command("delete")
def delete(name: Name, dry_run: DryRun = False, debug: Debug = False) -> None:
    """Forget one; the mesh does not notice."""
    _keep(contexts.read().without(name), f"{name} is forgotten", dry_run)


def _keep(changed: Contexts, text: str, dry_run: bool) -> None:
    if not dry_run:
        contexts.write(changed)
    say("nothing was done (--dry-run)" if dry_run else text)
    if not changed.current and changed.contexts:
        say("no context is the current one; `mmctl context use` makes one it")


def _way(context: Context) -> str:
    if not isinstance(context.values, Mapping):
        return "-"
    endpoint = context.values.get("endpoint") or context.values.get("kv_store") or "-"
    service = context.values.get("service")
    return (",".join(map(str, endpoint)) if isinstance(endpoint, list) else str(endpoint)) + (
        f" {service}" if service else ""
    )


def _plain(context: Context) -> dict[str, Any]:
    values = context.values if isinstance(context.values, Mapping) else {}
    endpoint = values.get("endpoint") or []
    texts = {field: str(values.get(field) or "") for field in CONTEXT_FIELDS[1:]}
    endpoints = [str(one) for one in endpoint] if isinstance(endpoint, list) else [str(endpoint)]
    return {"name": context.name, "current": context.is_current, "endpoint": endpoints, **texts}


_CONTEXTS: View[Context] = View(
    columns=(
        Column("CURRENT", lambda context: "*" if context.is_current else ""),
        Column("NAME", lambda context: context.name, flexible=True),
        Column("MESH", _way),
    ),
    plain=_plain,
    name=lambda context: context.name,
    nothing="no contexts",
)
