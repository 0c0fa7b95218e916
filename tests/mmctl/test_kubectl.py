"""What becomes of a kubectl that fails, or says nothing."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path
from typing import Any

import pytest

from mmctl.errors import CommandError, Failed, NotFound, Unavailable, Usage
from mmctl.local.process import started_at
from mmctl.upgrade import kubectl
from mmctl.upgrade.kubectl import Kubectl, failure
from tests.mmctl import rollouts
from tests.processes import until


def program(folder: Path, *lines: str) -> str:
    """A kubectl that does this."""
    binary = folder / "kubectl"
    binary.write_text("\n".join(["#!/bin/sh", *lines, ""]), "utf-8")
    binary.chmod(0o700)
    return str(binary)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (rollouts.FORBIDDEN, Failed),
        (rollouts.REFUSED, Unavailable),
        ("Unable to connect to the server: dial tcp 10.0.0.1:443: i/o timeout", Unavailable),
        ("Unable to connect to the server: net/http: TLS handshake timeout", Unavailable),
        ("Error from server (Timeout): context deadline exceeded", Unavailable),
        ("Error from server (Timeout): the server was unable to return a response in the time allotted", Unavailable),
        ("Error from server: etcdserver: request timed out", Unavailable),
        ("error: the server is currently unable to handle the request", Unavailable),
        ('Error from server (NotFound): deployments.apps "x" not found', NotFound),
        ("error: You must be logged in to the server (Unauthorized)", Failed),
        ("error: unknown flag: --nonsense", Failed),
        ("", Failed),
    ],
)
def test_words_of_kubectl_tell_what_passes(said: str, kind: type[CommandError]) -> None:
    error = failure(["get", "deployment", "x", "-o", "json"], said)
    assert type(error) is kind
    assert "kubectl get deployment x: " in str(error)
    assert (said or "failed without a word") in str(error)


def test_answer_that_does_not_come_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubectl, "ANSWER_S", 0.3)
    with pytest.raises(Unavailable, match=r"kubectl get said nothing for 0\.3 s"):
        asyncio.run(Kubectl(program(tmp_path, "sleep 600")).read("get", "deployment", "x"))


@pytest.mark.parametrize("lines", [["#!/nowhere/sh"], [""]], ids=["interpreter", "no program"])
def test_what_is_no_program_is_a_mistake_of_who_named_it(tmp_path: Path, lines: list[str]) -> None:
    binary = tmp_path / "kubectl"
    binary.write_text("\n".join(lines), "utf-8")
    binary.chmod(0o700)
    with pytest.raises(Usage, match=r"kubectl cannot be run: (No such file|Exec format error)"):
        asyncio.run(Kubectl(str(binary)).run("get"))


def test_machine_that_can_start_no_process_just_now_is_waited_for(tmp_path: Path) -> None:
    binary = program(tmp_path, "echo fine")

    async def asked() -> str:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        try:
            with pytest.raises(Unavailable, match="kubectl cannot be run: Too many open files"):
                await Kubectl(binary).run("get")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        return await Kubectl(binary).run("get")

    assert asyncio.run(asked()) == "fine\n"


@pytest.mark.parametrize("is_being_started", [True, False])
def test_interrupt_ends_kubectl_and_its_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_being_started: bool
) -> None:
    """The plugin has kubectl's output open and is what kubectl waits for; asyncio would wait for it, too."""
    pid = tmp_path / "pid"
    binary = program(tmp_path, f"sleep 600 & echo $! > {pid}.new && mv {pid}.new {pid}", "wait")

    async def interrupted() -> None:
        loop = asyncio.get_running_loop()
        open_pipe, is_cancelled = loop.connect_read_pipe, asyncio.Event()

        async def once_cancelled(*given: Any) -> Any:
            await is_cancelled.wait()
            return await open_pipe(*given)

        if is_being_started:
            monkeypatch.setattr(loop, "connect_read_pipe", once_cancelled)
        asked = asyncio.create_task(Kubectl(binary).run("get"))
        await asyncio.to_thread(until, pid.exists, "the plugin is there")
        asked.cancel()
        loop.call_soon(is_cancelled.set)
        _, unfinished = await asyncio.wait([asked], timeout=60)
        assert not unfinished
        assert asked.cancelled()

    asyncio.run(interrupted())
    plugin = int(pid.read_text("utf-8"))
    until(lambda: started_at(plugin) is None, "the plugin is gone")
