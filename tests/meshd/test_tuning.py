"""What is set for the whole mesh while it runs: in the store, through the API, and what follows from it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as runs
from hypothesis import strategies as st

from meshcore.dynamic import ALL, BY_NAME
from meshcore.events import Event, Tuned
from meshcore.me import Me
from meshcore.node import Node
from meshcore.rules import Rules
from meshcore.settings import Settings
from meshd import config as configuration
from meshd.app import App
from meshd.config import Host
from meshd.settings.table import SETTINGS
from meshd.start_error import StartError
from meshd.tuning import KEPT_MOST, Tuning
from protos import meshd_pb2 as wire
from tests.builders import NOW, params
from tests.client import ECHO, GUARD_S, Client, refused
from tests.meshd.mesh import Mesh, mesh
from tests.meshd.test_app import settings
from tests.processes import until

pytestmark = pytest.mark.usefixtures("_logging_as_before")

RPM = "scaleup_rpm_threshold"


class Plane:
    logs_each_request = False


class Tuned1:
    """One instance's tuning, with what it told its node and its plane."""

    def __init__(self, *, limits_concurrency: bool = False, **env: str) -> None:
        self.events: list[Event] = []
        self.plane = Plane()
        config = configuration.read(
            {"MM_SERVICE_NAME": "s", "KV_STORE": "memory", **env}, Host("host", "127.0.0.1", "0000")
        )
        limits = params(limits_concurrency=limits_concurrency)
        node = Node(Me("i0", NOW, "a:1", "a:2"), config.settings(), limits, Rules(), Random(1))
        self.tuning = Tuning(config, node, self.plane, self.events.append)

    @property
    def numbers(self) -> list[dict[str, int]]:
        return [dict(event.values) for event in self.events if isinstance(event, Tuned)]


# -- what stands in the store ---------------------------------------------------------------------------------


def test_what_is_set_is_told_and_what_is_gone_too(caplog: pytest.LogCaptureFixture) -> None:
    made = Tuned1(MM_LOG_EACH_INVOKE="true")
    assert made.plane.logs_each_request
    with caplog.at_level(logging.INFO):
        made.tuning.reset({RPM: b"50", "log_each_invocation": b"false"})
        assert (made.numbers, made.plane.logs_each_request) == ([{"scale_up_rpm": 50}], False)
        made.tuning.change({RPM: b"60"})
        made.tuning.change({RPM: None, "log_each_invocation": None})
    assert (made.numbers[1:], made.plane.logs_each_request) == ([{"scale_up_rpm": 60}, {}], True)
    assert made.tuning.in_force == {}
    gone = "is gone from the store: this instance goes by what it was given"
    assert [line for line in caplog.messages if line.startswith("config/")] == [
        "config/log_each_invocation is false for all instances",
        f"config/{RPM} is 50 for all instances",
        f"config/{RPM} is 60 for all instances",
        f"config/log_each_invocation {gone}",
        f"config/{RPM} {gone}",
    ]


def test_what_is_no_setting_keeps_none_from_being_one() -> None:
    """However many keys there are of that kind: only so many are told of."""
    made = Tuned1()
    made.tuning.reset({**{f"a{number}": b"1" for number in range(500)}, RPM: b"50"})
    assert dict(made.tuning.in_force) == {RPM: "50"}


def test_a_wrong_value_leaves_the_last_good_one_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    made = Tuned1()
    made.tuning.reset({RPM: b"50"})
    for _ in range(3):  # the watch began anew
        made.tuning.reset({RPM: b"nine"})
    assert (made.numbers, dict(made.tuning.in_force)) == ([{"scale_up_rpm": 50}], {RPM: "50"})
    told = [line for line in caplog.messages if "nine" in line]
    allowed = "a whole number from 10 to 2147483647"
    assert told == [f"config/{RPM}=nine is not allowed; allowed: {allowed}; what was in force before stays"]
    made.tuning.change({RPM: b"9"})
    assert [line for line in caplog.messages if f"{RPM}=9 is" in line]
    made.tuning.change({RPM: None})
    assert made.numbers == [{"scale_up_rpm": 50}, {}]


def test_a_wrong_value_at_the_start_leaves_what_the_instance_was_given() -> None:
    made = Tuned1(MM_LOG_EACH_INVOKE="true")
    made.tuning.reset({RPM: b"\xff", "log_each_invocation": b"1", "logger_level": b""})
    assert (made.numbers, made.plane.logs_each_request, dict(made.tuning.in_force)) == ([], True, {})


