"""Which cluster a command is about, and the way to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from mmctl import contexts
from mmctl.cluster import Cluster
from mmctl.endpoints import parse_endpoints
from mmctl.errors import NotFound, Unavailable, Usage, nearest
from mmctl.local.home import Home, default_data_dir
from mmctl.local.state import State
from mmctl.output import say
from mmctl.places import NoHome
from mmctl.tls import NO_TLS, Tls

T = TypeVar("T")

_TLS_FIELDS = tuple(field.name for field in fields(Tls))
CONTEXT_FIELDS = ("endpoint", "kv_store", "service", "prefix", *_TLS_FIELDS)
"""What can be said of a context."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the options of a command say about the cluster; empty is "not said"."""

    endpoints: tuple[str, ...] = ()
    kv_store: str = ""
    service: str = ""
    prefix: str = ""
    context: str = ""
    data_dir: Path | None = None
    tls: Tls = NO_TLS


def resolve(target: Target) -> Target:
    """``target`` with its endpoints or its kv_store and service: those given, else $MMCTL_ENDPOINT, else of the mesh
    on this machine, else of the context. Usage for options that exclude each other; Unavailable when nothing is said.

    What options say of TLS holds instead of all that a context says of it.
    """
    found = _found(target)
    return replace(found, tls=target.tls) if target.tls.is_said else found


def _found(target: Target) -> Target:
    if target.endpoints and target.kv_store:
        raise Usage("--endpoint and --kv-store are two ways to a cluster: give one")
    if (target.service or target.prefix) and target.endpoints:
        raise Usage("--service and --prefix belong to --kv-store; an endpoint knows its own")
    if target.endpoints:
        return Target(endpoints=parse_endpoints(target.endpoints))
    if target.kv_store:
        return _with_service(target)
    if target.context:
        return _of_context(target.context)
    if target.data_dir is not None:
        return _of_local(Home(target.data_dir), target)
    if variable := os.environ.get("MMCTL_ENDPOINT", ""):
        return Target(endpoints=parse_endpoints([variable]))
    state = local_state(target)
    if state is not None and state.is_up:
        return _of_local(Home(default_data_dir()), target)
    with suppress(NoHome):
        if contexts.config_file().exists():
            return _of_context("")
    try:
        where = Home(default_data_dir()).path
    except NoHome as error:
        raise Unavailable(f"no mesh is named, and {error}; or name a mesh with --endpoint") from None
    raise Unavailable(f"no mesh is up in {where}: start one with `mmctl up`, or name one with --endpoint")


def local_state(target: Target) -> State | None:
    """The mesh on this machine, when that is what ``target`` means."""
    if target.endpoints or target.kv_store or target.context:
        return None
    if target.data_dir is None and os.environ.get("MMCTL_ENDPOINT"):
        return None
    try:
        home = Home(target.data_dir or default_data_dir())
    except NoHome:
        return None
    state = home.read() if home.state_file.exists() else None
    return state if state is not None and (state.is_up or target.data_dir is not None) else None


def run(target: Target, command: Callable[[Cluster], Awaitable[T]]) -> T:
    """What ``command`` makes of the cluster that ``target`` means."""

    async def connected() -> T:
        async with opened(target) as cluster:
            return await command(cluster)

    return asyncio.run(connected())


@asynccontextmanager
async def opened(target: Target) -> AsyncIterator[Cluster]:
    """The cluster that ``target`` means, until the end of the block."""
    found = resolve(target)
    cluster: Cluster
    # Each backend is imported where it is used: a command line is started often and should be quick.
    if found.kv_store:
        from mmctl.registry import DEFAULT_PREFIX, RegistryCluster

        registry = RegistryCluster(found.kv_store, found.service, found.prefix or DEFAULT_PREFIX, found.tls)
        for warning in registry.warnings:
            say(warning, style="yellow")
        cluster = registry
    else:
        from mmctl.mesh import MeshCluster

        cluster = MeshCluster(found.endpoints, found.tls, _whereabouts(target))
    try:
        yield cluster
    finally:
        await cluster.close()


def _whereabouts(target: Target) -> Callable[[], tuple[str, ...]] | None:
    """Where the instances of the mesh on this machine are by now, when ``target`` means that: an upgrade moves them."""
    if local_state(target) is None:
        return None
    home = Home(target.data_dir or default_data_dir())

    def now() -> tuple[str, ...]:
        state = home.read()
        return state.endpoints if state is not None else ()

    return now


def _with_service(target: Target) -> Target:
    if not target.service:
        raise Usage("--kv-store needs --service too, the MM_SERVICE_NAME of the mesh")
    return Target(kv_store=target.kv_store, service=target.service, prefix=target.prefix, tls=target.tls)


def _of_local(home: Home, target: Target) -> Target:
    state = home.read()
    if state is None or not state.is_up:
        raise Unavailable(f"no mesh is up in {home.path}: start it with `mmctl up --data-dir {home.path}`")
    if target.service or target.prefix:
        raise Usage("--service and --prefix belong to --kv-store; the mesh on this machine knows its own")
    if not state.endpoints:
        raise Unavailable(f"no instance of the mesh in {home.path} runs any more: `mmctl restart` brings them back")
    return Target(endpoints=state.endpoints)


def _of_context(name: str) -> Target:
    """The context called ``name``, or the current one."""
    kept = contexts.read()
    if not kept.contexts:
        raise Usage(f"{contexts.config_file()}: there is no context in it; `mmctl context set` makes one")
    chosen = name or kept.current
    if not chosen:
        names = ", ".join(kept.contexts)
        raise Usage(f"{contexts.config_file()}: which context? give --context, or `mmctl context use` one of {names}")
    try:
        return of_context(chosen, kept.get(chosen))
    except NotFound as error:
        raise Usage(str(error)) from None  # the command line is wrong about it, or the file about its current one


def of_context(name: str, values: Any) -> Target:
    """The cluster that ``values``, as they stand in the file, mean; raises Usage."""
    return _target(f"{contexts.config_file()}: context {name!r}", values)


def _target(where: str, values: Any) -> Target:
    if not isinstance(values, dict):
        raise Usage(f"{where}: an object with endpoint, or with kv_store and service")
    for field in values:
        if field not in CONTEXT_FIELDS:
            raise Usage(f"{where}: unknown field {field!r}; {nearest(str(field), CONTEXT_FIELDS)}")
    endpoint = values.get("endpoint") or []
    endpoints = [endpoint] if isinstance(endpoint, str) else endpoint
    texts = [
        *(endpoints if isinstance(endpoints, list) else [None]),
        *(values.get(field) or "" for field in CONTEXT_FIELDS[1:]),
    ]
    if not all(isinstance(text, str) for text in texts):
        raise Usage(f"{where}: every field is a text; endpoint may be a list of texts")
    if bool(endpoints) == bool(values.get("kv_store")):
        raise Usage(f"{where}: either endpoint, or kv_store and service")
    tls = Tls(**{field: values.get(field) or "" for field in _TLS_FIELDS})
    if endpoints:
        return Target(endpoints=parse_endpoints(endpoints), tls=tls)
    service, prefix = values.get("service") or "", values.get("prefix") or ""
    return _with_service(Target(kv_store=values["kv_store"], service=service, prefix=prefix, tls=tls))
