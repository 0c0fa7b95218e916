"""Whether a runtime does what a mesh relies on, tried on the runtime itself (docs/runtimes.md, the conformance run).

The steps build on each other and leave the runtime empty. Every model has an id that no mesh uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmctl.doctor.check import Check, NotLooked
from mmctl.doctor.finding import Finding, note, ok, problem, warning
from mmctl.doctor.handshake import SIZE_MOST, look_over
from mmctl.doctor.runtime import LATE, SERVICES, Answer, Runtime, Wanted, names
from mmctl.sizes import human_size
from protos import grpc_predict_v2_pb2 as v2
from protos import model_runtime_pb2 as spi

INFER = "inference.GRPCInferenceService/ModelInfer"
POLL_S = 0.05
FEW = 4
"""So many models at most are loaded side by side."""
NEAR = 0.1
"""Two sizes of one model that differ by less than this part of it are the same."""
MISSING_PATH = "/there/is/no/such/model/mmctl-doctor"
GONE = ("OK", "NOT_FOUND")
"""How the unload of a model may end that is not there."""
NOT_KNOWN = ("Request for unknown model", "Model ")
"""How Triton and MLServer begin to say so, under another status than NOT_FOUND."""


class Conformance:
    """One run against one runtime; what a step learns the next ones go by."""

    def __init__(self, runtime: Runtime, wanted: Wanted) -> None:
        self._runtime, self._wanted = runtime, wanted
        self._status: Any = None
        self._predicted_bytes = self._size_bytes = 0
        self._load_s = 0.0
        self._is_loadable = False
        self._tells_sizes = True
        self._one, self._two, self._bad, self._unknown, self._cancelled = (
            f"mmctl-doctor-{name}" for name in ("model", "again", "bad", "unknown", "cancelled")
        )

    def checks(self) -> list[Check]:
        """The steps in their order; each of their calls has its own deadline."""
        steps = (
            ("status", self.status), ("predict", self.predict), ("load", self.load), ("size", self.size),
            ("load-again", self.load_again), ("unload", self.unload), ("unload-unknown", self.unload_unknown),
            ("load-together", self.load_together), ("load-cancelled", self.load_cancelled),
            ("load-impossible", self.load_impossible), ("infer-unknown", self.infer_unknown), ("purge", self.purge),
        )  # fmt: skip
        patience = self._runtime.patience
        within_s = 4 * patience.load_s + 8 * patience.call_s + patience.linger_s
        return [Check(name, step, within_s) for name, step in steps]

    # -- what it says of itself --------------------------------------------------------------------------

    async def status(self) -> Sequence[Finding]:
        """READY, with figures that a mesh can work with."""
        answer = await self._ready()
        if not answer.is_ok:
            return [problem(f"runtimeStatus: {answer}", self._runtime.target,
                            "start the runtime, or give the address that it is managed at")]  # fmt: skip
        state = answer.message.status
        if state != spi.RuntimeStatusResponse.READY:
            said = spi.RuntimeStatusResponse.Status.Name(state) if state in (0, 2) else f"the unknown state {state}"
            return [problem(f"runtimeStatus says {said}", do="see its log; a mesh waits 180 s for READY and for nothing "
                            "after FAILING")]  # fmt: skip
        found = look_over(answer.message)
        if self._runtime.service != SERVICES[0]:
            found.append(note(f"it serves {self._runtime.service}, the old name", do=f"serve {SERVICES[0]}"))
        if not any(finding.level == "problem" for finding in found):
            self._status = answer.message
            patience = self._runtime.patience
            load_s = min(patience.load_s, answer.message.modelLoadingTimeoutMs / 1000)
            self._runtime.patience = replace(patience, load_s=load_s)
        return found

    async def predict(self) -> Sequence[Finding]:
        """A guess at the size before the load, quickly."""
        self._needs_status()
        answer = await self._runtime.predict(self._one, self._wanted)
        if answer.code == "UNIMPLEMENTED":
            return [note("predictModelSize is not there: each load begins with defaultModelSizeInBytes")]
        if answer.code == LATE:
            return [problem(f"predictModelSize: {answer}", do="answer at once, or UNIMPLEMENTED: loads wait for it")]
        if not answer.is_ok:
            return [warning(f"predictModelSize: {answer}", do="the default size is taken for the model")]
        size_bytes = answer.message.sizeInBytes
        if wrong := self._wrong_size("predictModelSize", size_bytes, is_zero_fine=True):
            return [wrong]
        self._predicted_bytes = size_bytes
        return [ok(f"predictModelSize: {human_size(size_bytes)}")]

    # -- loads and sizes ---------------------------------------------------------------------------------

    async def load(self) -> Sequence[Finding]:
        """The model that was given is loaded, in time, with a size that can be."""
        self._needs_status()
        answer = await self._runtime.load(self._one, self._wanted)
        if answer.code == LATE:
            await self._runtime.unload(self._one)
            return [problem(f"loadModel: {answer}, which is modelLoadingTimeoutMs or --timeout",
                            do="see its log; a mesh cancels the load then and takes it for failed")]  # fmt: skip
        if not answer.is_ok:
            return [problem(f"loadModel: {answer}", self._wanted.path,
                            "give a --model-type, --model-path and --model-key that it can load")]  # fmt: skip
        self._is_loadable, self._load_s = True, answer.took_s
        self._size_bytes = answer.message.sizeInBytes
        if wrong := self._wrong_size("loadModel", self._size_bytes, is_zero_fine=True):
            return [wrong]
        found = [ok(f"loadModel: {self._said(self._size_bytes)} in {answer.took_s:.2f} s")]
        if self._status.limitModelConcurrency and not answer.message.maxConcurrency:
            found.append(warning("limitModelConcurrency is set, and loadModel answers no maxConcurrency: it counts as 1",
                                 do="answer how many requests a copy takes at once"))  # fmt: skip
        if self._predicted_bytes and self._size_bytes > 2 * self._predicted_bytes:
            found.append(warning(f"the size is {human_size(self._size_bytes)}, predicted were "
                                 f"{human_size(self._predicted_bytes)}", do="predict more: memory is made by that"))  # fmt: skip
        return found

    async def size(self) -> Sequence[Finding]:
        """modelSize says the same as the load did, and nothing of a model that is not there."""
        self._needs_model()
        answer = await self._runtime.size(self._one)
        if answer.code == "UNIMPLEMENTED":
            self._tells_sizes = False
            if self._size_bytes:
                return [note("modelSize is not there; loadModel says the size",
                             do="without it the run cannot see whether models are gone")]  # fmt: skip
            return [problem("nobody says the size: loadModel answers 0 and modelSize is not there",
                            do="answer sizeInBytes from loadModel, or implement modelSize")]  # fmt: skip
        if not answer.is_ok:
            self._tells_sizes = False
            return [problem(f"modelSize of a loaded model: {answer}", do="answer its size in bytes")]
        size_bytes, found = answer.message.sizeInBytes, []
        if wrong := self._wrong_size("modelSize", size_bytes, is_zero_fine=False):
            found.append(wrong)
        elif self._size_bytes and abs(size_bytes - self._size_bytes) > NEAR * self._size_bytes:
            found.append(problem(f"modelSize says {size_bytes} bytes, loadModel said {self._size_bytes}",
                                 do="say the same: memory is counted by it"))  # fmt: skip
        self._size_bytes = self._size_bytes or (0 if found else size_bytes)
        unknown = await self._runtime.size(self._unknown)
        if unknown.is_ok:
            self._tells_sizes = False
            found.append(problem(f"modelSize of a model that was never loaded: OK, {unknown.message.sizeInBytes} bytes",
                                 do="answer NOT_FOUND"))  # fmt: skip
        elif unknown.code == LATE:
            found.append(problem(f"modelSize of a model that was never loaded: {unknown}", do="answer NOT_FOUND"))
        return found or [ok(f"modelSize: {human_size(size_bytes)}; {unknown.code} for an unknown model")]

    async def load_again(self) -> Sequence[Finding]:
        """The load of a loaded model answers what the first did, and one unload ends both."""
        self._needs_model()
        answer = await self._runtime.load(self._one, self._wanted)
        if not answer.is_ok:
            return [problem(f"loadModel of a model that is loaded: {answer}",
                            do="answer OK and its size, as the first load did")]  # fmt: skip
        again_bytes = answer.message.sizeInBytes
        if self._size_bytes and again_bytes and abs(again_bytes - self._size_bytes) > NEAR * self._size_bytes:
            return [problem(f"loaded again it has {again_bytes} bytes, before it had {self._size_bytes}",
                            do="load it once, and answer the same")]  # fmt: skip
        return [ok("loadModel of a model that is loaded answers the same")]

    async def unload(self) -> Sequence[Finding]:
        """One unload, and the model is gone, however often it was loaded."""
        self._needs_model()
        answer = await self._runtime.unload(self._one)
        if not answer.is_ok:
            return [problem(f"unloadModel: {answer}", do="answer OK when the memory is free: until then the mesh tries "
                            "again, and lacks that memory")]  # fmt: skip
        if await self._is_there(self._one):
            await self._runtime.unload(self._one)
            return [problem("after two loads and one unload modelSize still knows the model",
                            do="load a model once however often it is asked for")]  # fmt: skip
        again = await self._runtime.load(self._two, self._wanted)
        await self._runtime.unload(self._two)
        if not again.is_ok:
            return [problem(f"loadModel after an unload: {again}", do="a model can be loaded again at any time")]
        return [ok(f"unloadModel in {answer.took_s:.2f} s, and the next load works")]

    async def unload_unknown(self) -> Sequence[Finding]:
        """The mesh unloads to be sure: a model that is not there is no error."""
        self._needs_status()
        answer = await self._runtime.unload(self._unknown)
        if answer.code in GONE:
            return [ok(f"unloadModel of an unknown model: {answer.code}")]
        return [problem(f"unloadModel of an unknown model: {answer}",
                        do="answer OK or NOT_FOUND: anything else is tried again for 15 minutes")]  # fmt: skip

    async def load_together(self) -> Sequence[Finding]:
        """As many loads as it says side by side, and two of one model at a time."""
        self._needs_model()
        room = self._status.capacityInBytes // max(1, self._size_bytes) if self._size_bytes else 2
        number = max(1, min(FEW, self._status.maxLoadingConcurrency, room))
        models = names("together", number)
        asked = [*models, models[0]]
        answers = await asyncio.gather(*(self._runtime.load(model, self._wanted) for model in asked))
        ends = await asyncio.gather(*(self._runtime.unload(model) for model in models))
        found = [
            problem(f"loadModel beside {number} others: {answer}", do="models are loaded side by side, up to "
                    "maxLoadingConcurrency")
            for answer in answers[:1] + answers[1:number] if not answer.is_ok
        ]  # fmt: skip
        if not found and not answers[-1].is_ok:
            found = [problem(f"two loads of one model at a time, and one ends with {answers[-1]}",
                             do="answer both with the one load")]  # fmt: skip
        found += [problem(f"unloadModel beside others: {end}", do="models are unloaded side by side")
                  for end in ends if end.code not in GONE]  # fmt: skip
        found += [problem(f"{model} was loaded twice at a time, and one unload leaves it", do="load a model once")
                  for model in models[:1] if not found and await self._is_there(model)]  # fmt: skip
        return found or [ok(f"{number} models loaded side by side, one of them twice")]

    async def load_cancelled(self) -> Sequence[Finding]:
        """A load that the mesh gives up, followed by the unload that comes after it, leaves nothing."""
        self._needs_model()
        call = self._runtime.start_load(self._cancelled, self._wanted)
        done, _ = await asyncio.wait([asyncio.ensure_future(call.code())], timeout=self._load_s / 2)
        call.cancel()
        answer = await self._runtime.unload(self._cancelled)
        if answer.code not in GONE:
            return [problem(f"unloadModel after a load that was cancelled: {answer}",
                            do="answer OK or NOT_FOUND when the model is gone")]  # fmt: skip
        if not self._tells_sizes:
            raise NotLooked("whether a cancelled load leaves its model: modelSize does not tell")
        linger_s = min(self._runtime.patience.linger_s, 0.25 + 3 * self._load_s)
        until = asyncio.get_running_loop().time() + linger_s
        while asyncio.get_running_loop().time() < until:
            if await self._is_there(self._cancelled):
                await self._runtime.unload(self._cancelled)
                return [problem("a load that was cancelled and unloaded goes on, and its model is there afterwards",
                                do="end the load when its call is cancelled, or have the unload wait for it")]  # fmt: skip
            await asyncio.sleep(POLL_S)
        when = "after it had ended" if done else f"after {self._load_s / 2:.2f} s"
        return [ok(f"a load that was cancelled {when} leaves nothing")]

    async def load_impossible(self) -> Sequence[Finding]:
        """A model that cannot be loaded is refused, in words, and leaves nothing."""
        self._needs_status()
        wanted = replace(self._wanted, path=self._wanted.bad_path or MISSING_PATH)
        answer = await self._runtime.load(self._bad, wanted)
        end = await self._runtime.unload(self._bad)
        found = []
        if answer.is_ok and self._wanted.bad_path:
            found.append(problem(f"loadModel says OK to {wanted.path}, which cannot be loaded",
                                 do="answer with a status and a text"))  # fmt: skip
        elif answer.is_ok:
            found.append(warning(f"loadModel says OK to a path that is not there ({wanted.path})",
                                 do="say NOT_FOUND; if paths mean nothing to it, name one that cannot be loaded with "
                                 "--bad-path"))  # fmt: skip
        elif answer.code in (LATE, "UNAVAILABLE"):
            found.append(problem(f"loadModel of a model that cannot be loaded: {answer}",
                                 do="say what is wrong; UNAVAILABLE means that the runtime itself is not there"))  # fmt: skip
        elif not answer.text:
            found.append(warning(f"loadModel of a model that cannot be loaded: {answer.code}, without a word",
                                 do="say what is wrong: users read it in the status of their model"))  # fmt: skip
        if end.code not in GONE:
            found.append(problem(f"unloadModel after a load that failed: {end}", do="answer OK or NOT_FOUND"))
        elif not answer.is_ok and await self._is_there(self._bad):
            found.append(problem("a load that failed leaves its model", do="drop what a failed load has made"))
        return found or [ok(f"a model that cannot be loaded: {answer}")]

    async def infer_unknown(self) -> Sequence[Finding]:
        """A request for a model that is not there is answered NOT_FOUND, by which the mesh knows that it is lost."""
        self._needs_status()
        methods = self._status.methodInfos
        if methods and INFER not in methods and not self._status.allowAnyMethod:
            raise NotLooked(f"requests for an unknown model: it does not serve {INFER}")
        request = v2.ModelInferRequest(model_name=self._unknown)
        answer = await self._runtime.infer(INFER, self._unknown, request, v2.ModelInferResponse.FromString)
        if answer.code == "UNIMPLEMENTED":
            raise NotLooked(f"requests for an unknown model: it does not serve {INFER}")
        if answer.code == "NOT_FOUND" or answer.text.startswith(NOT_KNOWN):
            return [ok(f"a request for an unknown model: {answer.code}")]
        return [problem(f"a request for an unknown model: {answer}",
                        do="answer NOT_FOUND: the mesh then loads the model again")]  # fmt: skip

    async def purge(self) -> Sequence[Finding]:
        """To be asked for its status while it is ready makes a runtime drop its models."""
        self._needs_model()
        loaded = await self._runtime.load(self._one, self._wanted)
        answer = await self._ready()
        is_ready = answer.is_ok and answer.message.status == spi.RuntimeStatusResponse.READY
        is_left = loaded.is_ok and await self._is_there(self._one)
        await self._runtime.unload(self._one)
        if not is_ready:
            return [problem(f"runtimeStatus asked a second time: {answer}", do="it is asked whenever a mesh starts")]
        if is_left:
            return [problem("runtimeStatus leaves the models that were loaded", do="drop them before READY is "
                            "answered: a mesh that starts counts on an empty runtime")]  # fmt: skip
        if not self._tells_sizes:
            raise NotLooked("whether runtimeStatus drops the models: modelSize does not tell")
        return [ok("runtimeStatus drops what was loaded")]

    # -- between the steps -------------------------------------------------------------------------------

    async def _ready(self) -> Answer:
        """The first status that is not STARTING, within the time of one call."""
        until = asyncio.get_running_loop().time() + self._runtime.patience.call_s
        while True:
            answer = await self._runtime.status()
            is_starting = answer.is_ok and answer.message.status == spi.RuntimeStatusResponse.STARTING
            if not is_starting or asyncio.get_running_loop().time() > until:
                return answer
            await asyncio.sleep(POLL_S)

    async def _is_there(self, model: str) -> bool:
        return self._tells_sizes and (await self._runtime.size(model)).is_ok

    def _needs_status(self) -> None:
        if self._status is None:
            raise NotLooked("the runtime has to say what it is first (status)")

    def _needs_model(self) -> None:
        self._needs_status()
        if not self._is_loadable:
            raise NotLooked("it takes a model that can be loaded (load)")

    def _wrong_size(self, call: str, size_bytes: int, is_zero_fine: bool) -> Finding | None:
        if size_bytes > SIZE_MOST:
            return problem(f"{call} answers {size_bytes} bytes", do="a size is a number of bytes, and not negative")
        if size_bytes > self._status.capacityInBytes:
            return problem(f"{call} answers {human_size(size_bytes)}, more than all of capacityInBytes",
                           do="answer bytes; a model that does not fit is refused by the load")  # fmt: skip
        if not size_bytes and not is_zero_fine:
            return problem(f"{call} answers 0 bytes", do="answer what the model takes")
        return None

    @staticmethod
    def _said(size_bytes: int) -> str:
        return human_size(size_bytes) if size_bytes else "no size, so that modelSize is asked"



def conformance(runtime: Runtime, wanted: Wanted) -> list[Check]:
    """All steps against one runtime."""
    return Conformance(runtime, wanted).checks()
