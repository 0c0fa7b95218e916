"""A mesh in the test's own process: real instances on real ports, one memory store, fake runtimes to look into."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from meshcore.kv import ANY, DELETE, Kv, Write
from meshd import config as configuration
from meshd.app import App
from meshd.config import Host
from meshd.store.memory import MemoryHub
from protos import meshd_internal_pb2 as internal
from protos import meshd_internal_pb2_grpc, meshd_pb2
from runtimes import sdk
from runtimes.behaviour import Behaviour
from runtimes.fake import Fake
from runtimes.gate import Gate
from tests.client import GUARD_S, Client, Secure, connect
from tests.processes import free_port, got, series, until

T = TypeVar("T")
MIB = 1 << 20


@dataclass(slots=True)
class Instance:
    """One instance: its runtime to look into, its app, and clients of its ports."""

    name: str
    fake: Any
    app: App
    task: asyncio.Task[None]
    client: Client
    peer: grpc.Channel
    """A connection to the mesh port."""
    port: int
    mesh_port: int
    probe_port: int
    metrics_port: int

    def ready(self) -> tuple[int, str]:
        """What /ready answers."""
        return got(f"http://127.0.0.1:{self.probe_port}/ready")

    def metrics(self) -> dict[str, float]:
        """Every series by its name with labels."""
        return series(self.metrics_port)


class Mesh:
    """Instances ``i0``, ``i1`` … on an event loop in a thread of their own; tests talk to them from outside."""

    def __init__(self) -> None:
        self.hub = MemoryHub()
        self.instances: list[Instance] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._ending = AsyncExitStack()

    def __getitem__(self, number: int) -> Instance:
        return self.instances[number]

    @property
    def client(self) -> Client:
        """A client of the first instance."""
        return self.instances[0].client

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something on the instances' own loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(GUARD_S)

    def at_end(self, end: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have something ended once the instances have."""
        self._ending.push_async_callback(end)

    # -- the store -------------------------------------------------------------------------------------------

    def kv(self, use: Callable[[Kv], T]) -> T:
        """What ``use`` makes of the store."""

        async def used() -> T:
            found = use(self.hub.kv)
            self.hub.tell()
            return found

        return self.run(used())

    def value(self, key: str) -> bytes | None:
        """What stands under a key of the service."""
        pairs = self.kv(lambda kv: kv.read([f"/mm/test/{key}"]).pairs)
        return pairs[0].value if pairs else None

    def record(self, model: str) -> dict[str, Any] | None:
        """The model's record as it stands in the store."""
        value = self.value(f"registry/{model}")
        return None if value is None else json.loads(value)

    def put(self, key: str, value: bytes) -> None:
        """Write as somebody else would, below the service's prefix."""
        self.kv(lambda kv: kv.commit([Write(f"/mm/test/{key}", ANY, value)], 0))

    def delete(self, key: str) -> None:
        """Delete as somebody else would."""
        self.kv(lambda kv: kv.commit([Write(f"/mm/test/{key}", ANY, DELETE)], 0))

    # -- between instances -----------------------------------------------------------------------------------

    @property
    def key(self) -> bytes:
        """What instances of this mesh know each other by."""
        key = self.value("meshd/key")
        assert key is not None
        return key

    def copy(self, model: str, number: int, *, sync: bool = True) -> None:
        """Have a copy loaded on this instance, whoever else has one; ``sync``: until it is."""
        others = [instance.name for instance in self.instances if instance is not self[number]]
        stub = meshd_internal_pb2_grpc.MeshStub(self[number].peer)
        kind = internal.EnsureLoadedRequest.LOAD
        asked = internal.EnsureLoadedRequest(
            protocol=1, model=model, kind=kind, sync=sync, exclude=others, origin="test"
        )
        metadata = (("mm-i-v", "1"), ("mm-i-key-bin", self.key))
        reply = stub.EnsureLoaded(asked, metadata=metadata, timeout=GUARD_S)
        expected = meshd_pb2.Model.Status.LOADED if sync else meshd_pb2.Model.Status.LOADING
        assert reply.outcome.status == expected, reply

    @contextmanager
    def held(self, what: str, *numbers: int) -> Iterator[Callable[[], int]]:
        """The runtimes of these instances (none: of all) begin no ``load``, or no ``answer``, before the block is left;
        how many they hold."""
        fakes = [self[number].fake for number in numbers or range(len(self.instances))]
        gate = Gate()
        gate.shut()

        def behind(begin: Callable[..., Any]) -> Callable[..., Any]:
            async def passed(*given: Any) -> Any:
                await gate.passed()
                return await begin(*given)

            return passed

        async def let() -> None:
            gate.open()

        for fake in fakes:
            setattr(fake, what, behind(getattr(fake, what)))
        try:
            yield lambda: gate.waiting
        finally:
            for fake in fakes:
                delattr(fake, what)
            self.run(let())

    # -- instances -------------------------------------------------------------------------------------------

    def add(
        self,
        *,
        capacity: int = 1024 * MIB,
        default: Behaviour | None = None,
        runtime: type[Fake] = Fake,
        secure: Secure | None = None,
        wait: bool = True,
        **settings: str,
    ) -> Instance:
        """Another instance on a runtime of this type; ``wait`` until it and all others know each other.

        ``secure`` is how its ports are spoken to where ``settings`` say that they have TLS.
        """
        name = f"i{len(self.instances)}"
        instance = self.run(self._add(name, runtime(capacity, default or Behaviour(), name), settings, secure))
        self.instances.append(instance)
        if wait:
            self.settle()
        return instance

    def settle(self) -> None:
        """Wait until all that run are ready and know each other."""
        for instance in self.instances:
            until(lambda instance=instance: instance.ready()[0] == 200 or instance.task.done(), "ready")  # type: ignore[misc]
        running = [instance for instance in self.instances if not instance.task.done()]
        names = {instance.name for instance in running}
        for instance in running:
            known = instance.client.instances
            until(lambda known=known: names <= known().keys(), f"{instance.name} knows {names}")  # type: ignore[misc]

    def stop(self, number: int) -> None:
        """End an instance in good order."""

        async def stop() -> None:
            self[number].app.stop.set()
            await self[number].task

        self.run(stop())

    async def _add(self, name: str, fake: Fake, settings: Mapping[str, str], secure: Secure | None) -> Instance:
        running = await self._ending.enter_async_context(sdk.serving(fake, sdk.Listen(port=0), grace_s=0))
        port, mesh_port, probe_port, metrics_port = (free_port() for _ in range(4))
        env = {
            "MM_SERVICE_NAME": "test",
            "MM_KVSTORE_PREFIX": "mm",
            "KV_STORE": "memory",
            "MM_INSTANCE_ID": name,
            "MM_BIND": "127.0.0.1",
            "MM_SVC_GRPC_PORT": str(port),
            "MM_MESH_PORT": str(mesh_port),
            "MM_PROBE_PORT": str(probe_port),
            "MM_PRESTOP_WAIT_PORT": "NONE",
            "MM_METRICS": f"prometheus:port={metrics_port};scheme=http",
            "INTERNAL_GRPC_PORT": running.address.rpartition(":")[2],
            **settings,
        }
        app = App(configuration.read(env, Host("host", "127.0.0.1", "0000")), self.hub)
        task = asyncio.create_task(app.run())
        client, peer = Client(f"127.0.0.1:{port}", secure), connect(f"127.0.0.1:{mesh_port}", secure)
        return Instance(name, fake, app, task, client, peer, port, mesh_port, probe_port, metrics_port)

    # -- the test --------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        for instance in self.instances:
            instance.client.close()
            instance.peer.close()
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(GUARD_S)
        self._loop.close()

    async def _end(self) -> None:
        for instance in self.instances:
            instance.task.cancel()
            await asyncio.gather(instance.task, return_exceptions=True)
        await self._ending.aclose()


@contextmanager
def mesh(instances: int = 1, **options: Any) -> Iterator[Mesh]:
    """``instances`` of them, all alike (see ``Mesh.add``), ended with the block."""
    made = Mesh()
    made.start()
    try:
        for _ in range(instances):
            made.add(wait=False, **options)
        made.settle()
        yield made
    finally:
        made.end()
