"""What is looked at: a mesh by all the ways to it that are known, each asked once however many checks want it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from meshd.store.connect import StoreConfig, StoreConfigError, parse_kv_store
from mmctl.cluster import Cluster
from mmctl.connect import Target, local_state, opened, resolve
from mmctl.doctor.check import NotLooked
from mmctl.doctor.etcd_look import Etcd, EtcdLook
from mmctl.doctor.reach import Reached, Way, reach
from mmctl.errors import CommandError, Unavailable
from mmctl.health import Examiner, Health
from mmctl.local.state import MESHD, State
from mmctl.registry import DEFAULT_PREFIX
from mmctl.tls import Tls
from mmctl.values import Info, Instance, Setting


@dataclass
class Subject:
    """``kv_store`` empty: nobody said where the registry is. ``cluster`` None: ``no_cluster`` says why. ``env`` is what
    an instance is started with, as far as that is known; ``is_env_given``: somebody wants it to be judged."""

    kv_store: str = ""
    service: str = ""
    prefix: str = DEFAULT_PREFIX
    cluster: Cluster | None = None
    no_cluster: str = ""
    local: State | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    is_env_given: bool = False
    tls: Tls = field(default_factory=Tls)
    endpoints: tuple[str, ...] = ()
    _asked: dict[str, asyncio.Future[Any]] = field(default_factory=dict)
    _ends: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def store(self) -> StoreConfig:
        """Where the registry is. Raises NotLooked."""
        try:
            return self.read_store()
        except StoreConfigError:
            raise NotLooked("KV_STORE cannot be read (kv-store)") from None

    def read_store(self) -> StoreConfig:
        """The same; raises StoreConfigError for a KV_STORE that makes no sense."""
        if not self.kv_store:
            raise NotLooked("where its etcd is, is not known: give --kv-store and --service, or --env-file")
        config = parse_kv_store(self.kv_store)
        if config.etcd is None:
            raise NotLooked("the store is the memory of one process")
        return config

    def root(self) -> str:
        """What all keys of the mesh begin with."""
        if not self.service:
            raise NotLooked("the name of the mesh is not known: give --service")
        return f"{self.store().root_prefix}/{self.prefix}/{self.service}/"

    def look(self) -> EtcdLook:
        """Bare access to the etcd, closed with the subject. Raises NotLooked."""
        config = self.store()
        assert config.etcd is not None
        look = EtcdLook(config.etcd, self.root())
        self._ends.append(look.close)
        return look

    async def etcd(self) -> Etcd:
        """What is to be seen of the etcd."""

        async def see() -> Etcd:
            return await self.look().see()

        found: Etcd = await self.once("etcd", see)
        return found

    async def live_etcd(self) -> Etcd:
        """The same of one that answers; raises NotLooked."""
        etcd = await self.etcd()
        if not etcd.is_there:
            raise NotLooked("no endpoint of etcd answers (etcd-reachable)")
        return etcd

    async def info(self) -> Info:
        """Who answers."""
        found: Info = await self.once("info", lambda: self.mesh().info())
        return found

    async def instances(self) -> list[Instance]:
        """All instances, Java pods among them."""
        found: list[Instance] = await self.once("instances", lambda: self.mesh().instances())
        return found

    async def health(self) -> Health:
        """What `mmctl status` says; all models are gone through for it."""

        async def look() -> Health:
            return await Examiner(self.mesh(), lambda: self.local).look()

        found: Health = await self.once("health", look)
        return found

    async def settings(self) -> dict[str, Setting]:
        """The settings of the instance that answers, or what the registry says, by name."""
        found: list[Setting] = await self.once("settings", lambda: self.mesh().settings([]))
        return {setting.name: setting for setting in found}

    async def reached(self) -> dict[str, Reached]:
        """The ports of each instance of ours, as they answer from here."""

        async def ask() -> dict[str, Reached]:
            instances = [each for each in await self.instances() if not each.is_java]
            ways = [self._way(each, await self.settings()) for each in instances]
            return dict(zip((each.id for each in instances), await asyncio.gather(*map(reach, ways)), strict=True))

        found: dict[str, Reached] = await self.once("reached", ask)
        return found

    def mesh(self) -> Cluster:
        """The mesh itself; raises NotLooked."""
        if self.cluster is None:
            raise NotLooked(self.no_cluster)
        return self.cluster

    async def close(self) -> None:
        """Give up what was opened for it."""
        for asked in self._asked.values():
            asked.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)
        for end in self._ends:
            await end()

    def _way(self, instance: Instance, settings: Mapping[str, Setting]) -> Way:
        known = {service.instance: service for service in self.local.of_role(MESHD)} if self.local else {}
        service = known.get(instance.id)
        said = settings.get("MM_PROBE_PORT")
        port = str(service.ports["probe"]) if service else said.value if said else ""
        host = (instance.address or instance.grpc).rpartition(":")[0]
        probes = f"{host}:{port}" if host and port.isdigit() and int(port) else ""
        tls = self.tls if self.tls.is_said or any(map(self.tls.is_for, self.endpoints)) else None
        return Way(instance.grpc, instance.address, instance.http, probes, tls)

    async def once(self, what: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        """The same answer for all who ask; one of them that gives up ends it for nobody else."""
        if what not in self._asked:
            self._asked[what] = asyncio.ensure_future(ask())
        return await asyncio.shield(self._asked[what])


@asynccontextmanager
async def examined(target: Target, env: Mapping[str, str]) -> AsyncIterator[Subject]:
    """What ``target`` and the environment of an instance name, until the end of the block.

    Raises Unavailable when neither names anything.
    """
    local, subject = local_state(target), Subject(is_env_given=bool(env))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(subject.close)
        try:
            found = resolve(target)
        except Unavailable as error:
            if not env.get("KV_STORE"):
                raise
            found, subject.no_cluster = Target(), f"{error}; MM_SERVICE_NAME in the environment names one too"
            if service := env.get("MM_SERVICE_NAME"):
                found = replace(
                    target, kv_store=env["KV_STORE"], service=service, prefix=env.get("MM_KVSTORE_PREFIX", "")
                )
        subject.tls, subject.endpoints = found.tls, found.endpoints
        own = next((service.env for service in local.of_role(MESHD)), {}) if local else {}
        subject.local = local
        subject.env = env or own
        subject.kv_store = found.kv_store or subject.env.get("KV_STORE", "")
        subject.service = found.service or subject.env.get("MM_SERVICE_NAME", "")
        subject.prefix = found.prefix or subject.env.get("MM_KVSTORE_PREFIX", "") or DEFAULT_PREFIX
        if found != Target():
            try:
                subject.cluster = await stack.enter_async_context(opened(found))
            except CommandError as error:
                subject.no_cluster = f"the mesh cannot be asked: {error}"
        yield subject
