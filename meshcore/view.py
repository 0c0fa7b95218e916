"""The cluster as this instance knows it: models, instances, what is on its way to them, and whom it can reach."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from meshcore.commands import Holder
from meshcore.constraints import TypeConstraint
from meshcore.errors import BadRecord
from meshcore.events import Seen
from meshcore.mirror import Mirror
from meshcore.order import PlacementOrder, ranked, why_no_loads
from meshcore.partitions import Partitions
from meshcore.peers import PeerHealth
from meshcore.records import InstanceRecord, ModelRecord
from meshcore.reservations import Reservations
from meshcore.settings import Settings
from meshcore.totals import Totals
from meshcore.underway import Underway
from meshcore.upgrades import Upgrades

DECODED_KEPT = 4096

COPIES_MARK = b'"instanceIds"'
FAILURES_MARK = b'"failedIn"'
MINIMUM_MARK, MAXIMUM_MARK = b'"min"', b'"max"'
"""What stands in a record that names copies, failures, a least or a greatest number of copies; most have none."""


class ClusterView:
    """Records mirrored from the store, and what placement and routing read off them.

    A million models stay bytes until asked for; each instance is decoded and ranked as its record comes. Instances
    without our part of a record (Java pods) are shown, but are neither holders nor targets nor counted.
    """

    NOT_STATE = frozenset({"_decoded"})  # can be read again

    read_model = staticmethod(ModelRecord.decode)
    read_instance = staticmethod(InstanceRecord.decode)
    """How records are read; who plays many instances may have each record read once for all of them."""

    def __init__(self, me: str, start_ms: int, settings: Settings, churn_age_ms: int) -> None:
        self.me = me
        self._start_ms = start_ms
        self._models = Mirror()
        self._decoded: dict[str, ModelRecord] = {}
        """The records read last, the latest at the end."""
        self._stored = Mirror()
        self._instances: dict[str, InstanceRecord] = {}
        self._ids: list[str] = []
        self.bad: dict[str, str] = {}
        """Instances whose record cannot be read, and what is wrong with it."""
        self.keeps_vanished = False
        """Whether an instance whose record goes is taken to be there still: the store, and not it, may have gone."""
        self._vanished: dict[str, None] = {}
        self._is_self_told = False
        self.order = PlacementOrder(churn_age_ms)
        self.reservations = Reservations(settings)
        self.health = PeerHealth(settings)
        self.partitions = Partitions()
        self.upgrades = Upgrades()
        self.underway = Underway()

    @property
    def revision(self) -> int:
        """The newest store revision that a watch has told."""
        return max(self._models.revision, self._stored.revision)

    # models

    def see_model(self, model: str, value: bytes | None, mod: int) -> bool:
        """A commit or a read told what ``model`` held (None: absent) at revision ``mod``; True iff that is news."""
        is_news = self._models.see(model, value, mod)
        if is_news:
            self._decoded.pop(model, None)
        return is_news

    def see_models(self, revision: int, seen: tuple[Seen, ...]) -> list[str]:
        """The watch told these changes, and all up to ``revision``; the models that changed."""
        return self._forget_decoded(self._models.advance(revision, seen))

    def reset_models(self, revision: int, seen: tuple[Seen, ...]) -> list[str]:
        """These were all models at ``revision``; the ones that changed."""
        return self._forget_decoded(self._models.reset(revision, seen))

    def _forget_decoded(self, changed: list[str]) -> list[str]:
        for model in changed:
            self._decoded.pop(model, None)
        return changed

    def record(self, model: str) -> ModelRecord | None:
        """The registration of ``model``; None: there is none known.

        Raises:
            BadRecord: there is one that cannot be read.
        """
        record = self._decoded.pop(model, None)
        if record is None:
            value = self._models.value(model)
            if value is None:
                return None
            record = self.read_model(value, f"registry/{model}")
            if len(self._decoded) >= DECODED_KEPT:
                del self._decoded[next(iter(self._decoded))]
        self._decoded[model] = record
        return record

    def models(self) -> list[tuple[str, bytes, int]]:
        """All registrations as they are known now: (id, value, revision), ascending by id."""
        return self._models.items()

    def names_copies(self, model: str) -> bool:
        """Whether the registration of ``model`` may name a copy."""
        return self.mentions(model, COPIES_MARK)

    def mentions(self, model: str, mark: bytes) -> bool:
        """Whether the registration of ``model`` may have what ``mark`` marks, told without reading it."""
        value = self._models.value(model)
        return value is not None and mark in value

    def value(self, model: str) -> bytes | None:
        """The registration of ``model`` as it stands, unread; None: there is none known."""
        return self._models.value(model)

    def ids(self) -> list[str]:
        """All registered models, in no order that means anything."""
        return self._models.ids()

    @property
    def count(self) -> int:
        """Registered models."""
        return len(self._models)

    def names_failures(self, model: str) -> bool:
        """Whether the registration of ``model`` may name a load that failed, told in the same way."""
        value = self._models.value(model)
        return value is not None and FAILURES_MARK in value

    def mod(self, model: str) -> int:
        """The revision that wrote the registration of ``model``; 0: none known."""
        return self._models.mod(model)

    def holders(self, record: ModelRecord) -> tuple[Holder, ...]:
        """The live copies by ascending instance id, draining instances' included.

        Live: on an instance that is known and ours, and loaded since that instance started. This instance's own
        start is known before its record is, so its copies never wait for that.
        """
        return tuple(
            Holder(instance, load_ts, record.is_ready(instance))
            for instance, load_ts in sorted(record.copies.items())
            if self.is_live(instance, load_ts)
        )

    def is_live(self, instance: str, load_ts: int) -> bool:
        """Whether a copy that ``instance`` began to load at ``load_ts`` can still be there."""
        if instance == self.me:
            return load_ts >= self._start_ms
        held = self._instances.get(instance)
        return held is not None and held.is_ours and load_ts >= held.start_ms

    def is_ghost(self, instance: str, load_ts: int) -> bool:
        """Whether ``instance`` is ours and started after ``load_ts``: the copy, or failure, is a former process's."""
        held = self._instances.get(instance)
        return held is not None and held.is_ours and load_ts < held.start_ms

    # instances

    def see_instance(self, instance: str, value: bytes | None, mod: int) -> bool:
        """What ``instance`` published (None: it is gone) at revision ``mod``; True iff that is news."""
        is_news = self._stored.see(instance, value, mod)
        if is_news:
            self._read_instance(instance)
        return is_news

    def see_instances(self, revision: int, seen: tuple[Seen, ...]) -> list[str]:
        """The watch told these changes, and all up to ``revision``; the instances that changed."""
        return self._read_instances(self._stored.advance(revision, seen))

    def reset_instances(self, revision: int, seen: tuple[Seen, ...]) -> list[str]:
        """These were all instances at ``revision``; the ones that changed."""
        return self._read_instances(self._stored.reset(revision, seen))

    def see_told(self, instance: str, value: bytes) -> None:
        """``instance`` itself told its record, fresher than the published one; the next one published replaces it.

        What cannot be read, or comes from an instance that is not known (any more), is passed over.
        """
        if (instance in self._stored or instance in self._vanished) and instance != self.me:
            try:
                self._put_instance(instance, self.read_instance(value, f"instances/{instance}"))
            except BadRecord:
                return

    def see_self(self, record: InstanceRecord) -> None:
        """This instance's numbers as they are now; from the first time on they stand for the published ones."""
        self._is_self_told = True
        if record != self._instances.get(self.me):
            self._put_instance(self.me, record)

    @contextmanager
    def supposing_self(self, record: InstanceRecord) -> Iterator[None]:
        """As after ``see_self``, and as before once the block is left: for a choice that is not carried out."""
        before, was_told = self._instances.get(self.me), self._is_self_told
        if before == record:
            yield
            return
        self._put_instance(self.me, record)
        self._is_self_told = True
        try:
            yield
        finally:
            if before is None:
                self._drop_instance(self.me)
            else:
                self._put_instance(self.me, before)
            self._is_self_told = was_told

    def instance(self, instance: str) -> InstanceRecord | None:
        """What is known of ``instance``; None: nothing, or its record cannot be read."""
        return self._instances.get(instance)

    def instances(self) -> Iterator[tuple[str, InstanceRecord]]:
        """All instances whose record can be read, ascending by id."""
        return ((instance, self._instances[instance]) for instance in self._ids)

    def instance_mod(self, instance: str) -> int:
        """The revision that wrote the record of ``instance``; 0: none known."""
        return self._stored.mod(instance)

    @property
    def instance_count(self) -> int:
        """Instances with a record, whoever they are and whether or not it can be read."""
        return len(self._stored)

    @property
    def totals(self) -> Totals:
        """What the instances that may take loads add up to."""
        return self.partitions.totals()

    def totals_for(self, model_type: str) -> Totals:
        """What those add up to that may load models of ``model_type`` (D-25)."""
        return self.partitions.totals_for(model_type)

    def may_load(self, instance: str, model_type: str) -> bool:
        """Whether ``instance`` takes loads, and of models of ``model_type``."""
        entry = self.order.get(instance)
        return entry is not None and entry.partition in self.partitions.eligible(model_type).candidates

    def constrain(self, constraints: Mapping[str, TypeConstraint]) -> None:
        """Other constraints are in force: from now on they decide who may load what."""
        self.partitions.constrain(constraints)
        for instance, record in self.instances():
            if self._takes_loads(instance, record):
                self.partitions.add(record)
                self._rank(instance)

    def came_or_went(self, instance: str, now: int) -> None:
        """The store told of ``instance``, or that it is gone: an upgrade may show by it."""
        for other in self.upgrades.see(instance, self._instances.get(instance), now):
            self._rank(other)

    def give_up_vanished(self) -> list[str]:
        """Those whose records did not come back are gone after all; their ids, ascending."""
        gone, self._vanished = sorted(self._vanished), {}
        for instance in gone:
            self._drop_instance(instance)
        return gone

    def _read_instances(self, changed: list[str]) -> list[str]:
        for instance in changed:
            self._read_instance(instance)
        return changed

    def _read_instance(self, instance: str) -> None:
        self.bad.pop(instance, None)
        value = self._stored.value(instance)
        record = None
        if value is not None:
            try:
                record = self.read_instance(value, f"instances/{instance}")
            except BadRecord as wrong:
                self.bad[instance] = wrong.text
        if instance == self.me and self._is_self_told:
            return
        self._vanished.pop(instance, None)
        if value is None and self.keeps_vanished and instance in self._instances:
            self._vanished[instance] = None
        elif record is None:
            self._drop_instance(instance)
        else:
            self._put_instance(instance, record)

    def _put_instance(self, instance: str, record: InstanceRecord) -> None:
        before = self._instances.get(instance)
        if before is None:
            insort(self._ids, instance)
        else:
            self._discount(instance, before)
            if before.start_ms != record.start_ms:
                self._forget_past(instance)
        self._instances[instance] = record
        if self._takes_loads(instance, record):
            self.partitions.add(record)
        self.reservations.settle(instance, record.accepted)
        self._rank(instance)

    def _drop_instance(self, instance: str) -> None:
        before = self._instances.pop(instance, None)
        if before is not None:
            del self._ids[bisect_left(self._ids, instance)]
            self._discount(instance, before)
            self._forget_past(instance)

    def _discount(self, instance: str, before: InstanceRecord) -> None:
        self.order.discard(instance)
        if self._takes_loads(instance, before):
            self.partitions.remove(before)

    def _takes_loads(self, instance: str, record: InstanceRecord) -> bool:
        return not why_no_loads(record, instance == self.me)

    def _forget_past(self, instance: str) -> None:
        """What was sent to it is lost with its process, and what could not be reached is not there any more."""
        self.reservations.forget(instance)
        self.health.succeeded(instance)

    # loads on their way

    def reserve(self, instance: str, units: int, now: int, model: str = "") -> None:
        """A load of ``model``, of ``units`` cache units, is on its way to ``instance``."""
        self.reservations.add(instance, units, now, model)
        self._rank(instance)

    def loads_of(self, model: str, record: ModelRecord | None) -> None:
        """What the registry says of the loads of ``model`` is another thing now."""
        for instance in self.underway.see(model, record):
            self._rank(instance)

    def release(self, instance: str, units: int) -> None:
        """A load that was on its way to ``instance`` will not come after all."""
        if self.reservations.drop(instance, units):
            self._rank(instance)

    def expire(self, now: int) -> None:
        """End the reservations, and the upgrades, whose time is over."""
        for instance in (*self.reservations.expire(now), *self.upgrades.expire(now)):
            self._rank(instance)

    def _rank(self, instance: str) -> None:
        record = self._instances.get(instance)
        if record is not None and self._takes_loads(instance, record):
            loading = self.underway.of(instance)
            units, loads = self.reservations.units(instance), self.reservations.loads(instance, loading)
            if instance != self.me:
                loads += max(0, len(loading) - record.loads_in_progress)
            partition, is_replaced = self.partitions.of(record.labels), self.upgrades.is_replaced(instance)
            self.order.put(ranked(instance, record, units, loads, partition, is_replaced))
