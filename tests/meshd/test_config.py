from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from meshcore.settings import Settings
from meshd.config import Config, ConfigError, Host, describe, load, read
from meshd.settings.metrics import InfoMetric, MetricsConfig
from meshd.settings.setting import Setting
from meshd.settings.table import SETTINGS, WITHOUT_EFFECT

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


def test_a_wrong_value_takes_one_line_and_not_all_of_it() -> None:
    (problem,) = problems(MM_MESH_PORT="1\n" + "2" * 1000)
    assert problem.startswith(f"MM_MESH_PORT=1\\n{'2' * 197}… is not allowed; ")


def test_a_blank_variable_counts_as_unset() -> None:
    assert config(MM_MESH_PORT=" ", MM_METRICS="", MM_LABELS="").mesh_port == 8080


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("etcd:a:1,b:2", "etcd:a:1,b:2"),
        ("etcd:http://me:hunter2@a:1,http://you:2@b:2", "etcd:http://***@a:1,http://***@b:2"),
        ("etcd:http://me:hun,ter/2@a:1", "etcd:http://***@a:1"),
        ("etcd:http://me:h@ter@a:1", "etcd:http://***@a:1"),
        ("etcd:me:hunter2@a:1,you:2@b:2", "etcd:***@b:2"),
    ],
)
def test_what_is_secret_is_not_shown(value: str, shown: str) -> None:
    made = config(KV_STORE=value, MM_SVC_GRPC_PRIVATE_KEY_PASSPHRASE="hunter2 and\nmore")
    by_name = {row.name: row for row in describe(made)}
    assert by_name["KV_STORE"].value == shown
    assert by_name["MM_TLS_PRIVATE_KEY_PASSPHRASE"].value == "***"


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
def test_metrics_that_do_not_exist_are_a_fault_and_leave_none(value: str, problem: str) -> None:
    without = config(MM_METRICS=value)
    assert not without.metrics.is_on
    assert without.faults == (f"MM_METRICS: {problem}; there are no metrics",)


def test_metrics_with_more_labels_than_there_can_be_are_a_fault_and_leave_none() -> None:
    four = "info;a=HOME,b=HOME,c=HOME,d=HOME"
    most = config(MM_INFO_METRICS=four, HOME="/root")
    assert most.info_metric == InfoMetric("info", tuple((label, "/root") for label in "abcd"))
    assert most.metrics.is_on
    more = config(MM_INFO_METRICS=f"{four},e=HOME", HOME="/root")
    assert not more.metrics.is_on
    assert more.faults == ("MM_INFO_METRICS: info has 5 labels, more than 4; there are no metrics",)


def test_an_info_metric_needs_its_variables() -> None:
    (problem,) = problems(MM_INFO_METRICS="info;a=HOME,b=NONE,c=NEITHER", HOME="/root")
    assert problem.startswith("MM_INFO_METRICS: the environment has no NONE and no NEITHER; allowed: ")
    assert config(MM_INFO_METRICS="info;a=EMPTY", EMPTY="").info_metric == InfoMetric("info", (("a", ""),))


def test_an_unknown_variable_is_a_warning_with_the_nearest_known_one() -> None:
    assert config(MM_MESHPORT="1", MM_QQQQQQQQ="1", TAS_SERVICENAME="a", HOME="/").warnings == (
        "MM_MESHPORT is not a setting; did you mean MM_MESH_PORT?",
        "MM_QQQQQQQQ is not a setting",
        "TAS_SERVICENAME is not a setting; did you mean TAS_SERVICE_NAME?",
    )


def test_a_variable_that_may_be_others_is_a_warning_only_if_it_is_all_but_a_setting() -> None:
    assert config(INTERNAL_GRPCPORT="1", INTERNAL_API_URL="http://a").warnings == (
        "INTERNAL_GRPCPORT is not a setting; did you mean INTERNAL_GRPC_PORT?",
    )


def test_a_setting_that_nothing_follows_from_yet_is_a_warning_where_somebody_set_it() -> None:
    assert config(MM_MULTI_PARALLELISM="2").warnings == ("MM_MULTI_PARALLELISM is accepted and not acted on yet",)


