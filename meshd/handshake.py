"""The first talk with the model runtime: where it is, when it is ready, and what it says of itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import grpc
import grpc.aio

from meshcore.capacity import CacheParams
from protos import model_runtime_pb2 as spi

SERVICES = ("mmesh.ModelRuntime", "com.ibm.watson.tas.internal.proto.ModelServer")
"""The runtime's service, and the name it had before, under which old runtimes serve it still."""

STATUS_LIMIT_S = 30
"""A runtime may unload all that it has before it says READY, so a slow answer is let come."""

NOT_STARTED = "Model server container did not start after {:g} seconds"

SIZE_MOST = 2**62
"""Nothing is larger; above this a size is a mistake, most often a negative number."""

STATES = {number: name for name, number in spi.RuntimeStatusResponse.Status.items()}

_log = logging.getLogger(__name__)


class RuntimeUnusable(Exception):
    """The runtime did not get ready, or what it says of itself cannot be worked with."""


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """What a runtime says of itself when it is ready.

    ``method_infos``: for each method it serves, as ``package.Service/Method``, the path of field numbers at which a
    request takes the model's id. None at all: every method is served.
    """

    target: str
    params: CacheParams
    method_infos: Mapping[str, tuple[int, ...]]
    allow_any_method: bool
    limits_concurrency: bool
    version: str


class Candidate:
    """A place where the runtime may be. ``answer`` is what it said last, ``service`` the name that it answers to."""

    def __init__(self, target: str, channel: Any) -> None:
        self.target = target
        self.channel = channel
        self.service = SERVICES[0]
        self.answer = "nothing"

    async def poll(self, poll_s: float) -> Any:
        """Ask until it is ready; returns the status that says so. Raises RuntimeUnusable when it cannot get ready."""
        while True:
            status = await self._ask()
            if status is not None:
                return status
            await asyncio.sleep(poll_s)

    async def _ask(self) -> Any:
        before = self.answer
        for self.service in SERVICES:
            method = method_of(self.channel, self.service, "runtimeStatus", spi.RuntimeStatusResponse)
            try:
                status = await method(spi.RuntimeStatusRequest(), timeout=STATUS_LIMIT_S)
            except grpc.aio.AioRpcError as error:
                self.answer = error_text(error)
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    continue
                break
            if status is None:
                raise RuntimeUnusable(f"the runtime at {self.target} answers what is no RuntimeStatusResponse")
            self.answer = STATES.get(status.status, f"the unknown state {status.status}")
            if self.answer == "READY":
                return status
            if self.answer != "STARTING":
                raise RuntimeUnusable(f"the runtime at {self.target} answers {self.answer}")
            break
        if self.answer != before:
            _log.info("waiting for the runtime at %s, which answers %s", self.target, self.answer)
        return None


async def first_ready(
    candidates: list[Candidate], limit_s: float, poll_s: float, min_churn_age_ms: int
) -> tuple[Candidate, RuntimeInfo]:
    """The candidate that is ready first, with what it says of itself. Raises RuntimeUnusable."""
    polls = {asyncio.create_task(candidate.poll(poll_s)): candidate for candidate in candidates}
    try:
        done, _ = await asyncio.wait(polls, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)
    for poll, candidate in polls.items():
        if poll in done:
            return candidate, _info(candidate.target, poll.result(), min_churn_age_ms)
    answers = "; ".join(f"{candidate.target} answers {candidate.answer}" for candidate in candidates)
    raise RuntimeUnusable(f"{NOT_STARTED.format(limit_s)}: {answers}")


def method_of(channel: Any, service: str, name: str, reply: Any) -> Any:
    """What calls one of the runtime's management methods; an answer that cannot be read is None."""
    return channel.unary_unary(
        f"/{service}/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=reply.FromString,
    )


def error_text(error: Any) -> str:
    """An AioRpcError as ``CODE: description``; UNKNOWN, which says nothing, is left out."""
    code, details = error.code().name, error.details() or ""
    if code == "UNKNOWN" and details:
        return str(details)
    return f"{code}: {details}" if details else code


def _info(target: str, status: Any, min_churn_age_ms: int) -> RuntimeInfo:
    try:
        for name in ("capacityInBytes", "defaultModelSizeInBytes"):
            if getattr(status, name) > SIZE_MOST:
                raise ValueError(f"The model server reports {name} = {getattr(status, name)}; it must be less")
        params = CacheParams.from_runtime(
            capacity_bytes=status.capacityInBytes,
            load_threads=status.maxLoadingConcurrency,
            load_timeout_ms=status.modelLoadingTimeoutMs,
            default_size_bytes=status.defaultModelSizeInBytes,
            limits_concurrency=status.limitModelConcurrency,
            min_churn_age_ms=min_churn_age_ms,
        )
    except ValueError as error:
        raise RuntimeUnusable(f"{error} ({target})") from error
    return RuntimeInfo(
        target,
        params,
        MappingProxyType({name: tuple(info.idInjectionPath) for name, info in status.methodInfos.items()}),
        status.allowAnyMethod,
        status.limitModelConcurrency,
        status.runtimeVersion,
    )
