"""The API of this project's own: meshd.v1, as far as it is built; the rest answers UNIMPLEMENTED."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from meshcore.asks import Asked, Done, Failed, Kept, Op, Register, Request, Status, StatusInfo, Unregister
from meshcore.errors import BadRecord, InvalidRequest, MeshError
from meshcore.node import Node
from meshcore.vmodel_asks import AskVModel
from meshd.accounting import complete
from meshd.codes import TO_GRPC, TO_NUMBER
from meshd.config import Config
from meshd.counting import Counting, census_message
from meshd.draining import Draining
from meshd.fanout import Fanout
from meshd.listing import ListGone, Listing, Page
from meshd.management import Management
from meshd.messages import model_message
from meshd.reach import Reach
from meshd.rollcall import RollCall
from meshd.settings_api import SettingsApi
from meshd.store.connect import StoreConfig
from meshd.tables import Models, VModels
from meshd.vmodel_api import asked_by_v1, info_message, vmodel_info
from protos import meshd_pb2 as wire
from protos import meshd_pb2_grpc as stubs

METHODS = (
    "Info", "Register", "Unregister", "GetModel", "ListModels", "ListInstances", "ListCopies", "Census",
    "ListVModels", "SetVModel", "Explain", "Decisions", "Drain", "GetSettings", "SetSetting",
)  # fmt: skip

AT_ONCE = 128
"""Requests of one stream that are worked on together: as many as go into one commit of the store."""


class MeshV1(stubs.MeshServicer):  # type: ignore[misc]
    """Answers for the whole mesh from what this instance knows."""

    def __init__(
        self, node: Node, management: Management, config: Config, store: StoreConfig, reach: Reach,
        settings: SettingsApi, draining: Draining, fanout: Fanout,
    ) -> None:  # fmt: skip
        self._node, self._management, self._config, self._settings = node, management, config, settings
        self._store, self._reach = store, reach
        self._models, self._vmodels = Listing(Models(node)), Listing(VModels(node))
        self._draining, self._fanout = draining, fanout
        self._rollcall, self._counting = RollCall(node, fanout), Counting(node)

    async def Info(self, request: Any, context: Any) -> Any:
        """Who answers."""
        me = self._node.identity
        return wire.InfoResponse(
            version=me.build, instance=me.instance, service=self._config.service_name, data_plane=me.data_plane,
            start_ms=me.start_ms, store="memory" if self._store.etcd is None else "etcd",
            store_available=bool(self._reach) and not self._node.outage.refusal, revision=self._node.view.revision,
            phase=self._node.publisher.phase, methods=METHODS, read_only=self._node.is_read_only,
            leader=self._node.upkeep.leader,
        )  # fmt: skip

    async def Register(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """Register each model of the stream."""
        async for result in self._each(requests, self._register):
            yield result

    async def _register(self, index: int, request: Any) -> Any:
        spec = request.model
        kept = Kept(
            spec.size_bytes, dict(spec.labels), spec.min_copies, spec.max_copies, spec.pinned,
            spec.priority if spec.HasField("priority") else 5,
        )  # fmt: skip
        asked = Register(
            spec.name, spec.type, spec.path, spec.key, kept, should_load=request.load, last_used=request.last_used_ms,
            expected=request.expected_revision if request.HasField("expected_revision") else None,
            is_trial=request.dry_run,
        )  # fmt: skip
        outcome = await self._info(asked)
        if isinstance(outcome, MeshError):
            return wire.RegisterResult(name=spec.name, code=TO_NUMBER[outcome.code], text=outcome.text, index=index)
        return wire.RegisterResult(
            name=spec.name, created=outcome.is_new, changed=outcome.is_changed, status=outcome.status.value,
            revision=outcome.mod, index=index,
        )  # fmt: skip

    async def Unregister(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """Unregister each model of the stream."""
        async for result in self._each(requests, self._unregister):
            yield result

    async def _unregister(self, index: int, request: Any) -> Any:
        expected = request.expected_revision if request.HasField("expected_revision") else None
        outcome = await self._info(Unregister(request.name, expected, request.dry_run))
        if isinstance(outcome, MeshError):
            return wire.UnregisterResult(
                name=request.name, code=TO_NUMBER[outcome.code], text=outcome.text, index=index
            )
        return wire.UnregisterResult(name=request.name, existed=outcome.is_changed, index=index)

    async def _each(self, requests: AsyncIterator[Any], work: Callable[[int, Any], Any]) -> AsyncIterator[Any]:
        """The results in the order of the requests, up to AT_ONCE of them under way."""
        under_way: asyncio.Queue[asyncio.Task[Any]] = asyncio.Queue()
        places = asyncio.Semaphore(AT_ONCE)
        tasks: set[asyncio.Task[Any]] = set()

        async def read() -> None:
            index = 0
            async for request in requests:
                await places.acquire()
                task = asyncio.create_task(work(index, request))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                under_way.put_nowait(task)
                index += 1

        reading = asyncio.create_task(read())
        reading.add_done_callback(under_way.put_nowait)
        try:
            while (task := await under_way.get()) is not reading:
                yield await task
                places.release()
            await reading
        finally:
            for task in (reading, *tasks):  # nobody would hear of these
                task.cancel()

    async def GetModel(self, request: Any, context: Any) -> Any:
        """One model, or NOT_FOUND."""
        outcome = await self._info(Request(request.name, Op.STATUS))
        if isinstance(outcome, BadRecord):
            return model_message(request.name, None, self._node.view.mod(request.name), None, outcome.text)
        if isinstance(outcome, MeshError):
            await context.abort(TO_GRPC[outcome.code], outcome.text)
            raise AssertionError("abort returned")
        record = self._node.desk.record(request.name)
        if outcome.status is Status.NOT_FOUND or record is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.name!r} is registered")
        return model_message(request.name, record, self._node.view.mod(request.name), outcome, "")

    async def ListModels(self, request: Any, context: Any) -> Any:
        """One page of the registry."""
        page = await _page(self._models, request, context)
        return wire.ListModelsResponse(
            models=page.items, next_page_token=page.next_token, revision=page.revision, total=page.total
        )

    async def ListVModels(self, request: Any, context: Any) -> Any:
        """One page of the virtual models."""
        page = await _page(self._vmodels, request, context)
        return wire.ListVModelsResponse(
            vmodels=page.items, next_page_token=page.next_token, revision=page.revision, total=page.total
        )

    async def SetVModel(self, request: Any, context: Any) -> Any:
        """Have one or several models answer for a name."""
        try:
            asked = asked_by_v1(request)
        except MeshError as error:
            await context.abort(TO_GRPC[error.code], error.text)
            raise AssertionError("abort returned") from error
        return info_message(request.name, await vmodel_info(self._management, asked, context))

    async def ListInstances(self, request: Any, context: Any) -> Any:
        """Every instance whose record can be read."""
        instances = await self._rollcall.instances(request.ask)
        return wire.ListInstancesResponse(instances=instances, revision=self._node.view.revision)

    async def ListCopies(self, request: Any, context: Any) -> Any:
        """What one instance holds."""
        return await self._rollcall.copies(request, context)

    async def Census(self, request: Any, context: Any) -> Any:
        """How many models there are in which state."""
        return census_message(await self._counting.count())

    async def Explain(self, request: Any, context: Any) -> Any:
        """One model, or those that answer for a virtual one, and why they are where they are, or NOT_FOUND."""
        name = request.model
        if self._node.view.mod(name) or not self._node.vmodels.mod(name):
            return await self._explained(name, context)
        info = await vmodel_info(self._management, AskVModel(name), context)
        models = [info.active, *([info.target] if info.target not in ("", info.active) else [])]
        response, *following = await asyncio.gather(*(self._explained(model, context) for model in models))
        response.vmodel.CopyFrom(info_message(name, info))
        for one in following:
            response.next.CopyFrom(one)
        return response

    async def _explained(self, model: str, context: Any) -> Any:
        found = await self.GetModel(wire.GetModelRequest(name=model), context)
        response = await self._fanout.explain(model)
        response.model.CopyFrom(found)
        complete(response, self._node, model)
        return response

    async def Decisions(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """What the instances of the mesh decided, and what they do."""
        try:
            async for reason in self._fanout.decisions(request):
                yield reason
        except InvalidRequest as wrong:
            await context.abort(TO_GRPC[wrong.code], wrong.text)

    async def Drain(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """An instance, this one or another, is taken out of the mesh, or gets no loads for a while."""
        async for progress in self._draining.anywhere(request, context):
            yield progress

    async def GetSettings(self, request: Any, context: Any) -> Any:
        """The settings of this instance."""
        if request.instance not in ("", self._node.me):
            text = f"this is {self._node.me}: ask {request.instance} itself for its settings"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, text)
        try:
            return wire.GetSettingsResponse(settings=self._settings.get(request.names))
        except MeshError as error:
            await context.abort(TO_GRPC[error.code], error.text)
            raise AssertionError("abort returned") from error

    async def SetSetting(self, request: Any, context: Any) -> Any:
        """One setting for all instances."""
        try:
            return await self._settings.set(request.name, request.value if request.HasField("value") else None)
        except MeshError as error:
            await context.abort(TO_GRPC[error.code], error.text)
            raise AssertionError("abort returned") from error

    async def _info(self, asked: Asked) -> StatusInfo | MeshError:
        end = await self._management.run(asked)
        match end:
            case Done(StatusInfo() as info):
                return info
            case Failed(error):
                return error
            case _:
                return InvalidRequest(f"no status came of this: {end}")


async def _page(listing: Listing, request: Any, context: Any) -> Page:
    if request.page_size < 0:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"page_size is {request.page_size}; allowed: 0 and more")
    try:
        return listing.page(request.filter, request.page_size, request.page_token)
    except ListGone:
        await context.abort(grpc.StatusCode.OUT_OF_RANGE, "this list is not kept any more; begin again without a token")
    raise AssertionError("abort returned")