@pytest.mark.parametrize(
    ("text", "level"), [("WARN", 30), ("trace", 10), ("OFF", 51), ("fatal", 50), ("nonsense", 20), (None, 20)]
)
def test_the_level_of_the_log_follows(text: str | None, level: int) -> None:
    made = Tuned1(MM_LOG_LEVEL="info")
    logging.getLogger().setLevel(logging.INFO)
    made.tuning.change({"logger_level": text.encode() if text else None})
    assert logging.getLogger().level == level
    made.tuning.change({"logger_level": None})
    assert logging.getLogger().level == logging.INFO


def test_what_has_no_effect_says_so(caplog: pytest.LogCaptureFixture) -> None:
    made = Tuned1(limits_concurrency=True)
    with caplog.at_level(logging.WARNING):
        made.tuning.reset(
            {RPM: b"50", "send_destination_id": b"true", "disable": b"1", "loger_level\n": b"x", "x": b""}
        )
    assert caplog.messages == [
        "config/loger_level\\n is in the store and is no setting; did you mean logger_level?",
        "config/x is in the store and is no setting",
        "config/disable is set: no instance starts any more; this one goes on",
        f"config/{RPM} has no effect here: the runtime limits concurrency",
        "config/send_destination_id is a setting of ModelMesh that has no effect here",
    ]


def test_any_number_of_strange_keys_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    made = Tuned1()
    made.tuning.reset({f"x{number}": b"" for number in range(3 * KEPT_MOST)})
    assert len(caplog.messages) == KEPT_MOST


TEXTS = st.sampled_from([None, b"10", b"99", b"true", b"false", b"bad", b"\xff"])


@runs(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(sorted(BY_NAME)), TEXTS), max_size=8))
def test_whatever_happens_the_last_good_value_since_a_key_was_made_is_in_force(
    changes: list[dict[str, bytes | None]],
) -> None:
    made, expected = Tuned1(), {}
    for change in changes:
        made.tuning.change(change)
        for name, value in change.items():
            if value is None:
                expected.pop(name, None)
                continue
            try:
                BY_NAME[name].parsed(value)
            except ValueError:
                continue
            expected[name] = value.decode()
    assert made.tuning.in_force == expected
    number = {"scale_up_rpm": int(expected[RPM])} if RPM in expected else {}
    assert (made.numbers or [{}])[-1] == number
    assert made.plane.logs_each_request == (expected.get("log_each_invocation") == "true")


# -- a running mesh -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running() -> Iterator[Mesh]:
    with mesh(2, MM_SCALEUP_RPM_THRESHOLD="500") as made:
        yield made


def of(client: Client, *names: str) -> list[Any]:
    return list(client.v1.GetSettings(wire.GetSettingsRequest(names=names), timeout=GUARD_S).settings)


def rpm(client: Client) -> tuple[str, str]:
    (found,) = of(client, RPM)
    return found.value, found.origin


def put(client: Client, name: str, value: str | None) -> Any:
    return client.v1.SetSetting(wire.SetSettingRequest(name=name, value=value), timeout=GUARD_S)


def test_a_setting_is_in_force_everywhere_once_it_is_set_and_until_it_is_unset(running: Mesh) -> None:
    (found,) = of(running.client, RPM)
    assert (found.value, found.origin, found.default_value, found.unit, found.dynamic) == (
        "500", "environment", "2000", "requests a minute", True,
    )  # fmt: skip
    told = put(running.client, RPM, " 70 ")
    assert (told.name, told.value, told.origin) == (RPM, "70", "store")
    assert running.value(f"config/{RPM}") == b"70"
    for instance in running.instances:
        until(lambda instance=instance: rpm(instance.client) == ("70", "store"), "it is in force")  # type: ignore[misc]
    running.put(f"config/{RPM}", b"7")
    running.put(f"config/{RPM}", b"80")
    until(lambda: rpm(running.client) == ("80", "store"), "what another wrote is in force")
    told = put(running.client, RPM, None)
    assert (told.value, told.origin) == ("500", "environment")
    assert running.value(f"config/{RPM}") is None
    until(lambda: rpm(running[1].client) == ("500", "environment"), "it is as given again")