def test_a_setting_of_model_mesh_without_effect_is_said_to_have_none() -> None:
    assert config(MM_SEND_DEST_ID="true", EGOSC_CONTAINER_ID="1", ZOOKEEPER="a:2181").warnings == (
        "EGOSC_CONTAINER_ID is a setting of ModelMesh that has no effect here",
        "MM_SEND_DEST_ID is a setting of ModelMesh that has no effect here",
        "ZOOKEEPER is a setting of ModelMesh that has no effect here",
    )


def test_a_store_that_only_zookeeper_names_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        read({"MM_SERVICE_NAME": "mesh", "ZOOKEEPER": "a:2181"}, HOST)
    assert caught.value.problems[1:] == [
        "ZOOKEEPER names a store that is not supported; set KV_STORE, as in etcd:localhost:2379"
    ]


def test_a_setting_and_the_file_of_the_same_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "file.json"
    file.write_text("{}")
    for name in ("MM_TYPE_CONSTRAINTS", "MM_DATAPLANE_CONFIG"):
        assert problems(**{name: "{}", f"{name}_PATH": str(file)}) == [f"{name} and {name}_PATH are both set; set one"]
    file.write_text("[]")
    assert config(MM_AUTO_REGISTER_MODELS="[]", MM_AUTO_REGISTER_MODELS_PATH=str(file)).static_models == ()


def test_the_window_of_the_second_copy_has_to_be_one() -> None:
    assert problems(MM_MIN_SECOND_COPY_AGE_SECS="2401") == [
        "MM_MIN_SECOND_COPY_AGE_SECS=2401 is not below MM_MAX_SECOND_COPY_AGE_SECS=2400; it has to be"
    ]
    assert problems(MM_MIN_SECOND_COPY_AGE_SECS="2400")
    assert config(MM_MIN_SECOND_COPY_AGE_SECS="2399").settings().second_copy_min_ms == 2_399_000


def test_tls_is_asked_for_by_a_key_and_needs_a_certificate(tmp_path: Path) -> None:
    key, certificate = tmp_path / "tls.key", tmp_path / "tls.crt"
    key.write_text("key")
    certificate.write_text("certificate")
    assert config().tls_key_path == ""
    both = config(
        MM_SVC_GRPC_PRIVATE_KEY_PATH=str(key), MM_TLS_KEY_CERT_PATH=str(certificate), MM_TLS_CLIENT_AUTH="REQUIRE"
    )
    assert (both.tls_key_path, both.tls_certificate_path) == (str(key), str(certificate))
    assert (both.tls_client_auth, both.warnings) == ("require", ())
    assert problems(MM_TLS_PRIVATE_KEY_PATH=str(key)) == [
        "MM_TLS_PRIVATE_KEY_PATH is set and MM_TLS_KEY_CERT_PATH is not; a key needs its certificate"
    ]
    assert problems(MM_TLS_KEY_CERT_PATH=str(certificate), MM_TLS_CLIENT_AUTH="optional") == [
        "MM_TLS_KEY_CERT_PATH is set and MM_TLS_PRIVATE_KEY_PATH is not; there is no TLS without a key",
        "MM_TLS_CLIENT_AUTH is set and MM_TLS_PRIVATE_KEY_PATH is not; there is no TLS without a key",
    ]
    paths = {"MM_TLS_PRIVATE_KEY_PATH": str(key), "MM_TLS_KEY_CERT_PATH": str(certificate)}
    assert config(**paths, MM_TLS_CLIENT_AUTH="OPTIONAL").warnings == (
        "MM_TLS_CLIENT_AUTH=optional: clients are not asked for a certificate; require asks them all",
    )


def test_a_file_that_is_not_there_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(b"\xff")
    assert problems(MM_TLS_TRUST_CERT_PATH=f"{tmp_path}/a.pem", MM_INTERNAL_TRUST_CERTS=f"{tmp_path},{tmp_path}/b") == [
        f"MM_TLS_TRUST_CERT_PATH: {tmp_path}/a.pem is not UTF-8; allowed: paths of files with commas between",
        f"MM_INTERNAL_TRUST_CERTS: {tmp_path}/b cannot be read: No such file or directory; "
        "allowed: paths of files or directories with commas between",
    ]


def test_there_are_no_limits_of_connections_unless_set() -> None:
    least = config()
    assert (least.max_headers_bytes, least.max_connection_age_s, least.max_connection_grace_s) == (-1, None, None)
    assert config(MM_SVC_GRPC_MAX_HEADERS_SIZE="9000").max_headers_bytes == 9000


