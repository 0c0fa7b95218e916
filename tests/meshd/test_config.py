from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from meshcore.settings import Settings
from meshd import log
from meshd.config import Config, ConfigError, Host, describe, load, read, version_number
from meshd.settings_kinds import MetricsConfig
from meshd.settings_table import REFUSED, SETTINGS, WITHOUT_EFFECT, Setting

LEAST = {"MM_SERVICE_NAME": "mesh", "KV_STORE": "etcd:localhost:2379"}
HOST = Host("box", "10.0.0.9", "beef")
DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"


def config(**env: str) -> Config:
    return read({**LEAST, **env}, HOST)


def problems(**env: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(**env)
    return caught.value.problems


def test_two_variables_are_enough() -> None:
    least = config()
    assert (least.service_name, least.kv_store, least.kv_prefix) == ("mesh", "etcd:localhost:2379", "tas-runtime")
    assert (least.external_port, least.mesh_port, least.probe_port, least.prestop_port) == (8033, 8080, 8089, 8090)
    assert (least.max_message_bytes, least.shutdown_timeout_ms, least.bind) == (16 << 20, 30_000, "")
    assert least.settings() == Settings()
    assert least.warnings == ()


def test_what_the_manifests_of_a_model_mesh_set_is_understood() -> None:
    pod = config(
        MM_SVC_GRPC_PORT="8033",
        WKUBE_POD_NAME="modelmesh-serving-mlserver-7d9f6c5b48-x2x7q",
        WKUBE_POD_IPADDR="10.1.2.3",
        MM_LOCATION="node-3",
        KV_STORE="etcd:/opt/kserve/mmesh/etcd/etcd_connection",
        MM_METRICS="prometheus:port=2112;scheme=https",
        SHUTDOWN_TIMEOUT_MS="90000",
        INTERNAL_GRPC_SOCKET_PATH="/tmp/mmesh/grpc.sock",
        INTERNAL_SERVING_GRPC_PORT="8001",
        MM_KVSTORE_PREFIX="mm",
        MM_LABELS="rt:mlserver, mt:sklearn:0 ,mt:sklearn,,rt:mlserver",
        MM_LOG_EACH_INVOKE="TRUE",
    )
    assert pod.instance_id == "6c5b48-x2x7q"
    assert pod.address == "10.1.2.3"
    assert pod.metrics == MetricsConfig(scheme="https")
    assert pod.labels == ("mt:sklearn", "mt:sklearn:0", "rt:mlserver")
    assert pod.runtime_targets == ("unix:/tmp/mmesh/grpc.sock",)
    assert pod.serving_target == "localhost:8001"
    assert pod.logs_each_request
    assert pod.termination_path == "/dev/termination-log"
    assert pod.warnings == ()


def test_an_instance_outside_a_pod_is_named_after_its_host_and_a_draw() -> None:
    assert config().instance_id == "meshd-box-beef"
    assert read(LEAST, Host("a,b/c", "10.0.0.9", "beef")).instance_id == "meshd-a-b-c-beef"
    assert config(MM_INSTANCE_ID="i1", WKUBE_POD_NAME="p").instance_id == "i1"


def test_the_advertised_address_is_the_given_one_else_the_pods_else_the_bound_else_the_hosts() -> None:
    assert config(WATSON_SERVICE_ADDRESS="a.b", WKUBE_POD_IPADDR="10.1.2.3").address == "a.b"
    assert config(WKUBE_POD_IPADDR="10.1.2.3", MM_BIND="127.0.0.1").address == "10.1.2.3"
    assert config(MM_BIND="127.0.0.1").address == "127.0.0.1"
    assert config(MM_BIND="0.0.0.0").address == "10.0.0.9"
    assert config().address == "10.0.0.9"


def test_without_endpoints_the_runtime_is_looked_for_at_both_usual_places() -> None:
    assert config().runtime_targets == ("unix:/tmp/mmesh/grpc.sock", "localhost:8085")
    assert config().serving_target == ""
    assert config(INTERNAL_GRPC_PORT="8086").runtime_targets == ("localhost:8086",)


def test_a_port_and_a_socket_for_one_endpoint_are_refused() -> None:
    assert problems(INTERNAL_GRPC_PORT="1", INTERNAL_GRPC_SOCKET_PATH="/a") == [
        "INTERNAL_GRPC_PORT and INTERNAL_GRPC_SOCKET_PATH are both set; set one"
    ]
    assert problems(INTERNAL_SERVING_GRPC_PORT="1", INTERNAL_SERVING_GRPC_SOCKET_PATH="/a") == [
        "INTERNAL_SERVING_GRPC_PORT and INTERNAL_SERVING_GRPC_SOCKET_PATH are both set; set one"
    ]


def test_all_wrong_settings_are_reported_at_once_a_line_each() -> None:
    with pytest.raises(ConfigError) as caught:
        read({"MM_MESH_PORT": "99999", "MM_LOG_LEVEL": "loud", "KV_STORE": "etcd:"}, HOST)
    assert str(caught.value).splitlines() == [
        "MM_SERVICE_NAME is not set, and there is no default; allowed: a name without / and blanks",
        "MM_MESH_PORT=99999 is not allowed; allowed: a whole number from 0 to 65535",
        "KV_STORE=etcd: is not allowed; allowed: etcd:<file>, etcd:<endpoints> or memory",
        "MM_LOG_LEVEL=loud is not allowed; allowed: debug or info or warning or error",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MM_SERVICE_NAME", "a/b"),
        ("MM_INSTANCE_ID", "a,b"),
        ("MM_SVC_GRPC_PORT", "-1"),
        ("MM_SVC_GRPC_PORT", "eight"),
        ("MM_SVC_GRPC_MAX_MSG_SIZE", "0"),
        ("MM_PROBE_PORT", "off"),
        ("MM_KVSTORE_PREFIX", "a b"),
        ("KV_STORE", "zookeeper:localhost:2181"),
        ("MM_LOG_EACH_INVOKE", "yes"),
        ("MM_MIN_CHURN_AGE_MS", "-2"),
        ("MM_MIN_CHURN_AGE_MS", "1.5"),
        ("MM_DATA_PLANE", "java"),
        ("INTERNAL_GRPC_PORT", "0"),
        ("MM_METRICS", "prometheus:port"),
        ("MM_METRICS", ":port=1"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, value: str) -> None:
    (problem,) = problems(**{name: value})
    assert problem.startswith(f"{name}={value} is not allowed; allowed: ")


def test_a_deprecated_name_works_the_present_one_wins_and_the_one_used_is_named() -> None:
    assert config(TAS_SVC_GRPC_PORT="9000").external_port == 9000
    assert config(TAS_SVC_GRPC_PORT="9000", MM_SVC_GRPC_PORT="9001").external_port == 9001
    (problem,) = problems(TAS_SVC_GRPC_PORT="x")
    assert problem.startswith("TAS_SVC_GRPC_PORT=x is")


def test_a_blank_variable_counts_as_unset() -> None:
    assert config(MM_MESH_PORT=" ", MM_METRICS="", MM_LABELS="").mesh_port == 8080


def test_what_is_secret_in_a_wrong_value_is_masked() -> None:
    (problem,) = problems(KV_STORE="consul:http://me:hunter2@host:1")
    assert "hunter2" not in problem
    assert "consul:http://***@host:1" in problem


def test_ports_can_be_switched_off_or_left_to_the_machine() -> None:
    off = config(MM_PROBE_PORT="none", MM_PRESTOP_WAIT_PORT="NONE", MM_MESH_PORT="0")
    assert (off.probe_port, off.prestop_port, off.mesh_port) == (None, None, 0)
    assert config(MM_PROBE_PORT="0", MM_PRESTOP_WAIT_PORT="0", MM_METRICS="prometheus:port=0").probe_port == 0


def test_one_port_for_two_purposes_is_refused() -> None:
    assert problems(MM_MESH_PORT="8033") == [
        "MM_SVC_GRPC_PORT and MM_MESH_PORT are both 8033; every port needs its own number"
    ]
    assert problems(MM_PROBE_PORT="2112") == [
        "MM_METRICS and MM_PROBE_PORT are both 2112; every port needs its own number"
    ]
    assert config(MM_METRICS="disabled", MM_PROBE_PORT="2112").probe_port == 2112


def test_metrics_are_prometheus_over_http_when_unset_and_as_written_when_set() -> None:
    assert config().metrics == MetricsConfig(True, 2112, "http")
    assert config(MM_METRICS="prometheus").metrics == MetricsConfig(True, 2112, "https")
    assert not config(MM_METRICS="disabled").metrics.is_on
    full = "prometheus:port=1;scheme=http;fq_names=true;per_model_metrics=true;mem_detail=netty,gc"
    assert config(MM_METRICS=full).metrics == MetricsConfig(True, 1, "http", True, True)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("statsd:port=8126", "'statsd' is none of prometheus, disabled"),
        ("prometheus:color=red", "'color' is none of port, scheme, fq_names, per_model_metrics, mem_detail"),
        ("prometheus:port=x", "'x' has another form"),
        ("prometheus:port=70000", "70000 is not from 0 to 65535"),
        ("prometheus:scheme=ftp", "'ftp' is none of http, https"),
        ("prometheus:fq_names=1", "'1' is none of true, false"),
        ("prometheus:mem_detail=heap", "'heap' is none of all, none, netty, gc, bp, mp, ma"),
    ],
)
def test_metrics_that_do_not_exist_are_a_warning_and_leave_none(value: str, problem: str) -> None:
    without = config(MM_METRICS=value)
    assert not without.metrics.is_on
    assert without.warnings == (f"MM_METRICS: {problem}; there are no metrics",)


