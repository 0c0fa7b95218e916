"""A cluster through the API of its instances (meshd.v1)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import grpc

from meshcore.census import Counted
from mmctl import told, vmodel_calls
from mmctl.asking import decisions, explain
from mmctl.endpoints import CALL_S, Endpoints, has_gone, translated
from mmctl.errors import Failed, NotFound, Unavailable
from mmctl.tls import NO_TLS, Tls
from mmctl.upgrade.record import Upgrade
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
from protos import meshd_pb2 as pb
from protos import meshd_pb2_grpc as pb_grpc

T = TypeVar("T")

_PAGE = 1_000
_CHANGE_TURNS = 8
"""So often a change is tried on a model that others change at the same time."""


class MeshCluster:
    """Any instance answers for all; when one is not there, the next is asked."""

    def __init__(
        self, endpoints: Sequence[str], tls: Tls = NO_TLS, now: Callable[[], Sequence[str]] | None = None
    ) -> None:
        """``now`` tells where they are by now, for whoever asks for longer than instances stay."""
        self._endpoints = Endpoints(endpoints, tls, now)
        self.target = ", ".join(endpoints)

    async def info(self) -> Info:
        answer = await self._call(lambda stub: stub.Info(pb.InfoRequest(), timeout=CALL_S))
        return Info(
            service=answer.service,
            store=answer.store,
            version=answer.version,
            instance=answer.instance,
            data_plane=answer.data_plane,
            leader=answer.leader,
            revision=answer.revision,
            store_available=answer.store_available,
            read_only=answer.read_only,
        )

    async def register(self, registrations: Sequence[Registration], dry_run: bool) -> AsyncIterator[Registered]:
        def request(at: int) -> Any:
            one = registrations[at]
            spec = pb.ModelSpec(
                name=one.name,
                type=one.type,
                path=one.path,
                key=one.key,
                size_bytes=one.size_bytes,
                labels=dict(one.labels),
                min_copies=one.min_copies,
                max_copies=one.max_copies,
                pinned=one.pinned,
                priority=one.priority,
            )
            return pb.RegisterRequest(model=spec, load=one.load, dry_run=dry_run)

        async for at, result in self._stream(len(registrations), request, lambda stub, sent: stub.Register(sent)):
            yield _registered(registrations[at].name, result)

    async def change(self, names: Sequence[str], wanted: Change, dry_run: bool) -> AsyncIterator[Registered]:
        left = list(names)
        for turn in range(1, _CHANGE_TURNS + 1):
            requests = []
            for name in left:
                try:
                    model = await self._message(name)
                except NotFound as error:
                    yield Registered(name, code="NOT_FOUND", error=str(error))
                    continue
                if not model.spec.type:
                    text = model.failures[0].text if model.failures else "its record cannot be read"
                    yield Registered(name, code="FAILED_PRECONDITION", error=text)
                    continue
                for field, value in wanted.given.items():
                    setattr(model.spec, field, value)
                requests.append(
                    pb.RegisterRequest(
                        model=model.spec, expected_revision=model.revision, dry_run=dry_run,
                        last_used_ms=model.last_used_ms,
                    )
                )  # fmt: skip
            left = []
            async for at, result in self._stream(
                len(requests), requests.__getitem__, lambda stub, sent: stub.Register(sent)
            ):
                name = requests[at].model.name
                if _code(result.code) == "ABORTED" and turn < _CHANGE_TURNS:  # somebody else changed it meanwhile
                    left.append(name)
                else:
                    yield _registered(name, result)
            if not left:
                return

    async def unregister(self, names: Sequence[str], dry_run: bool) -> AsyncIterator[Unregistered]:
        def request(at: int) -> Any:
            return pb.UnregisterRequest(name=names[at], dry_run=dry_run)

        async for at, result in self._stream(len(names), request, lambda stub, sent: stub.Unregister(sent)):
            yield Unregistered(names[at], existed=result.existed, code=_code(result.code), error=_text(result))

    async def get(self, name: str) -> Model:
        return _model(await self._message(name))

    async def models(self, wanted: ModelFilter, limit: int) -> AsyncIterator[Model]:
        given = 0
        last = ""
        token = ""
        while True:
            page = await self._page(wanted, token, min(limit, _PAGE) if limit else _PAGE)
            if page is None:
                # The revision that the list was of has been compacted: on from the last name, as of a newer one.
                token = ""
                continue
            for model in page.models:
                if given and model.spec.name <= last:
                    continue
                yield _model(model)
                given += 1
                last = model.spec.name
                if given == limit:
                    return
            token = page.next_page_token
            if not token:
                return

    async def count(self, wanted: ModelFilter) -> int:
        page = await self._page(wanted, "", 1)
        if page is not None and page.HasField("total"):
            return int(page.total)
        return sum([1 async for _ in self.models(wanted, 0)])

    async def instances(self, asked: bool = False) -> list[Instance]:
        return await self._asked(told.instances(self._endpoints, asked))

    async def census(self, load_timeout_ms: int) -> Counted:
        return await self._asked(told.census(self._endpoints))

    async def upgrade(self) -> Upgrade | None:
        return None

    async def copies(self, instance: str, most: int) -> Held:
        return await self._asked(told.copies(self._endpoints, instance, most))

    async def settings(self, names: Sequence[str]) -> list[Setting]:
        request = pb.GetSettingsRequest(names=names)
        answer = await self._call(lambda stub: stub.GetSettings(request, timeout=CALL_S))
        return [_setting(setting) for setting in answer.settings]

    async def set_setting(self, name: str, value: str | None) -> Setting:
        request = pb.SetSettingRequest(name=name, value=value)
        return _setting(await self._call(lambda stub: stub.SetSetting(request, timeout=CALL_S)))

    async def take(self, instance: str, what: Taking, budget_ms: int) -> AsyncIterator[Drained]:
        async for progress in self._endpoints.take(instance, what, budget_ms):
            yield progress

    async def load(self, name: str, wait: bool, timeout_s: float) -> Loaded:
        return await self._endpoints.load(name, wait, timeout_s)

    def vmodels(self) -> AsyncIterator[VModel]:
        return vmodel_calls.list_vmodels(self._endpoints)

    async def vmodel(self, name: str) -> VModel:
        async for vmodel in vmodel_calls.list_vmodels(self._endpoints, name):
            if vmodel.name == name:
                return vmodel
        raise NotFound(f"there is no virtual model {name!r}")

    async def set_vmodel(self, wanted: VModelChange, dry_run: bool, timeout_s: float) -> VModel:
        return await vmodel_calls.set_vmodel(self._endpoints, wanted, dry_run, timeout_s)

    async def delete_vmodel(self, name: str) -> None:
        await vmodel_calls.delete_vmodel(self._endpoints, name)

    async def infer(self, name: str, request: v2.ModelInferRequest, timeout_s: float) -> v2.ModelInferResponse:
        return await self._endpoints.infer(name, request, timeout_s)

    async def explain(self, name: str) -> Any:
        return await self._asked(explain(self._endpoints, name))

    async def decisions(self, wanted: Mapping[str, Any], last: int, follow: bool) -> AsyncIterator[Any]:
        async for reason in decisions(self._endpoints, wanted, last, follow):
            yield reason

    async def close(self) -> None:
        await self._endpoints.close()

    async def _call(self, call: Callable[[Any], Awaitable[Any]]) -> Any:
        return await self._asked(self._endpoints.call(lambda channel: call(pb_grpc.MeshStub(channel))))

    async def _asked(self, asking: Awaitable[T]) -> T:
        try:
            return await asking
        except grpc.aio.AioRpcError as error:
            raise self._translated(error) from None

    async def _message(self, name: str) -> Any:
        try:
            return await self._call(lambda stub: stub.GetModel(pb.GetModelRequest(name=name), timeout=CALL_S))
        except NotFound:
            raise NotFound(f"model {name!r} is not registered") from None

    async def _page(self, wanted: ModelFilter, token: str, size: int) -> Any:
        """One page; None when its token is of a revision that is gone."""
        request = pb.ListModelsRequest(filter=_filter(wanted), page_size=size, page_token=token)
        try:
            return await self._endpoints.call(
                lambda channel: pb_grpc.MeshStub(channel).ListModels(request, timeout=CALL_S * 6)
            )
        except grpc.aio.AioRpcError as error:
            if token and error.code() is grpc.StatusCode.OUT_OF_RANGE:
                return None
            raise self._translated(error) from None

    async def _stream(
        self, total: int, request: Callable[[int], Any], open_stream: Callable[[Any, AsyncIterator[Any]], Any]
    ) -> AsyncIterator[tuple[int, Any]]:
        """Each request's place and result; what an instance did not answer before it went is asked of the next."""
        left = dict.fromkeys(range(total))
        reasons = []
        async for address, channel in self._endpoints.each():
            order = list(left)
            try:
                async for result in open_stream(pb_grpc.MeshStub(channel), _sent(order, request)):
                    at = order[result.index]
                    del left[at]
                    yield at, result
            except grpc.aio.AioRpcError as error:
                if not has_gone(error):
                    raise self._translated(error) from None
                reasons.append(f"{address}: {error.details() or 'unavailable'}")
            if not left:
                return
        missing = f"{len(left):,} of {total:,} not answered"
        raise Unavailable(f"{missing}; {'; '.join(reasons) or 'the stream ended early'}")

    def _translated(self, error: grpc.aio.AioRpcError) -> Exception:
        if error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INVALID_ARGUMENT) and "mm-model-id" in (
            error.details() or "mm-model-id"
        ):
            # A mesh without this API takes the call for one of inference.
            return Failed(f"{self._endpoints.addresses[0]} does not speak meshd.v1; --kv-store reaches its registry")
        return translated(error)


