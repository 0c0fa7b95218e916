"""One instance as a process: everything is made here, in the order it starts, and ended in the reverse."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from importlib.metadata import version
from random import Random
from typing import Any

from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from meshcore.errors import BadRecord
from meshcore.events import Constrained, DrainAsked, Event, InstancesSeen, RegistrySeen, Started, VModelsSeen
from meshcore.me import Me
from meshcore.records import InstanceRecord
from meshcore.rules import with_eviction
from meshcore.upgrades import replica_set_of
from meshd import constraints_watch, servers, tls_watch, web
from meshd.api import ModelMeshApi
from meshd.clock import Clock
from meshd.config import Config
from meshd.draining import Draining
from meshd.driver import Driver
from meshd.ending import LAST_CALLS_S, Ending
from meshd.external import InferencePort, MeshPort
from meshd.fanout import Fanout
from meshd.handshake import RuntimeInfo, RuntimeUnusable
from meshd.journal import make_node
from meshd.latch import Latch
from meshd.management import Management
from meshd.memory import give_back
from meshd.mesh_api import MeshApi
from meshd.metrics import Metrics
from meshd.plane.inbound import Retained
from meshd.plane.methods import Methods
from meshd.plane.peer_calls import PeerCall, who_answers
from meshd.plane.python import PythonPlane
from meshd.reach import Guarded, Reach
from meshd.records import KEY_BYTES, Keys, Records, cluster_key, follow, follow_session, keep_key
from meshd.reflect import reflect
from meshd.renewal import RenewedRuntime
from meshd.selfsigned import server_context
from meshd.servers import bound_server, check_port
from meshd.settings.forms import StaticModel
from meshd.settings_api import SettingsApi
from meshd.spi import RuntimeClient
from meshd.start_error import StartError
from meshd.static_models import provide, wanted
from meshd.store.base import Session, Store, StoreError
from meshd.store.connect import open_store, parse_kv_store
from meshd.store.memory import MemoryHub
from meshd.tls import Tls
from meshd.trace import Tracer, start_tracer
from meshd.tuning import Tuning, check_enabled, follow_config
from meshd.v1 import MeshV1
from meshd.witness import Witness
from protos import meshd_internal_pb2_grpc, meshd_pb2_grpc

STORE_LIMIT_S = 3.0
"""With what a process takes to start, a store that is away ends it within five seconds."""
PEER_TRY_S = 2.0
USAGE_S = 1.0

_log = logging.getLogger(__name__)


class App:
    """One instance. ``stop`` set from outside ends it in order; ``hub`` is what instances in one process share where
    the store is memory."""

    def __init__(self, config: Config, hub: MemoryHub | None = None) -> None:
        self._config, self._hub = config, hub
        self.ending = Ending(config.shutdown_timeout_ms)
        self.stop = self.ending.stop
        self._missing = ["startup"]
        self._held_back: Callable[[], Sequence[str]] = tuple
        self._reach = Reach()
        self._failure: BaseException | None = None
        self._background: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        """Start, serve until ``stop``, end.

        Raises StartError, ListenError, TlsError, RuntimeUnusable, StoreError, BadRecord.
        """
        async with contextlib.AsyncExitStack() as ending:
            await self._serve(ending)

    async def _serve(self, ending: contextlib.AsyncExitStack) -> None:
        config, clock, rng = self._config, Clock(), Random(secrets.randbits(64))
        metrics = Metrics(config.metrics.has_full_names, config.metrics.is_per_model)
        tls = Tls(config)
        static = wanted(config)
        await self._open_probes(ending)
        self._check_ports()
        store_config = parse_kv_store(config.kv_store)
        for warning in store_config.warnings:
            _log.warning(warning)
        keys = Keys(store_config.root_prefix, config.kv_prefix, config.service_name)
        store = Guarded(open_store(store_config, rng, self._hub), self._reach, keys.cluster_key)
        ending.push_async_callback(store.close)
        await store.check(STORE_LIMIT_S)
        await check_enabled(store, keys)
        key = await cluster_key(store, keys, secrets.token_bytes(KEY_BYTES))
        await self._check_alone(store, keys, key, tls)
        runtime = RuntimeClient(
            config.runtime_targets, config.serving_target, max_message_bytes=config.max_message_bytes,
            min_churn_age_ms=config.min_churn_age_ms,
        )  # fmt: skip
        ending.push_async_callback(runtime.close)
        info = await self._unless_stopped(runtime.start())
        session = await ending.enter_async_context(store.session(config.lease_ttl_s))

        bind = config.bind
        mesh_server, mesh_port = bound_server(
            "MM_MESH_PORT", bind, config.mesh_port, servers.for_peers(config), tls.for_peers()
        )
        server, port = bound_server(
            "MM_SVC_GRPC_PORT", bind, config.external_port, servers.for_clients(config), tls.for_clients()
        )
        me = self._me(clock.now(), mesh_port, port)
        seed = rng.getrandbits(64)
        rules = with_eviction(config.eviction_policy)
        node, journal = make_node(config.journal_path, me, config.settings(), info.params, rules, seed)
        self._held_back = lambda: node.readiness.missing
        if journal is not None:
            ending.push_async_callback(journal.close)
        tracer = start_tracer(config, node, clock.now())
        if tracer is not None:
            ending.push_async_callback(tracer.close)
        methods = Methods(info.method_infos, info.allow_any_method)
        buffer = Retained(config.retry_buffer.request_bytes, config.retry_buffer.process_bytes)
        plane_rng = Random(rng.getrandbits(64))
        plane = PythonPlane(me.instance, key, runtime, methods, clock.now, plane_rng, metrics, buffer, tls.dialer)
        ending.push_async_callback(plane.close)
        records = Records(store, keys, me.instance)
        witness = Witness(node, metrics)
        driver = Driver(
            node, clock.now, self._renewed(runtime, metrics, plane, tracer), records, plane, lambda: PeerCall(plane),
            observe=lambda _: witness.catch_up(), on_depart=self.ending.departed.set,
            on_stop=self.ending.deregistered.set,
        )  # fmt: skip
        plane.serve_for(driver)
        ending.push_async_callback(driver.close)
        constraints = constraints_watch.File(config.type_constraints_path)
        held: list[Event] = [Constrained(constraints.first(config.type_constraints))]
        tell: Callable[[Event], None] = held.append
        tuning = Tuning(config, node, plane, lambda event: tell(event))
        latch = Latch(store, keys.leader_latch, session, me.instance, lambda event: tell(event), rng)
        self._reach.tell = lambda event: tell(event)
        await self._follow(ending, store, keys, session, lambda event: tell(event), tuning, rng)
        self._watch(keep_key(session, store, keys, key, plane.use_key, rng))
        self._watch(latch.follow())
        self._watch(latch.stand())
        self._watch(_account(driver))
        self._watch(give_back(lambda: plane.large_calls))
        self._watch(tls_watch.watch(tls, plane.redial))
        self._watch(constraints.watch(lambda found: driver.feed(Constrained(found))))

        management = Management(driver, plane)
        draining = Draining(node, self.ending, plane, driver.feed)
        meshd_internal_pb2_grpc.add_MeshServicer_to_server(MeshApi(node, management, plane, draining), mesh_server)
        mesh_server.add_generic_rpc_handlers((MeshPort(plane),))
        settings = SettingsApi(config, tuning, store, keys)
        v1 = MeshV1(node, management, config, store_config, self._reach, settings, draining, Fanout(node, plane))
        meshd_pb2_grpc.add_MeshServicer_to_server(v1, server)
        healthy = await self._add_health(server)
        inference = InferencePort(plane, metrics, time.monotonic, tracer)
        server.add_generic_rpc_handlers((ModelMeshApi(management), inference))
        await self._open_metrics(ending, witness, metrics, plane)
        # With its first step the node says in the store where it is: from then on it has to answer there.
        while held:
            driver.feed(held.pop(0))
        tell = driver.feed
        await mesh_server.start()
        ending.push_async_callback(mesh_server.stop, LAST_CALLS_S)
        self._watch(runtime.watch(driver.feed))
        if static:
            await self._provide(static, management, driver, clock)
        await server.start()
        ending.push_async_callback(server.stop, LAST_CALLS_S)
        driver.feed(Started())
        self.ending.can_begin(driver)
        self._missing.remove("startup")
        state = "ready" if not self._held_back() else "up"
        _log.info("%s is %s on port %d, for other instances on %d", me.instance, state, port, mesh_port)
        await self._stop_or_failure()
        latch.resign()

        async def leave() -> None:
            self._missing.append("this instance is going")
            await healthy.enter_graceful_shutdown()

        await self.ending.run(driver, plane, leave, self._failure is None)
        with contextlib.suppress(StoreError):
            await records.withdraw()

    # -- starting --------------------------------------------------------------------------------------

    def _me(self, start_ms: int, mesh_port: int, port: int) -> Me:
        config = self._config
        host = f"[{config.address}]" if ":" in config.address else config.address
        return Me(
            config.instance_id, start_ms, f"{host}:{mesh_port}", f"{host}:{port}",
            http=f"{host}:{config.metrics.port}" if config.metrics.is_on else "",
            location=config.location or config.address, zone=config.zone, labels=config.labels,
            version=config.version, build=config.service_version or version("meshd"),
            replica_set=replica_set_of(config.instance_id), is_read_only=config.is_read_only,
            vmodel_owner=config.default_vmodel_owner,
        )  # fmt: skip

    def _check_ports(self) -> None:
        """Fail before the store and the runtime are waited for, not after. Raises ListenError."""
        config = self._config
        check_port("MM_MESH_PORT", config.bind, config.mesh_port)
        check_port("MM_SVC_GRPC_PORT", config.bind, config.external_port)
        if config.metrics.is_on:
            check_port("MM_METRICS", config.bind, config.metrics.port)

    async def _check_alone(self, store: Store, keys: Keys, key: bytes, tls: Tls) -> None:
        """Refuse an instance id that another process answers under."""
        instance = self._config.instance_id
        found = await store.read(keys.instances + instance)
        for pair in found.pairs:
            with contextlib.suppress(BadRecord):  # no instance of ours wrote that
                address = InstanceRecord.decode(pair.value, pair.key).address
                if address and await who_answers(address, key, PEER_TRY_S, tls.dialer) == instance:
                    raise StartError(
                        f"another process answers as instance {instance} at {address}; "
                        "stop it, or set MM_INSTANCE_ID to another name"
                    )

    async def _follow(
        self, ending: contextlib.AsyncExitStack, store: Store, keys: Keys, session: Session,
        tell: Callable[[Event], None], tuning: Tuning, rng: Random,
    ) -> None:  # fmt: skip
        """Have ``tell`` told of the store from now on, and wait until it knows all that stands there now."""
        instances, models, vmodels, config = (asyncio.Event() for _ in range(4))
        self._watch(follow_config(store, keys, tuning, config, self._reach, rng))
        self._watch(follow(store, keys.instances, InstancesSeen, tell, instances, self._reach, rng))
        self._watch(follow(store, keys.registry, RegistrySeen, tell, models, self._reach, rng))
        self._watch(follow(store, keys.vmodels, VModelsSeen, tell, vmodels, self._reach, rng))
        self._watch(follow_session(session, tell, self._reach))
        ending.push_async_callback(self._end_background)
        for known in (instances, models, vmodels, config):
            await self._unless_stopped(known.wait())

    async def _provide(
        self, static: tuple[StaticModel, ...], management: Management, driver: Driver, clock: Clock
    ) -> None:
        """Have models there before clients are let in; where one is not to be had, leave nothing behind."""
        try:
            await self._unless_stopped(provide(static, management, clock.now))
        except StartError:
            driver.feed(DrainAsked())
            await self.ending.deregister(driver)
            raise

    async def _add_health(self, server: Any) -> Any:
        healthy = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
        await healthy.set("", health_pb2.HealthCheckResponse.SERVING)
        reflect(server)
        return healthy

    async def _open_probes(self, ending: contextlib.AsyncExitStack) -> None:
        config = self._config
        if config.probe_port is not None:
            app = web.probes(lambda: [*self._missing, *self._held_back()], lambda: self._failure is None)
            listener = await web.listen(app, "MM_PROBE_PORT", config.bind, config.probe_port)
            ending.push_async_callback(listener.close)
        if config.prestop_port is not None:
            app = web.prestop(self.ending.runtime_may_go, web.prestop_limit_s(config.shutdown_timeout_ms))
            listener = await web.listen(app, "MM_PRESTOP_WAIT_PORT", config.bind, config.prestop_port)
            ending.push_async_callback(listener.close)
        ending.callback(self.ending.stopped.set)

    async def _open_metrics(
        self, ending: contextlib.AsyncExitStack, witness: Witness, metrics: Metrics, plane: PythonPlane
    ) -> None:
        config = self._config
        if not config.metrics.is_on:
            return

        def exposition(names: Any) -> bytes:
            witness.scrape()
            metrics.retained(plane.buffer.used_bytes)
            return metrics.exposition(names)

        tls = server_context(config.address) if config.metrics.scheme == "https" else None
        listener = await web.listen(web.metrics(exposition), "MM_METRICS", config.bind, config.metrics.port, tls)
        ending.push_async_callback(listener.close)

    def _renewed(
        self, runtime: RuntimeClient, metrics: Metrics, plane: PythonPlane, tracer: Tracer | None
    ) -> RenewedRuntime:
        def renew(info: RuntimeInfo) -> None:
            plane.methods = Methods(info.method_infos, info.allow_any_method)

        return RenewedRuntime(runtime, metrics, self._missing, renew, self._give_up, tracer)

    # -- ending ----------------------------------------------------------------------------------------

    async def _end_background(self) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    # -- tasks -----------------------------------------------------------------------------------------

    def _watch(self, forever: Coroutine[Any, Any, None]) -> None:
        """Run something that must not end; if it does, so does this process."""
        task = asyncio.get_running_loop().create_task(forever)
        self._background.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        self._failure = error
        self.stop.set()

    async def _stop_or_failure(self) -> None:
        await self.stop.wait()
        if self._failure is not None:
            is_told = isinstance(self._failure, RuntimeUnusable)
            defect = None if is_told else self._failure
            _log.error("this instance cannot go on: %s", self._failure, exc_info=defect)

    async def _unless_stopped(self, wanted: Coroutine[Any, Any, Any]) -> Any:
        """The result of ``wanted``, unless this process is to stop first. Raises StartError."""
        stop, task = asyncio.ensure_future(self.stop.wait()), asyncio.ensure_future(wanted)
        try:
            await asyncio.wait((stop, task), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                why = f": {self._failure}" if self._failure is not None else ""
                raise StartError(f"stopped before it was ready{why}") from self._failure
            return task.result()
        finally:
            stop.cancel()
            task.cancel()

    def fail(self) -> BaseException | None:
        """What made it end, if it did not end by request."""
        return self._failure


async def _account(driver: Driver) -> None:
    """Tell the node what the plane served, also while there is nothing to decide."""
    while True:
        await asyncio.sleep(USAGE_S)
        driver.take_usage()
