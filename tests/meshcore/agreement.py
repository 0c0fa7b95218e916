"""What must hold of the instances of a toy cluster: after every step, and once all is at rest."""

from __future__ import annotations

from meshcore.entry import State
from meshcore.intents import Intent
from meshcore.records import ModelRecord
from tests.invariants import check_cache
from tests.meshcore.hosts import Host


def check(live: list[Host], named: set[tuple[str, str, int]]) -> None:
    """After every step; ``named`` has every (model, instance, load_ts) that ever stood in the registry."""
    for host in live:
        node = host.node
        check_cache(node.cache)
        for model, entry in node.cache.entries.items():
            if State.QUEUED <= entry.state <= State.ACTIVE:
                is_named = (model, host.id, entry.load_ts) in named
                assert is_named or is_kept(host, model, entry.load_ts), "accepted before it takes room"
            if State.LOADING <= entry.state <= State.ACTIVE:
                assert host.has_restarted or host.runtime.get(model) == entry.gen
                assert not node.is_runtime_away, "nothing is in a runtime that is away"
            if entry.is_serving:
                assert host.table[model].local is not None
                assert host.table[model].local.gen == entry.gen
        queue = node.copies.queue
        assert queue.pending_units == sum(max(0, each.predicted_units - each.weight) for each in queue._queued)
        assert queue.waiting() == [each for each in queue._queued if each.state is State.WAITING]
        for model, route in host.table.items():
            if route.local is not None:
                assert node.cache.entries[model].is_serving
        for (model, gen), waiting in host.waiting.items():
            if waiting and not model:
                assert (node.runtime._question, node.runtime._is_open) == (gen, True), "who waits will be told"
            elif waiting:
                entry = node.cache.entries[model]
                assert (entry.gen, entry.state < State.SIZING) == (gen, True), "who waits will be told"
        assert host.stops <= 1


def is_kept(host: Host, model: str, load_ts: int) -> bool:
    """Whether the store did not take that a copy is there, and it is still to be written."""
    return host.node.writer.has_on_its_way(model, lambda edit: isinstance(edit, Intent) and edit.load_ts == load_ts)


def check_rest(live: list[Host], records: dict[str, ModelRecord], now: int) -> None:
    """When nothing more happens; ``records`` is the registry."""
    by_id = {host.id: host for host in live}
    for host in live:
        node = host.node
        assert not host.asked, "every command was answered"
        assert not len(node.writer)
        serving = {model: entry.load_ts for model, entry in node.cache.entries.items() if entry.is_serving}
        unfinished = [e for e in node.cache.entries.values() if not e.is_serving and e.state is not State.FAILED]
        assert not unfinished, "every load ended"
        named = {model: record.copies[host.id] for model, record in records.items() if host.id in record.copies}
        assert named == serving, "the registry names what is here"
        if not host.stops:
            assert set(host.runtime) == set(serving) == set(host.answering)
        for model, entry in node.cache.entries.items():
            record = records[model]
            assert (entry.type, entry.path) == (record.type, record.path), "of the registration that stands"
            if entry.is_serving:
                assert record.is_ready(host.id)
                assert host.id not in record.failures
        for model, record in records.items():
            expected = [
                (holder, load_ts, record.is_ready(holder))
                for holder, load_ts in sorted(record.copies.items())
                if holder in by_id and load_ts >= by_id[holder].node.identity.start_ms
            ]
            route = host.table.get(model)
            told = [(h.instance, h.load_ts, h.is_ready) for h in route.holders] if route else []
            assert told == expected, "the table is what the registry says"
        node.view.expire(now + host.ahead_ms + node.settings.reservation_ms)
        for other in live:
            assert node.view.reservations.loads(other.id) == 0, "nothing is held for ever"
        addresses = {other.id: f"{other.id}:8080" for other in live if other is not host}
        assert {peer: address for peer, address in host.peers.items() if address} == addresses
