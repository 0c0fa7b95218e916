"""The newest of every key, whatever order the news comes in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshcore.events import Seen
from meshcore.mirror import MOST_ABSENT, Mirror


def filled(revision: int = 10) -> Mirror:
    mirror = Mirror()
    assert mirror.reset(revision, [Seen("a", b"1", 3), Seen("b", b"2", 7)]) == ["a", "b"]
    return mirror


def test_values_come_with_the_revision_that_wrote_them() -> None:
    """A key has its value and revision; one that is absent has None and 0."""
    mirror = filled()
    assert (mirror.value("a"), mirror.mod("a"), "a" in mirror) == (b"1", 3, True)
    assert (mirror.value("x"), mirror.mod("x"), "x" in mirror) == (None, 0, False)
    assert (len(mirror), mirror.revision) == (2, 10)


def test_older_news_is_passed_over() -> None:
    """Only a newer revision of a key is news."""
    mirror = filled()
    assert not mirror.see("a", b"old", 3)
    assert not mirror.see("a", None, 2)
    assert mirror.see("a", b"new", 11)
    assert mirror.value("a") == b"new"


def test_own_deletion_outlives_the_watch_that_lags_behind() -> None:
    """After an own deletion the watch still tells what was there before: it stays deleted, until written anew."""
    mirror = filled()
    assert mirror.see("a", None, 14)
    assert not mirror.see("a", None, 13)
    assert mirror.advance(12, [Seen("a", b"late", 12)]) == []
    assert "a" not in mirror
    assert mirror.advance(15, [Seen("a", None, 14), Seen("a", b"again", 15)]) == ["a"]
    assert mirror.value("a") == b"again"


def test_keys_asked_for_in_vain_take_no_more_memory_than_so_many() -> None:
    """Whoever asks for unknown ids cannot fill the memory; own deletions are remembered all the same."""
    mirror = filled()
    for number in range(2 * MOST_ABSENT):
        assert not mirror.see(f"x{number}", None, 14)
    assert mirror.see("a", None, 14)
    assert len(mirror._deleted) == MOST_ABSENT + 1
    assert mirror.advance(12, [Seen("a", b"late", 12)]) == []


def test_written_anew_after_an_own_deletion() -> None:
    """A value newer than the deletion counts, before the watch has come that far too."""
    mirror = filled()
    mirror.see("a", None, 14)
    assert mirror.see("a", b"again", 15)
    assert mirror.advance(15, [Seen("a", None, 14), Seen("a", b"again", 15)]) == []
    assert mirror.value("a") == b"again"


def test_late_answer_does_not_bring_a_deleted_key_back() -> None:
    """What the watch has told is gone stays gone when an older read comes in late."""
    mirror = filled()
    assert mirror.advance(12, [Seen("a", None, 12)]) == ["a"]
    assert not mirror.see("a", b"1", 3)
    assert not mirror.see("x", None, 11)
    assert "a" not in mirror


def test_absent_key_is_no_news() -> None:
    """The deletion of what is not known changes nothing, but what was there before it is passed over."""
    mirror = filled()
    assert not mirror.see("x", None, 20)
    assert not mirror.see("x", b"before", 19)
    assert mirror.see("x", b"after", 21)


def test_whole_snapshot_drops_what_it_lacks() -> None:
    """What a snapshot does not have is gone, except what is newer than the snapshot."""
    mirror = filled()
    mirror.see("own", b"ahead", 22)
    mirror.see("deleted", b"x", 12)
    mirror.see("deleted", None, 23)
    assert mirror.reset(20, [Seen("b", b"2", 7), Seen("c", b"3", 19), Seen("deleted", b"x", 12)]) == ["c", "a"]
    assert [key for key in ("a", "b", "c", "own", "deleted") if key in mirror] == ["b", "c", "own"]
    assert mirror.revision == 20


def test_snapshot_older_than_what_the_watch_told_is_of_a_store_that_was_put_back() -> None:
    """What it says holds, whatever was known to be newer, and the watch goes on from there."""
    mirror = filled()
    mirror.advance(15, [Seen("b", None, 15), Seen("c", b"3", 14), Seen("d", b"4", 13)])
    mirror.see("own", b"ahead", 22)
    mirror.see("d", None, 23)
    assert mirror.reset(12, [Seen("a", b"1", 3), Seen("b", b"2", 7), Seen("d", b"4", 9)]) == ["b", "d", "c", "own"]
    assert [(key, mirror.mod(key)) for key in ("a", "b", "c", "d", "own")] == [
        ("a", 3), ("b", 7), ("c", 0), ("d", 9), ("own", 0),
    ]  # fmt: skip
    assert mirror.revision == 12
    assert mirror.advance(13, [Seen("a", b"other", 13)]) == ["a"]


def test_snapshot_of_a_store_that_was_put_back_and_went_on_holds_too() -> None:
    """Its revision may be beyond all that was known, that of a key is not: older than what was known of it then."""
    mirror = filled()
    assert mirror.reset(30, [Seen("a", b"0", 2), Seen("b", b"2", 7)]) == ["a"]
    assert (mirror.value("a"), mirror.mod("a")) == (b"0", 2)


def test_key_without_a_value_is_none_in_a_snapshot() -> None:
    assert filled().reset(11, [Seen("a", None, 11), Seen("b", b"2", 7)]) == ["a"]


@given(
    history=st.lists(st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.binary(max_size=2))), max_size=15),
    told=st.lists(st.tuples(st.integers(0, 14), st.integers(0, 3)), max_size=25),
)
def test_every_order_of_news_ends_in_the_store_s_state(
    history: list[tuple[str, bytes | None]], told: list[tuple[int, int]]
) -> None:
    """Answers in any order between watch batches: in the end the mirror is the store, with nothing left over."""
    store = [Seen(key, value, revision) for revision, (key, value) in enumerate(history, 1)]
    mirror, at = Mirror(), 0
    for pick, step in told:
        if pick < len(store):
            mirror.see(store[pick].id, store[pick].value, store[pick].mod)
        mirror.advance(min(at + step, len(store)), store[at : at + step])
        at = min(at + step, len(store))
    mirror.advance(len(store), store[at:])
    final: dict[str, tuple[bytes, int]] = {}
    for item in store:
        final.pop(item.id, None)
        if item.value is not None:
            final[item.id] = (item.value, item.mod)
    assert {key: (mirror.value(key), mirror.mod(key)) for key in "abc" if key in mirror} == final
    assert len(mirror) == len(final)
    assert mirror._deleted == {}
