"""The options that many commands share, written once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mmctl.completion import context_names, model_names
from mmctl.connect import Target
from mmctl.output import Form
from mmctl.tls import Tls

Output = Annotated[Form, typer.Option("--output", "-o", help="Form of what is printed.", show_default=True)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel="Other")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Where a mesh on this machine is kept.", show_default="~/.local/share/mmctl/default"
    ),
]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where nobody can answer.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The id of a model.", autocompletion=model_names)]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="The ids of models.", autocompletion=model_names)]
Labels = Annotated[list[str], typer.Option("--label", "-l", metavar="NAME=VALUE", help="Repeat it for more.")]
TypeFilter = Annotated[str, typer.Option("--type", help="Only models of this type.")]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long to wait at most.")]

_CLUSTER = "Cluster"
_TLS = "TLS"

Endpoint = Annotated[list[str], typer.Option(
    "--endpoint", metavar="[https://]HOST:PORT", rich_help_panel=_CLUSTER, show_default=False,
    help="An instance; repeat it, or give several with commas, for others to ask when it is not there.",
)]  # fmt: skip
KvStore = Annotated[str, typer.Option(
    "--kv-store", metavar="KV_STORE", rich_help_panel=_CLUSTER, show_default=False,
    help="The registry itself, as meshd's KV_STORE names it; needs --service.",
)]  # fmt: skip
Service = Annotated[str, typer.Option(
    "--service", rich_help_panel=_CLUSTER, show_default=False, help="MM_SERVICE_NAME of the mesh.",
)]  # fmt: skip
Prefix = Annotated[str, typer.Option(
    "--prefix", rich_help_panel=_CLUSTER, show_default="tas-runtime", help="MM_KVSTORE_PREFIX of the mesh.",
)]  # fmt: skip
Context = Annotated[str, typer.Option(
    "--context", rich_help_panel=_CLUSTER, show_default=False, help="A context, as `mmctl context list` shows them.",
    autocompletion=context_names,
)]  # fmt: skip
ClusterDir = Annotated[Path | None, typer.Option(
    "--data-dir", rich_help_panel=_CLUSTER, help="The mesh on this machine that is kept there.",
    show_default="~/.local/share/mmctl/default",
)]  # fmt: skip
CaFile = Annotated[str, typer.Option(
    "--ca-file", metavar="FILE", rich_help_panel=_TLS, show_default="those of the system",
    help="Authorities that instances' certificates are checked by, PEM.",
)]  # fmt: skip
CertFile = Annotated[str, typer.Option(
    "--cert-file", metavar="FILE", rich_help_panel=_TLS, show_default=False,
    help="The certificate to show to instances, PEM; needs --key-file.",
)]  # fmt: skip
KeyFile = Annotated[str, typer.Option(
    "--key-file", metavar="FILE", rich_help_panel=_TLS, show_default=False, help="Its key, PEM.",
)]  # fmt: skip
ServerName = Annotated[str, typer.Option(
    "--server-name", metavar="NAME", rich_help_panel=_TLS, show_default="the host of the endpoint",
    help="The name that instances' certificates are for.",
)]  # fmt: skip

_TARGET: dict[str, tuple[Any, Any]] = {
    "endpoint": (Endpoint, []),
    "kv_store": (KvStore, ""),
    "service": (Service, ""),
    "prefix": (Prefix, ""),
    "context": (Context, ""),
    "data_dir": (ClusterDir, None),
    "ca_file": (CaFile, ""),
    "cert_file": (CertFile, ""),
    "key_file": (KeyFile, ""),
    "server_name": (ServerName, ""),
}
"""The options that say which cluster, by the names of their values, and what each is when it is not given."""


def target_of(values: Mapping[str, Any]) -> Target:
    """The cluster that the values of options mean, which are by name."""
    said = {name: values.get(name) or default for name, (_, default) in _TARGET.items()}
    tls = Tls(said["ca_file"], said["cert_file"], said["key_file"], said["server_name"])
    return Target(
        tuple(said["endpoint"]), said["kv_store"], said["service"], said["prefix"], said["context"],
        said["data_dir"], tls,
    )  # fmt: skip


def gathered(
    into: str, options: Mapping[str, tuple[Any, Any]], made: Callable[[Mapping[str, Any]], Any]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What gives a command its argument ``into``, ``made`` of the values of ``options``, which are added to its own."""

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_options(**values: Any) -> Any:
            own = {name: value for name, value in values.items() if name not in options}
            return command(**{into: made(values)}, **own)

        found = inspect.signature(command, eval_str=True).parameters.values()
        own = [parameter for parameter in found if parameter.name != into]
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for name, (kind, default) in options.items()
        ]
        with_options.__signature__ = inspect.Signature(own + added)  # type: ignore[attr-defined]
        with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in own + added}
        return with_options

    return decorated


connected = gathered("target", _TARGET, target_of)
"""``command`` takes a Target, which the options added here say; each is the same everywhere."""
