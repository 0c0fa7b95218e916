"""The revisioned key-value machine, by example and against a model that keeps every state."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from meshcore.kv import (
    ABSENT,
    ANY,
    DELETE,
    KEEP,
    MOST_WRITES,
    Act,
    Change,
    Committed,
    Compacted,
    Conflict,
    Deleted,
    Kv,
    LeaseGone,
    Pair,
    Snapshot,
    Write,
    checked,
)
from tests.steps import steps


def put(kv: Kv, key: str, value: bytes = b"v") -> int:
    done = kv.commit([Write(key, ANY, value)])
    assert isinstance(done, Committed)
    return done.revision


def test_created_pair_has_the_revision_of_its_commit() -> None:
    kv = Kv()
    assert kv.commit([Write("a", ABSENT, b"1")]) == Committed(2)
    assert kv.get("a") == Pair("a", b"1", mod=2, create=2)
    assert kv.commit([Write("a", 2, b"2")]) == Committed(3)
    assert kv.get("a") == Pair("a", b"2", mod=3, create=2)


def test_conflict_shows_every_current_pair_in_the_order_of_the_writes_and_changes_nothing() -> None:
    kv = Kv()
    put(kv, "b")
    assert kv.commit([Write("c", ABSENT, b"1"), Write("b", ABSENT, b"1")]) == Conflict((None, Pair("b", b"v", 2, 2)))
    assert kv.commit([Write("c", 7, b"1")]) == Conflict((None,))
    assert kv.snapshot("").revision == 2


def test_writes_of_one_commit_share_one_revision() -> None:
    kv = Kv()
    revision = put(kv, "old")
    assert kv.commit([Write("new", ABSENT, b"1"), Write("old", revision, DELETE)]) == Committed(3)
    assert kv.changes_after("", revision) == [Change(3, (Pair("new", b"1", 3, 3), Deleted("old", 3)))]
    assert kv.changes_after("o", revision) == [Change(3, (Deleted("old", 3),))]
    assert kv.changes_after("x", revision) == []


def test_keep_guards_a_key_without_writing_it() -> None:
    kv = Kv()
    revision = put(kv, "guard")
    assert kv.commit([Write("guard", revision, KEEP), Write("a", ABSENT, b"1")]) == Committed(3)
    assert kv.commit([Write("guard", ABSENT, KEEP), Write("b", ABSENT, b"1")]) == Conflict((kv.get("guard"), None))
    assert kv.commit([Write("guard", revision, KEEP)]) == Committed(3)
    assert kv.revision == 3


def test_deleting_what_is_not_there_makes_no_revision() -> None:
    kv = Kv()
    assert kv.commit([Write("a", ABSENT, DELETE)]) == Committed(1)
    assert kv.commit([Write("a", ANY, DELETE)]) == Committed(1)


def test_recreated_pair_is_a_new_one() -> None:
    kv = Kv()
    put(kv, "a")
    kv.commit([Write("a", ANY, DELETE)])
    assert kv.get("a") is None
    put(kv, "a")
    assert kv.get("a") == Pair("a", b"v", mod=4, create=4)


def test_read_gives_the_keys_that_exist() -> None:
    kv = Kv()
    put(kv, "b")
    put(kv, "a")
    assert kv.read(["b", "x", "a"]) == Snapshot(3, (Pair("a", b"v", 3, 3), Pair("b", b"v", 2, 2)))


def test_snapshot_is_sorted_whether_keys_came_singly_or_in_crowds() -> None:
    kv = Kv()
    keys = [f"k/{n:03}" for n in range(100)]
    for key in reversed(keys):
        put(kv, key)
    put(kv, "j")
    put(kv, "l")
    assert [pair.key for pair in kv.snapshot("k/").pairs] == keys
    put(kv, "k/0505")
    assert [pair.key for pair in kv.snapshot("k/05").pairs] == [*keys[50:51], "k/0505", *keys[51:60]]
    assert kv.snapshot("k/z").pairs == ()


@pytest.mark.parametrize("key", ["naïve model/β", "a b", "a\nb", "/", "\U0001f600", "a\udcff"])
def test_any_text_is_a_key(key: str) -> None:
    kv = Kv()
    put(kv, "0")
    put(kv, key)
    assert [pair.key for pair in kv.snapshot(key).pairs] == [key]


def test_history_is_bounded() -> None:
    kv = Kv(history=3)
    for _ in range(5):
        put(kv, "a")
    assert kv.compacted == 3
    assert [change.revision for change in kv.changes_after("a", 3)] == [4, 5, 6]
    with pytest.raises(Compacted) as gone:
        kv.changes_after("a", 2)
    assert gone.value.revision == 2


def test_changes_from_a_revision_never_reached_are_compacted() -> None:
    with pytest.raises(Compacted):
        Kv().changes_after("", 2)


def test_compaction_forgets_history_and_no_pair() -> None:
    kv = Kv()
    for key in ("a", "b", "c"):
        put(kv, key)
    kv.compact(3)
    kv.compact(2)
    assert kv.compacted == 3
    assert kv.changes_after("", 3) == [Change(4, (Pair("c", b"v", 4, 4),))]
    with pytest.raises(Compacted):
        kv.changes_after("", 2)
    assert len(kv.snapshot("").pairs) == 3
    with pytest.raises(ValueError, match="ahead"):
        kv.compact(5)


def test_lease_takes_its_keys_along_at_one_revision() -> None:
    kv = Kv()
    lease = kv.grant(1_000, now=5_000)
    kv.commit([Write("b", ABSENT, b"1", leased=True), Write("a", ABSENT, b"1", leased=True)], lease)
    put(kv, "c")
    assert kv.get("a") == Pair("a", b"1", 2, 2, lease)
    assert kv.expire(5_999) == []
    assert kv.expire(6_000) == [lease]
    assert kv.changes_after("", 3) == [Change(4, (Deleted("a", 4), Deleted("b", 4)))]
    assert [pair.key for pair in kv.snapshot("").pairs] == ["c"]


def test_lease_kept_alive_is_good_for_its_whole_time_again() -> None:
    kv = Kv()
    lease = kv.grant(1_000, now=0)
    assert kv.next_expiry() == 1_000
    kv.keep_alive(lease, now=999)
    assert kv.next_expiry() == 1_999
    assert kv.expire(1_000) == []
    with pytest.raises(LeaseGone):
        kv.keep_alive(lease, now=1_999)
    assert kv.expire(1_999) == [lease]
    with pytest.raises(LeaseGone):
        kv.keep_alive(lease, now=1_999)
    assert kv.next_expiry() is None
    assert kv.revision == 1


def test_key_written_without_its_lease_outlives_it() -> None:
    kv = Kv()
    lease = kv.grant(1_000, now=0)
    kv.commit([Write("a", ABSENT, b"1", leased=True), Write("b", ABSENT, b"1", leased=True)], lease)
    put(kv, "a")
    kv.revoke(lease)
    assert [pair.key for pair in kv.snapshot("").pairs] == ["a"]
    with pytest.raises(LeaseGone) as gone:
        kv.revoke(lease)
    assert gone.value.lease == lease


def test_leased_write_needs_a_living_lease() -> None:
    kv = Kv()
    with pytest.raises(LeaseGone):
        kv.commit([Write("a", ANY, b"1", leased=True)])
    assert kv.revision == 1


def test_lease_lasts_a_while() -> None:
    with pytest.raises(ValueError, match="at least 1 ms"):
        Kv().grant(0, now=0)


def test_commit_names_one_to_the_most_keys_each_once() -> None:
    with pytest.raises(ValueError, match="not 0"):
        checked([])
    with pytest.raises(ValueError, match="not 129"):
        checked(Write(f"{n}", ANY, b"") for n in range(MOST_WRITES + 1))
    with pytest.raises(ValueError, match="once"):
        checked([Write("a", ANY, b""), Write("a", ANY, KEEP)])


def test_senseless_write_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one character"):
        Write("", ANY, b"")
    with pytest.raises(ValueError, match="not -2"):
        Write("a", -2, b"")
    with pytest.raises(ValueError, match="leased"):
        Write("a", ANY, DELETE, leased=True)


class AgainstEveryStateKept(RuleBasedStateMachine):
    """The model is a list: what existed at each revision, whole."""

    @initialize(history=st.integers(1, 8))
    def start(self, history: int) -> None:
        self.kv = Kv(history)
        self.states: list[dict[str, Pair]] = [{}, {}]
        self.oldest = 0
        self.history = history
        self.now = 0
        self.leases: dict[int, tuple[int, int]] = {}

    def advance(self, state: dict[str, Pair]) -> None:
        if state != self.states[-1]:
            self.states.append(state)
            dropped = len(self.states) - 1 - self.history
            if dropped > 1:  # nothing was done at revisions 0 and 1
                self.oldest = max(self.oldest, dropped)

    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        now = self.states[-1]
        keys = data.draw(st.lists(st.sampled_from(["a", "a/b", "a/c", "b", "é"]), min_size=1, max_size=3, unique=True))
        lease = data.draw(st.sampled_from(sorted(self.leases) or [0]))
        writes = []
        for key in keys:
            here = now[key].mod if key in now else ABSENT
            expect = data.draw(st.sampled_from([here, here, here, ANY, ABSENT, 3]))
            value = data.draw(st.sampled_from([b"1", b"2", DELETE, KEEP]))
            writes.append(
                Write(key, expect, value, lease != 0 and not isinstance(value, Act) and data.draw(st.booleans()))
            )
        result = self.kv.commit(writes, lease)
        if not all(w.expect in (ANY, now[w.key].mod if w.key in now else ABSENT) for w in writes):
            assert result == Conflict(tuple(now.get(write.key) for write in writes))
            return
        then = dict(now)
        revision = len(self.states)
        for write in writes:
            if write.value is DELETE:
                then.pop(write.key, None)
            elif write.value is not KEEP:
                create = now[write.key].create if write.key in now else revision
                then[write.key] = Pair(write.key, write.value, revision, create, lease if write.leased else 0)
        self.advance(then)
        assert result == Committed(len(self.states) - 1)

    @rule(ttl=st.integers(1, 20))
    def grant(self, ttl: int) -> None:
        self.leases[self.kv.grant(ttl, self.now)] = (ttl, self.now + ttl)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), ends=st.booleans())
    def touch_lease(self, data: st.DataObject, ends: bool) -> None:
        lease = data.draw(st.sampled_from(sorted(self.leases)))
        if ends:
            self.kv.revoke(lease)
            self.end(lease)
        else:
            self.kv.keep_alive(lease, self.now)
            ttl, _ = self.leases[lease]
            self.leases[lease] = (ttl, self.now + ttl)

    @rule(passed=st.integers(0, 15))
    def wait(self, passed: int) -> None:
        self.now += passed
        over = [lease for lease, (_, until) in self.leases.items() if until <= self.now]
        assert self.kv.expire(self.now) == over
        for lease in over:
            self.end(lease)

    def end(self, lease: int) -> None:
        del self.leases[lease]
        self.advance({key: pair for key, pair in self.states[-1].items() if pair.lease != lease})

    @rule(back=st.integers(0, 4))
    def compact(self, back: int) -> None:
        revision = max(0, len(self.states) - 1 - back)
        self.kv.compact(revision)
        self.oldest = max(self.oldest, revision)

    @rule(prefix=st.sampled_from(["", "a", "a/", "é", "x"]), after=st.integers(0, 30))
    def look_back(self, prefix: str, after: int) -> None:
        if not self.oldest <= after < len(self.states):
            with pytest.raises(Compacted):
                self.kv.changes_after(prefix, after)
            return
        told = self.kv.changes_after(prefix, after)
        assert [change.revision for change in told] == sorted({change.revision for change in told})
        seen = dict(self.states[after])
        for revision in range(after + 1, len(self.states)):
            for change in told:
                if change.revision == revision:
                    for pair in change.pairs:
                        assert pair.mod == revision
                        assert pair.key.startswith(prefix)
                        if isinstance(pair, Pair):
                            seen[pair.key] = pair
                        else:
                            del seen[pair.key]
            expected = {key: pair for key, pair in self.states[revision].items() if key.startswith(prefix)}
            assert {key: pair for key, pair in seen.items() if key.startswith(prefix)} == expected

    @invariant()
    def shows_the_last_state(self) -> None:
        state = self.states[-1]
        for prefix in ("", "a/"):
            pairs = tuple(state[key] for key in sorted(state) if key.startswith(prefix))
            assert self.kv.snapshot(prefix) == Snapshot(len(self.states) - 1, pairs)


TestAgainstEveryStateKept = AgainstEveryStateKept.TestCase
TestAgainstEveryStateKept.settings = steps(50)
