"""Which files the ONNX runtime loads, which it refuses, and what they weigh."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper

from protos import model_runtime_pb2 as pb
from runtimes.session import Session, memory_bytes, model_file
from tests.runtimes.onnx_models import affine, save
from tests.runtimes.onnx_served import Client, refused, served


def test_load_and_prediction_answer_the_same_size(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        loaded = await client.load("m", "m.onnx")
        predicted = await client.spi.predictModelSize(pb.PredictModelSizeRequest(modelId="m", modelPath="m.onnx"))
        assert loaded.sizeInBytes == predicted.sizeInBytes == 128 * 1024 + int(2.25 * size)
        missing = client.spi.predictModelSize(pb.PredictModelSizeRequest(modelId="m", modelPath="n.onnx"))
        assert (await refused(missing))[0] == "NOT_FOUND"

    size = affine(tmp_path / "m.onnx").stat().st_size
    served(tmp_path, test)


def test_trees_and_external_data_count_with_the_size(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"x" * 1000)
    plain = memory_bytes(tmp_path / "m.onnx")
    (tmp_path / "m.onnx.data").write_bytes(b"x" * 3000)
    (tmp_path / "other.onnx").write_bytes(b"x" * 5000)
    assert memory_bytes(tmp_path / "m.onnx") - plain == 3000 * 2.25
    (tmp_path / "t.onnx").write_bytes(b"TreeEnsembleClassifier".ljust(1000))
    assert memory_bytes(tmp_path / "t.onnx") - plain == 1000 * (6 - 2.25)


def test_loads_that_cannot_be(tmp_path: Path) -> None:
    root = tmp_path / "models"
    affine(tmp_path / "outside.onnx")
    affine(root / "one" / "1" / "model.onnx")
    affine(root / "two" / "a.onnx")
    affine(root / "two" / "b.onnx")
    (root / "none").mkdir()
    (root / "broken.onnx").write_bytes(b"\x08\x09garbage")
    (root / "empty.onnx").touch()
    (root / "link.onnx").symlink_to(tmp_path / "outside.onnx")
    (root / "inner.onnx").symlink_to(root / "two" / "a.onnx")
    (root / "trap").mkdir()
    (root / "trap" / "model.onnx").symlink_to(tmp_path / "outside.onnx")
    outside = "outside of .*, where all models have to be"
    table = {
        "": ("INVALID_ARGUMENT", "registered without a path"),
        "missing.onnx": ("NOT_FOUND", f"missing.onnx: no such file under {root}"),
        "none": ("NOT_FOUND", "none: no .onnx file in this directory"),
        "two": ("INVALID_ARGUMENT", "two: 2 .onnx files in this directory"),
        "broken.onnx": ("INVALID_ARGUMENT", "broken.onnx: .*INVALID_PROTOBUF"),
        "empty.onnx": ("INVALID_ARGUMENT", "empty.onnx: "),
        "../outside.onnx": ("PERMISSION_DENIED", outside),
        "../nowhere.onnx": ("PERMISSION_DENIED", outside),
        str(tmp_path / "outside.onnx"): ("PERMISSION_DENIED", outside),
        "/etc/passwd": ("PERMISSION_DENIED", outside),
        "link.onnx": ("PERMISSION_DENIED", outside),
        "trap": ("PERMISSION_DENIED", outside),
        "a\0b": ("INVALID_ARGUMENT", "null"),
    }

    async def test(client: Client) -> None:
        for path, (code, said) in table.items():
            got, text = await refused(client.load("m", path))
            assert got == code, path
            assert re.search(said, text), text
        for number, path in enumerate(("one", str(root / "two" / "a.onnx"), "inner.onnx", "two/../two/b.onnx")):
            await client.load(f"good-{number}", path)

    served(root, test)


def test_a_model_root_that_is_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    file = affine(tmp_path / "real" / "m.onnx")
    (tmp_path / "root").symlink_to(tmp_path / "real")
    root = Path(os.path.realpath(tmp_path / "root"))
    assert model_file(root, str(tmp_path / "root" / "m.onnx")) == model_file(root, "m.onnx") == file


def test_models_without_tensors_are_refused(tmp_path: Path) -> None:
    floats = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    tensor = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])
    index = numpy_helper.from_array(np.array(0, np.int64), "index")
    made = save(tmp_path / "gives.onnx", [helper.make_node("SequenceConstruct", ["x"], ["s"])], [tensor], [floats])
    with pytest.raises(ValueError, match="no output of this model is a tensor"):
        Session(made, 1)
    taken = save(
        tmp_path / "takes.onnx", [helper.make_node("SequenceAt", ["s", "index"], ["x"])], [floats], [tensor], [index]
    )
    with pytest.raises(ValueError, match="an input of this model is not a tensor"):
        Session(taken, 1)
