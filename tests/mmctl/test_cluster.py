"""One suite for every way to a cluster: through its instances, and through its registry in etcd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshcore.census import Counted
from mmctl.cluster import Cluster
from mmctl.errors import Failed, NotFound, Unavailable
from mmctl.health import Examiner, Health
from mmctl.mesh import MeshCluster
from mmctl.problems import Problem
from mmctl.registry import RegistryCluster
from mmctl.tensors import from_response, to_request
from mmctl.values import (
    Change,
    Instance,
    Model,
    ModelFilter,
    Registered,
    Registration,
    Setting,
    Status,
    Unregistered,
)
from tests.client import GUARD_S
from tests.mmctl.ways import NOBODY, alike, asking, get, mine, models, opened, register, unregister
from tests.processes import until

pytestmark = [pytest.mark.e2e, pytest.mark.etcd, pytest.mark.usefixtures("patient")]

ODD = ["a/b c", "ünï/名前", "line\nbreak", "[bold]x[/bold]", "x" * 300, "名" * 1365]
REQUEST = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1.5, 2.5]}]}


def test_new_model_is_created_and_both_ways_show_it_alike(
    via: Callable[[], Cluster], other: Callable[[], Cluster]
) -> None:
    name = mine(via, "new")
    result = register(via, Registration(name, "t", "some/path", "some key", 5 * 2**20, {"team": "x", "a": "b"}))[name]
    assert result == Registered(name, created=True, changed=True, status=Status.NOT_LOADED)
    model = get(via, name)
    assert model == get(other, name)
    assert (model.type, model.path, model.key, model.size_bytes) == ("t", "some/path", "some key", 5 * 2**20)
    assert (model.labels, model.status, model.copies) == ({"a": "b", "team": "x"}, Status.NOT_LOADED, ())


def test_same_registration_again_changes_nothing(via: Callable[[], Cluster]) -> None:
    wanted = Registration(mine(via, "again"), "t", "p", size_bytes=7, labels={"a": "b"})
    register(via, wanted)
    before = get(via, wanted.name)
    assert register(via, wanted)[wanted.name] == Registered(wanted.name, status=Status.NOT_LOADED)
    assert get(via, wanted.name) == before


def test_size_and_labels_are_as_the_last_registration_says(via: Callable[[], Cluster]) -> None:
    name = mine(via, "labels")
    register(via, Registration(name, "t", size_bytes=7, labels={"a": "b"}))
    result = register(via, Registration(name, "t", labels={"c": "d"}))[name]
    assert (result.created, result.changed, result.error) == (False, True, "")
    assert (get(via, name).size_bytes, get(via, name).labels) == (0, {"c": "d"})


def change(
    via: Callable[[], Cluster], wanted: Change, *names: str, dry_run: bool = False
) -> dict[str, tuple[bool, str, str]]:
    async def question(cluster: Cluster) -> dict[str, tuple[bool, str, str]]:
        results = [result async for result in cluster.change(names, wanted, dry_run)]
        assert not any(result.created for result in results)
        return {result.name: (result.changed, result.code, result.error) for result in results}

    found: dict[str, tuple[bool, str, str]] = asking(via, question)
    assert found.keys() == set(names)
    return found


def kept(model: Model) -> tuple[int, int, bool, int, int, dict[str, str]]:
    return model.min_copies, model.max_copies, model.pinned, model.priority, model.size_bytes, dict(model.labels)


def test_what_the_mesh_keeps_of_a_model_is_registered_and_changed_in_place(
    via: Callable[[], Cluster], other: Callable[[], Cluster]
) -> None:
    """What is not named stays, whichever way it came there."""
    name = mine(via, "kept")
    register(other, Registration(name, "t", "p", "k", 7, {"a": "b"}, min_copies=1, max_copies=3, priority=9))
    until(lambda: kept(get(via, name)) == (1, 3, False, 9, 7, {"a": "b"}), "it is known this way too")
    assert change(via, Change(max_copies=2, pinned=True), name, dry_run=True) == {name: (True, "OK", "")}
    assert change(via, Change(max_copies=2, pinned=True), name) == {name: (True, "OK", "")}
    assert change(via, Change(max_copies=2, pinned=True), name) == {name: (False, "OK", "")}
    assert change(other, Change(min_copies=0, priority=0), name) == {name: (True, "OK", "")}
    model = get(other, name)
    assert kept(model) == (0, 2, True, 0, 7, {"a": "b"})
    assert (model.type, model.path, model.key) == ("t", "p", "k")
    assert change(via, Change(pinned=False), name) == {name: (True, "OK", "")}
    assert kept(get(via, name)) == (0, 2, False, 0, 7, {"a": "b"})


def test_a_change_that_makes_no_sense_for_one_model_is_made_for_the_others(via: Callable[[], Cluster]) -> None:
    few, any_number, none = mine(via, "few"), mine(via, "any"), mine(via, "none")
    register(via, Registration(few, "t", max_copies=2), Registration(any_number, "t"))
    assert change(via, Change(min_copies=3), few, none, any_number) == {
        few: (False, "INVALID_ARGUMENT", "min copies are 3, more than max copies, 2"),
        none: (False, "NOT_FOUND", f"model {none!r} is not registered"),
        any_number: (True, "OK", ""),
    }
    assert (get(via, few).min_copies, get(via, any_number).min_copies) == (0, 3)


def test_changes_at_the_same_time_are_all_made(via: Callable[[], Cluster], other: Callable[[], Cluster]) -> None:
    """Each is of another thing, by compare-and-set: none undoes another."""
    name = mine(via, "race")
    register(via, Registration(name, "t"))
    until(lambda: get(other, name).revision == get(via, name).revision, "both know of it")

    async def one(way: Callable[[], Cluster], wanted: Change) -> list[Registered]:
        async with opened(way) as cluster:
            return [result async for result in cluster.change([name], wanted, False)]

    async def all_at_once() -> list[list[Registered]]:
        wanted = (Change(min_copies=2), Change(max_copies=4), Change(pinned=True), Change(priority=8))
        return await asyncio.gather(*(one(way, each) for each, way in zip(wanted, (via, other) * 2, strict=True)))

    assert [result.error for results in asyncio.run(all_at_once()) for result in results] == [""] * 4
    until(lambda: kept(get(via, name))[:4] == (2, 4, True, 8), "all four are made")


def settings(via: Callable[[], Cluster], *names: str) -> dict[str, Setting]:
    found = asking(via, lambda cluster: cluster.settings(names))
    return {setting.name: setting for setting in found}


def test_a_setting_for_all_instances_is_set_told_and_unset(
    via: Callable[[], Cluster], other: Callable[[], Cluster]
) -> None:
    name = "scaleup_rpm_threshold"
    before = settings(via, name)[name]
    assert (before.unit, before.dynamic, before.origin == "store") == ("requests a minute", True, False)
    told = asking(via, lambda cluster: cluster.set_setting(name, " 70 "))
    assert (told.value, told.origin) == ("70", "store")
    for way in (via, other):
        until(lambda way=way: settings(way, name)[name].value == "70", "it is in force")  # type: ignore[misc]
    asking(via, lambda cluster: cluster.set_setting(name, None))
    for way in (via, other):
        until(lambda way=way: settings(way, name)[name].origin != "store", "it is not any more")  # type: ignore[misc]
    assert name in settings(via)
    for ask in (lambda cluster: cluster.settings(["loger_level"]), lambda c: c.set_setting("loger_level", "info")):
        with pytest.raises(NotFound, match=r"no setting 'loger_level'.*did you mean '?logger_level'?\?"):
            asking(via, ask)
    with pytest.raises((Failed, NotFound), match="MM_ZONE"):
        asking(via, lambda cluster: cluster.set_setting("MM_ZONE", "z"))


def test_registration_that_is_refused_does_not_stop_the_others(via: Callable[[], Cluster]) -> None:
    one, two, three = (mine(via, f"conflict-{number}") for number in range(3))
    register(via, Registration(two, "t", "here"))
    results = register(via, Registration(one, "t"), Registration(two, "t", "there"), Registration(three, "t"))
    refused = results[two]
    assert (refused.code, refused.error) == ("ALREADY_EXISTS", "Model already exists with different attribute values")
    assert results[one].created
    assert results[three].created
    assert get(via, two).path == "here"


def test_dry_run_answers_the_same_and_changes_nothing(via: Callable[[], Cluster]) -> None:
    new, old = mine(via, "dry-new"), mine(via, "dry-old")
    register(via, Registration(old, "t", "here"))
    results = register(via, Registration(new, "t", load=True), Registration(old, "t", "there"), dry_run=True)
    assert results[new].created
    assert results[old].code == "ALREADY_EXISTS"
    with pytest.raises(NotFound):
        get(via, new)
    assert unregister(via, old, dry_run=True)[old].existed
    assert get(via, old).path == "here"


def test_many_models_are_registered_and_forgotten(via: Callable[[], Cluster]) -> None:
    names = [mine(via, f"many/{number:03}") for number in range(300)]
    results = register(via, *(Registration(name, "many", labels={"way": mine(via, "")}) for name in names))
    assert all(result.created for result in results.values())
    wanted = ModelFilter(type="many", labels={"way": mine(via, "")})
    assert [model.name for model in models(via, wanted)] == names
    assert [model.name for model in models(via, wanted, limit=7)] == names[:7]
    assert [model.name for model in models(via, ModelFilter(name_prefix=mine(via, "many/00")))] == names[:10]
    assert asking(via, lambda cluster: cluster.count(wanted)) == 300
    gone = unregister(via, *names)
    assert all(result.existed and not result.error for result in gone.values())
    assert models(via, wanted) == []


def test_unknown_model_is_not_found_and_its_removal_is_no_error(via: Callable[[], Cluster]) -> None:
    with pytest.raises(NotFound, match="model 'no such' is not registered"):
        get(via, "no such")
    assert unregister(via, "no such") == {"no such": Unregistered("no such", existed=False)}


@pytest.mark.parametrize(
    "name", ODD, ids=["slash and blank", "unicode", "line break", "markup", "long", "four kilobytes"]
)
def test_name_may_be_any_text(name: str, via: Callable[[], Cluster], other: Callable[[], Cluster]) -> None:
    name = mine(via, name)
    assert register(via, Registration(name, "odd", "p", load=True))[name].error == ""
    assert asking(via, lambda cluster: cluster.load(name, True, 60)).status is Status.LOADED
    answer = asking(via, lambda cluster: cluster.infer(name, to_request(REQUEST, name), 60))
    assert from_response(answer)["outputs"][0]["data"] == [1.5, 2.5]
    assert name in [model.name for model in models(other, ModelFilter(type="odd"))]
    assert unregister(via, name)[name].existed


def test_loaded_model_has_a_copy_on_an_instance(via: Callable[[], Cluster], other: Callable[[], Cluster]) -> None:
    name = mine(via, "loaded")
    register(via, Registration(name, "t", "p"))
    outcome = asking(via, lambda cluster: cluster.load(name, True, 60))
    assert (outcome.status, len(outcome.instances), outcome.errors) == (Status.LOADED, 1, ())
    (instance,) = outcome.instances
    # That a copy is ready is written down off the path of the load itself.
    model = until(lambda: alike(via, other, name, lambda model: model.status is Status.LOADED), "it shows as loaded")
    assert [(copy.instance, copy.state) for copy in model.copies] == [(instance, Status.LOADED)]
    on_it = ModelFilter(instance=instance, status=Status.LOADED)
    assert name in [model.name for model in models(via, on_it)]
    assert name not in [model.name for model in models(via, ModelFilter(status=Status.NOT_LOADED))]


def test_load_that_fails_is_a_status_with_the_runtimes_reason(
    via: Callable[[], Cluster], other: Callable[[], Cluster]
) -> None:
    name = mine(via, "broken")
    register(via, Registration(name, "t", "fake:?fail=INTERNAL&fail_text=the file is broken"))
    outcome = asking(via, lambda cluster: cluster.load(name, True, 60))
    assert outcome.status is Status.LOADING_FAILED
    assert outcome.errors[0].endswith("the file is broken")
    has_failed = lambda model: model.status is Status.LOADING_FAILED  # noqa: E731
    model = until(lambda: alike(via, other, name, has_failed), "it shows as failed, on whoever else tried it too")
    assert all(failure.text.endswith("the file is broken") for failure in model.failures)


def test_unknown_model_is_neither_loaded_nor_asked(via: Callable[[], Cluster]) -> None:
    with pytest.raises(NotFound, match="model not found"):
        asking(via, lambda cluster: cluster.load("no such", True, 60))
    with pytest.raises(NotFound, match="model not found"):
        asking(via, lambda cluster: cluster.infer("no such", to_request(REQUEST, "no such"), 60))


def test_answer_that_the_runtime_refuses_is_told_in_its_words(via: Callable[[], Cluster]) -> None:
    name = mine(via, "refusing")
    register(via, Registration(name, "t", "fake:?infer_fail=INVALID_ARGUMENT&infer_text=shape is wrong"))
    with pytest.raises(Failed, match=r"INVALID_ARGUMENT: .*shape is wrong"):
        asking(via, lambda cluster: cluster.infer(name, to_request(REQUEST, name), 60))


def test_instances_are_shown_alike_both_ways(
    via: Callable[[], Cluster], other: Callable[[], Cluster], up: dict[str, Any]
) -> None:
    instances = asking(via, lambda cluster: cluster.instances())
    assert [instance.id for instance in instances] == ["mesh-0", "mesh-1"]
    assert [instance.grpc for instance in instances] == up["endpoints"]
    assert all(instance.phase == "ready" and instance.capacity_bytes > 0 for instance in instances)
    until(
        lambda: asking(via, lambda cluster: cluster.instances()) == asking(other, lambda cluster: cluster.instances()),
        "every instance has published what it knows of itself",
    )


def test_information_names_the_mesh(via: Callable[[], Cluster]) -> None:
    info = asking(via, lambda cluster: cluster.info())
    assert (info.service, info.store) == ("mesh", "etcd")
    assert info.revision > 1
    until(lambda: asking(via, lambda cluster: cluster.info()).store_available, "the store answers in time")


def test_nobody_there_is_unavailable_with_every_address() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1: no connection; 127\.0\.0\.1:2: no connection"):
        asking(lambda: MeshCluster([NOBODY, "127.0.0.1:2"]), lambda cluster: cluster.get("x"))
    with pytest.raises(Unavailable, match="etcd"):
        asking(lambda: RegistryCluster("etcd:127.0.0.1:1", "mesh"), lambda cluster: cluster.get("x"))


def test_registry_without_instances_registers_and_says_that_nobody_can_load(up: dict[str, Any]) -> None:
    def empty() -> RegistryCluster:
        return RegistryCluster(up["kv_store"], "nobody-here")

    result = register(empty, Registration("cold", "t", load=True))["cold"]
    assert (result.created, result.code) == (True, "UNAVAILABLE")
    assert "registered, but not loaded: no instance of nobody-here is up" in result.error
    with pytest.raises(Unavailable, match="no instance of nobody-here is up"):
        asking(empty, lambda cluster: cluster.infer("cold", to_request(REQUEST, "cold"), 5))
    assert get(empty, "cold").status is Status.NOT_LOADED


def test_root_prefix_and_prefix_are_other_places(up: dict[str, Any], tmp_path: Path) -> None:
    def elsewhere() -> RegistryCluster:
        return RegistryCluster(up["kv_store"] + ";rootPrefix=/elsewhere", "mesh", "mm")

    register(elsewhere, Registration("there", "t"))
    assert [model.name for model in models(elsewhere, ModelFilter())] == ["there"]
    with pytest.raises(NotFound):
        get(lambda: RegistryCluster(up["kv_store"], "mesh"), "there")


def test_both_ways_count_models_alike_and_again_costs_no_reading(
    via: Callable[[], Cluster], other: Callable[[], Cluster]
) -> None:
    name = mine(via, "counted")

    async def question(cluster: Cluster) -> Counted:
        before = await cluster.census(60_000)
        wanted = [
            Registration(f"{name}-hot", "fake", load=True),
            Registration(f"{name}-bad", "fake", "fake:?fail=INTERNAL", load=True),
            Registration(f"{name}-many", "fake", min_copies=9),
        ]
        assert all([not result.error async for result in cluster.register(wanted, dry_run=False)])
        while True:  # the guard of the test ends it
            now = await cluster.census(60_000)
            failed, short = ([each.model for each in kind] for kind in (now.failed_models, now.short_models))
            if now.registered == before.registered + 3 and f"{name}-bad" in failed and f"{name}-many" in short:
                return now
            await asyncio.sleep(0.02)

    found = asking(via, lambda cluster: asyncio.wait_for(question(cluster), GUARD_S))
    assert found.copies >= found.loaded > 0

    def is_alike() -> bool:
        one, two = (asking(way, lambda cluster: cluster.census(60_000)) for way in (via, other))
        return bool(replace(one, at_ms=0) == replace(two, at_ms=0))

    until(is_alike, "both have heard of all of it")
    asking(via, lambda cluster: drained(cluster.unregister([f"{name}-many"], dry_run=False)))


async def drained(results: AsyncIterator[Any]) -> list[Any]:
    return [result async for result in results]


def test_instances_say_of_themselves_what_their_records_do_not(via: Callable[[], Cluster]) -> None:
    def all_told() -> list[Instance]:
        instances: list[Instance] = asking(via, lambda cluster: cluster.instances(asked=True))
        return instances if all(instance.now for instance in instances) else []

    for instance in until(all_told, "all answer in time"):
        assert instance.now is not None
        assert instance.now.load_timeout_ms > 0
        assert instance.now.leader in ("mesh-0", "mesh-1")
        assert instance.revision > 0


def test_what_an_instance_holds_is_told(via: Callable[[], Cluster]) -> None:
    name = mine(via, "held")
    register(via, Registration(name, "fake", "fake:?size=1MiB"))
    loaded = asking(via, lambda cluster: cluster.load(name, wait=True, timeout_s=60))
    held = asking(via, lambda cluster: cluster.copies(loaded.instances[0], 500))
    assert name in [copy.model for copy in held.copies if copy.state == "active"]
    assert held.total == len(held.copies)
    with pytest.raises(NotFound, match="there is no instance 'nobody'"):
        asking(via, lambda cluster: cluster.copies("nobody", 5))


def test_a_mesh_is_examined_both_ways(via: Callable[[], Cluster]) -> None:
    def look() -> Health:
        health: Health = asking(via, lambda cluster: Examiner(cluster, lambda: None, expected=3).look())
        return health

    def unwell() -> list[Problem]:
        return [each for each in look().problems if each.kind in ("no_leader", "silent_instance", "store_lag")]

    health = look()
    assert [instance.id for instance in health.instances] == ["mesh-0", "mesh-1"]
    assert "2 of 3 instances are there" in [problem.text for problem in health.problems]
    until(lambda: not unwell(), "all answer in time, and are told of changes in time")
