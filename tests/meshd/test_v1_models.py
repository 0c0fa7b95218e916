"""Models are told one by one and in lists: their copies, their failures, all pages of one moment."""

from __future__ import annotations

from typing import Any

import pytest

from meshd import listing
from meshd.listing import LISTS_KEPT
from protos import meshd_pb2 as wire
from tests.client import GUARD_S, Client, refused, spec
from tests.meshd.mesh import Mesh
from tests.processes import until

LOADED, NOT_LOADED, LOADING_FAILED, UNKNOWN = (
    wire.Model.Status.LOADED, wire.Model.Status.NOT_LOADED, wire.Model.Status.LOADING_FAILED, wire.Model.Status.UNKNOWN,
)  # fmt: skip


# -- GetModel ---------------------------------------------------------------------------------------------------


def test_a_loaded_model_shows_its_copies(pair: Mesh, client: Client, model: str) -> None:
    client.register(model, load=True)
    pair.copy(model, 0)
    pair.copy(model, 1)

    def both_loaded() -> bool:
        copies = client.model(model).copies
        return sorted((copy.instance, copy.state) for copy in copies) == [
            ("i0", wire.Copy.State.LOADED), ("i1", wire.Copy.State.LOADED),
        ]  # fmt: skip

    until(both_loaded, "both copies are loaded")
    told = client.model(model)
    assert told.status == LOADED
    times = [copy.load_ts_ms for copy in told.copies]
    assert times == sorted(times, reverse=True)


def test_a_model_that_loads_shows_where(client: Client, model: str) -> None:
    client.register(model, "fake:?load_ms=600000", load=True, sync=False)
    until(lambda: bool(client.model(model).copies), "the copy is named")
    told = client.model(model)
    assert (told.status, told.copies[0].state) == (wire.Model.Status.LOADING, wire.Copy.State.LOADING)
    client.unregister(model)


def test_failures_are_told_with_where_and_when(client: Client, model: str) -> None:
    client.register(model, "fake:?fail=INVALID_ARGUMENT&fail_text=bad+file")
    client.ensure(model)
    until(lambda: len(client.model(model).failures) == 2, "both tried")
    told = client.model(model)
    assert told.status == LOADING_FAILED
    assert {failure.text for failure in told.failures} == {"INVALID_ARGUMENT: bad file"}
    assert {failure.instance for failure in told.failures} == {"i0", "i1"}
    times = [failure.at_ms for failure in told.failures]
    assert times == sorted(times, reverse=True)
    assert not told.copies


def test_an_unknown_model_is_not_found(client: Client, model: str) -> None:
    assert refused(lambda: client.model(model)) == ("NOT_FOUND", f"no model '{model}' is registered")


@pytest.mark.parametrize("value", [b"nonsense", b'{"type":3}', b"[]", b"\xff"])
def test_a_record_that_cannot_be_read_is_shown_and_harms_no_other(
    pair: Mesh, client: Client, model: str, value: bytes
) -> None:
    pair.put(f"registry/{model}", value)
    client.register(f"{model}good", load=True)
    until(lambda: len(client.models(name_prefix=model)) == 2, "both are listed")
    bad = client.models(name_prefix=model)[0]
    assert bad == client.model(model)
    assert bad.status == UNKNOWN
    assert f'Record "registry/{model}"' in bad.failures[0].text
    wrong = ("FAILED_PRECONDITION", bad.failures[0].text)
    assert refused(lambda: client.infer(model)) == wrong
    assert refused(lambda: client.register(model)) == wrong
    assert refused(lambda: client.ensure(model)) == wrong
    assert client.infer(f"{model}good").body == b"hello"
    assert pair.value(f"registry/{model}") == value, "never overwritten"
    client.unregister(model)
    assert pair.value(f"registry/{model}") is None, "it stood in the way of its id"
    until(lambda: len(client.models(name_prefix=model)) == 1, "it is gone")


# -- ListModels -------------------------------------------------------------------------------------------------


