"""Memory that large messages took goes back to the system when they are over."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.client import ECHO, GUARD_S
from tests.omitted import omit
from tests.processes import Mesh, until

pytestmark = [pytest.mark.e2e, pytest.mark.long]

MIB = 1 << 20
LARGE = 8 * MIB
SLACK = 128 * MIB
"""What a process may have more than before: caches of the libraries, and room that is in use between what is free."""


def resident_bytes(pid: int) -> int:
    """How much of a process is in memory."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def test_an_instance_is_as_small_as_before_after_many_large_calls(tmp_path: Path) -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        omit("a C library that gives memory back (glibc)")
    with Mesh(tmp_path, {"MM_SVC_GRPC_MAX_MSG_SIZE": str(2 * LARGE)}) as mesh:
        instance = mesh.fake("a", "--capacity=1GiB", "--size=1MiB")
        mesh.start()
        instance.client.register("m", load=True)
        process = instance.meshd._process
        assert process is not None
        before = resident_bytes(process.pid)
        body, peak = bytes(LARGE), [0]

        def call(_: int) -> int:
            reply = instance.client.call(ECHO, body, (("mm-model-id", "m"),), timeout_s=GUARD_S)
            peak[0] = max(peak[0], resident_bytes(process.pid))
            return len(reply.body)

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(call, range(64))) == [LARGE] * 64
        assert peak[0] > before + SLACK, "else there would be nothing to give back"
        until(lambda: resident_bytes(process.pid) < before + SLACK, "what they took is given back")
