from __future__ import annotations

import pytest

from meshcore.errors import Code, InvalidRequest, MeshError
from meshd.plane.metadata import Metadata, for_client, for_peer, for_runtime, is_balanced, model_id, sticky_key


@pytest.mark.parametrize(
    ("metadata", "model"),
    [
        ((("mm-model-id", "a"),), "a"),
        ((("mm-model-id-bin", "naïve/β".encode()),), "naïve/β"),
        ((("mm-model-id-bin", b"bin"), ("mm-model-id", "ascii")), "ascii"),
        ((("tas-model-id", "old"),), "old"),
        ((("tas-model-id", "old"), ("mm-model-id-bin", b"new")), "new"),
        ((("other", "x"), ("mm-model-id", "a"), ("mm-balanced", "true")), "a"),
    ],
)
def test_the_first_header_of_the_documented_order_names_the_model(metadata: Metadata, model: str) -> None:
    assert model_id(metadata) == (model, False)


@pytest.mark.parametrize(
    ("metadata", "vmodel"),
    [
        ((("mm-vmodel-id", "v"),), "v"),
        ((("mm-vmodel-id-bin", "naïve/β".encode()),), "naïve/β"),
        ((("mm-vmodel-id-bin", b"bin"), ("mm-vmodel-id", "ascii")), "ascii"),
        ((("mm-vmodel-id", "v"), ("tas-model-id", "a")), "v"),
    ],
)
def test_a_virtual_model_is_named_in_the_same_ways(metadata: Metadata, vmodel: str) -> None:
    assert model_id(metadata) == (vmodel, True)


@pytest.mark.parametrize(
    ("metadata", "code", "text"),
    [
        ((), Code.INVALID_ARGUMENT, "must include mm-model-id header"),
        ((("mm-required", "all"),), Code.INVALID_ARGUMENT, "must include mm-model-id header"),
        ((("mm-model-id", ""),), Code.INVALID_ARGUMENT, "provided model-id header must be non-empty"),
        ((("mm-model-id", ""), ("mm-model-id-bin", b"a")), Code.INVALID_ARGUMENT,
         "provided model-id header must be non-empty"),
        ((("tas-model-id", ""),), Code.INVALID_ARGUMENT, "provided model-id header must be non-empty"),
        ((("mm-vmodel-id", ""),), Code.INVALID_ARGUMENT, "provided vmodel-id header must be non-empty"),
        ((("mm-vmodel-id-bin", b""),), Code.INVALID_ARGUMENT, "provided vmodel-id header must be non-empty"),
        ((("mm-model-id", "a"), ("mm-vmodel-id", "v")), Code.INVALID_ARGUMENT,
         "must include only one of model id and vmodel id"),
        ((("mm-model-id-bin", b"a"), ("mm-vmodel-id-bin", b"")), Code.INVALID_ARGUMENT,
         "must include only one of model id and vmodel id"),
        ((("mm-model-id", "a"), ("mm-model-id", "b")), Code.INVALID_ARGUMENT,
         "only one model id is taken by a request"),
    ],
)  # fmt: skip
def test_headers_that_name_no_one_model_are_refused_in_the_words_clients_know(
    metadata: Metadata, code: Code, text: str
) -> None:
    with pytest.raises(MeshError) as caught:
        model_id(metadata)
    assert (caught.value.code, caught.value.text) == (code, text)


def test_an_id_that_is_no_utf_8_is_some_unknown_id() -> None:
    assert model_id((("mm-model-id-bin", b"\xff"),)) == ("\ufffd", False)
    with pytest.raises(InvalidRequest):
        model_id((("mm-model-id-bin", b""),))


@pytest.mark.parametrize(("value", "balanced"), [("true", True), ("True", False), ("1", False), ("false", False)])
def test_only_the_exact_word_says_that_a_client_balances(value: str, balanced: bool) -> None:
    assert is_balanced((("mm-balanced", value),)) is balanced
    assert not is_balanced(())


OWN = (("x-user", "u"), ("trace-bin", b"\x00\xff"), ("tas-model", "kept"), ("x-user", "again"))
DROPPED = (
    ("mm-model-id", "m"), ("mm-anything", "x"), ("mm-i-key-bin", b"k"), ("tas-model-id", "m"), ("grpc-timeout", "1S"),
    ("grpc-trace-bin", b"t"), ("content-type", "application/grpc"), ("user-agent", "a"), ("te", "trailers"),
    (":authority", "host"),
)  # fmt: skip


def test_the_runtime_sees_the_clients_own_metadata_in_its_order_and_the_models_id() -> None:
    assert for_runtime((*DROPPED, *OWN), "m") == (*OWN, ("mm-model-id-bin", b"m"), ("mm-model-id", "m"))


@pytest.mark.parametrize("model", ["naïve", "tab\t", "line\n", "\x7f"])
def test_an_id_that_is_not_printable_ascii_travels_as_bytes_alone(model: str) -> None:
    assert for_runtime((), model) == (("mm-model-id-bin", model.encode()),)


def test_peers_and_clients_see_nothing_of_what_is_between_instances() -> None:
    assert for_peer((*DROPPED, *OWN)) == OWN
    assert for_client((*DROPPED, *OWN)) == OWN


@pytest.mark.parametrize(
    ("metadata", "key"),
    [
        ((("mm-model-id", "a"),), None),
        ((("mm-vmodel-key", "user-1"),), b"user-1"),
        ((("mm-vmodel-key", ""),), b""),
        ((("mm-vmodel-key-bin", b"\x00\xff"),), b"\x00\xff"),
        ((("mm-vmodel-key-bin", b"bin"), ("mm-vmodel-key", "ascii")), b"ascii"),
        ((("mm-vmodel-key", "first"), ("mm-vmodel-key", "second")), b"first"),
        ((("mm-vmodel-key-bin", b"first"), ("mm-vmodel-key-bin", b"second")), b"first"),
    ],
)
def test_a_header_of_either_kind_keeps_a_client_with_one_target(metadata: Metadata, key: bytes | None) -> None:
    assert sticky_key(metadata) == key
