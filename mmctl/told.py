"""What an instance tells of the mesh beside the models that are asked for: its instances, their copies, the census."""

from __future__ import annotations

from typing import Any

from meshcore.census import Counted, FailedModel, ShortModel, StuckLoad
from mmctl.endpoints import CALL_S, Endpoints
from mmctl.values import Held, HeldCopy, Instance, InstanceNow
from protos import meshd_pb2 as pb
from protos import meshd_pb2_grpc as pb_grpc


async def instances(endpoints: Endpoints, asked: bool) -> list[Instance]:
    """All of them by id, as any of them knows them; raises grpc.aio.AioRpcError and Unavailable, as all here."""
    request = pb.ListInstancesRequest(ask=asked)
    answer = await endpoints.call(lambda channel: pb_grpc.MeshStub(channel).ListInstances(request, timeout=CALL_S))
    return sorted((_instance(instance) for instance in answer.instances), key=lambda instance: instance.id)


async def copies(endpoints: Endpoints, instance: str, most: int) -> Held:
    """What ``instance`` holds, the most used ``most`` of it."""
    request = pb.ListCopiesRequest(instance=instance, most=most)
    answer = await endpoints.call(lambda channel: pb_grpc.MeshStub(channel).ListCopies(request, timeout=CALL_S))
    held = tuple(
        HeldCopy(
            model=copy.model,
            state=copy.state,
            load_ts_ms=copy.load_ts_ms,
            size_bytes=copy.size_bytes,
            last_used_ms=copy.last_used_ms,
            in_flight=copy.in_flight,
            queued=copy.queued,
            requests_per_minute=copy.requests_per_minute,
        )
        for copy in answer.copies
    )
    return Held(held, answer.total)


async def census(endpoints: Endpoints) -> Counted:
    """The models as any instance counts them."""
    request = pb.CensusRequest()
    answer = await endpoints.call(lambda channel: pb_grpc.MeshStub(channel).Census(request, timeout=CALL_S))
    return Counted(
        registered=answer.registered,
        loaded=answer.loaded,
        loading=answer.loading,
        failed=answer.failed,
        unreadable=answer.unreadable,
        stuck=answer.stuck,
        short=answer.short,
        copies=answer.copies,
        failed_models=tuple(
            FailedModel(each.model, each.instance, each.at_ms, each.text) for each in answer.failed_models
        ),
        stuck_loads=tuple(StuckLoad(each.model, each.instance, each.since_ms) for each in answer.stuck_loads),
        short_models=tuple(ShortModel(each.model, each.copies, each.min_copies) for each in answer.short_models),
        gone=tuple((each.instance, each.models) for each in answer.gone),
        revision=answer.revision,
        at_ms=answer.at_ms,
    )


def _instance(instance: Any) -> Instance:
    return Instance(
        id=instance.id,
        phase=instance.phase,
        grpc=instance.grpc,
        address=instance.address,
        http=instance.http,
        version=instance.version,
        data_plane=instance.data_plane,
        location=instance.location,
        zone=instance.zone,
        labels=tuple(instance.labels),
        start_ms=instance.start_ms,
        lru_ms=instance.lru_ms,
        models=instance.models,
        capacity_bytes=instance.capacity_bytes,
        lost_bytes=instance.lost_bytes,
        used_bytes=instance.used_bytes,
        load_threads=instance.load_threads,
        loads_in_progress=instance.loads_in_progress,
        rpm=instance.rpm,
        is_java=instance.is_java,
        cordoned=instance.cordoned,
        revision=instance.revision,
        now=_now(instance.now) if instance.HasField("now") else None,
        is_silent=instance.silent,
    )


def _now(now: Any) -> InstanceNow:
    return InstanceNow(
        seen_revision=now.seen_revision,
        requests_per_minute=now.requests_per_minute,
        load_timeout_ms=now.load_timeout_ms,
        store_away=now.store_away,
        leader=now.leader,
        going_until_ms=now.going_until_ms,
    )
