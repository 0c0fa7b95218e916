"""ModelMesh instances of the Java kind in a toy cluster, as far as they show in the store: scripted, no rules of ours.

They rewrite what they read, attributes that they do not know included, and nobody ever calls them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from meshcore.kv import ABSENT, ANY, DELETE, Committed, Kv, Pair, Write
from meshcore.leadership import candidate
from tests.builders import dumped

MODELS, INSTANCES, LATCH = "registry/", "instances/", "leaderLatch/"

Json = dict[str, Any]


class JavaPods:
    """Pods by name; ``kept`` is what those with a lease have written about themselves into each registration that
    still stands, and which those were."""

    def __init__(self, kv: Kv) -> None:
        self._kv = kv
        self.leases: dict[str, int] = {}
        self._kept: dict[tuple[str, int], tuple[Json, set[str]]] = {}

    # -- pods -------------------------------------------------------------------------------------------

    def join(self, pod: str, now: int) -> None:
        """It is there, with more room than anybody and a newer version."""
        self.leases[pod] = self._kv.grant(20_000, now)
        record = json.loads(dict(dumped("instances"))["inst0"])
        self._publish(pod, {**record, "startTime": now, "cap": 10**9, "used": 0, "vers": 2**50, "lThreads": 64})

    def stand(self, pod: str) -> None:
        """It is a candidate for leading."""
        self._kv.commit([Write(LATCH + candidate(pod), ANY, b"", leased=True)], self.leases[pod])

    def say(self, pod: str, **news: object) -> None:
        """It publishes its record with these attributes changed."""
        pair = self._kv.get(INSTANCES + pod)
        assert pair is not None
        self._publish(pod, {**json.loads(pair.value), **news})

    def leave(self, pod: str) -> None:
        """Its lease ends; what records say of it stays until whoever leads has missed it for long."""
        self._kv.revoke(self.leases.pop(pod))
        self._kept = {key: (_without(kept, pod), pods - {pod}) for key, (kept, pods) in self._kept.items()}

    def _publish(self, pod: str, record: Json) -> None:
        self._kv.commit([Write(INSTANCES + pod, ANY, json.dumps(record).encode(), leased=True)], self.leases[pod])

    # -- models -----------------------------------------------------------------------------------------

    def register(self, model: str, **record: object) -> None:
        """Unless it is registered."""
        self._kv.commit([Write(MODELS + model, ABSENT, json.dumps(record).encode())])

    def unregister(self, model: str) -> None:
        self._kv.commit([Write(MODELS + model, ANY, DELETE)])

    def load(self, pod: str, model: str, load_ts: int) -> None:
        """Named before it loads, and never said to be ready."""

        def edit(record: Json) -> None:
            record.setdefault("instanceIds", {})[pod] = load_ts
            record.get("failedIn", {}).pop(pod, None)
            record.get("fails", {}).pop(pod, None)
            record["lu"] = max(record.get("lu", 0), load_ts)

        self._rewrite(model, edit)

    def unload(self, pod: str, model: str, at: int) -> None:
        def edit(record: Json) -> None:
            record.get("instanceIds", {}).pop(pod, None)
            record["lul"] = at

        self._rewrite(model, edit)

    def fail(self, pod: str, model: str, at: int, text: str = "bad in Java") -> None:
        def edit(record: Json) -> None:
            record.get("instanceIds", {}).pop(pod, None)
            record.setdefault("failedIn", {})[pod] = at
            record.setdefault("fails", {})[pod] = {"msg": text}

        self._rewrite(model, edit)

    def take_off(self, model: str, instance: str) -> None:
        """The leader has missed an instance for long, rightly or not."""

        def edit(record: Json) -> None:
            record.get("instanceIds", {}).pop(instance, None)
            record.get("failedIn", {}).pop(instance, None)
            record.get("fails", {}).pop(instance, None)

        self._rewrite(model, edit)

    def mark(self, model: str, value: object) -> None:
        """Write an attribute that nobody else knows."""
        self._rewrite(model, lambda record: record.update(later=value))

    def _rewrite(self, model: str, edit: Callable[[Json], None]) -> None:
        pair = self._kv.get(MODELS + model)
        if pair is None:
            return
        record = json.loads(pair.value)
        edit(record)
        done = self._kv.commit([Write(MODELS + model, pair.mod, json.dumps(record).encode())])
        assert isinstance(done, Committed)
        self._kept[model, pair.create] = _of(set(self.leases), record), set(self.leases)

    # -- what must hold ---------------------------------------------------------------------------------

    def check(self) -> None:
        """Whatever instances of ours write, what Java pods that are there wrote about themselves stays as it was."""
        for (model, create), (kept, pods) in self._kept.items():
            pair = self._kv.get(MODELS + model)
            if isinstance(pair, Pair) and pair.create == create:
                assert _of(pods, json.loads(pair.value)) == kept, model


def _of(pods: set[str], record: Json) -> Json:
    def named(name: str) -> Json:
        return {pod: value for pod, value in record.get(name, {}).items() if pod in pods}

    return {"later": record.get("later"), **{name: named(name) for name in ("instanceIds", "failedIn", "fails")}}


def _without(kept: Json, pod: str) -> Json:
    return {
        name: {other: value for other, value in each.items() if other != pod} if name != "later" else each
        for name, each in kept.items()
    }
