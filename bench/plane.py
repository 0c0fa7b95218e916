"""CPU per request through an instance, beside the same call straight to the runtime: `python -m bench.plane`.

One instance and one runtime as processes; unary calls of about 100 bytes, 16 at a time, to a model that is loaded here.
CPU is what the operating system charged to the process in question, so a busy machine changes little.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine
from pathlib import Path

import grpc.aio

from protos import grpc_predict_v2_pb2 as v2
from protos import model_mesh_pb2 as mmesh
from protos import model_mesh_pb2_grpc as mmesh_grpc
from tests.etcd import free_port

BODY = v2.ModelInferRequest(model_name="bench", raw_input_contents=[b"x" * 90]).SerializeToString()
KNOWN, ANY = "/inference.GRPCInferenceService/ModelInfer", "/bench.Echo/Call"
"""A method that is known to be unary, and one of which the plane learns that only from the call."""
AT_ONCE = 16
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


TO_MODEL = (("mm-model-id", "bench"),)


async def drive(port: int, path: str, count: int, pid: int, metadata: tuple[tuple[str, str], ...] = TO_MODEL) -> float:
    """CPU microseconds of ``pid`` per call of a method on ``port``."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method, places = channel.unary_unary(path), asyncio.Semaphore(AT_ONCE)

        async def call() -> None:
            async with places:
                await method(BODY, metadata=metadata, timeout=10)

        await asyncio.gather(*(call() for _ in range(AT_ONCE)))
        before = cpu_s(pid)
        await asyncio.gather(*(call() for _ in range(count)))
        return (cpu_s(pid) - before) / count * 1e6


async def measure(count: int, ports: dict[str, int], meshd: int, runtime: int) -> None:
    """Load the model, then call it both ways."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
        info = mmesh.ModelInfo(type="fake", path="fake:?size=1MiB")
        asked = mmesh.RegisterModelRequest(modelId="bench", modelInfo=info, loadNow=True, sync=True)
        await mmesh_grpc.ModelMeshStub(channel).registerModel(asked)
    for kind, path in (("known to be unary", KNOWN), ("of any kind", ANY)):
        straight = await drive(ports["runtime"], path, count, runtime)
        through = await drive(ports["grpc"], path, count, meshd)
        print(f"a method {kind:18} {straight:6.0f} us CPU per call in the runtime {through:6.0f} us in meshd")


def main() -> None:
    """Measure as many calls as asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5_000)
    count = parser.parse_args().calls
    with_processes(lambda ports, meshd, runtime: measure(count, ports, meshd, runtime))


def with_processes(measured: Callable[[dict[str, int], int, int], Coroutine[None, None, None]]) -> None:
    """Start both processes, measure by their ports and ids, stop them."""
    ports = {name: free_port() for name in ("runtime", "grpc", "probe")}
    environment = {
        **os.environ, "MM_SERVICE_NAME": "bench", "KV_STORE": "memory", "MM_BIND": "127.0.0.1", "MM_MESH_PORT": "0",
        "MM_SVC_GRPC_PORT": str(ports["grpc"]), "MM_PROBE_PORT": str(ports["probe"]), "MM_PRESTOP_WAIT_PORT": "NONE",
        "MM_METRICS": "disabled", "INTERNAL_GRPC_PORT": str(ports["runtime"]), "MM_LOG_LEVEL": "warning",
    }  # fmt: skip
    fake = [sys.executable, "-m", "runtimes.fake", "--port", str(ports["runtime"]), "--capacity", "512MiB"]
    with (
        subprocess.Popen(fake, stderr=subprocess.DEVNULL) as runtime,
        subprocess.Popen([sys.executable, "-m", "meshd"], env=environment) as meshd,
    ):
        try:
            wait_until_ready(ports["probe"])
            asyncio.run(measured(ports, meshd.pid, runtime.pid))
        finally:
            meshd.terminate()
            meshd.wait()
            runtime.terminate()


def wait_until_ready(port: int) -> None:
    """Wait, a minute at most, until the instance says that it is ready."""
    give_up_at = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1)
            return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    main()
