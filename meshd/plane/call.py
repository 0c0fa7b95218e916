"""One inference call, tried on one copy after another until an answer begins."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import grpc
import grpc.aio

from meshcore.asks import Answered, Forward, Infer, Outcome, Refused, RuntimeFailed, Unreachable, Verdict
from meshcore.errors import Code
from meshd import request_id
from meshd.codes import from_grpc
from meshd.memory import LARGE_BYTES
from meshd.metrics import Metrics
from meshd.plane import internal
from meshd.plane.copies import LocalCopies, Overloaded
from meshd.plane.metadata import Metadata, for_client, for_peer, for_runtime
from meshd.plane.methods import Methods
from meshd.plane.splice import Malformed, inject

_log = logging.getLogger(__name__)

Convert = Callable[[bytes], bytes]

OVERLOADED = "Model queue overload"


class Serving(Protocol):
    """What serves inference beside this instance."""

    @property
    def serving(self) -> Any: ...  # a channel


class Sent(Protocol):
    """What the client sends. ``can_repeat``: all that was passed on is kept, so it can be passed on once more."""

    count_bytes: int
    has_outgrown: bool

    @property
    def can_repeat(self) -> bool: ...
    @property
    def is_done(self) -> bool: ...  # whether the client has said all that it will
    def close(self) -> None: ...


class Carrier(Protocol):
    """What a call needs of the plane that carries it."""

    me: str
    key: bytes
    runtime: Serving
    methods: Methods
    copies: LocalCopies
    metrics: Metrics
    logs_each_request: bool
    large_calls: int

    def channel(self, instance: str) -> Any | None: ...
    def sent(self, instance: str) -> None: ...
    def returned(self, instance: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Ended:
    """How the runtime ended a call: its status, and the metadata that the client is yet to see."""

    status: grpc.StatusCode = grpc.StatusCode.OK
    text: str = ""
    initial: Metadata = ()
    trailing: Metadata = ()
    body: bytes = b""
    """The one message of a unary answer."""


class InferenceCall(ABC):
    """A client's call, or another instance's: what it sends, where it was tried, what it was answered."""

    def __init__(self, plane: Carrier, path: str, metadata: Metadata, context: Any, sent: Sent) -> None:
        self._plane, self._path, self._metadata, self._context = plane, path, metadata, context
        self.sent = sent
        self._loop = asyncio.get_running_loop()
        self.given_s: float | None = context.time_remaining()
        """How long the client gave it when it came; None: any time."""
        self._deadline = None if self.given_s is None else self._loop.time() + self.given_s
        self.vmodel = ""
        """The virtual model that the client named, if it named one."""
        self.has_begun = False
        """Whether the client has seen anything of an answer."""
        self.has_waited = False
        self.reply_bytes: int | None = None
        self.waited_ms = 0.0
        """For loads here."""
        self.service_ms: float | None = None
        """What the runtime here worked for it last; None: it was not asked."""
        self.model = ""
        """The model that it was last tried on."""
        self._waits_since: float | None = None
        self._tries = 0

    def close(self) -> None:
        """The call is over."""
        self._plane.metrics.counters.unretained += self.sent.has_outgrown
        self._plane.large_calls += max(self.sent.count_bytes, self.reply_bytes or 0) >= LARGE_BYTES
        self.sent.close()

    def waits(self) -> None:
        """The request begins to wait for a load here: a cold start."""
        self.has_waited = True
        self._waits_since = self._loop.time()

    async def infer(self, step: Infer) -> Outcome:
        """Call the runtime here, once it is this call's turn."""
        plane = self._plane
        try:
            copy = plane.copies.begin(step.model, step.gen)
        except Overloaded:
            return RuntimeFailed(Code.RESOURCE_EXHAUSTED, OVERLOADED, is_retryable=self.sent.can_repeat)
        if copy is None:
            return self._refused()
        is_running, began = copy.admit(), self._loop.time()
        try:
            if not is_running:
                is_running, waits_since = await copy.turn(), began
                began = self._loop.time()
                plane.metrics.queue_delay.observe((began - waits_since) * 1000, step.model)
            return await self._timed(step.model) if is_running else self._refused()
        finally:
            plane.copies.end(copy, is_running, self._loop.time() - began)

    async def _timed(self, model: str) -> Outcome:
        self._try(model)
        if self._plane.logs_each_request:
            _log.info("invoking model runtime: %s of %s", self._path, model)
        began, code = self._loop.time(), "CANCELLED"
        try:
            outcome = await self._inferred(model)
            code = _status_name(outcome)
            return outcome
        finally:
            self.service_ms = (self._loop.time() - began) * 1000
            self._plane.metrics.invoke_model(self._path, code, self.service_ms, model, self.vmodel)

    async def _inferred(self, model: str) -> Answered | RuntimeFailed:
        plane = self._plane
        path, id_bytes = plane.methods.injection_path(self._path), model.encode()
        convert: Convert | None = None
        if path:
            convert = lambda message: inject(message, path, id_bytes)  # noqa: E731
        plane.sent(plane.me)
        try:
            return Answered(await self._relay(plane.runtime.serving, for_runtime(self._metadata, model), convert))
        except grpc.aio.AioRpcError as error:
            method, code, details = self._path.removeprefix("/"), error.code().name, error.details()
            return self._failed(error, f"{method}: {code}: {details}" if details else f"{method}: {code}")
        except Malformed as error:
            text = f"{self._path.removeprefix('/')}: UNKNOWN: {error}"
            return RuntimeFailed(Code.UNKNOWN, text, is_retryable=self.sent.can_repeat)
        finally:
            plane.returned(plane.me)

    async def forward(self, step: Forward) -> Outcome:
        """Pass the call on to another instance."""
        plane = self._plane
        channel = plane.channel(step.instance)
        if channel is None:
            return Unreachable("not known any more", is_retryable=self.sent.can_repeat)
        named = ((request_id.HEADER, request_id.current()),)
        metadata = for_peer(self._metadata) + internal.to_metadata(step.request, plane.key) + named
        self._try(step.request.model)
        plane.sent(step.instance)
        plane.metrics.counters.forwarded += 1
        try:
            return Answered(await self._relay(channel, metadata, None))
        except grpc.aio.AioRpcError as error:
            trailers = error.trailing_metadata() or ()
            self._note_wait(trailers)
            refused = internal.from_trailers(trailers)
            if refused is not None:
                return replace(refused, is_retryable=self.sent.can_repeat)
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED and not _is_answer(error):
                can_repeat = self.sent.can_repeat and not self.has_begun
                return Unreachable(error.details() or "connection lost", can_repeat)
            return self._failed(error, error.details() or "")
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            can_repeat = self.sent.can_repeat and not self.has_begun
            return Unreachable("the connection was closed", can_repeat)
        finally:
            plane.returned(step.instance)

    # -- one try ---------------------------------------------------------------------------------------

    @abstractmethod
    async def _relay(self, channel: Any, metadata: Metadata, convert: Convert | None) -> Ended:
        """One try: send the request, each message as ``convert`` makes it, and pass the answer on until it ends.

        Raises AioRpcError, Malformed.
        """

    async def _trailing(self, call: Any) -> Metadata:
        trailing = await call.trailing_metadata()
        self._note_wait(trailing)
        return for_client(trailing)

    # -- what came of it -------------------------------------------------------------------------------

    def _left_s(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - self._loop.time())

    def _refused(self) -> Refused:
        return Refused(Verdict.NOT_HERE, self._plane.me, is_retryable=self.sent.can_repeat)

    def _try(self, model: str) -> None:
        """One more try begins; what was waited for is over."""
        metrics = self._plane.metrics
        metrics.counters.retries += self._tries > 0
        self._tries += 1
        self.model = model
        if self._waits_since is not None:
            waited_ms = (self._loop.time() - self._waits_since) * 1000
            self.waited_ms += waited_ms
            metrics.cache_miss.observe(waited_ms, model)
            self._waits_since = None

    def _note_wait(self, trailers: Iterable[tuple[str, str | bytes]]) -> None:
        if any(name == internal.WAITED for name, _ in trailers):
            self.has_waited = True

    def _failed(self, error: grpc.aio.AioRpcError, text: str) -> Answered | RuntimeFailed:
        """The call ended with an error: the client's answer if one had begun, else up to the core."""
        initial = () if self.has_begun else for_client(error.initial_metadata() or ())
        ended = Ended(error.code(), text, initial, for_client(error.trailing_metadata() or ()))
        if self.has_begun:
            return Answered(ended)
        return RuntimeFailed(from_grpc(error.code()), text, ended, self.sent.can_repeat)


def is_cancelled() -> bool:
    """Whether whoever runs this is being cancelled, and not just a call that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _status_name(outcome: Answered | RuntimeFailed) -> str:
    if isinstance(outcome.reply, Ended):
        return str(outcome.reply.status.name)
    return outcome.code.name if isinstance(outcome, RuntimeFailed) else "OK"


def _is_answer(error: grpc.aio.AioRpcError) -> bool:
    """Whether an instance of this mesh sent this error and not the connection, or somebody else at its address: an
    instance marks all it sends."""
    return any(name == internal.ANSWER for name, _ in error.trailing_metadata() or ())
