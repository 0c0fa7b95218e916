"""Virtual models, cordons, drains and upgrades, whichever way a cluster is reached."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pytest

from meshcore.kv import ANY, DELETE, Write
from meshd.store.connect import open_store, parse_kv_store
from mmctl.__main__ import run
from mmctl.cluster import Cluster
from mmctl.errors import Failed, NotFound
from mmctl.health import Examiner
from mmctl.registry import DEFAULT_PREFIX, RegistryCluster
from mmctl.upgrade.record import Phase, Upgrade
from mmctl.values import (
    Drained,
    Registration,
    Taking,
    VModel,
    VModelChange,
    VModelStatus,
)
from tests.mmctl.ways import asking, register
from tests.processes import until

pytestmark = [pytest.mark.e2e, pytest.mark.etcd, pytest.mark.usefixtures("patient")]


def test_virtual_model_with_weights_and_a_shadow_is_set_shown_alike_and_deleted(
    via: Callable[[], Cluster], other: Callable[[], Cluster]
) -> None:
    v, a, b, c = (f"{via().__class__.__name__}-{letter}" for letter in "vabc")
    register(via, *(Registration(name, "fake") for name in (a, b, c)))

    def set_vmodel(targets: dict[str, int], **said: Any) -> VModel:
        dry_run = said.pop("dry_run", False)
        found: VModel = asking(via, lambda cluster: cluster.set_vmodel(VModelChange(v, targets, **said), dry_run, 60))
        return found

    def shown(cluster_of: Callable[[], Cluster]) -> VModel | None:
        """None: by itself and in the list it is not the same yet."""

        async def question(cluster: Cluster) -> VModel | None:
            vmodel = await cluster.vmodel(v)
            is_alike = [each async for each in cluster.vmodels() if each.name == v] == [vmodel]
            return vmodel if is_alike else None

        found: VModel | None = asking(cluster_of, question)
        return found

    with pytest.raises(NotFound):
        set_vmodel({a: 100}, update_only=True)
    set_vmodel({a: 100}, dry_run=True)
    with pytest.raises(NotFound):
        asking(via, lambda cluster: cluster.vmodel(v))
    made = set_vmodel({a: 90, b: 10}, shadow=c, owner="me")
    assert made == VModel(v, VModelStatus.DEFINED, {a: 90, b: 10}, {}, c, "me", made.revision)
    until(lambda: shown(via) == shown(other) == made, "both ways show it alike")
    register(via, Registration(f"{a}bad", "fake", path="fake:?fail=INTERNAL"))
    asking(via, lambda cluster: cluster.load(a, wait=True, timeout_s=60))
    failed = set_vmodel({f"{a}bad": 100}, wait=True)
    assert (failed.status, failed.targets) == (VModelStatus.TRANSITION_FAILED, {a: 90, b: 10})
    assert (failed.next, failed.shadow) == ({f"{a}bad": 100}, c)
    until(lambda: shown(via) == shown(other) == failed, "both ways show it alike")
    changed = set_vmodel({b: 100}, shadow="", wait=True, expected=f"{a}bad")
    assert (changed.status, changed.targets, changed.shadow) == (VModelStatus.DEFINED, {b: 100}, "")
    for said in ({"owner": "you"}, {"expected": a}):
        with pytest.raises(Failed):
            set_vmodel({a: 100}, **said)
    asking(via, lambda cluster: cluster.delete_vmodel(v))
    for cluster_of in (via, other):
        until(partial(is_missing, cluster_of, v), "gone")


def test_a_canary_is_run_from_the_command_line(up: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    def mmctl(*arguments: str) -> tuple[int, str]:
        code = run([*arguments, "--endpoint", up["endpoints"][0]])
        return code, capsys.readouterr().out

    for model in ("canary-1", "canary-2"):
        assert mmctl("register", model, "--type", "fake")[0] == 0
    assert mmctl("vmodel", "set", "canary", "--target", "canary-1", "--dry-run") == (0, "")
    assert mmctl("vmodel", "get", "canary")[0] == 3
    assert mmctl("vmodel", "set", "canary", "--target", "canary-1", "--load")[0] == 0
    code, text = mmctl(
        "vmodel", "set", "canary", "--target", "canary-1=90", "--target", "canary-2=10", "--wait", "-o", "json"
    )
    assert (code, json.loads(text)["targets"]) == (0, {"canary-1": 90, "canary-2": 10})
    assert mmctl("vmodel", "set", "canary", "--target", "canary-1=90", "--target", "nobody=10")[0] == 3
    assert "canary-1=90,canary-2=10" in mmctl("vmodel", "list")[1]
    assert "canary-2, 10 %" in mmctl("vmodel", "get", "canary")[1]
    assert mmctl("vmodel", "delete", "canary", "nobody", "-o", "json") == (
        3,
        '[\n{"id": "canary", "result": "removed", "code": "OK", "error": ""},\n'
        '{"id": "nobody", "result": "not_found", "code": "OK", "error": ""}\n]\n',
    )


def is_missing(via: Callable[[], Cluster], vmodel: str) -> bool:
    try:
        asking(via, lambda cluster: cluster.vmodel(vmodel))
    except NotFound:
        return True
    return False


def taking(via: Callable[[], Cluster], instance: str, what: Taking) -> list[Drained]:
    async def question(cluster: Cluster) -> list[Drained]:
        return [told async for told in cluster.take(instance, what, 0)]

    told: list[Drained] = asking(via, question)
    return told


def test_an_instance_is_cordoned_and_let_in_again(via: Callable[[], Cluster], other: Callable[[], Cluster]) -> None:
    """Whoever answers passes it on; all see it in its record."""

    def cordoned() -> list[str]:
        return [instance.id for instance in asking(other, lambda cluster: cluster.instances()) if instance.cordoned]

    (told,) = taking(via, "mesh-1", Taking.CORDON)
    assert (told.done, told.text) == (True, "mesh-1 takes no more loads, and answers for what it has")
    until(lambda: cordoned() == ["mesh-1"], "its record says so")
    (told,) = taking(via, "mesh-1", Taking.UNCORDON)
    assert told.text == "mesh-1 takes loads"
    until(lambda: cordoned() == [], "its record says so")


@pytest.mark.parametrize("what", Taking)
def test_who_is_to_be_drained_has_to_be_there(via: Callable[[], Cluster], what: Taking) -> None:
    with pytest.raises(NotFound, match="there is no instance 'mesh-7'; known: mesh-0, mesh-1"):
        taking(via, "mesh-7", what)


def test_an_upgrade_is_known_where_there_is_a_way_to_its_record(via: Callable[[], Cluster], up: dict[str, Any]) -> None:
    """Instances know of none; etcd has it, and who carries it out."""
    config = parse_kv_store(up["kv_store"])
    root = f"{config.root_prefix}/{DEFAULT_PREFIX}/mesh"
    upgrade = Upgrade("1", "kubernetes", "one", "two", {}, 2, phase=Phase.HELD, runner="who is gone")

    async def seen(*puts: Write) -> Upgrade | None:
        store, cluster = open_store(config, Random()), via()
        try:
            await store.commit(*puts)
            return await cluster.upgrade()
        finally:
            await store.close()
            await cluster.close()

    def record(upgrade: Upgrade) -> Write:
        return Write(f"{root}/mmctl/upgrade", ANY, upgrade.encode())

    is_told = isinstance(via(), RegistryCluster)
    assert asyncio.run(seen(record(upgrade))) == (replace(upgrade, runner="") if is_told else None)
    assert asyncio.run(seen(record(replace(upgrade, phase=Phase.DONE)))) is None
    try:
        if is_told:
            with pytest.raises(Failed, match="cannot be read: a newer mmctl wrote it"):
                asyncio.run(seen(Write(f"{root}/mmctl/upgrade", ANY, b'{"format": 99}')))
            health = asking(via, lambda cluster: Examiner(cluster, lambda: None).look())
            assert ["a newer mmctl wrote it" in each.text for each in health.problems if each.kind == "upgrade"] == [
                True
            ]
    finally:
        asyncio.run(seen(Write(f"{root}/mmctl/upgrade", ANY, DELETE)))


@pytest.mark.parametrize("service", ["mesh", "nobody-here"])
def test_models_of_an_instance_that_does_not_exist_are_not_found(
    service: str, up: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    ways = [["--kv-store", up["kv_store"], "--service", service]]
    ways += [["--endpoint", up["endpoints"][0]]] if service == "mesh" else []
    hint = "did you mean 'mesh-0'?" if service == "mesh" else "there is none at all"
    for way in ways:
        assert run(["list", "--instance", "mesh-00", "-o", "json", *way]) == 3
        assert capsys.readouterr() == ("", f"error: no instance 'mesh-00'; {hint}\n")
        if service == "mesh":
            assert run(["list", "--instance", "mesh-1", "--type", "of-no-model", "-o", "json", *way]) == 0
            assert capsys.readouterr().out == "[]\n"
