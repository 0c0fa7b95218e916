"""Models that are registered, used and unregistered one after the other, each step through another instance."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc

from tests.client import Client
from tests.processes import Instance, Mesh

WORKERS = 4
USES = 3
PREFIX = "churn-"


@contextmanager
def steady_mesh(directory: Path, instances: str, models: Sequence[str]) -> Iterator[Mesh]:
    """A mesh of instances with names of a letter each, where ``models`` are loaded and there is room for many more."""
    with Mesh(directory, {"MM_MIN_CHURN_AGE_MS": "0"}) as mesh:
        for name in instances:
            mesh.fake(name, "--capacity=512MiB", "--size=1MiB", "--loading-concurrency=8")
        mesh.start()
        for model in models:
            mesh[instances[0]].client.register(model, "fake:?size=1MiB&infer_ms=20", load=True)
        yield mesh


class Churn:
    """``run`` goes through a number of models; what failed of it is in ``failures``."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        self._addresses = [instance.address for instance in instances]
        self.failures: list[str] = []
        self.done = 0
        self._count = 0
        self._lock = threading.Lock()

    def run(self, models: int, per_minute: int = 0) -> None:
        """So many more models, evenly spread over time; ``per_minute`` 0: as fast as it goes."""
        until, since = self._count + models, (time.monotonic(), self._count)
        threads = [threading.Thread(target=self._work, args=(until, since, per_minute)) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, until: int, since: tuple[float, int], per_minute: int) -> None:
        clients = [Client(address) for address in self._addresses]
        try:
            while (number := self._next(until)) is not None:
                if per_minute:
                    due_at = since[0] + (number - since[1]) * 60 / per_minute
                    time.sleep(max(0.0, due_at - time.monotonic()))
                self._live(number, clients)
        finally:
            for client in clients:
                client.close()

    def _next(self, until: int) -> int | None:
        with self._lock:
            if self._count == until:
                return None
            self._count += 1
            return self._count - 1

    def _live(self, number: int, clients: Sequence[Client]) -> None:
        """One model from its registration to its end."""
        model, count = f"{PREFIX}{number}", len(clients)
        try:
            clients[number % count].register(model, "fake:?size=1MiB")
            for use in range(USES):
                clients[(number + use) % count].infer(model)
            clients[(number + 1) % count].unregister(model)
            with self._lock:
                self.done += 1
        except grpc.RpcError as error:
            self.failures.append(f"{model}: {error!r}")