def test_every_request_is_logged_from_the_moment_that_is_set(running: Mesh, caplog: pytest.LogCaptureFixture) -> None:
    running.client.register("m", load=True)
    with caplog.at_level(logging.INFO):
        running.client.infer("m")
        assert "invoking model runtime" not in caplog.text
        put(running.client, "log_each_invocation", "true")
        until(
            lambda: running.client.infer("m") and f"invoking model runtime: {ECHO} of m" in caplog.text, "it is logged"
        )
    put(running.client, "log_each_invocation", None)


def test_all_settings_are_told_with_their_origin_and_nothing_secret() -> None:
    with mesh(1, MM_TLS_PRIVATE_KEY_PASSPHRASE="hunter2") as made:
        found = {each.name: each for each in of(made.client)}
    assert list(found) == [*sorted(BY_NAME), *(setting.name for setting in SETTINGS)]
    assert [each.name for each in found.values() if each.dynamic] == sorted(BY_NAME)
    secret, port, bound = (found[name] for name in ("MM_TLS_PRIVATE_KEY_PASSPHRASE", "MM_PROBE_PORT", "MM_ZONE"))
    assert (secret.value, secret.origin) == ("***", "environment")
    assert (port.origin, port.unit, port.default_value) == ("environment", "port", "8089")
    assert (bound.value, bound.origin, found["disable"].origin) == ("", "default", "default")
    assert all(each.meaning and each.origin in ("default", "environment") for each in found.values())


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (RPM, "9", ("INVALID_ARGUMENT", f"{RPM}=9 is not allowed; allowed: a whole number from 10 to 2147483647")),
        ("loger_level", "info", ("NOT_FOUND", "there is no setting 'loger_level'; did you mean logger_level?")),
        ("zzz", None, ("NOT_FOUND", "there is no setting 'zzz'")),
        (
            "MM_LOG_LEVEL", "info",
            (
                "FAILED_PRECONDITION",
                "MM_LOG_LEVEL is set in the environment or the file of each instance, for as long as it runs; "
                "logger_level can be set for all",
            ),
        ),
        (
            "MM_ZONE", "z",
            (
                "FAILED_PRECONDITION",
                "MM_ZONE is set in the environment or the file of each instance, for as long as it runs",
            ),
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_set_is_refused_in_one_sentence(
    running: Mesh, name: str, value: str | None, expected: tuple[str, str]
) -> None:
    assert refused(lambda: put(running.client, name, value)) == expected
    assert running.value(f"config/{name}") is None


def test_settings_of_others_are_not_told(running: Mesh) -> None:
    assert refused(lambda: of(running.client, "nothing")) == ("NOT_FOUND", "there is no setting 'nothing'")
    other = wire.GetSettingsRequest(instance="i1", names=[RPM])
    assert refused(lambda: running.client.v1.GetSettings(other, timeout=GUARD_S)) == (
        "FAILED_PRECONDITION", "this is i0: ask i1 itself for its settings",
    )  # fmt: skip
    assert running[1].client.v1.GetSettings(other, timeout=GUARD_S).settings[0].name == RPM


# -- a mesh that is not to start ------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "starts"), [(b"true", False), (b"", False), (b"FALSE\n", True)])
def test_no_instance_starts_while_that_is_disabled(value: bytes, starts: bool) -> None:
    """There is no runtime here: that is found out next."""
    with mesh(0) as made:
        made.put("config/disable", value)
        env = settings(MM_SERVICE_NAME="test", MM_KVSTORE_PREFIX="mm")

        app = App(configuration.read(env, Host("host", "127.0.0.1", "0000")), made.hub)

        async def start() -> asyncio.Task[None]:
            return asyncio.create_task(app.run())

        async def end() -> None:
            app.stop.set()
            async with asyncio.timeout(GUARD_S):
                await running

        running = made.run(start())
        until(lambda: running.done() or made.value("meshd/key"), "it has ended, or got beyond that")
        assert running.done() is not starts
        sentence = '"/mm/test/config/disable" is set in the store, so no instance starts: delete it, or set it to false'
        with pytest.raises(StartError) as caught:
            made.run(end())
        assert str(caught.value) == ("stopped before it was ready" if starts else sentence)


def test_every_setting_that_can_change_stands_for_one_that_there_is() -> None:
    """The variable behind it is one of the table, and the number that it turns one of the rules'."""
    known = {setting.name for setting in SETTINGS}
    assert all(dynamic.variable in known for dynamic in ALL if dynamic.variable)
    assert all(hasattr(Settings(), dynamic.knob) for dynamic in ALL if dynamic.knob)
