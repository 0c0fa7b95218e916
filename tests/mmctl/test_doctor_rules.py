"""What the doctor says of instances, settings and clocks, by tables; and how checks are run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from email.utils import format_datetime
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mmctl.doctor import mesh_rules, web
from mmctl.doctor.certificates import now_utc
from mmctl.doctor.check import Check, NotLooked, chosen, examine
from mmctl.doctor.environment import parse_env
from mmctl.doctor.finding import Finding, Level, ok, warning
from mmctl.doctor.mesh_checks import of_dynamic
from mmctl.doctor.reach import Reached, Way
from mmctl.doctor.settings_rules import of_settings
from mmctl.doctor.view import FINDINGS, describe, summary
from mmctl.doctor.web import Page, skew_ms
from mmctl.errors import Failed, Usage
from mmctl.output import Form, show_list
from mmctl.values import Info, Instance

WAY = Way("h:1", "h:2", "h:3", "h:4", None)
WELL = Reached(WAY, Page(200, "ok"), Page(200, "ok"), Page(200, "m"), "OK", "PERMISSION_DENIED: no key")
OURS = Instance(id="a", phase="ready", address="h:2", version="1.0", data_plane="python")
INFO = Info(service="s", store="etcd", leader="a", store_available=True)


def says(found: Sequence[Finding], level: Level, words: str) -> None:
    assert any(finding.level is level and words in finding.what for finding in found), found
    if level in (Level.WARNING, Level.PROBLEM):
        assert all(finding.do for finding in found if finding.level is level)


@pytest.mark.parametrize(
    ("reached", "phase", "level", "words"),
    [
        (WELL, "ready", Level.OK, "answer"),
        (replace(WELL, ready=Page(503, "a runtime\nrestarts")), "ready", Level.PROBLEM, "a runtime restarts"),
        (replace(WELL, ready=Page(503, "waits")), "starting", Level.WARNING, "/ready: waits"),
        (replace(WELL, live=Page(0, "Connection refused")), "ready", Level.PROBLEM, "/live: Connection refused"),
        (replace(WELL, metrics=Page(404, "")), "ready", Level.PROBLEM, "/metrics: HTTP 404"),
        (replace(WELL, health="UNAVAILABLE: x"), "ready", Level.PROBLEM, "gRPC health: UNAVAILABLE: x"),
        (replace(WELL, way=replace(WAY, probes="")), "ready", Level.NOTE, "not known"),
        (replace(WELL, way=replace(WAY, metrics="")), "ready", Level.NOTE, "no metrics"),
    ],
)  # fmt: skip
def test_ports_are_judged_by_their_answers(reached: Reached, phase: str, level: Level, words: str) -> None:
    says(mesh_rules.of_ports({"a": reached}, {"a": phase}), level, words)


def test_mesh_ports_have_to_turn_strangers_away() -> None:
    def of(**fields: Any) -> list[Finding]:
        return mesh_rules.of_mesh_ports({"a": replace(WELL, **fields)})

    says(of(), Level.OK, "turns away")
    says(of(stranger="OK"), Level.PROBLEM, "answers strangers")
    says(of(stranger="UNAVAILABLE: tls", mesh_certificate=b"pem"), Level.OK, "speaks TLS")
    says(of(stranger="UNAVAILABLE: refused"), Level.WARNING, "cannot be reached")


@pytest.mark.parametrize(
    ("skews", "level", "words"),
    [
        ({"a": 0, "b": 1_999}, Level.OK, "2 clocks within 2 s"),
        ({"a": 2_000}, Level.WARNING, "2 s ahead"),
        ({"a": -31_000}, Level.PROBLEM, "31 s behind"),
        ({"a": None}, Level.NOTE, "nobody tells"),
    ],
)
def test_clocks(skews: dict[str, int | None], level: Level, words: str) -> None:
    says(mesh_rules.of_clocks(skews, {"a": 1_000}, 2_000), level, words)


def test_an_instance_that_began_in_the_future_has_another_clock() -> None:
    says(mesh_rules.of_clocks({}, {"a": 9_000}, 1_000), Level.WARNING, "8 s in the future")


@given(
    true_ms=st.integers(1_700_000_000_000, 1_900_000_000_000),
    skew=st.integers(-100_000, 100_000),
    before=st.integers(0, 3_000),
    after=st.integers(0, 3_000),
)
def test_a_skew_is_never_told_larger_than_it_is_and_missed_by_no_more_than_the_call_and_a_second(
    true_ms: int, skew: int, before: int, after: int
) -> None:
    """``Date`` is made at ``true_ms`` by a clock that is off by ``skew``, during a call of ``before`` + ``after``."""
    date = format_datetime(now_utc((true_ms + skew) // 1000 * 1000), usegmt=True)
    told = skew_ms(date, true_ms - before, true_ms + after)
    assert told is not None
    assert abs(told) <= abs(skew)
    assert abs(skew - told) <= before + after + 1_000
    assert told == 0 or (told > 0) == (skew > 0)


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_a_date_that_is_none_tells_nothing(date: str | None) -> None:
    assert skew_ms(date, 0, 1) is None


@pytest.mark.parametrize(
    ("settings", "level", "words"),
    [
        ({}, Level.OK, "nothing dangerous"),
        ({"KV_READ_ONLY": "true"}, Level.WARNING, "KV_READ_ONLY"),
        ({"KV_STORE": "memory:"}, Level.WARNING, "ends with the process"),
        ({"MM_TLS_PRIVATE_KEY_PATH": ""}, Level.NOTE, "no TLS"),
        ({"MM_TLS_PRIVATE_KEY_PATH": "/k", "MM_ENABLE_SSL": "false"}, Level.WARNING, "in the clear"),
        ({"MM_TLS_PRIVATE_KEY_PATH": "/k", "MM_INTRACLUSTER_CLIENTAUTH": "false"}, Level.NOTE, "the key alone"),
        ({"MM_TLS_PRIVATE_KEY_PATH": "/k", "MM_TLS_CLIENT_AUTH": "optional"}, Level.WARNING, "not asked"),
        ({"MM_TLS_PRIVATE_KEY_PATH": "/k", "MM_TLS_CLIENT_AUTH": "require"}, Level.WARNING, "bought"),
        ({"MM_LEASE_TTL_SECS": "5"}, Level.WARNING, "short pause"),
        ({"MM_LEASE_TTL_SECS": "25"}, Level.OK, "nothing dangerous"),
        ({"SHUTDOWN_TIMEOUT_MS": "11999"}, Level.WARNING, "too short"),
        ({"MM_MIN_CHURN_AGE_MS": "0"}, Level.NOTE, "in use"),
        ({"MM_PROBE_PORT": "NONE"}, Level.NOTE, "nobody can ask"),
        ({"MM_FAILFAST_UPGRADE_ENABLED": "false"}, Level.NOTE, "broken build"),
        ({"MM_LOG_LEVEL": "debug"}, Level.NOTE, "latency"),
        ({"disable": "yes"}, Level.PROBLEM, "no instance can start"),
        ({"disable": "false"}, Level.OK, "nothing dangerous"),
    ],
)
def test_settings_that_are_dangerous(settings: dict[str, str], level: Level, words: str) -> None:
    says(of_settings({name: (value, "environment") for name, value in settings.items()}), level, words)


@pytest.mark.parametrize(
    ("name", "value", "level", "words"),
    [
        ("scaleup_rpm_threshold", b"500", Level.OK, "scaleup_rpm_threshold=500"),
        ("scaleup_rpm_threshold", b"5", Level.PROBLEM, "is not allowed"),
        ("scaleup_rpm", b"5", Level.WARNING, "scaleup_rpm is not a setting"),
        ("disable", b"", Level.PROBLEM, "no instance can start"),
        ("disable", b"false", Level.OK, "disable=False"),
        ("send_destination_id", b"true", Level.NOTE, "no effect"),
        ("logger_level", b"\xff", Level.PROBLEM, "is not allowed"),
    ],
)
def test_what_stands_under_config_in_the_store(name: str, value: bytes, level: Level, words: str) -> None:
    says(of_dynamic(name, value), level, words)


# -- running checks ----------------------------------------------------------------------------------


async def page_of(answer: bytes, drips: bool = False) -> Page:
    """What is made of ``answer``, after which the server drips for ever, or hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            while drips:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        ended.set()

    begun, ended = asyncio.Event(), asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        page = await web.get(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", "/x")
        if begun.is_set():  # else it was given up before the connection was taken
            await ended.wait()
        return page


def test_a_page_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "WAIT_S", 0.5)
    assert asyncio.run(page_of(b"HTTP/1.1 200 OK\r\n\r\n", drips=True)) == Page(0, web.SILENT)


