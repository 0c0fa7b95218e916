"""What becomes of that which is under way on an instance that dies, stands still or is cut off."""

from __future__ import annotations

from heapq import heapify
from typing import TYPE_CHECKING

from meshcore.asks import Met, Request, Unreachable
from sim.trip import BROKEN, Died, Ends, Instance, Trip, failed

if TYPE_CHECKING:
    from sim.mesh import Mesh


def kill(mesh: Mesh, instance: Instance) -> None:
    """An instance is gone: what is under way on it fails, for its clients and for the others that asked it."""
    name, now, network = instance.name, int(mesh.env.now), mesh.network
    mesh.remove(instance)
    for process in list(instance.guests):
        process.interrupt(Died(name))
    running = instance.plane.unfinished(now)
    for other in mesh.present():
        line = other.plane.line(name)
        for arrival, end in other.plane.returns.lose(line, now):
            model = _taken(running, end - line.back_ms)
            trip = Trip(network, other)
            mesh.ask(now, other, arrival, model, trip, _broken(other, name, model, trip))
    for line in instance.plane.lines:
        there = network.instances.get(line.instance)
        behind = running if line.instance == name else there.plane.unfinished(now) if there is not None else {}
        for arrival, end in instance.plane.returns.lose(line, now):
            _lose(mesh, instance, arrival, _taken(behind, end - line.back_ms))
    on_their_way = list(mesh.passed_on)
    mesh.passed_on[:] = [each for each in on_their_way if each[3].entry != name]
    heapify(mesh.passed_on)
    for _, _, _, line, arrival, model in sorted(on_their_way, key=lambda each: each[:2]):
        if line.entry == name:
            _lose(mesh, instance, arrival, model)


def freeze(mesh: Mesh, number: int, for_ms: int) -> None:
    """An instance and its model server do nothing until ``thaw``, ``for_ms`` later."""
    instance, now = mesh.instances[number], int(mesh.env.now)
    mesh.serve_apart(number)
    instance.driver.freeze()
    instance.plane.stand_still(now, for_ms)
    for other in mesh.present():
        if other is not instance:
            line = other.plane.line(instance.name)
            line.delay(now + line.back_ms, for_ms)
    instance.plane.line(instance.name).delay(now, for_ms)


def thaw(mesh: Mesh, number: int, from_ms: int) -> None:
    """An instance that was frozen at ``from_ms`` goes on, and finds the answers that have come meanwhile."""
    mesh.serve_inline(number)
    instance = mesh.instances[number]
    instance.plane.returns.hold(from_ms, int(mesh.env.now))
    instance.driver.thaw()


def cut(mesh: Mesh, instances: frozenset[str]) -> None:
    """From now on these reach each other, and the others each other; all again where there are none."""
    mesh.network.cut(instances)
    for instance in mesh.present():
        for line in instance.plane.lines:
            line.is_cut = mesh.network.is_cut(instance.name, line.instance)


def _lose(mesh: Mesh, instance: Instance, arrival: float, model: str) -> None:
    """A client's connection broke before it had an answer."""
    mesh.ask(int(mesh.env.now), instance, arrival, model, Trip(mesh.network, instance), failed(BROKEN))


def _broken(entry: Instance, holder: str, model: str, trip: Trip) -> Ends:
    """A request was under way on an instance that is gone: the core says what to do."""
    trip.tries = 1
    known = entry.plane.known.get(model)
    load_ts = known.hops[holder].holder.load_ts if known is not None and holder in known.hops else 0
    met = Met(holder, load_ts, 0, Unreachable(BROKEN))
    return (yield from entry.driver.run(Request(model, met=met), trip))


def _taken(running: dict[float, list[str]], end: float) -> str:
    """The model of a request that would have been done at ``end``, or as near to that as numbers go; once."""
    found = end if end in running else min(running, key=lambda each: abs(each - end))
    models = running[found]
    model = models.pop(0)
    if not models:
        del running[found]
    return model
