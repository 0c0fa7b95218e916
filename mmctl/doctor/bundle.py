"""What goes into a bundle for whoever is asked for help: collected side by side, masked, bounded, gaps noted."""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from meshd.store.base import StoreError
from meshd.store.connect import StoreConfigError, parse_kv_store
from mmctl import vmodel_views
from mmctl.decisions import plain_reason
from mmctl.doctor.check import NotLooked, Told, examine
from mmctl.doctor.masking import MASK, Masker, is_secret_name
from mmctl.doctor.mesh_checks import ALL_MODELS_S, mesh_checks
from mmctl.doctor.store_checks import store_checks
from mmctl.doctor.subject import Subject
from mmctl.doctor.view import FINDINGS
from mmctl.doctor.web import Page, now_ms
from mmctl.errors import CommandError
from mmctl.health_views import plain_health
from mmctl.local.home import Home
from mmctl.values import ModelFilter, Status
from mmctl.views import plain_instance, plain_model

PART_S = ALL_MODELS_S + 30.0
"""No check of the doctor takes longer, so that its findings are not lost with the slowest."""
SAMPLE = 1_000
"""So many models, and so many that failed, without ``--all``."""
MODELS_BYTES = 24 << 20
DECISIONS = 5_000
LOG_BYTES = 1 << 20
"""Of the end of each log."""
LIBRARIES = ("meshd", "grpcio", "protobuf", "cryptography", "typer", "rich", "pyyaml")


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the bundle; ``content`` empty: it could not be had, or not all of it, and ``missing`` says why."""

    name: str
    content: bytes
    missing: str = ""


class Bundle:
    """Collects from one subject."""

    def __init__(self, subject: Subject, masker: Masker, has_all: bool, home: Home | None) -> None:
        self._subject, self._masker, self._has_all, self._home = subject, masker, has_all, home
        self._learn()

    async def parts(self, told: Told) -> AsyncIterator[Part]:
        """All parts; the models come first, for their keys are secrets that others may repeat."""
        etcd = await self._made("etcd.json", self._etcd)  # is timed, and to go through the registry holds it up
        yield await self._made("models.jsonl", self._models)
        yield etcd
        makers: dict[str, Callable[[], Awaitable[Any]]] = {
            "about.json": self._about,
            "status.json": self._status,
            "instances.json": self._instances,
            "vmodels.json": self._vmodels,
            "settings.json": self._settings,
            "decisions.jsonl": self._decisions,
            "doctor.json": lambda: self._doctor(told),
        }
        made = asyncio.gather(*(self._made(name, make) for name, make in makers.items()))
        told_parts, ports = await asyncio.gather(made, self._of_ports())
        for part in [*told_parts, *ports, *self._of_host()]:
            yield part

    def _learn(self) -> None:
        self._masker.learn_env(self._subject.env)
        for service in self._subject.local.services if self._subject.local else ():
            self._masker.learn_env(service.env)
        try:
            etcd = parse_kv_store(self._subject.kv_store).etcd if self._subject.kv_store else None
        except StoreConfigError:
            return
        if etcd is not None:
            key = (etcd.tls.key or b"").decode("ascii", "replace")
            self._masker.learn([etcd.password, *key.splitlines()])

    async def _made(self, name: str, make: Callable[[], Awaitable[Any]]) -> Part:
        try:
            async with asyncio.timeout(PART_S):
                made = await make()
        except TimeoutError:
            return Part(name, b"", f"not had within {PART_S:g} s")
        except (NotLooked, CommandError, StoreError) as error:
            return Part(name, b"", self._masker.text(str(error)))
        except Exception as error:  # what else there is may say why
            return Part(name, b"", self._masker.text(f"{type(error).__name__}: {error}"))
        if isinstance(made, Part):
            return made
        return Part(name, self._json(self._masker.value(made)))

    @staticmethod
    def _json(value: Any) -> bytes:
        return json.dumps(value, indent=1, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace") + b"\n"

    @staticmethod
    def _lines(values: list[Any]) -> bytes:
        texts = (json.dumps(value, ensure_ascii=False, default=str) for value in values)
        return "".join(f"{text}\n" for text in texts).encode("utf-8", "backslashreplace")

    # -- the mesh ----------------------------------------------------------------------------------------

    async def _models(self) -> Part:
        """All models, or the first and those that failed; the rest is only counted."""
        cluster, lines, seen, size, why = self._subject.mesh(), list[bytes](), set[str](), 0, ""
        limits = [(ModelFilter(), 0)] if self._has_all else [
            (ModelFilter(), SAMPLE), (ModelFilter(status=Status.LOADING_FAILED), SAMPLE),
        ]  # fmt: skip
        for wanted, limit in limits:
            async with aclosing(cluster.models(wanted, limit)) as models:  # type: ignore[type-var]
                async for model in models:
                    if model.name in seen:
                        continue
                    seen.add(model.name)
                    self._masker.learn_key(model.key)
                    line = self._lines([self._masker.model(plain_model(model))])
                    size += len(line)
                    if size > MODELS_BYTES:
                        why = f"{len(lines):,} models are in it: more would be too large"
                        break
                    lines.append(line)
        return Part("models.jsonl", b"".join(lines), why)

    async def _about(self) -> Any:
        info = None
        if self._subject.cluster is not None:
            info = asdict(await self._subject.info())
        return {
            "at_ms": now_ms(),
            "libraries": {name: version(name) for name in LIBRARIES},
            "python": platform.python_version(),
            "platform": platform.platform(),
            "server": info,
            "kv_store": self._subject.kv_store,
            "service": self._subject.service,
            "prefix": self._subject.prefix,
            "endpoints": list(self._subject.endpoints),
        }

    async def _status(self) -> Any:
        return plain_health(await self._subject.health())

    async def _instances(self) -> Any:
        return [plain_instance(instance) for instance in await self._subject.instances()]

    async def _vmodels(self) -> Any:
        found = []
        async with aclosing(self._subject.mesh().vmodels()) as vmodels:  # type: ignore[type-var]
            async for vmodel in vmodels:
                found.append(vmodel_views.plain(vmodel))  # it ends in the middle
                if len(found) == SAMPLE and not self._has_all:
                    break
        return found

    async def _settings(self) -> Any:
        found = [asdict(setting) for setting in (await self._subject.settings()).values()]
        return [{**each, "value": MASK} if each["value"] and is_secret_name(each["name"]) else each for each in found]

    async def _decisions(self) -> Part:
        reasons = [plain_reason(each) async for each in self._subject.mesh().decisions({}, DECISIONS, False)]
        away = [f"{each['instance']}: {each['cause']}" for each in reasons if each["rule"] == "lost"]
        return Part("decisions.jsonl", self._lines([self._masker.value(each) for each in reasons]), "; ".join(away))

    async def _doctor(self, told: Told) -> Any:
        checks = [*store_checks(self._subject), *mesh_checks(self._subject)]
        return [FINDINGS.plain(finding) for finding in await examine(checks, told)]

    async def _etcd(self) -> Any:
        return asdict(await self._subject.etcd())

    # -- instances and this host -------------------------------------------------------------------------

    async def _of_ports(self) -> list[Part]:
        """Probes and metrics of each instance; one that does not answer is noted."""
        try:
            async with asyncio.timeout(PART_S):
                reached = await self._subject.reached()
        except (TimeoutError, NotLooked, CommandError, StoreError) as error:
            return [Part("metrics", b"", self._masker.text(str(error)) or "no answer in time")]
        parts = []
        for name, each in reached.items():
            safe = file_name(name)
            probes = {"ready": asdict(each.ready), "live": asdict(each.live), "health": each.health}
            parts.append(Part(f"probes/{safe}.json", self._json(self._masker.value(probes))))
            text = each.metrics.text if each.metrics.status == 200 else ""
            why = "" if each.metrics.status == 200 else f"{name} does not answer: {words_of(each.metrics)}"
            parts.append(Part(f"metrics/{safe}.txt", self._masker.text(text).encode("utf-8", "replace"), why))
        return parts

    def _of_host(self) -> list[Part]:
        """State and logs of a mesh on this machine."""
        local, home = self._subject.local, self._home
        if local is None or home is None:
            return []
        parts = [Part("local/state.json", self._json(self._masker.value(asdict(local))))]
        for service in local.services:
            try:
                text, why = self._masker.text(tail(home.log(service.name), LOG_BYTES)), ""
            except OSError as error:
                text, why = "", str(error.strerror or error)
            parts.append(Part(f"logs/{file_name(service.name)}.log", text.encode("utf-8", "replace"), why))
        return parts


def words_of(page: Page) -> str:
    """Why there is no such page; what somebody else says who listens there is not passed on."""
    return f"HTTP {page.status}" if page.status else page.text or "it has no metrics"


def tail(path: Path, most_bytes: int) -> str:
    """The last whole lines of a file."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - most_bytes))
        text = file.read(most_bytes)
    if size > most_bytes:
        text = text.partition(b"\n")[2]
    return text.decode("utf-8", "replace")


def file_name(name: str) -> str:
    """A name of an instance as the name of a file."""
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in name).lstrip(".")[:100] or "_"
