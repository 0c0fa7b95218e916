from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from protos import generate

PROTOS = Path(generate.__file__).parent


def test_generated_modules_are_what_the_proto_files_say() -> None:
    assert generate.main(["--check"]) == 0


def test_check_names_each_stale_missing_and_orphaned_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for source in PROTOS.glob("model-*.proto"):
        shutil.copy(source, tmp_path)
    monkeypatch.setattr(generate, "HERE", tmp_path)
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    capsys.readouterr()
    (tmp_path / "model_mesh_pb2.py").write_text("# edited by hand\n")
    (tmp_path / "model_mesh_pb2_grpc.py").unlink()
    (tmp_path / "gone_pb2.py").touch()
    assert generate.main(["--check"]) == 1
    said = capsys.readouterr().err
    for name in ("model_mesh_pb2.py", "model_mesh_pb2_grpc.py", "gone_pb2.py"):
        assert f"protos/{name} " in said
    assert "model_runtime" not in said
    assert "run python -m protos.generate" in said


def test_a_proto_file_that_does_not_compile_ends_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.proto").write_text("message")
    monkeypatch.setattr(generate, "HERE", tmp_path)
    with pytest.raises(SystemExit, match="protoc failed"):
        generate.main([])
