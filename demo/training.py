"""Trains models, exports them to ONNX, sees that nothing is lost by it, and keeps the files with the right answers."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from demo.answers import INPUT, difference
from demo.zoo import SEED, Array, Recipe, data

FORMAT = 1
"""Of what is kept; another one is not read."""
MADE_WITH = ("numpy", "onnxruntime", "scikit-learn", "skl2onnx")
MOST_ROWS = 40


class TrainingError(Exception):
    """A model whose ONNX form does not answer as scikit-learn does."""


@dataclass(frozen=True, slots=True)
class Model:
    """A trained model: its file below the directory of all, rows it has not learned from and scikit-learn's answers.

    ``answers`` has an array for each output, with the answer to ``rows[i]`` at i.
    """

    name: str
    file: str
    rows: Array
    answers: dict[str, Array]


def models(recipes: Sequence[Recipe], folder: Path, tell: Callable[[str], None]) -> list[Model]:
    """The models of ``recipes``, from ``folder`` if they are there as they should be, else trained. TrainingError."""
    if (kept := _kept(recipes, folder)) is not None:
        tell(f"{len(kept)} models are there already")
        return kept
    shutil.rmtree(folder, ignore_errors=True)
    trained = []
    for number, recipe in enumerate(recipes, start=1):
        tell(f"training {number} of {len(recipes)}: {recipe.name}")
        trained.append(train(recipe, folder))
    _keep(recipes, trained, folder)
    return trained


def train(recipe: Recipe, folder: Path) -> Model:
    """Train one model and write its ONNX file. Raises TrainingError."""
    rows, targets = data(recipe.dataset)
    known, asked, learned, _ = train_test_split(
        rows, targets, test_size=MOST_ROWS, random_state=SEED, stratify=targets if recipe.is_classifier else None
    )
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # how good a model is does not matter here
        fitted = recipe.estimator.fit(known, learned)
    onnx = _exported(fitted, rows.shape[1], recipe.is_classifier)
    given = _run(onnx, asked)
    answers = dict(zip(given, _answers(fitted, asked, recipe.is_classifier), strict=True))
    if problem := difference(given, answers):
        raise TrainingError(f"{recipe.name}: ONNX Runtime does not answer as scikit-learn does: {problem}")
    model = Model(recipe.name, f"{recipe.name}.onnx", asked, answers)
    path = folder / model.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(onnx)
    return model


def _answers(fitted: Any, rows: Array, is_classifier: bool) -> list[Array]:
    """What scikit-learn says, in the order in which skl2onnx has the outputs."""
    if is_classifier:
        return [fitted.predict(rows), fitted.predict_proba(rows)]
    return [fitted.predict(rows).reshape(-1, 1)]


def _exported(fitted: Any, features: int, is_classifier: bool) -> bytes:
    """The model as ONNX: float32 in, probabilities as one tensor out."""
    exported = convert_sklearn(
        fitted,
        initial_types=[(INPUT, FloatTensorType([None, features]))],
        options={id(fitted): {"zipmap": False}} if is_classifier else None,
    )
    onnx: bytes = exported.SerializeToString()
    return onnx


def _run(onnx: bytes, rows: Array) -> dict[str, Array]:
    """What ONNX Runtime says, by the names of the outputs."""
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {INPUT: rows}), strict=True))


# -- what is kept ------------------------------------------------------------------------------------


def _manifest(folder: Path) -> Path:
    return folder / "manifest.json"


def _says(recipes: Iterable[Recipe]) -> dict[str, Any]:
    """What a manifest says of how its models were made."""
    return {
        "format": FORMAT,
        "versions": {package: version(package) for package in MADE_WITH},
        "recipes": [str(recipe) for recipe in recipes],
    }


def _keep(recipes: Sequence[Recipe], trained: Sequence[Model], folder: Path) -> None:
    files = {}
    for model in trained:
        answers = (folder / model.file).with_suffix(".npz")
        arrays: dict[str, Any] = {"rows": model.rows, **model.answers}
        np.savez(answers, **arrays)
        for path in (folder / model.file, answers):
            files[path.relative_to(folder).as_posix()] = _digest(path)
    # Written last: a directory with a manifest is whole.
    _manifest(folder).write_text(json.dumps(_says(recipes) | {"files": files}, indent=1) + "\n", encoding="utf-8")


def _kept(recipes: Sequence[Recipe], folder: Path) -> list[Model] | None:
    """The models in ``folder``; None if something is missing, damaged or made in another way."""
    try:
        manifest = json.loads(_manifest(folder).read_text(encoding="utf-8"))
        files = manifest.pop("files")
        if manifest != _says(recipes) or any(_digest(folder / path) != digest for path, digest in files.items()):
            return None
        return [_read(recipe.name, folder) for recipe in recipes]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _read(name: str, folder: Path) -> Model:
    file = f"{name}.onnx"
    with np.load((folder / file).with_suffix(".npz")) as stored:
        arrays = dict(stored)
    return Model(name, file, arrays.pop("rows"), arrays)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