def test_read_only_is_off_unless_it_is_asked_for() -> None:
    assert (config().is_read_only, config(KV_READ_ONLY="TRUE").is_read_only) == (False, True)
    assert problems(KV_READ_ONLY="yes") == ["KV_READ_ONLY=yes is not allowed; allowed: true or false"]
    assert config(KV_READ_ONLY="false", MM_TLS_CLIENT_AUTH="NONE").warnings == ()


def test_overrides_reach_the_rules() -> None:
    rules = config(
        MM_MIN_CHURN_AGE_MS="0", MM_LOAD_FAILURE_EXPIRY_TIME_MS="5", MM_MAX_INFLIGHT_PER_MODEL_COPY="-1",
        MM_SCALEUP_RPM_THRESHOLD="77", BOOTSTRAP_CLEARANCE_PERIOD_MS="9",
    ).settings()  # fmt: skip
    assert (rules.min_churn_age_ms, rules.failure_expiry_ms, rules.max_inflight_per_copy) == (0, 5, -1)
    assert (rules.scale_up_rpm, rules.failfast_ms) == (77, 9)
    assert config(MM_FAILFAST_UPGRADE_ENABLED="false").settings().failfast_ms == 0


def test_a_threshold_below_ten_is_no_threshold() -> None:
    assert problems(MM_SCALEUP_RPM_THRESHOLD="9") == [
        "MM_SCALEUP_RPM_THRESHOLD=9 is not allowed; allowed: a whole number from 10 to 2147483647"
    ]


def test_the_description_has_every_setting_with_its_origin_and_nothing_secret() -> None:
    rows = describe(config(KV_STORE="etcd:http://me:hunter2@a:1,http://you:2@b:2", TAS_SVC_GRPC_PORT="1"))
    assert [row.name for row in rows] == [setting.name for setting in SETTINGS]
    by_name = {row.name: row for row in rows}
    assert by_name["KV_STORE"].value == "etcd:http://***@a:1,http://***@b:2"
    assert by_name["MM_SVC_GRPC_PORT"].origin == "TAS_SVC_GRPC_PORT"
    assert (by_name["MM_MESH_PORT"].value, by_name["MM_MESH_PORT"].origin) == ("8080", "default")
    assert (by_name["MM_INSTANCE_ID"].value, by_name["MM_INSTANCE_ID"].origin) == ("meshd-box-beef", "derived")
    assert (by_name["MM_MESH_PORT"].is_acted_on, by_name["MM_MULTI_PARALLELISM"].is_acted_on) == (True, False)
    assert (by_name["SHUTDOWN_TIMEOUT_MS"].unit, by_name["KV_STORE"].origin) == ("ms", "KV_STORE")


def test_the_process_finds_its_own_host(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LEAST.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WKUBE_POD_NAME", raising=False)
    assert load().instance_id.startswith("meshd-")
    assert load().instance_id != load().instance_id


def test_the_table_and_the_config_have_the_same_fields() -> None:
    assert {setting.field for setting in SETTINGS} == {field.name for field in fields(Config)} - {
        "origins", "texts", "warnings", "faults",
    }  # fmt: skip
    names = [name for setting in SETTINGS for name in (setting.name, *setting.aliases)]
    assert len(names) == len(set(names))
    assert not set(names) & set(WITHOUT_EFFECT)


def documented(setting: Setting) -> str:
    """The row of docs/configuration.md that a setting must have."""
    meaning = setting.meaning + ("" if setting.is_acted_on else " (not acted on yet)")
    name = " ".join(f"`{name}`" for name in (setting.name, *setting.aliases))
    default = {None: "mandatory", "": ""}.get(setting.default, f"`{setting.default}`")
    cells = (name, default, setting.unit, setting.kind.allowed, meaning)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "\\<") for cell in cells) + " |"


def test_every_setting_is_documented() -> None:
    text = DOCS.read_text()
    page = text[text.index("## Settings\n") : text.index("## In a file\n")]
    assert re.findall(r"^\| `.*$", page, re.MULTILINE) == [documented(setting) for setting in SETTINGS]
    assert [name for name in WITHOUT_EFFECT if f"`{name}`" not in text] == []
