"""Whether a runtime does what a mesh relies on, tried on the runtime itself (docs/runtimes.md, the conformance run).

The steps build on each other and leave the runtime empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from mmctl.doctor.check import Check, NotLooked
from mmctl.doctor.conformance_loads import load, load_again, load_together, size, unload
from mmctl.doctor.finding import Finding, note, ok, problem, warning
from mmctl.doctor.runtime import LATE, SERVICES, Answer, Runtime, Wanted
from mmctl.doctor.runtime_status import look_over
from mmctl.doctor.trial import GONE, POLL_S, Trial
from mmctl.sizes import human_size
from protos import grpc_predict_v2_pb2 as v2
from protos import model_runtime_pb2 as spi

INFER = "inference.GRPCInferenceService/ModelInfer"
CANCELS = 4
"""So often a load is begun that may be quicker than its cancellation."""
MISSING_PATH = "/there/is/no/such/model/mmctl-doctor"
NOT_KNOWN = ("Request for unknown model", "Model ")
"""How Triton and MLServer begin to say so, under another status than NOT_FOUND."""


def conformance(runtime: Runtime, wanted: Wanted) -> list[Check]:
    """All steps against one runtime, in their order; each of their calls has its own deadline."""
    trial, patience = Trial(runtime, wanted), runtime.patience
    within_s = 4 * patience.load_s + 4 * (patience.call_s + patience.unload_s) + patience.linger_s
    steps = {
        "status": status, "predict": predict, "load": load, "size": size, "load-again": load_again, "unload": unload,
        "unload-unknown": unload_unknown, "load-together": load_together, "load-cancelled": load_cancelled,
        "load-impossible": load_impossible, "infer-unknown": infer_unknown, "purge": purge,
    }  # fmt: skip
    return [Check(name, partial(step, trial), within_s) for name, step in steps.items()]


async def status(trial: Trial) -> Sequence[Finding]:
    """READY, with figures that a mesh can work with."""
    answer = await trial.ready()
    if not answer.is_ok:
        return [
            problem(
                f"runtimeStatus: {answer}",
                trial.runtime.target,
                "start the runtime, or give the address that it is managed at",
            )
        ]
    state = answer.message.status
    if state != spi.RuntimeStatusResponse.READY:
        said = spi.RuntimeStatusResponse.Status.Name(state) if state in (0, 2) else f"the unknown state {state}"
        return [
            problem(
                f"runtimeStatus says {said}",
                do="see its log; a mesh waits 180 s for READY and for nothing after FAILING",
            )
        ]
    found = look_over(answer.message)
    if trial.runtime.service != SERVICES[0]:
        found.append(note(f"it serves {trial.runtime.service}, the old name", do=f"serve {SERVICES[0]}"))
    if not any(finding.level == "problem" for finding in found):
        trial.status = answer.message
        patience = trial.runtime.patience
        load_s = min(patience.load_s, answer.message.modelLoadingTimeoutMs / 1000)
        trial.runtime.patience = replace(patience, load_s=load_s)
    return found


async def predict(trial: Trial) -> Sequence[Finding]:
    """A guess at the size before the load, quickly."""
    trial.needs_wanted()
    answer = await trial.runtime.predict(trial.one, trial.wanted)
    if answer.code == "UNIMPLEMENTED":
        return [note("predictModelSize is not there: each load begins with defaultModelSizeInBytes")]
    if answer.code == LATE:
        return [problem(f"predictModelSize: {answer}", do="answer at once, or UNIMPLEMENTED: loads wait for it")]
    if not answer.is_ok:
        return [warning(f"predictModelSize: {answer}", do="the default size is taken for the model")]
    size_bytes = answer.message.sizeInBytes
    if wrong := trial.wrong_size("predictModelSize", size_bytes, is_zero_fine=True):
        return [wrong]
    trial.predicted_bytes = size_bytes
    return [ok(f"predictModelSize: {human_size(size_bytes)}")]


async def unload_unknown(trial: Trial) -> Sequence[Finding]:
    """The mesh unloads to be sure: a model that is not there is no error."""
    trial.needs_status()
    answer = await trial.runtime.unload(trial.unknown)
    if answer.code in GONE:
        return [ok(f"unloadModel of an unknown model: {answer.code}")]
    return [
        problem(
            f"unloadModel of an unknown model: {answer}",
            do="answer OK or NOT_FOUND: anything else is tried again for 15 minutes",
        )
    ]


async def load_cancelled(trial: Trial) -> Sequence[Finding]:
    """A load that the mesh gives up, followed by the unload that comes after it, leaves nothing."""
    trial.needs_model()
    after_s = max(trial.load_s / 2, trial.load_s - trial.runtime.patience.linger_s / 3)
    for _ in range(CANCELS):
        has_ended, answer = await _cancelled(trial, after_s)
        if answer.code not in GONE:
            return [
                problem(
                    f"unloadModel after a load that was cancelled: {answer}",
                    do="answer OK or NOT_FOUND when the model is gone",
                )
            ]
        if not has_ended:
            break
        after_s /= 4  # it was quicker this time
    if not trial.tells_sizes:
        raise NotLooked("whether a cancelled load leaves its model: modelSize does not tell")
    until = asyncio.get_running_loop().time() + min(trial.runtime.patience.linger_s, 0.25 + 3 * trial.load_s)
    while asyncio.get_running_loop().time() < until:
        if await trial.is_there(trial.cancelled):
            await trial.runtime.unload(trial.cancelled)
            return [
                problem(
                    "a load that was cancelled and unloaded goes on, and its model is there afterwards",
                    do="end the load when its call is cancelled, or have the unload wait for it",
                )
            ]
        await asyncio.sleep(POLL_S)
    when = "as soon as it had ended" if has_ended else f"after {after_s:.2f} s"
    return [ok(f"a load that was cancelled {when} leaves nothing")]


async def _cancelled(trial: Trial, after_s: float) -> tuple[bool, Answer]:
    """Whether a load had ended before it was cancelled, and how the unload ends that follows."""
    call = trial.runtime.start_load(trial.cancelled, trial.wanted)
    ended, _ = await asyncio.wait([asyncio.ensure_future(call.code())], timeout=after_s)
    call.cancel()
    return bool(ended), await trial.runtime.unload(trial.cancelled)


async def load_impossible(trial: Trial) -> Sequence[Finding]:
    """A model that cannot be loaded is refused, in words, and leaves nothing."""
    trial.needs_status()
    wanted = replace(trial.wanted, path=trial.wanted.bad_path or MISSING_PATH)
    answer = await trial.runtime.load(trial.bad, wanted)
    end = await trial.runtime.unload(trial.bad)
    found = []
    if answer.is_ok and trial.wanted.bad_path:
        found.append(
            problem(f"loadModel says OK to {wanted.path}, which cannot be loaded", do="answer with a status and a text")
        )
    elif answer.is_ok:
        found.append(
            warning(
                f"loadModel says OK to a path that is not there ({wanted.path})",
                do="say NOT_FOUND; if paths mean nothing to it, name one that cannot be loaded with --bad-path",
            )
        )
    elif answer.code in (LATE, "UNAVAILABLE"):
        found.append(
            problem(
                f"loadModel of a model that cannot be loaded: {answer}",
                do="say what is wrong; UNAVAILABLE means that the runtime itself is not there",
            )
        )
    elif not answer.text:
        found.append(
            warning(
                f"loadModel of a model that cannot be loaded: {answer.code}, without a word",
                do="say what is wrong: users read it in the status of their model",
            )
        )
    if end.code not in GONE:
        found.append(problem(f"unloadModel after a load that failed: {end}", do="answer OK or NOT_FOUND"))
    elif not answer.is_ok and await trial.is_there(trial.bad):
        found.append(problem("a load that failed leaves its model", do="drop what a failed load has made"))
    return found or [ok(f"a model that cannot be loaded: {answer}")]


async def infer_unknown(trial: Trial) -> Sequence[Finding]:
    """A request for a model that is not there is answered NOT_FOUND, by which the mesh knows that it is lost."""
    trial.needs_status()
    methods = trial.status.methodInfos
    if methods and INFER not in methods and not trial.status.allowAnyMethod:
        raise NotLooked(f"requests for an unknown model: it does not serve {INFER}")
    request = v2.ModelInferRequest(model_name=trial.unknown)
    answer = await trial.runtime.infer(INFER, trial.unknown, request, v2.ModelInferResponse.FromString)
    if answer.code == "UNIMPLEMENTED":
        raise NotLooked(f"requests for an unknown model: it does not serve {INFER}")
    if answer.code == "NOT_FOUND" or answer.text.startswith(NOT_KNOWN):
        return [ok(f"a request for an unknown model: {answer.code}")]
    return [
        problem(f"a request for an unknown model: {answer}", do="answer NOT_FOUND: the mesh then loads the model again")
    ]


async def purge(trial: Trial) -> Sequence[Finding]:
    """To be asked for its status while it is ready makes a runtime drop its models."""
    trial.needs_model()
    loaded = await trial.runtime.load(trial.one, trial.wanted)
    answer = await trial.ready()
    is_ready = answer.is_ok and answer.message.status == spi.RuntimeStatusResponse.READY
    is_left = loaded.is_ok and await trial.is_there(trial.one)
    await trial.runtime.unload(trial.one)
    if not is_ready:
        return [problem(f"runtimeStatus asked a second time: {answer}", do="it is asked whenever a mesh starts")]
    if is_left:
        return [
            problem(
                "runtimeStatus leaves the models that were loaded",
                do="drop them before READY is answered: a mesh that starts counts on an empty runtime",
            )
        ]
    if not trial.tells_sizes:
        raise NotLooked("whether runtimeStatus drops the models: modelSize does not tell")
    return [ok("runtimeStatus drops what was loaded")]
