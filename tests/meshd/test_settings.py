"""What settings that are more than a number or a word say once they are read."""

from __future__ import annotations

import json

import pytest

from meshcore.constraints import TypeConstraint
from meshd.settings.forms import (
    DataPlaneConfig,
    RetryBuffer,
    RpcConfig,
    StaticModel,
    data_plane_config,
    log_headers,
    retry_buffer,
    static_models,
    type_constraints,
)
from meshd.settings.kinds import Unfit


def test_labels_of_constraints_are_sorted_and_what_is_required_is_not_preferred_too() -> None:
    text = '{"t": {"required": ["b", "a", "b"], "preferred": ["c", "a"], "other": 1}, "_default": {}}'
    assert type_constraints(text) == {"t": TypeConstraint(("a", "b"), ("c",)), "_default": TypeConstraint((), ())}


def test_a_data_plane_config_permits_nothing_that_it_does_not_name() -> None:
    assert data_plane_config("{}") == DataPlaneConfig({}, False)
    text = (
        '{"rpcConfigs": {"a.B/C": {"idExtractionPath": [1, 3], "vModelId": true}, "a.B/D": {}}, "allowOtherRpcs": true}'
    )
    assert data_plane_config(text) == DataPlaneConfig({"a.B/C": RpcConfig((1, 3), True), "a.B/D": RpcConfig()}, True)


def test_static_models_come_in_their_order_and_need_an_id_and_a_type() -> None:
    whole = {
        "modelId": "m", "modelInfo": {"type": "t", "path": "p", "key": "k"}, "vModelId": "v", "ensureLoaded": True,
        "retainAfterTransition": True, "comment": 1,
    }  # fmt: skip
    least = {"modelId": "l", "modelInfo": {"type": "t"}}
    assert static_models(json.dumps([whole, least])) == (
        StaticModel("m", "t", "p", "k", "v", True, True),
        StaticModel("l", "t", "", ""),
    )


def test_headers_to_log_are_known_by_their_lower_case() -> None:
    assert log_headers('{"X-User": "user", "b-bin": " b "}') == (("x-user", "user"), ("b-bin", "b"))


def test_a_retry_buffer_of_one_number_has_the_usual_whole() -> None:
    assert retry_buffer("0") == RetryBuffer(0, 64 << 20)
    assert retry_buffer("10, 20") == RetryBuffer(10, 20)
    with pytest.raises(Unfit, match="21 bytes of one request are more than the 20 of all together"):
        retry_buffer("21,20")


@pytest.mark.parametrize(
    ("parse", "text", "why"),
    [
        (type_constraints, "{", "not JSON: Expecting property name enclosed in double quotes"),
        (type_constraints, "[" * 100_000, "not JSON: maximum recursion depth exceeded"),
        (type_constraints, '{"t": {"required": [1]}}', "type 't', required is not a text"),
        (data_plane_config, '{"rpcs": {}}', "the whole has 'rpcs'; known: rpcConfigs, allowOtherRpcs"),
        (
            data_plane_config,
            '{"rpcConfigs": {"a.B/C": {"idExtractionPath": [true]}}}',
            "a.B/C: idExtractionPath has what",
        ),
        (data_plane_config, '{"rpcConfigs": {"a.B/C": {"vModelId": 1}}}', "a.B/C: vModelId is neither true nor false"),
        (static_models, '[{"modelId": "m"}]', "model 0, modelInfo is not an object"),
        (static_models, '[{"modelId": "m", "modelInfo": {}}]', "model 0, modelInfo has no type"),
        (static_models, '[{"modelInfo": {"type": "t"}}]', "model 0 has no modelId"),
        (static_models, '[{"modelId": "m", "modelInfo": {"type": 1}}]', "model 0, modelInfo, type is not a text"),
        (static_models, "[null]", "model 0 is not an object"),
        (static_models, '[{"modelId": null, "modelInfo": {"type": "t"}}]', "model 0: modelId is null; give it a text"),
        (static_models, '[{"modelId": "m", "modelInfo": null}]', "model 0, modelInfo is not an object"),
        (
            static_models,
            '[{"modelId": "m", "modelInfo": {"type": "t", "path": null}}]',
            "model 0, modelInfo: path is null; give it a text, or leave it out",
        ),
        (
            static_models,
            '[{"modelId": "m", "modelInfo": {"type": "t"}, "vModelId": null}]',
            "model 0: vModelId is null; give it a text, or leave it out",
        ),
        (
            static_models,
            '[{"modelId": "m", "modelInfo": {"type": "t"}, "ensureLoaded": null}]',
            "model 0: ensureLoaded is null, neither true nor false",
        ),
        (log_headers, "{}", "the object has no attributes"),
        (log_headers, '{"a": ""}', "header 'a': neither it nor its key can be blank"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(parse: object, text: str, why: str) -> None:
    assert callable(parse)
    with pytest.raises(Unfit) as caught:
        parse(text)
    assert str(caught.value).startswith(why)
