"""The programs in docs/runtimes.md, run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from protos import model_runtime_pb2 as pb
from protos import model_runtime_pb2_grpc

PAGE = Path(__file__).parents[2] / "docs" / "runtimes.md"
HANG_S = 30


def program(name: str) -> str:
    match = re.search(rf"<!-- tested: {re.escape(name)} -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert match, name
    return match[1]


@pytest.mark.e2e
def test_the_example_runtime_counts_words(tmp_path: Path) -> None:
    for name in ("words.py", "ask.py"):
        (tmp_path / name).write_text(program(name))
    (tmp_path / "book.txt").write_text("Call me Ishmael. Some years ago — call it ten …")
    (tmp_path / "empty.txt").touch()
    server = subprocess.Popen(
        [sys.executable, "words.py", "--port", "0"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stderr is not None
        address = server.stderr.readline().removeprefix("ready on ").strip()
        with grpc.insecure_channel(address) as channel:
            spi = model_runtime_pb2_grpc.ModelRuntimeStub(channel)
            status = spi.runtimeStatus(pb.RuntimeStatusRequest(), timeout=HANG_S)
            assert list(status.methodInfos) == ["words.Words/Count"]
            book = pb.LoadModelRequest(modelId="moby-dick", modelType="book", modelPath=str(tmp_path / "book.txt"))
            assert spi.loadModel(book, timeout=HANG_S).sizeInBytes > 0
            with pytest.raises(grpc.RpcError, match=r"empty\.txt is empty"):
                spi.loadModel(pb.LoadModelRequest(modelId="e", modelPath=str(tmp_path / "empty.txt")), timeout=HANG_S)
            ask = [sys.executable, "ask.py", address, "moby-dick", "call"]
            asked = subprocess.run(ask, cwd=tmp_path, capture_output=True, text=True, timeout=HANG_S, check=True)
            assert asked.stdout == "2\n"
            spi.unloadModel(pb.UnloadModelRequest(modelId="moby-dick"), timeout=HANG_S)
            asked = subprocess.run(ask, cwd=tmp_path, capture_output=True, text=True, timeout=HANG_S, check=False)
            assert "model moby-dick is not loaded" in asked.stderr
    finally:
        server.terminate()
        assert server.wait(HANG_S) == 0
        server.communicate()


def test_the_example_is_about_as_short_as_a_page() -> None:
    assert len(program("words.py").splitlines()) <= 45


@pytest.mark.e2e
@pytest.mark.parametrize("module", ["onnx", "fake"])
def test_every_flag_is_in_the_page(module: str) -> None:
    pytest.importorskip("onnxruntime")
    done = subprocess.run(
        [sys.executable, "-m", f"runtimes.{module}", "--help"],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=True,
    )
    flags = set(re.findall(r"--[a-z-]+", done.stdout)) - {"--help"}
    assert flags
    assert {flag for flag in flags if f"`{flag}" not in PAGE.read_text()} == set()