async def _sent(order: Sequence[int], request: Callable[[int], Any]) -> AsyncIterator[Any]:
    for at in order:
        yield request(at)


def _filter(wanted: ModelFilter) -> pb.ModelFilter:
    status = [wanted.status.upper()] if wanted.status else []
    return pb.ModelFilter(
        type=wanted.type, status=status, instance=wanted.instance, labels=dict(wanted.labels),
        name_prefix=wanted.name_prefix,
    )  # fmt: skip


def _status(number: int) -> Status:
    name = pb.Model.Status.Name(number).lower() if number in pb.Model.Status.values() else "unknown"
    return Status.NOT_LOADED if name == "not_found" else Status(name)


def _registered(name: str, result: Any) -> Registered:
    return Registered(
        name,
        created=result.created,
        changed=result.changed,
        status=_status(result.status),
        code=_code(result.code),
        error=_text(result),
    )


def _setting(setting: Any) -> Setting:
    return Setting(
        setting.name,
        setting.value,
        setting.default_value,
        setting.origin,
        setting.unit,
        setting.meaning,
        setting.dynamic,
    )


def _code(number: int) -> str:
    return next((code.name for code in grpc.StatusCode if code.value[0] == number), str(number))


def _text(result: Any) -> str:
    return (result.text or _code(result.code)) if result.code else ""


def _model(model: Any) -> Model:
    states = {pb.Copy.LOADING: Status.LOADING, pb.Copy.LOADED: Status.LOADED}
    return Model(
        name=model.spec.name,
        type=model.spec.type,
        path=model.spec.path,
        key=model.spec.key,
        size_bytes=model.spec.size_bytes,
        labels=dict(sorted(model.spec.labels.items())),
        min_copies=model.spec.min_copies,
        max_copies=model.spec.max_copies,
        pinned=model.spec.pinned,
        priority=model.spec.priority if model.spec.HasField("priority") else 5,
        status=_status(model.status),
        copies=tuple(
            Copy(copy.instance, copy.load_ts_ms, states.get(copy.state, Status.UNKNOWN)) for copy in model.copies
        ),
        failures=tuple(Failure(failure.instance, failure.at_ms, failure.text) for failure in model.failures),
        last_used_ms=model.last_used_ms,
        references=model.references,
        auto_delete=model.auto_delete,
        revision=model.revision,
        unsatisfied=tuple(model.unsatisfied),
    )