def test_models_pass_all_of_a_filter(client: Client, model: str) -> None:
    client.register_all(
        [
            spec(f"{model}a", kind="t1", labels={"team": "x", "tier": "1"}),
            spec(f"{model}b", kind="t1", labels={"team": "x"}),
            spec(f"{model}c", kind="t2", labels={"team": "x", "tier": "1"}),
        ]
    )
    client.register(f"{model}d", load=True)
    until(lambda: client.state(f"{model}d") == "LOADED", "known to be ready")

    def names(**wanted: Any) -> str:
        return "".join(told.spec.name[-1] for told in client.models(name_prefix=model, **wanted))

    assert names() == "abcd"
    assert names(type="t1") == "ab"
    assert names(labels={"team": "x", "tier": "1"}) == "ac"
    assert names(type="t1", labels={"tier": "1"}) == "a"
    assert names(status=[LOADED, LOADING_FAILED]) == "d"
    assert names(status=[NOT_LOADED]) == "abc"
    (holder,) = client.holders(f"{model}d")
    assert names(instance=holder) == "d"
    assert names(instance="elsewhere") == ""
    assert names(type="none") == ""


def page(client: Client, **fields: Any) -> Any:
    return client.v1.ListModels(wire.ListModelsRequest(**fields), timeout=GUARD_S)


def test_all_pages_are_of_one_moment(client: Client, model: str) -> None:
    wanted = wire.ModelFilter(name_prefix=model)
    client.register_all([spec(f"{model}{number}") for number in range(5)])
    first = page(client, filter=wanted, page_size=2)
    client.unregister(f"{model}3")
    client.register_all([spec(f"{model}9")])
    second = page(client, filter=wanted, page_size=2, page_token=first.next_page_token)
    third = page(client, filter=wanted, page_size=2, page_token=second.next_page_token)
    names = [told.spec.name[-1] for each in (first, second, third) for told in each.models]
    assert names == ["0", "1", "2", "3", "4"]
    assert first.revision == second.revision == third.revision
    assert third.next_page_token == ""
    until(lambda: page(client, filter=wanted).revision > first.revision, "another list is of a later one")


def test_a_page_looks_at_so_many_models_and_leaves_the_others_to_the_next(
    client: Client, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LOOKED_AT_MOST", 10)
    client.register_all([spec(f"{model}{number:02}", kind="rare" if number == 33 else "fake") for number in range(35)])
    wanted = wire.ModelFilter(name_prefix=model, type="rare")
    first = page(client, filter=wanted)
    assert (len(first.models), bool(first.next_page_token)) == (0, True)
    assert [told.spec.name for told in client.models(name_prefix=model, type="rare")] == [f"{model}33"]
    assert len(client.models(name_prefix=model)) == 35
    assert client.models(name_prefix=f"{model}~") == client.models(name_prefix="\U0010ffff") == []


def test_only_a_list_without_a_filter_says_how_many_there_are(client: Client) -> None:
    everything = page(client)
    assert everything.total == len(client.models())
    assert not page(client, filter=wire.ModelFilter(type="fake")).HasField("total")


def test_a_page_size_is_not_negative(client: Client) -> None:
    expected = ("INVALID_ARGUMENT", "page_size is -1; allowed: 0 and more")
    assert refused(lambda: page(client, page_size=-1)) == expected


@pytest.mark.parametrize(
    "token", ["x", "W10=", "WzEsMl0=", "e30=", "WyJhIiwiYiJd", "W0luZmluaXR5LDFd", "WzEsLTVd", "ä", "W1s=" * 500]
)
def test_a_token_that_nobody_was_given_begins_no_page(client: Client, token: str) -> None:
    assert refused(lambda: page(client, page_token=token))[0] == "OUT_OF_RANGE"


def test_a_list_that_many_others_came_after_begins_again(client: Client, model: str) -> None:
    client.register_all([spec(f"{model}{number}") for number in range(2)])
    old = page(client, page_size=1)
    for _ in range(LISTS_KEPT):
        assert page(client, page_size=1).next_page_token
    call = lambda: page(client, page_size=1, page_token=old.next_page_token)  # noqa: E731
    assert refused(call) == ("OUT_OF_RANGE", "this list is not kept any more; begin again without a token")
