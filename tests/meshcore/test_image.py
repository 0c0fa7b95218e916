"""What a node keeps, taken and put into another: that one is then as the first, and goes on as the first would."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

import pytest

from meshcore import image
from meshcore.eviction import lru_order
from meshcore.node import Node
from meshcore.plain import NotPlain
from meshcore.reasons import Reason, Rule
from meshcore.rules import Rules
from meshcore.settings import Settings
from tests.meshcore.test_cluster_machine import ClusterMachine, live_a_busy_day


def fresh(node: Node, settings: Settings | None = None) -> Node:
    return Node(node.identity, settings or node.settings, node.cache.params, Rules(), Random(99))


def plain(node: Node) -> Any:
    return json.loads(json.dumps(image.take(node).encode()))


@pytest.fixture(scope="module")
def nodes() -> list[Node]:
    """Nodes that died in the middle of something, and others at rest."""
    found: list[Node] = []
    for seed in (14, 20, 27, 34):
        machine = ClusterMachine()
        live_a_busy_day(machine, seed)
        found += [host.node for host in machine.cluster.hosts]
    return found


def test_a_node_given_what_another_keeps_keeps_the_same(nodes: list[Node]) -> None:
    assert sum(len(node.writer) for node in nodes) > 0, "edits under way, which know whom to tell"
    assert sum(len(node.copies.queue.waiting()) + len(node.cache.entries) for node in nodes) > 5
    for node in nodes:
        other = fresh(node)
        image.put(other, plain(node))
        assert plain(other) == plain(node)
        assert other.rng.random() == copy.deepcopy(node.rng).random()


def test_parts_of_the_new_node_still_share_what_they_shared(nodes: list[Node]) -> None:
    node = max(nodes, key=lambda node: len(node.cache.entries))
    other = fresh(node)
    image.put(other, plain(node))
    assert other.cache.entries
    assert other.cache._planner._entries is other.cache.entries
    assert other.publisher._rng is other.rng
    assert other.copies.queue._queued == [other.cache.entries[e.model] for e in node.copies.queue._queued]


def test_settings_and_rules_are_those_of_the_new_node(nodes: list[Node]) -> None:
    node = nodes[0]
    other = fresh(node, Settings(eject_first_ms=77, reservation_ms=78, store_retry_ms=79))
    image.put(other, plain(node))
    assert other.view.health._first_ms == 77
    assert other.view.reservations._lifetime_ms == 78
    assert other.writer._retry_ms == 79
    assert other.cache._planner._ranking._order is lru_order


def test_reasons_are_counted_on_but_not_kept(nodes: list[Node]) -> None:
    node = next(node for node in nodes if node.log.newest)
    other = fresh(node)
    image.put(other, plain(node))
    assert list(other.log.since(0)) == []
    assert other.explain(Reason(Rule.LOAD, "m", "i", "c")).seq == node.log.newest + 1


def test_an_image_does_not_change_with_the_node(nodes: list[Node]) -> None:
    node = max(nodes, key=lambda node: len(node.cache.entries))
    other = fresh(node)
    image.put(other, plain(node))
    taken = image.take(other)
    before = json.dumps(taken.encode())
    for entry in other.cache.entries.values():
        entry.in_flight += 1
    other.cache.entries.clear()
    other.view.reservations.add("x", 1, 1)
    other.rng.random()
    assert json.dumps(taken.encode()) == before


def test_a_state_of_another_version_is_refused(nodes: list[Node]) -> None:
    node = nodes[0]
    for change, text in (
        (lambda state: state.pop("view"), "it has other parts"),
        (lambda state: state.update(more={}), "it has other parts"),
        (lambda state: state["cache.lru"].pop("_arrivals"), "cache.lru keeps other things"),
        (lambda state: state[""].update(more=1), "the node keeps other things"),
        (lambda state: state.update(view=3), "view keeps other things"),
        (lambda state: state["cache.lru"].update(_order={}), "cache.lru._order is written as a dict and is a list"),
        (lambda state: state["rng"].update(state=[3, [1], None]), "no state of a generator"),
        (lambda state: state["rng"].update(state=None), "no state of a generator"),
    ):
        state = plain(node)
        change(state)  # type: ignore[no-untyped-call]
        with pytest.raises(NotPlain, match=text):
            image.put(fresh(node), state)
    with pytest.raises(NotPlain, match="it has other parts"):
        image.put(fresh(node), [])