@pytest.mark.parametrize(
    ("answer", "page"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nfine", Page(200, "fine")),
        (b"HTTP/1.1 503 Not\r\nContent-Length: 2\r\n\r\nno", Page(503, "no")),
        (b"HTTP/1.1 200 OK\r\nDate: never\r\n\r\n\xff", Page(200, "\ufffd")),
        (b"", Page(0, web.NO_HTTP)),
        (b"SSH-2.0-x\r\n\r\n", Page(0, web.NO_HTTP)),
        (b"HTTP/1.1 200 OK\r\nhalf", Page(0, web.NO_HTTP)),
        (b"x" * (1 << 17), Page(0, web.NO_HTTP)),
    ],
)
def test_pages_are_read_or_said_to_be_none(monkeypatch: pytest.MonkeyPatch, answer: bytes, page: Page) -> None:
    monkeypatch.setattr(web, "WAIT_S", 60)
    assert asyncio.run(page_of(answer)) == page


def test_a_check_that_hangs_fails_or_breaks_takes_no_other_with_it() -> None:
    async def hangs() -> Sequence[Finding]:
        await asyncio.Event().wait()
        return []

    async def refuses() -> Sequence[Finding]:
        raise Failed("no")

    async def breaks() -> Sequence[Finding]:
        raise KeyError("x")

    async def cannot() -> Sequence[Finding]:
        raise NotLooked("that takes an etcd")

    async def finds() -> Sequence[Finding]:
        return [ok("fine"), warning("odd", "here", "look")]

    looks = (("hangs", hangs), ("refuses", refuses), ("breaks", breaks), ("cannot", cannot), ("finds", finds))
    ended: list[str] = []
    checks = [Check(name, look, 0.05) for name, look in looks]
    found = asyncio.run(examine(checks, lambda name, left: ended.append(name)))
    assert [(each.check, each.level.value, each.what) for each in found] == [
        ("hangs", "problem", "no result within 0.05 s"),
        ("refuses", "problem", "no"),
        ("breaks", "problem", "the check itself failed: KeyError: 'x'"),
        ("cannot", "note", "not looked at: that takes an etcd"),
        ("finds", "ok", "fine"),
        ("finds", "warning", "odd"),
    ]
    assert sorted(ended) == sorted(name for name, _ in looks)
    assert ended[-1] == "hangs", "nobody waited for it"
    assert summary(found) == "3 problems, 1 warning, 1 note, 1 ok"
    assert [check.name for check in chosen(checks, ["finds", "hangs"], ["hangs"])] == ["finds"]
    with pytest.raises(Usage, match="there is no check 'find' here; did you mean 'finds'"):
        chosen(checks, [], ["find"])


