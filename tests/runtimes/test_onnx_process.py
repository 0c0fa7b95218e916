"""The process of the ONNX runtime, and its flags."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from grpc import aio

from protos import model_runtime_pb2 as pb
from tests.runtimes.onnx_models import affine
from tests.runtimes.onnx_served import HANG_S, Client, typed


@pytest.mark.e2e
def test_the_process_serves_what_its_flags_say(tmp_path: Path) -> None:
    affine(tmp_path / "models" / "m.onnx")
    socket = tmp_path / "runtime.sock"
    flags = ["--socket", str(socket), "--model-root", str(tmp_path / "models"), "--capacity", "64MiB"]
    flags += ["--default-size", "2MiB", "--loading-concurrency", "3", "--threads", "2", "--load-timeout-ms", "5000"]
    process = subprocess.Popen([sys.executable, "-m", "runtimes.onnx", *flags], stderr=subprocess.PIPE, text=True)

    async def run() -> None:
        async with asyncio.timeout(HANG_S), aio.insecure_channel(f"unix:{socket}") as channel:
            client = Client(channel)
            status = await client.spi.runtimeStatus(pb.RuntimeStatusRequest())
            assert (status.capacityInBytes, status.defaultModelSizeInBytes) == (64 << 20, 2 << 20)
            assert (status.maxLoadingConcurrency, status.modelLoadingTimeoutMs) == (3, 5000)
            assert sorted(status.methodInfos) == [
                f"inference.GRPCInferenceService/{name}" for name in ("ModelInfer", "ModelMetadata", "ModelReady")
            ]
            assert status.runtimeVersion.startswith("onnxruntime ")
            await client.load("m", "m.onnx")
            await client.v2.ModelInfer(typed("m", [[0, 0, 0, 0]]))

    try:
        assert process.stderr is not None
        assert process.stderr.readline() == f"ready on unix:{socket}\n"
        asyncio.run(run())
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model-root", "/nowhere", "--capacity", "64MiB"], "--model-root: /nowhere is not a directory"),
        (["--model-root", "/", "--capacity", "lots"], "--capacity: 'lots' is not a size such as 512MiB"),
        (["--model-root", "/"], "required: --capacity"),
    ],
)
def test_wrong_flags_are_named(flags: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runtimes.onnx", *flags], capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr
