"""A cluster through its registry in the store, whoever runs; an instance is found there when a call needs one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

import grpc

from meshcore import dynamic
from meshcore.asks import Kept, Register
from meshcore.census import Counted
from meshcore.dynamic import Dynamic
from meshcore.errors import BadRecord, MeshError, UnknownModel
from meshcore.kv import ABSENT, ANY, DELETE, MOST_WRITES, Conflict, Pair, Write
from meshcore.records import InstanceRecord, ModelRecord
from meshcore.registration import kept_of, registered_use, wanted_record, with_kept
from meshcore.settings import Settings
from meshcore.units import age_ms
from meshd.store.base import Store, StoreError, StoreUnavailable
from meshd.store.connect import StoreConfigError, open_store, parse_kv_store
from mmctl import vmodel_calls
from mmctl.asking import decisions, explain
from mmctl.endpoints import Endpoints, translated
from mmctl.errors import CommandError, Failed, NotFound, Unavailable, Usage, nearest
from mmctl.fleet import Fleet
from mmctl.tls import NO_TLS, Tls
from mmctl.told import copies as held
from mmctl.values import (
    Change,
    Copy,
    Drained,
    Failure,
    Held,
    Info,
    Instance,
    Loaded,
    Model,
    ModelFilter,
    Registered,
    Registration,
    Setting,
    Status,
    Taking,
    Unregistered,
    VModel,
    VModelChange,
)
from protos import grpc_predict_v2_pb2 as v2

T = TypeVar("T")

DEFAULT_PREFIX = "tas-runtime"
_CHECK_S = 4.0
_SETTINGS = Settings()
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
        instances = await self._instance_records()
        for at in range(0, len(registrations), MOST_WRITES):
            batch = registrations[at : at + MOST_WRITES]
            pairs = await self._read([one.name for one in batch])
            tasks = [self._register(one, pairs.get(one.name), instances, dry_run) for one in batch]
            for done in asyncio.as_completed(tasks):
                yield await done

    async def change(self, names: Sequence[str], wanted: Change, dry_run: bool) -> AsyncIterator[Registered]:
        kept = {_KEPT[name]: value for name, value in wanted.given.items()}
        instances = await self._instance_records()
        for at in range(0, len(names), MOST_WRITES):
            batch = names[at : at + MOST_WRITES]
            pairs = await self._read(batch)
            tasks = [self._change(name, pairs.get(name), kept, instances, dry_run) for name in batch]
            for done in asyncio.as_completed(tasks):
                yield await done

    async def unregister(self, names: Sequence[str], dry_run: bool) -> AsyncIterator[Unregistered]:
        for at in range(0, len(names), MOST_WRITES):
            batch = list(dict.fromkeys(names[at : at + MOST_WRITES]))
            pairs = await self._read(batch)
            tasks = [self._unregister(name, pairs.get(name), dry_run) for name in batch]
            for done in asyncio.as_completed(tasks):
                yield await done

    async def get(self, name: str) -> Model:
        pair = (await self._read([name])).get(name)
        if pair is None:
            raise NotFound(f"model {name!r} is not registered")
        return _model(name, pair, await self._instance_records())

    async def models(self, wanted: ModelFilter, limit: int) -> AsyncIterator[Model]:
        instances = await self._instance_records()
        prefix = f"{self._root}/registry/"
        given = 0
        for pair in (await self._told((await self._store()).snapshot(prefix))).pairs:
            model = _model(pair.key.removeprefix(prefix), pair, instances)
            if not wanted.has_passed(model):
                continue
            yield model
            given += 1
            if given == limit:
                return

    async def count(self, wanted: ModelFilter) -> int:
        return sum([1 async for _ in self.models(wanted, 0)])

    async def instances(self, asked: bool = False) -> list[Instance]:
        return await self._told(self._fleet.instances(asked))

    async def census(self, load_timeout_ms: int) -> Counted:
        return await self._told(self._fleet.census(load_timeout_ms))

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

    async def _register(
        self, asked: Registration, pair: Pair | None, instances: dict[str, InstanceRecord], dry_run: bool
    ) -> Registered:
        kept = Kept(
            asked.size_bytes, dict(asked.labels), asked.min_copies, asked.max_copies, asked.pinned, asked.priority
        )
        register = Register(asked.name, asked.type, asked.path, asked.key, kept, should_load=asked.load)
        last_used = registered_use(register, int(time.time() * 1000), _SETTINGS)

        def edit(record: ModelRecord | None) -> ModelRecord:
            return wanted_record(record, register, last_used, _SETTINGS)

        result = await self._edited(asked.name, pair, edit, instances, dry_run)
        return await self._with_load(result) if asked.load and not dry_run and not result.error else result

    async def _change(
        self,
        name: str,
        pair: Pair | None,
        kept: dict[str, Any],
        instances: dict[str, InstanceRecord],
        dry_run: bool,
    ) -> Registered:
        def edit(record: ModelRecord | None) -> ModelRecord:
            if record is None:
                raise UnknownModel(f"model {name!r} is not registered")
            return with_kept(record, replace(kept_of(record), **kept))

        return await self._edited(name, pair, edit, instances, dry_run)

    async def _edited(
        self,
        name: str,
        pair: Pair | None,
        edit: Callable[[ModelRecord | None], ModelRecord],
        instances: dict[str, InstanceRecord],
        dry_run: bool,
    ) -> Registered:
        """Write what ``edit`` makes of the record that stands there, whoever else writes it; it raises MeshError."""
        while True:
            try:
                record = ModelRecord.decode(pair.value, name) if pair else None
                wanted = edit(record)
            except MeshError as error:
                return Registered(name, code=error.code.value, error=error.text)
            if wanted == record or dry_run:
                break
            write = Write(self._key(name), pair.mod if pair else ABSENT, wanted.encode())
            try:
                done = await (await self._store()).commit(write)
            except StoreError as error:
                return Registered(name, code=_store_code(error), error=str(error))
            if not isinstance(done, Conflict):
                break
            pair = done.pairs[0]
        status = _status(wanted, _live(wanted, instances), int(time.time() * 1000))
        return Registered(name, created=record is None, changed=wanted != record, status=status)

    async def _with_load(self, result: Registered) -> Registered:
        try:
            loaded = await self.load(result.name, wait=False, timeout_s=60.0)
        except Unavailable as error:
            return replace(result, code="UNAVAILABLE", error=f"registered, but not loaded: {error}")
        except CommandError as error:
            return replace(result, code="INTERNAL", error=f"registered, but not loaded: {error}")
        return replace(result, status=loaded.status)

    async def _unregister(self, name: str, pair: Pair | None, dry_run: bool) -> Unregistered:
        while pair is not None:
            try:
                with suppress(BadRecord):  # what cannot be read can still be removed
                    if ModelRecord.decode(pair.value, name).references > 0:
                        return Unregistered(name, True, "FAILED_PRECONDITION", f"Model {name} has referents")
                if dry_run:
                    break
                done = await (await self._store()).commit(Write(self._key(name), pair.mod, DELETE))
            except StoreError as error:
                return Unregistered(name, True, _store_code(error), str(error))
            if not isinstance(done, Conflict):
                break
            pair = done.pairs[0]
        return Unregistered(name, existed=pair is not None)

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
            await self._told(self._opened.check(_CHECK_S))
        return self._opened

    async def _told(self, asked: Awaitable[T]) -> T:
        try:
            return await asked
        except StoreUnavailable as error:
            raise Unavailable(str(error)) from None
        except StoreError as error:
            raise Failed(str(error)) from None


def _dynamic(name: str) -> Dynamic:
    known = dynamic.BY_NAME.get(name)
    if known is None:
        raise NotFound(f"the registry has no setting {name!r}; {nearest(name, dynamic.BY_NAME)}")
    return known


def _setting(known: Dynamic, text: str | None) -> Setting:
    origin = "" if text is None else "store"
    return Setting(known.name, text or "", "", origin, known.unit, known.meaning, dynamic=True)


def _store_code(error: StoreError) -> str:
    return "UNAVAILABLE" if isinstance(error, StoreUnavailable) else "FAILED_PRECONDITION"


def _live(record: ModelRecord, instances: dict[str, InstanceRecord]) -> list[Copy]:
    """Copies on instances that are there and have not started anew since, newest first."""
    copies = [
        Copy(name, load_ts, Status.LOADED if record.is_ready(name) else Status.LOADING)
        for name, load_ts in record.copies.items()
        if name in instances and instances[name].is_ours and load_ts >= instances[name].start_ms
    ]
    return sorted(copies, key=lambda copy: (-copy.load_ts_ms, copy.instance))


def _failures(record: ModelRecord) -> list[Failure]:
    failures = [Failure(name, failure.at, failure.text) for name, failure in record.failures.items()]
    return sorted(failures, key=lambda failure: (-failure.at_ms, failure.instance))


def _status(record: ModelRecord, copies: list[Copy], now: int) -> Status:
    if copies:
        return Status.LOADED if any(copy.state is Status.LOADED for copy in copies) else Status.LOADING
    is_failing = any(age_ms(failure.at, now) < _SETTINGS.failure_expiry_ms for failure in record.failures.values())
    return Status.LOADING_FAILED if is_failing else Status.NOT_LOADED


def _model(name: str, pair: Pair, instances: dict[str, InstanceRecord]) -> Model:
    now = int(time.time() * 1000)
    try:
        record = ModelRecord.decode(pair.value, f"registry/{name}")
    except BadRecord as error:
        return Model(name, "", Status.UNKNOWN, failures=(Failure("", 0, error.text),), revision=pair.mod)
    copies = _live(record, instances)
    return Model(
        name=name,
        type=record.type,
        path=record.path,
        key=record.key,
        size_bytes=record.size_bytes,
        labels=dict(sorted(record.labels.items())),
        min_copies=record.min_copies,
        max_copies=record.max_copies,
        pinned=record.is_pinned,
        priority=record.priority,
        status=_status(record, copies, now),
        copies=tuple(copies),
        failures=tuple(_failures(record)),
        last_used_ms=record.last_used,
        references=record.references,
        auto_delete=record.auto_delete,
        revision=pair.mod,
    )