def test_an_environment_is_read_as_shells_write_it() -> None:
    text = "# mesh\n\nexport A=1\nB='x=y z'\nC=\"q\"\nD=\n"
    assert parse_env(text, "f") == {"A": "1", "B": "x=y z", "C": "q", "D": ""}
    for line in ("no pair", "=x", "a b=c"):
        with pytest.raises(Usage, match="f, line 2: NAME=VALUE"):
            parse_env(f"A=1\n{line}\n", "f")


FOUND = [
    Finding(Level.PROBLEM, "it does not answer at all, not even after a while", "host:1", "start it", "first"),
    *(Finding(Level.NOTE, "not looked at: no mesh", check=name) for name in ("b", "c", "d")),
]


def test_findings_are_told_in_a_pipe_on_one_line_each_and_alike_ones_once(capsys: pytest.CaptureFixture[str]) -> None:
    describe(FOUND, None)
    assert capsys.readouterr().out.splitlines() == [
        "LEVEL    CHECK            WHERE   WHAT",
        "problem  first            host:1  it does not answer at all, not even after a while",
        "                                  do: start it",
        "note     b, c and 1 more  -       not looked at: no mesh",
    ]


def test_findings_are_broken_into_the_width_of_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    describe(FOUND, 60)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "LEVEL    CHECK            WHAT",
        "problem  first            host:1: it does not answer at all,",
        "                          not even after a while",
        "                          do: start it",
        "note     b, c and 1 more  not looked at: no mesh",
    ]


def test_findings_have_one_form_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    plain = {"check": "first", "level": "problem", "where": "host:1", "what": FOUND[0].what, "do": "start it"}
    show_list(FINDINGS, FOUND[:1], Form.JSON)
    assert json.loads(capsys.readouterr().out) == [plain]
    show_list(FINDINGS, FOUND[:1], Form.YAML)
    assert yaml.safe_load(capsys.readouterr().out) == [plain]
