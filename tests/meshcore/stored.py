"""What the instances of a toy cluster write to its store, and what they see of it."""

from __future__ import annotations

from collections.abc import Iterable

from meshcore.asks import Clashed, Put, StoreSilent, Wrote
from meshcore.commands import Commit, Publish
from meshcore.events import InstancesSeen, LeaderSeen, RegistrySeen, Seen, VModelsSeen
from meshcore.kv import ABSENT, ANY, DELETE, KEEP, Conflict, Deleted, Kv, Pair, Write
from meshcore.leadership import candidate, leader
from meshcore.records import ModelRecord
from meshcore.vmodel_asks import Overtaken, PutVModel, ReadVModel, VModelRead
from meshcore.vmodel_record import VModelRecord
from tests.meshcore.hosts import Host

MODELS, INSTANCES, LATCH, VMODELS = "registry/", "instances/", "leaderLatch/", "vmodels/"

News = RegistrySeen | VModelsSeen | InstancesSeen | LeaderSeen

WATCHED = MODELS, INSTANCES, LATCH, VMODELS
SEEN = {MODELS: RegistrySeen, INSTANCES: InstancesSeen, VMODELS: VModelsSeen}


def stand(kv: Kv, host: Host) -> None:
    """An instance is a candidate for leading, for as long as its lease lasts."""
    kv.commit([Write(LATCH + candidate(host.id), ANY, b"", leased=True)], host.lease)


def resign(kv: Kv, host: Host) -> None:
    """It is none any more."""
    kv.commit([Write(LATCH + candidate(host.id), ANY, DELETE)])


def publish(kv: Kv, host: Host, what: Publish) -> None:
    """An instance's own record stands for as long as its lease lasts."""
    kv.commit([Write(INSTANCES + host.id, ANY, what.value, leased=True)], host.lease)


def write(kv: Kv, what: Commit | Put) -> Wrote | Clashed:
    """A model's record, if it is as expected and the instances that are to be gone are."""
    value = what.value
    writes = [Write(MODELS + what.model, what.expect, DELETE if value is None else value)]
    if isinstance(what, Commit):
        writes += [Write(INSTANCES + instance, ABSENT, KEEP) for instance in what.gone]
    outcome = kv.commit(writes)
    if isinstance(outcome, Conflict):
        pair = outcome.pairs[0]
        return Clashed(pair.value, pair.mod) if pair else Clashed(None, kv.revision)
    return Wrote(outcome.revision)


def read(kv: Kv, model: str) -> Seen:
    """A model's record as it is now."""
    pair = kv.get(MODELS + model)
    return Seen(model, None, kv.revision) if pair is None else Seen(model, pair.value, pair.mod)


def read_vmodel(kv: Kv, step: ReadVModel) -> VModelRead:
    """A virtual model and models as they are now."""
    pair = kv.get(VMODELS + step.vmodel)
    seen = Seen(step.vmodel, None, kv.revision) if pair is None else Seen(step.vmodel, pair.value, pair.mod)
    return VModelRead(seen, tuple(read(kv, model) for model in step.models))


def write_vmodel(kv: Kv, step: PutVModel) -> Wrote | Overtaken:
    """All if all stand as expected, or nothing."""
    writes = [Write(VMODELS + step.vmodel, step.expect, DELETE if step.value is None else step.value)]
    for each in step.models:
        value = KEEP if each.is_kept else DELETE if each.value is None else each.value
        writes.append(Write(MODELS + each.model, each.expect, value))
    outcome = kv.commit(writes)
    return Overtaken() if isinstance(outcome, Conflict) else Wrote(outcome.revision)


def answer_vmodel(kv: Kv, step: PutVModel, is_well: bool, how: int) -> Wrote | Overtaken | StoreSilent:
    """As ``write_vmodel``; not ``is_well``: nothing is written, or only the answer is lost."""
    if not is_well and how % 2 == 0:
        return StoreSilent("no leader")
    outcome = write_vmodel(kv, step)
    return outcome if is_well or isinstance(outcome, Overtaken) else StoreSilent("no answer")


def vmodels(kv: Kv) -> dict[str, VModelRecord]:
    """All virtual models' records."""
    return {pair.key.removeprefix(VMODELS): VModelRecord.decode(pair.value) for pair in kv.snapshot(VMODELS).pairs}


def records(kv: Kv) -> dict[str, ModelRecord]:
    """All models' records."""
    return {pair.key.removeprefix(MODELS): ModelRecord.decode(pair.value) for pair in kv.snapshot(MODELS).pairs}


def whole(kv: Kv, host: Host, prefix: str) -> News:
    """All that stands under a prefix; the host follows it from there."""
    snapshot = kv.snapshot(prefix)
    host.watched[prefix] = snapshot.revision
    if prefix == LATCH:
        return LeaderSeen(leader({pair.key.removeprefix(LATCH): pair.create for pair in snapshot.pairs}))
    kind = SEEN[prefix]
    return kind(snapshot.revision, _seen(prefix, snapshot.pairs), True)


def changes(
    kv: Kv, host: Host, prefix: str, most: int
) -> tuple[int, RegistrySeen | VModelsSeen | InstancesSeen | LeaderSeen | None]:
    """How many changes are next, and the one event that tells of them. Raises Compacted if some are forgotten."""
    found = kv.changes_after(prefix, host.watched[prefix])[:most]
    if not found:
        return 0, None
    if prefix == LATCH:
        return len(found), whole(kv, host, prefix)
    revision = host.watched[prefix] = found[-1].revision
    kind = SEEN[prefix]
    return len(found), kind(revision, _seen(prefix, [pair for change in found for pair in change.pairs]))


def _seen(prefix: str, pairs: Iterable[Pair | Deleted]) -> tuple[Seen, ...]:
    return tuple(
        Seen(pair.key.removeprefix(prefix), pair.value if isinstance(pair, Pair) else None, pair.mod) for pair in pairs
    )
