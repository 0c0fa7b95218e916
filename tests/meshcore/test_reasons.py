"""Why a choice was made, and how long that is remembered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from meshcore.reasons import MODELS_KEPT, Candidate, Reason, ReasonLog, Rejected, Rule, trimmed


def reason(model: str, cause: str = "") -> Reason:
    return Reason(Rule.LOAD, model, "a", cause)


def test_reason_is_stamped_when_it_is_kept() -> None:
    """A kept reason has its number and its instant; nothing else of it changes."""
    log = ReasonLog()
    given = Reason(Rule.EVICT, "m", "a", "room", 7, {"units": 3}, (Candidate("m", (1,), Rejected.NEWER),), 2)
    kept = log.add(given, 99)
    assert (kept.seq, kept.at) == (1, 99)
    assert Reason(kept.rule, kept.model, kept.chosen, kept.cause, 7, kept.inputs, kept.candidates, kept.more) == given
    assert log.add(given, 100).seq == 2


def test_last_few_reasons_of_each_model_are_kept() -> None:
    """Eight of each model stay, however many there are of others."""
    log = ReasonLog(kept=2)
    for number in range(10):
        log.add(reason("m", f"{number}"), number)
    log.add(reason("n"), 10)
    assert [kept.cause for kept in log.of("m")] == [f"{number}" for number in range(2, 10)]
    assert len(log.of("n")) == 1
    assert log.of("o") == ()


def test_a_rule_that_decides_again_and_again_does_not_push_out_what_others_decided() -> None:
    """The last reason of each rule stays as long as one is kept that the same rule decided anew since."""
    log = ReasonLog(kept_per_model=3)
    for number, rule in enumerate((Rule.UNSATISFIED, Rule.FILL, Rule.PLACE, Rule.FILL, Rule.PLACE, Rule.FILL)):
        log.add(Reason(rule, "m", "a", ""), number)
    assert [(kept.rule, kept.at) for kept in log.of("m")] == [(Rule.UNSATISFIED, 0), (Rule.PLACE, 4), (Rule.FILL, 5)]
    log.add(reason("m"), 6)
    assert [kept.rule for kept in log.of("m")] == [Rule.PLACE, Rule.FILL, Rule.LOAD]


def test_reasons_are_kept_of_the_models_decided_about_last() -> None:
    """However many models come by, those of so many are kept; a new decision about an old one keeps it."""
    log = ReasonLog()
    for number in range(MODELS_KEPT):
        log.add(reason(f"m{number}"), number)
    log.add(reason("m0"), 1)
    log.add(reason("new"), 2)
    assert [len(log.of(model)) for model in ("m0", "m1", "m2", "new")] == [2, 0, 1, 1]


def test_forgotten_model_has_no_reasons_of_its_own() -> None:
    """A model that is gone keeps nothing; what the instance did stays in its ring."""
    log = ReasonLog()
    log.add(reason("m"), 1)
    log.forget("m")
    log.forget("never seen")
    assert log.of("m") == ()
    assert [kept.model for kept in log.since(0)] == ["m"]


def test_reasons_of_the_instance_itself_are_in_the_ring_alone() -> None:
    """A reason without a model is nobody's."""
    log = ReasonLog()
    log.add(Reason(Rule.PUBLISH, "", "a", "due"), 1)
    assert log.of("") == ()
    assert len(list(log.since(0))) == 1


@pytest.mark.parametrize(("seq", "expected"), [(0, [3, 4, 5]), (2, [3, 4, 5]), (3, [4, 5]), (4, [5]), (5, []), (9, [])])
def test_reasons_are_told_on_from_a_number(seq: int, expected: list[int]) -> None:
    """Who follows asks for what is numbered above what he has; what the ring dropped is gone."""
    log = ReasonLog(kept=3)
    for number in range(5):
        log.add(reason("m"), number)
    assert [kept.seq for kept in log.since(seq)] == expected


def test_few_candidates_are_listed_and_the_rest_counted() -> None:
    """Sixteen candidates at most stand in a reason."""
    candidates = [Candidate(f"c{number}") for number in range(18)]
    assert trimmed(candidates) == (tuple(candidates[:16]), 2)
    assert trimmed(candidates[:3]) == (tuple(candidates[:3]), 0)


@pytest.mark.parametrize("word", [f"{kind.__name__}.{name}" for kind in (Rule, Rejected) for name in kind.__members__])
def test_every_word_of_a_reason_is_used(word: str) -> None:
    """The enumerations are closed: what stands in them can be met."""
    source = "".join(path.read_text() for path in Path("meshcore").glob("*.py"))
    assert re.search(rf"\b{word}\b", source)
