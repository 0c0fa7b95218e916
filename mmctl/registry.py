"""A cluster through its registry in the store, whoever runs; an instance is found there when a call needs one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

import grpc

from meshcore import dynamic
from meshcore.asks import Kept, Register
from meshcore.census import Counted
from meshcore.dynamic import Dynamic
from meshcore.errors import BadRecord, MeshError, UnknownModel
from meshcore.kv import ABSENT, ANY, DELETE, Pair, Write
from meshcore.records import InstanceRecord, ModelRecord
from meshcore.registration import kept_of, registered_use, wanted_record, with_kept
from meshd.store.base import Store, StoreError, StoreUnavailable
from meshd.store.connect import StoreConfigError, open_store, parse_kv_store
from mmctl import vmodel_calls
from mmctl.asking import decisions, explain
from mmctl.batches import Edit, Editing, edited
from mmctl.endpoints import Endpoints, translated
from mmctl.errors import CommandError, Failed, NotFound, Unavailable, Usage, nearest
from mmctl.fleet import Fleet
from mmctl.model_records import SETTINGS, model_of, status_of
from mmctl.tls import NO_TLS, Tls
from mmctl.told import copies as held
from mmctl.upgrade.ledger import Ledger
from mmctl.upgrade.record import Upgrade
from mmctl.values import (
    Change,
    Drained,
    Held,
    Info,
    Instance,
    Loaded,
    Model,
    ModelFilter,
    Registered,
    Registration,
    Setting,
    Taking,
    Unregistered,
    VModel,
    VModelChange,
)
from protos import grpc_predict_v2_pb2 as v2

T = TypeVar("T")

DEFAULT_PREFIX = "tas-runtime"
CHECK_S = 4.0
"""So long a store may take to answer at all."""
PAGE = 1_000
"""Models read at once for a list."""
LOADS_AT_ONCE = 32
_KEPT = {"min_copies": "min_copies", "max_copies": "max_copies", "pinned": "is_pinned", "priority": "priority"}
"""The fields of a Change, and what Kept calls them."""


class RegistryCluster:
    """Reads and writes the records that instances go by, each by compare-and-set as they do themselves."""

    def __init__(self, kv_store: str, service: str, prefix: str = DEFAULT_PREFIX, tls: Tls = NO_TLS) -> None:
        """``kv_store`` is what meshd takes as KV_STORE, ``prefix`` as MM_KVSTORE_PREFIX; raises Usage.

        ``tls`` is how instances are reached; how etcd is, ``kv_store`` says.
        """
        try:
            config = parse_kv_store(kv_store)
        except StoreConfigError as error:
            raise Usage(str(error)) from None
        if config.etcd is None:
            raise Usage(f"{kv_store!r} is the memory of one process, which nobody else can reach")
        self.target = f"the registry of {service} in {kv_store}"
        self.warnings = config.warnings
        self._config = config
        self._service = service
        self._root = f"{config.root_prefix}/{prefix}/{service}"
        self._opened: Store | None = None
        self._tls = tls
        self._endpoints: Endpoints | None = None
        self._fleet = Fleet(self._store, self._root, self._asked)

    async def info(self) -> Info:
        found = await self._told((await self._store()).snapshot(f"{self._root}/leaderLatch/"))
        leader = min(found.pairs, key=lambda pair: pair.create, default=None)
        name = leader.value.decode("utf-8", "replace").partition("\n")[0].removeprefix("_") if leader else ""
        return Info(service=self._service, store="etcd", revision=found.revision, leader=name)

    async def register(self, registrations: Sequence[Registration], dry_run: bool) -> AsyncIterator[Registered]:
        now = int(time.time() * 1000)
        to_load: list[Registered] = []

        def edit(at: int, record: ModelRecord | None) -> ModelRecord:
            one = registrations[at]
            kept = Kept(one.size_bytes, dict(one.labels), one.min_copies, one.max_copies, one.pinned, one.priority)
            asked = Register(one.name, one.type, one.path, one.key, kept, should_load=one.load)
            return wanted_record(record, asked, registered_use(asked, now, SETTINGS), SETTINGS)

        async for at, result in self._edited([one.name for one in registrations], edit, dry_run):
            if registrations[at].load and not dry_run and not result.error:
                to_load.append(result)
            else:
                yield result
        for at in range(0, len(to_load), LOADS_AT_ONCE):
            for loaded in await asyncio.gather(*map(self._with_load, to_load[at : at + LOADS_AT_ONCE])):
                yield loaded

    async def change(self, names: Sequence[str], wanted: Change, dry_run: bool) -> AsyncIterator[Registered]:
        kept = {_KEPT[name]: value for name, value in wanted.given.items()}

        def edit(at: int, record: ModelRecord | None) -> ModelRecord:
            if record is None:
                raise UnknownModel(f"model {names[at]!r} is not registered")
            return with_kept(record, replace(kept_of(record), **kept))

        async for _, result in self._edited(names, edit, dry_run):
            yield result

    async def unregister(self, names: Sequence[str], dry_run: bool) -> AsyncIterator[Unregistered]:
        names = list(dict.fromkeys(names))

        def edit(at: int, pair: Pair | None) -> Edit[Unregistered]:
            name = names[at]
            with suppress(BadRecord):  # what cannot be read can still be removed
                if pair is not None and ModelRecord.decode(pair.value, name).references > 0:
                    text = f"Model {name} has referents"
                    return Edit(None, Unregistered(name, True, "FAILED_PRECONDITION", text))
            write = Write(pair.key, pair.mod, DELETE) if pair is not None and not dry_run else None
            return Edit(write, Unregistered(name, existed=pair is not None))

        def failed(at: int, code: str, text: str) -> Unregistered:
            return Unregistered(names[at], True, code, text)

        async for result in self._in_batches(names, Editing(edit, failed)):
            yield result

    async def get(self, name: str) -> Model:
        pair = (await self._read([name])).get(name)
        if pair is None:
            raise NotFound(f"model {name!r} is not registered")
        return model_of(name, pair, await self._instance_records())

    async def models(self, wanted: ModelFilter, limit: int) -> AsyncIterator[Model]:
        instances = await self._instance_records()
        prefix = f"{self._root}/registry/"
        after = ""
        given = 0
        while True:
            pairs = (await self._told((await self._store()).page(prefix + wanted.name_prefix, after, PAGE))).pairs
            for pair in pairs:
                model = model_of(pair.key.removeprefix(prefix), pair, instances)
                if not wanted.has_passed(model):
                    continue
                yield model
                given += 1
                if given == limit:
                    return
            if len(pairs) < PAGE:
                return
            after = pairs[-1].key

    async def count(self, wanted: ModelFilter) -> int:
        return sum([1 async for _ in self.models(wanted, 0)])

    async def instances(self, asked: bool = False) -> list[Instance]:
        return await self._told(self._fleet.instances(asked))

    async def census(self, load_timeout_ms: int) -> Counted:
        return await self._told(self._fleet.census(load_timeout_ms))

    async def upgrade(self) -> Upgrade | None:
        ledger = Ledger(await self._store(), self._root)
        found = await ledger.read()
        return replace(found, runner=await ledger.runner()) if found is not None and not found.phase.is_over else None

    async def copies(self, instance: str, most: int) -> Held:
        try:
            return await held(await self._asked(), instance, most)
        except grpc.aio.AioRpcError as error:
            raise translated(error) from None

    async def settings(self, names: Sequence[str]) -> list[Setting]:
        known = [_dynamic(name) for name in names] or dynamic.ALL
        keys = {f"{self._root}/config/{each.name}": each.name for each in known}
        found = await self._told((await self._store()).read(*keys))
        texts = {keys[pair.key]: pair.value.decode("utf-8", "backslashreplace").strip() for pair in found.pairs}
        return [_setting(each, texts.get(each.name)) for each in known]

    async def set_setting(self, name: str, value: str | None) -> Setting:
        known, text = _dynamic(name), None if value is None else value.strip()
        written = DELETE if text is None else text.encode()
        await self._told((await self._store()).commit(Write(f"{self._root}/config/{name}", ANY, written)))
        return _setting(known, text)

    async def take(self, instance: str, what: Taking, budget_ms: int) -> AsyncIterator[Drained]:
        async for told in (await self._asked()).take(instance, what, budget_ms):
            yield told

    async def load(self, name: str, wait: bool, timeout_s: float) -> Loaded:
        return await (await self._asked()).load(name, wait, timeout_s)

    async def vmodels(self) -> AsyncIterator[VModel]:
        prefix = f"{self._root}/vmodels/"
        for pair in (await self._told((await self._store()).snapshot(prefix))).pairs:
            yield vmodel_calls.from_record(pair.key.removeprefix(prefix), pair.value, pair.mod)

    async def vmodel(self, name: str) -> VModel:
        for pair in (await self._told((await self._store()).read(f"{self._root}/vmodels/{name}"))).pairs:
            return vmodel_calls.from_record(name, pair.value, pair.mod)
        raise NotFound(f"there is no virtual model {name!r}")

    async def set_vmodel(self, wanted: VModelChange, dry_run: bool, timeout_s: float) -> VModel:
        return await vmodel_calls.set_vmodel(await self._asked(), wanted, dry_run, timeout_s)

    async def delete_vmodel(self, name: str) -> None:
        await vmodel_calls.delete_vmodel(await self._asked(), name)

    async def infer(self, name: str, request: v2.ModelInferRequest, timeout_s: float) -> v2.ModelInferResponse:
        return await (await self._asked()).infer(name, request, timeout_s)

    async def explain(self, name: str) -> Any:
        try:
            return await explain(await self._asked(), name)
        except grpc.aio.AioRpcError as error:
            raise translated(error) from None

    async def decisions(self, wanted: Mapping[str, Any], last: int, follow: bool) -> AsyncIterator[Any]:
        async for reason in decisions(await self._asked(), wanted, last, follow):
            yield reason

    async def close(self) -> None:
        await self._fleet.close()
        if self._endpoints is not None:
            await self._endpoints.close()
        if self._opened is not None:
            await self._opened.close()

    async def _edited(
        self, names: Sequence[str], edit: Callable[[int, ModelRecord | None], ModelRecord], dry_run: bool
    ) -> AsyncIterator[tuple[int, Registered]]:
        """Have the records be what ``edit``, which raises MeshError, makes of them; each with the place of its name."""
        instances = await self._instance_records()

        def edit_pair(at: int, pair: Pair | None) -> Edit[tuple[int, Registered]]:
            name = names[at]
            try:
                record = ModelRecord.decode(pair.value, name) if pair else None
                wanted = edit(at, record)
            except MeshError as error:
                return Edit(None, failed(at, error.code.value, error.text))
            status = status_of(wanted, instances)
            result = Registered(name, created=record is None, changed=wanted != record, status=status)
            is_written = result.changed and not dry_run
            write = Write(self._key(name), pair.mod if pair else ABSENT, wanted.encode()) if is_written else None
            return Edit(write, (at, result))

        def failed(at: int, code: str, text: str) -> tuple[int, Registered]:
            return at, Registered(names[at], code=code, error=text)

        async for at, result in self._in_batches(names, Editing(edit_pair, failed)):
            yield at, result

    async def _in_batches(self, names: Sequence[str], how: Editing[T]) -> AsyncIterator[T]:
        store = await self._store()
        try:
            async with aclosing(edited(store, [self._key(name) for name in names], how)) as results:
                async for result in results:
                    yield result
        except StoreError as error:
            raise _error(error) from None

    async def _with_load(self, result: Registered) -> Registered:
        try:
            loaded = await self.load(result.name, wait=False, timeout_s=60.0)
        except Unavailable as error:
            return replace(result, code="UNAVAILABLE", error=f"registered, but not loaded: {error}")
        except CommandError as error:
            return replace(result, code="INTERNAL", error=f"registered, but not loaded: {error}")
        return replace(result, status=loaded.status)

    def _key(self, name: str) -> str:
        return f"{self._root}/registry/{name}"

    async def _read(self, names: Sequence[str]) -> dict[str, Pair]:
        keys = {self._key(name): name for name in names}
        found = await self._told((await self._store()).read(*keys))
        return {keys[pair.key]: pair for pair in found.pairs}

    async def _instance_records(self) -> dict[str, InstanceRecord]:
        return await self._told(self._fleet.records())

    async def _asked(self) -> Endpoints:
        """The instances that can be asked, those that are ready first."""
        ours = [instance for instance in await self.instances() if instance.grpc and not instance.is_java]
        ours.sort(key=lambda instance: (instance.phase != "ready", instance.id))
        if not ours:
            raise Unavailable(f"no instance of {self._service} is up that could be asked")
        if self._endpoints is None:
            self._endpoints = Endpoints([instance.grpc for instance in ours], self._tls)
        else:
            await self._endpoints.renew([instance.grpc for instance in ours])
        return self._endpoints

    async def _store(self) -> Store:
        if self._opened is None:
            self._opened = open_store(self._config, Random())
            await self._told(self._opened.check(CHECK_S))
        return self._opened

    async def _told(self, asked: Awaitable[T]) -> T:
        try:
            return await asked
        except StoreError as error:
            raise _error(error) from None


def _dynamic(name: str) -> Dynamic:
    known = dynamic.BY_NAME.get(name)
    if known is None:
        raise NotFound(f"the registry has no setting {name!r}; {nearest(name, dynamic.BY_NAME)}")
    return known


def _setting(known: Dynamic, text: str | None) -> Setting:
    origin = "" if text is None else "store"
    return Setting(known.name, text or "", "", origin, known.unit, known.meaning, dynamic=True)


def _error(error: StoreError) -> CommandError:
    return Unavailable(str(error)) if isinstance(error, StoreUnavailable) else Failed(str(error))