def test_an_unknown_variable_is_a_warning_with_the_nearest_known_one() -> None:
    assert config(MM_MESHPORT="1", MM_QQQQQQQQ="1", HOME="/").warnings == (
        "MM_MESHPORT is not a setting; did you mean MM_MESH_PORT?",
        "MM_QQQQQQQQ is not a setting",
    )


def test_a_setting_of_model_mesh_without_effect_is_said_to_have_none() -> None:
    assert config(MM_SEND_DEST_ID="true").warnings == (
        "MM_SEND_DEST_ID is a setting of ModelMesh that has no effect here",
    )


def test_protection_that_is_not_offered_stops_the_start_and_keeps_secrets() -> None:
    assert problems(MM_TLS_PRIVATE_KEY_PASSPHRASE="hunter2") == [
        "MM_TLS_PRIVATE_KEY_PASSPHRASE asks for protection that is not offered; "
        "unset it and protect the mesh by other means"
    ]
    assert problems(KV_READ_ONLY="true")
    assert config(KV_READ_ONLY="false", MM_TLS_CLIENT_AUTH="NONE").warnings == ()


def test_overrides_reach_the_rules() -> None:
    rules = config(
        MM_MIN_CHURN_AGE_MS="0", MM_LOAD_FAILURE_EXPIRY_TIME_MS="5", MM_MAX_INFLIGHT_PER_MODEL_COPY="-1"
    ).settings()
    assert (rules.min_churn_age_ms, rules.failure_expiry_ms, rules.max_inflight_per_copy) == (0, 5, -1)


