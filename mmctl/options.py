"""The options that many commands share, written once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

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
Name = Annotated[str, typer.Argument(metavar="NAME", help="The id of a model.")]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="The ids of models.")]
Labels = Annotated[list[str], typer.Option("--label", "-l", metavar="NAME=VALUE", help="Repeat it for more.")]
TypeFilter = Annotated[str, typer.Option("--type", help="Only models of this type.")]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long to wait at most.")]

_CLUSTER = "Cluster"
_TLS = "TLS"


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """``command`` takes a Target first, which the options added here say; each is the same everywhere."""

    @functools.wraps(command)
    def with_target(
        *args: Any,
        endpoint: list[str],
        kv_store: str,
        service: str,
        prefix: str,
        context: str,
        data_dir: Path | None,
        ca_file: str,
        cert_file: str,
        key_file: str,
        server_name: str,
        **others: Any,
    ) -> Any:
        tls = Tls(ca_file, cert_file, key_file, server_name)
        target = Target(tuple(endpoint), kv_store, service, prefix, context, data_dir, tls)
        return command(target, *args, **others)

    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    added = [
        _option("endpoint", list[str], [], typer.Option(
            "--endpoint", metavar="[https://]HOST:PORT", rich_help_panel=_CLUSTER, show_default=False,
            help="An instance; repeat it, or give several with commas, for others to ask when it is not there.",
        )),
        _option("kv_store", str, "", typer.Option(
            "--kv-store", metavar="KV_STORE", rich_help_panel=_CLUSTER, show_default=False,
            help="The registry itself, as meshd's KV_STORE names it; needs --service.",
        )),
        _option("service", str, "", typer.Option(
            "--service", rich_help_panel=_CLUSTER, show_default=False, help="MM_SERVICE_NAME of the mesh.",
        )),
        _option("prefix", str, "", typer.Option(
            "--prefix", rich_help_panel=_CLUSTER, show_default="tas-runtime", help="MM_KVSTORE_PREFIX of the mesh.",
        )),
        _option("context", str, "", typer.Option(
            "--context", rich_help_panel=_CLUSTER, show_default=False, help="A context of ~/.config/mmctl/config.yaml.",
        )),
        _option("data_dir", Path | None, None, typer.Option(
            "--data-dir", rich_help_panel=_CLUSTER, help="The mesh on this machine that is kept there.",
            show_default="~/.local/share/mmctl/default",
        )),
        _option("ca_file", str, "", typer.Option(
            "--ca-file", metavar="FILE", rich_help_panel=_TLS, show_default="those of the system",
            help="Authorities that instances' certificates are checked by, PEM.",
        )),
        _option("cert_file", str, "", typer.Option(
            "--cert-file", metavar="FILE", rich_help_panel=_TLS, show_default=False,
            help="The certificate to show to instances, PEM; needs --key-file.",
        )),
        _option("key_file", str, "", typer.Option(
            "--key-file", metavar="FILE", rich_help_panel=_TLS, show_default=False, help="Its key, PEM.",
        )),
        _option("server_name", str, "", typer.Option(
            "--server-name", metavar="NAME", rich_help_panel=_TLS, show_default="the host of the endpoint",
            help="The name that instances' certificates are for.",
        )),
    ]  # fmt: skip
    with_target.__signature__ = inspect.Signature(own + added)  # type: ignore[attr-defined]
    with_target.__annotations__ = {parameter.name: parameter.annotation for parameter in own + added}
    return with_target


def _option(name: str, kind: Any, default: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])
