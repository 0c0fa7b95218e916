"""Settings in a file: what it may look like, that the environment wins, and what is said of one that will not do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from meshcore.constraints import TypeConstraint
from meshd.config import Config, ConfigError, Host, load, read
from meshd.config_file import read_file
from meshd.settings.kinds import Unfit
from meshd.settings.metrics import InfoMetric

HOST = Host("box", "10.0.0.9", "beef")
LEAST = "MM_SERVICE_NAME: mesh\nKV_STORE: etcd:localhost:2379\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "meshd.yaml"


def config(file: Path, text: str, **env: str) -> Config:
    file.write_text(LEAST + text)
    return read(env, HOST, read_file(str(file)))


def problems(file: Path, text: str, **env: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(file, text, **env)
    return [problem.removeprefix(str(file)) for problem in caught.value.problems]


def test_a_file_is_enough(file: Path) -> None:
    found = config(file, "MM_MESH_PORT: 9000\nMM_LOG_EACH_INVOKE: true\n")
    assert (found.service_name, found.kv_store) == ("mesh", "etcd:localhost:2379")
    assert (found.mesh_port, found.logs_each_request) == (9000, True)
    assert (found.origins["MM_MESH_PORT"], found.origins["MM_PROBE_PORT"]) == ("file", "default")


def test_the_environment_wins_also_under_an_older_name(file: Path) -> None:
    found = config(file, "MM_SVC_GRPC_PORT: 1\nMM_MESH_PORT: 2\nMM_ZONE: a\n", TAS_SVC_GRPC_PORT="3", MM_ZONE=" ")
    assert (found.external_port, found.mesh_port, found.zone) == (3, 2, "a")
    assert found.origins["MM_SVC_GRPC_PORT"] == "TAS_SVC_GRPC_PORT"
    assert found.origins["MM_ZONE"] == "file"


def test_values_are_taken_as_they_are_written(file: Path) -> None:
    found = config(file, "MM_ZONE: 010\nMM_LOCATION: no\nSERVICE_VERSION: 20200101-0000\nMM_KVSTORE_PREFIX: 1_0\n")
    assert (found.zone, found.location, found.version, found.kv_prefix) == ("010", "no", 1_577_836_800_000, "1_0")


def test_a_setting_without_a_value_counts_as_unset(file: Path) -> None:
    found = config(file, "MM_MESH_PORT:\nMM_ZONE: ~\nMM_BIND: ''\n")
    assert (found.mesh_port, found.zone, found.bind) == (8080, "", "")
    assert found.origins["MM_MESH_PORT"] == "default"


def test_lists_and_objects_may_be_written_as_such(file: Path) -> None:
    found = config(
        file,
        """
MM_LABELS: [b, a]
MM_PAYLOAD_PROCESSORS:
- logger://*
- http://host/path?model
MM_TYPE_CONSTRAINTS:
  type: {required: [x], preferred: [z, y, x]}
MM_DATAPLANE_CONFIG:
  rpcConfigs: {a.B/C: {idExtractionPath: [1, 2], vModelId: true}}