def test_the_description_has_every_setting_with_its_origin_and_nothing_secret() -> None:
    rows = describe(config(KV_STORE="etcd:http://me:hunter2@a:1,http://you:2@b:2", TAS_SVC_GRPC_PORT="1"))
    assert [row.name for row in rows] == [setting.name for setting in SETTINGS]
    by_name = {row.name: row for row in rows}
    assert by_name["KV_STORE"].value == "etcd:http://***@a:1,http://***@b:2"
    assert by_name["MM_SVC_GRPC_PORT"].origin == "TAS_SVC_GRPC_PORT"
    assert (by_name["MM_MESH_PORT"].value, by_name["MM_MESH_PORT"].origin) == ("8080", "default")
    assert (by_name["MM_INSTANCE_ID"].value, by_name["MM_INSTANCE_ID"].origin) == ("meshd-box-beef", "derived")
    assert (by_name["SHUTDOWN_TIMEOUT_MS"].unit, by_name["KV_STORE"].origin) == ("ms", "KV_STORE")


def test_the_process_finds_its_own_host(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LEAST.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WKUBE_POD_NAME", raising=False)
    assert load().instance_id.startswith("meshd-")
    assert load().instance_id != load().instance_id


def test_the_table_and_the_config_have_the_same_fields() -> None:
    assert {setting.field for setting in SETTINGS} == {field.name for field in fields(Config)} - {
        "origins", "texts", "warnings",
    }  # fmt: skip
    names = [name for setting in SETTINGS for name in (setting.name, *setting.aliases)]
    assert len(names) == len(set(names))
    assert not set(names) & {*REFUSED, *WITHOUT_EFFECT}


def documented(setting: Setting) -> str:
    """The row of docs/configuration.md that a setting must have."""
    name = " ".join(f"`{name}`" for name in (setting.name, *setting.aliases))
    default = {None: "mandatory", "": ""}.get(setting.default, f"`{setting.default}`")
    cells = (name, default, setting.unit, setting.kind.allowed, setting.meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def test_every_setting_is_documented() -> None:
    lines = DOCS.read_text().splitlines()
    assert [row for row in map(documented, SETTINGS) if row not in lines] == []
    text = DOCS.read_text()
    assert [name for name in (*REFUSED, *WITHOUT_EFFECT) if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    ("build", "number"),
    [
        ("20200101-0000", 1_577_836_800_000),
        ("20200101-0001", 1_577_836_860_000),
        ("20200101-0000-7", 1_577_836_800_007),
        ("main-20200101-42", 1_577_836_800_042),
        ("a-b-20200101-42", 1_577_836_800_042),
        ("BUILD_ID=20200101-0000 and more", 1_577_836_800_000),
        ("20201399-0000", 0),
        ("20200101-9900", 0),
        ("v1.2.3", 0),
        ("", 0),
    ],
)
def test_builds_are_ordered_by_their_date(build: str, number: int) -> None:
    assert version_number(build) == number
    assert config(SERVICE_VERSION=build).version == number


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    root, access = logging.getLogger(), logging.getLogger("aiohttp.access")
    handlers, level, access_level = root.handlers[:], root.level, access.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    access.setLevel(access_level)


@pytest.mark.usefixtures("_logging_as_before")
def test_log_lines_are_text_or_json_from_the_given_level_on() -> None:
    out = io.StringIO()
    log.configure("info", "text", out)
    logging.getLogger("meshd.some").debug("quiet")
    logging.getLogger("meshd.some").warning("port %d", 80)
    line = out.getvalue()
    assert line.endswith("Z WARNING meshd.some: port 80\n")
    assert line[10] == "T"

    out = io.StringIO()
    log.configure("debug", "json", out)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("meshd.some").exception("it\nfailed")
    written = json.loads(out.getvalue())
    assert (written["level"], written["logger"], written["text"]) == ("error", "meshd.some", "it\nfailed")
    assert "ValueError: broken" in written["error"]
