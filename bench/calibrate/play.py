"""Plays recorded requests to a live mesh, each at its instant to its instance, whatever became of those before."""

from __future__ import annotations

import asyncio
import os
import time
import urllib.request
from dataclasses import dataclass

import grpc
import grpc.aio

from bench.calibrate.constants import Constants, Seen, constants, loads_by_model, probe
from bench.calibrate.figures import Answer, cold_ones
from bench.calibrate.fleets import LEAD_S
from bench.calibrate.mesh import CannotPlay, Mesh, registrations
from demo.scrape import Counted, parse
from protos import grpc_predict_v2_pb2 as v2
from runtimes.behaviour import Behaviour, behaviour
from runtimes.runtime import ModelInfo
from sim.scenario import Scenario
from sim.workloads.recorded import Recorded

METHOD = "/inference.GRPCInferenceService/ModelInfer"
BODY = v2.ModelInferRequest(raw_input_contents=[b"x" * 90]).SerializeToString()
ANSWER_S = 60.0


@dataclass(frozen=True, slots=True)
class Played:
    """One run: its answers, what each instance counted as cold, and what the mesh and this process took of the CPUs."""

    answers: list[Answer]
    cold: dict[str, int]
    constants: Constants
    cpu: float
    """Part of all CPUs of the machine that this took while requests were played."""
    machine_cpu: float
    """Part of them that was busy, whoever it was for."""


async def play(mesh: Mesh, scenario: Scenario) -> Played:
    """Send every request of a scenario whose traffic is recorded. Raises CannotPlay where the mesh came up too late."""
    traffic = scenario.traffic
    assert isinstance(traffic, Recorded)
    assert traffic.instances is not None
    models = scenario.model_ids()
    zero = time.perf_counter() - (time.time() - mesh.started_s)
    if time.perf_counter() > zero + LEAD_S:
        raise CannotPlay(f"it took more than {LEAD_S:g} s to register the models")
    channels = [grpc.aio.insecure_channel(instance.grpc) for instance in mesh.instances]
    methods = [channel.unary_unary(METHOD) for channel in channels]
    seen, answers = Seen(), list[Answer]()
    timeout_s = ANSWER_S if traffic.patience_ms is None else traffic.patience_ms / 1000

    async def ask(at_ms: float, model: int, instance: int) -> None:
        sent = time.perf_counter()
        by = failure = ""
        try:
            call = methods[instance](BODY, metadata=(("mm-model-id", models[model]),), timeout=timeout_s)
            await call
            took_ms = (time.perf_counter() - sent) * 1000
            by = next(str(value) for name, value in await call.initial_metadata() if name == "fake-instance")
        except grpc.aio.AioRpcError as error:
            took_ms, failure = (time.perf_counter() - sent) * 1000, f"{error.code().name}: {error.details()}"
        late_ms = (sent - zero) * 1000 - at_ms
        answers.append(Answer(at_ms, mesh.instances[instance].name, model, late_ms, took_ms, by, failure))

    probing = asyncio.create_task(probe(mesh, seen))
    before = None
    async with asyncio.TaskGroup() as group:
        for at_ms, model, instance in zip(traffic.at_ms, traffic.models, traffic.instances, strict=True):
            if (wait_s := zero + at_ms / 1000 - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            before = before or _cpu(mesh)
            group.create_task(ask(at_ms, model, instance))
    after = _cpu(mesh)
    probing.cancel()
    ended = (await asyncio.gather(probing, return_exceptions=True))[0]
    if isinstance(ended, Exception):
        raise ended
    for channel in channels:
        await channel.close()
    counted = {instance.name: Counted(now=scrape(instance.metrics)) for instance in mesh.instances}
    cold = {name: round(each.total("meshd_cold")) for name, each in counted.items()}
    waited = {id(answer) for answer in cold_ones(answers, cold)}
    warm = [answer for answer in answers if not answer.failure and id(answer) not in waited]
    found = constants(
        seen,
        warm,
        list(counted.values()),
        await loads_by_model(mesh),
        _load_ms(scenario),
        scenario.runtime.service.mean_ms,
    )
    assert before is not None
    wall_s = (after[0] - before[0]) * (os.cpu_count() or 1)
    return Played(answers, cold, found, (after[1] - before[1]) / wall_s, (after[2] - before[2]) / wall_s)


def scrape(url: str) -> dict[str, float]:
    """What an instance says of itself."""
    with urllib.request.urlopen(url, timeout=10) as response:
        return parse(response.read().decode())


def _load_ms(scenario: Scenario) -> dict[str, float]:
    infos = (
        (each["name"], ModelInfo(each["name"], each["type"], each["path"], "")) for each in registrations(scenario)
    )
    return {name: behaviour(info, Behaviour()).load_ms for name, info in infos}


def _cpu(mesh: Mesh) -> tuple[float, float, float]:
    """Now; CPU seconds of the mesh and of this process so far; those of the whole machine."""
    own = os.times()
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(text) for text in file.readline().split()[1:9]]
    busy = sum(ticks) - ticks[3] - ticks[4]
    return time.perf_counter(), mesh.cpu_s() + own.user + own.system, busy / os.sysconf("SC_CLK_TCK")