""",
    )
    assert found.labels == ("a", "b")
    assert found.payload_processors == ("logger://*", "http://host/path?model")
    assert found.type_constraints == {"type": TypeConstraint(("x",), ("y", "z"))}
    assert found.data_plane_config is not None
    assert found.data_plane_config.rpcs["a.B/C"].id_path == (1, 2)
    assert json.loads(found.texts["MM_TYPE_CONSTRAINTS"]) == {"type": {"required": ["x"], "preferred": ["z", "y", "x"]}}


def test_an_unknown_setting_is_an_error_that_names_its_line_and_the_nearest_known_one(file: Path) -> None:
    assert problems(file, "MM_MESHPORT: 1\nmm_mesh_port: 1\nqqq: 1\n? [MM_ZONE]\n: 1\n") == [
        ", line 3: MM_MESHPORT is not a setting; did you mean MM_MESH_PORT?",
        ", line 4: mm_mesh_port is not a setting; did you mean MM_MESH_PORT?",
        ", line 5: qqq is not a setting",
        ", line 6: what is no name is in the place of one",
    ]


def test_all_that_is_wrong_is_said_at_once_with_where_it_stands(file: Path) -> None:
    assert problems(
        file, "MM_MESH_PORT: x\nMM_ZONE: a\nMM_ZONE: b\nMM_BIND: [a]\nMM_LABELS: [[a]]\nMM_SERVICE_CLASS: {}\n"
    ) == [
        ", line 5: MM_ZONE is there twice",
        ", line 6: MM_BIND is a list; allowed: an address or a host name",
        ", line 7: MM_LABELS is a list of lists or mappings; a list of plain values is expected",
        ", line 8: MM_SERVICE_CLASS is a mapping; allowed: a plain value",
        ": MM_MESH_PORT=x is not allowed; allowed: a whole number from 0 to 65535",
    ]


@pytest.mark.parametrize("value", ["!odd {a: b}", "{? [a] : b}", "{? {a: b} : c}", "&a [*a]", "{2020-01-01: a}"])
def test_an_object_that_json_has_no_words_for_is_a_problem(file: Path, value: str) -> None:
    assert problems(file, f"MM_TYPE_CONSTRAINTS: {value}\n") == [", line 3: MM_TYPE_CONSTRAINTS says what JSON cannot"]


def test_the_labels_of_an_info_metric_may_come_from_the_file(file: Path) -> None:
    found = config(file, "MM_ZONE: a\nMM_INFO_METRICS: info;zone=MM_ZONE,pod=POD\n", POD="p")
    assert found.info_metric == InfoMetric("info", (("zone", "a"), ("pod", "p")))


def test_a_wrong_value_that_the_environment_replaces_is_no_problem(file: Path) -> None:
    assert config(file, "MM_MESH_PORT: x\n", MM_MESH_PORT="1").mesh_port == 1


def test_a_setting_without_effect_is_a_warning_here_too(file: Path) -> None:
    assert config(file, "MM_SERVICE_CLASS: a\nMM_MULTI_PARALLELISM: 4\n").warnings == (
        "MM_SERVICE_CLASS is a setting of ModelMesh that has no effect here",
        "MM_MULTI_PARALLELISM is accepted and not acted on yet",
    )


def test_an_empty_file_says_nothing(file: Path) -> None:
    file.write_text("# nothing\n")
    assert read_file(str(file)).texts == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: b\n c: d\n", ", line 2: not YAML: mapping values are not allowed here"),
        ("a: [1,\n", ", line 2: not YAML: expected the node content, but found '<stream end>'"),
        ("a: 1\n---\nb: 1\n", ", line 2: not YAML: but found another document"),
        ("a: 1\nb: \x01\n", ", line 2: not YAML: special characters are not allowed"),
        ("- MM_ZONE\n", ", line 1: a mapping of settings is expected, as in MM_MESH_PORT: 8080"),
        ("[" * 5000, ": not YAML: nested too deep"),
    ],
)
def test_a_file_that_is_no_yaml_is_one_sentence_with_its_line(file: Path, text: str, sentence: str) -> None:
    file.write_text(text)
    with pytest.raises(Unfit) as caught:
        read_file(str(file))
    assert str(caught.value) == f"{file}{sentence}"


def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LL_TERMINATION_MSG_PATH", "/somewhere")
    with pytest.raises(ConfigError) as caught:
        load(f"{tmp_path}/none.yaml")
    assert caught.value.problems == [f"{tmp_path}/none.yaml cannot be read: No such file or directory"]
    assert caught.value.termination_path == "/somewhere"


def test_the_file_in_the_documentation_is_one(file: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    file.write_text(text)
    found = read({}, HOST, read_file(str(file)))
    assert found.labels == ("mt:onnx", "rt:onnx")
    assert found.type_constraints == {"mt:onnx": TypeConstraint(("rt:onnx",), ())}
