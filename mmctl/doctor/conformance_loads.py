"""The steps of the conformance run that load models and unload them again (docs/runtimes.md, the conformance run)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mmctl.doctor.finding import Finding, note, ok, problem, warning
from mmctl.doctor.runtime import LATE, names
from mmctl.doctor.trial import GONE, Trial
from mmctl.sizes import human_size

FEW = 4
"""So many models at most are loaded side by side."""
NEAR = 0.1
"""Two sizes of one model that differ by less than this part of it are the same."""


async def load(trial: Trial) -> Sequence[Finding]:
    """The model that was given is loaded, in time, with a size that can be."""
    trial.needs_wanted()
    answer = await trial.runtime.load(trial.one, trial.wanted)
    if answer.code == LATE:
        await trial.runtime.unload(trial.one)
        return [
            problem(
                f"loadModel: {answer}, which is modelLoadingTimeoutMs or --timeout",
                do="see its log; a mesh cancels the load then and takes it for failed",
            )
        ]
    if not answer.is_ok:
        return [
            problem(
                f"loadModel: {answer}",
                trial.wanted.path,
                "give a --model-type, --model-path and --model-key that it can load",
            )
        ]
    trial.is_loadable, trial.load_s = True, answer.took_s
    trial.size_bytes = answer.message.sizeInBytes
    if wrong := trial.wrong_size("loadModel", trial.size_bytes, is_zero_fine=True):
        return [wrong]
    found = [ok(f"loadModel: {said(trial.size_bytes)} in {answer.took_s:.2f} s")]
    if trial.status.limitModelConcurrency and not answer.message.maxConcurrency:
        found.append(
            warning(
                "limitModelConcurrency is set, and loadModel answers no maxConcurrency: it counts as 1",
                do="answer how many requests a copy takes at once",
            )
        )
    if trial.predicted_bytes and trial.size_bytes > 2 * trial.predicted_bytes:
        found.append(
            warning(
                f"the size is {human_size(trial.size_bytes)}, predicted were {human_size(trial.predicted_bytes)}",
                do="predict more: memory is made by that",
            )
        )
    return found


async def size(trial: Trial) -> Sequence[Finding]:
    """modelSize says the same as the load did, and nothing of a model that is not there."""
    trial.needs_model()
    answer = await trial.runtime.size(trial.one)
    if answer.code == "UNIMPLEMENTED":
        trial.tells_sizes = False
        if trial.size_bytes:
            return [
                note(
                    "modelSize is not there; loadModel says the size",
                    do="without it the run cannot see whether models are gone",
                )
            ]
        return [
            problem(
                "nobody says the size: loadModel answers 0 and modelSize is not there",
                do="answer sizeInBytes from loadModel, or implement modelSize",
            )
        ]
    if not answer.is_ok:
        trial.tells_sizes = False
        return [problem(f"modelSize of a loaded model: {answer}", do="answer its size in bytes")]
    size_bytes, found = answer.message.sizeInBytes, []
    if wrong := trial.wrong_size("modelSize", size_bytes, is_zero_fine=False):
        found.append(wrong)
    elif trial.size_bytes and abs(size_bytes - trial.size_bytes) > NEAR * trial.size_bytes:
        found.append(
            problem(
                f"modelSize says {size_bytes} bytes, loadModel said {trial.size_bytes}",
                do="say the same: memory is counted by it",
            )
        )
    trial.size_bytes = trial.size_bytes or (0 if found else size_bytes)
    unknown = await trial.runtime.size(trial.unknown)
    if unknown.is_ok:
        trial.tells_sizes = False
        found.append(
            problem(
                f"modelSize of a model that was never loaded: OK, {unknown.message.sizeInBytes} bytes",
                do="answer NOT_FOUND",
            )
        )
    elif unknown.code == LATE:
        found.append(problem(f"modelSize of a model that was never loaded: {unknown}", do="answer NOT_FOUND"))
    return found or [ok(f"modelSize: {human_size(size_bytes)}; {unknown.code} for an unknown model")]


async def load_again(trial: Trial) -> Sequence[Finding]:
    """The load of a loaded model answers what the first did, and one unload ends both."""
    trial.needs_model()
    answer = await trial.runtime.load(trial.one, trial.wanted)
    if not answer.is_ok:
        return [
            problem(
                f"loadModel of a model that is loaded: {answer}", do="answer OK and its size, as the first load did"
            )
        ]
    again_bytes = answer.message.sizeInBytes
    if trial.size_bytes and again_bytes and abs(again_bytes - trial.size_bytes) > NEAR * trial.size_bytes:
        return [
            problem(
                f"loaded again it has {again_bytes} bytes, before it had {trial.size_bytes}",
                do="load it once, and answer the same",
            )
        ]
    return [ok("loadModel of a model that is loaded answers the same")]


async def unload(trial: Trial) -> Sequence[Finding]:
    """One unload, and the model is gone, however often it was loaded."""
    trial.needs_model()
    answer = await trial.runtime.unload(trial.one)
    if not answer.is_ok:
        return [
            problem(
                f"unloadModel: {answer}",
                do="answer OK when the memory is free: until then the mesh tries again, and lacks that memory",
            )
        ]
    if await trial.is_there(trial.one):
        await trial.runtime.unload(trial.one)
        return [
            problem(
                "after two loads and one unload modelSize still knows the model",
                do="load a model once however often it is asked for",
            )
        ]
    again = await trial.runtime.load(trial.two, trial.wanted)
    await trial.runtime.unload(trial.two)
    trial.load_s = min(trial.load_s, again.took_s)  # the first one may have had more to do
    if not again.is_ok:
        return [problem(f"loadModel after an unload: {again}", do="a model can be loaded again at any time")]
    return [ok(f"unloadModel in {answer.took_s:.2f} s, and the next load works")]


async def load_together(trial: Trial) -> Sequence[Finding]:
    """As many loads as it says side by side, and two of one model at a time."""
    trial.needs_model()
    room = trial.status.capacityInBytes // max(1, trial.size_bytes) if trial.size_bytes else 2
    number = max(1, min(FEW, trial.status.maxLoadingConcurrency, room))
    models = names("together", number)
    asked = [*models, models[0]]
    answers = await asyncio.gather(*(trial.runtime.load(model, trial.wanted) for model in asked))
    ends = await asyncio.gather(*(trial.runtime.unload(model) for model in models))
    found = [
        problem(
            f"loadModel beside {number} others: {answer}",
            do="models are loaded side by side, up to maxLoadingConcurrency",
        )
        for answer in answers[:1] + answers[1:number]
        if not answer.is_ok
    ]
    if not found and not answers[-1].is_ok:
        found = [
            problem(
                f"two loads of one model at a time, and one ends with {answers[-1]}",
                do="answer both with the one load",
            )
        ]
    found += [
        problem(f"unloadModel beside others: {end}", do="models are unloaded side by side")
        for end in ends
        if end.code not in GONE
    ]
    found += [
        problem(f"{model} was loaded twice at a time, and one unload leaves it", do="load a model once")
        for model in models[:1]
        if not found and await trial.is_there(model)
    ]
    return found or [ok(f"{number} models loaded side by side, one of them twice")]


def said(size_bytes: int) -> str:
    """What a load answered as the size."""
    return human_size(size_bytes) if size_bytes else "no size, so that modelSize is asked"
