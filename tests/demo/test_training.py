"""Models that are trained once, are as good in ONNX, and are not trusted when something about them changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeClassifier

from demo import training
from demo.training import TrainingError, models
from demo.zoo import Recipe, recipes

TWO = [
    Recipe("wine/tree", "wine", DecisionTreeClassifier(max_depth=3, random_state=1), is_classifier=True),
    Recipe("diabetes/ridge", "diabetes", Ridge(), is_classifier=False),
]


def told(folder: Path, wanted: list[Recipe] = TWO) -> list[str]:
    said: list[str] = []
    models(wanted, folder, said.append)
    return said


def test_models_are_trained_once_and_read_from_then_on(tmp_path: Path) -> None:
    said: list[str] = []
    trained = models(TWO, tmp_path / "models", said.append)
    assert said == ["training 1 of 2: wine/tree", "training 2 of 2: diabetes/ridge"]
    read = models(TWO, tmp_path / "models", said.append)
    assert said[2:] == ["2 models are there already"]
    for before, after in zip(trained, read, strict=True):
        assert (after.name, after.file) == (before.name, before.file)
        assert after.rows.dtype == "float32"
        assert (after.rows == before.rows).all()
        assert after.answers.keys() == before.answers.keys()
        assert all((after.answers[name] == before.answers[name]).all() for name in before.answers)


def test_models_are_trained_again_when_a_file_is_damaged_or_missing(tmp_path: Path) -> None:
    assert len(told(tmp_path)) == 2
    path = tmp_path / "wine" / "tree.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    assert len(told(tmp_path)) == 2
    path.unlink()
    assert len(told(tmp_path)) == 2
    assert len(told(tmp_path)) == 1


def test_models_are_trained_again_when_the_recipe_or_a_library_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(tmp_path)
    other = [Recipe("wine/tree", "wine", DecisionTreeClassifier(max_depth=2, random_state=1), is_classifier=True)]
    assert told(tmp_path, other) == ["training 1 of 1: wine/tree"]
    monkeypatch.setattr(training, "version", lambda package: "0.1")
    assert told(tmp_path, other) == ["training 1 of 1: wine/tree"]


def test_a_model_that_is_another_in_onnx_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        training, "_answers", lambda fitted, rows, is_classifier: [fitted.predict(rows)[:, None] + 0.01]
    )
    with pytest.raises(
        TrainingError, match=r"diabetes/ridge: ONNX Runtime does not answer as scikit-learn does: .* off"
    ):
        models(TWO[1:], tmp_path, lambda _: None)


def test_there_are_sixty_models_of_different_names() -> None:
    assert len({recipe.name for recipe in recipes()}) == len(recipes()) == 60
