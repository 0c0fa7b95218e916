"""Sixty models on the data that comes with scikit-learn: what each is called, learns from and is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import BayesianRidge, Lasso, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

SEED = 7

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model to be: ``name`` is its id in the mesh, ``estimator`` is not fitted yet."""

    name: str
    dataset: str
    estimator: Any
    is_classifier: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.estimator!r} on {self.dataset}"


def data(dataset: str) -> tuple[Array, Array]:
    """Rows as float32, which is what clients send, and what is to be learned of each.

    The progression of diabetes is on a scale of 0 to 1, so that an error means the same for every model.
    """
    rows, targets = LOADERS[dataset](return_X_y=True)
    if dataset == "diabetes":
        targets = targets / targets.max()
    return rows.astype(np.float32), targets


LOADERS: Mapping[str, Callable[..., Any]] = {
    "digits": datasets.load_digits,
    "wine": datasets.load_wine,
    "cancer": datasets.load_breast_cancer,
    "diabetes": datasets.load_diabetes,
}


def recipes() -> list[Recipe]:
    """All of them, in an order that says nothing."""
    found = []
    for dataset in LOADERS:
        is_classifier = dataset != "diabetes"
        kinds = _classifiers() if is_classifier else _regressors()
        found += [Recipe(f"{dataset}/{kind}", dataset, estimator, is_classifier) for kind, estimator in kinds]
    return found


def _scaled(estimator: Any) -> Any:
    return make_pipeline(StandardScaler(), estimator)


def _classifiers() -> Iterator[tuple[str, Any]]:
    """Fifteen kinds whose ONNX form gives the same labels, and probabilities that are as good as equal."""
    for strength in (0.1, 1.0):
        yield f"logistic-{strength:g}", _scaled(LogisticRegression(C=strength, max_iter=500))
    yield "bayes", _scaled(GaussianNB(var_smoothing=0.01))
    yield "neighbours", _scaled(KNeighborsClassifier(5))
    for depth in (4, 9):
        yield f"tree-{depth}", DecisionTreeClassifier(max_depth=depth, random_state=SEED)
    for trees in (10, 20):
        yield f"forest-{trees}", RandomForestClassifier(trees, max_depth=6, random_state=SEED)
    yield "extra-trees-10", ExtraTreesClassifier(10, max_depth=7, random_state=SEED)
    yield "boosted", GradientBoostingClassifier(n_estimators=10, random_state=SEED)
    for name, widths in _networks():
        yield name, _scaled(MLPClassifier(widths, max_iter=30, random_state=SEED))


def _regressors() -> Iterator[tuple[str, Any]]:
    for strength in (1.0, 10.0):
        yield f"ridge-{strength:g}", _scaled(Ridge(alpha=strength))
    yield "lasso", _scaled(Lasso(alpha=0.01))
    yield "bayes", _scaled(BayesianRidge())
    yield "neighbours", _scaled(KNeighborsRegressor(7))
    yield "tree-6", DecisionTreeRegressor(max_depth=6, random_state=SEED)
    for trees in (10, 20):
        yield f"forest-{trees}", RandomForestRegressor(trees, max_depth=8, random_state=SEED)
    yield "extra-trees-10", ExtraTreesRegressor(10, max_depth=8, random_state=SEED)
    yield "boosted", GradientBoostingRegressor(n_estimators=60, random_state=SEED)
    for name, widths in _networks():
        yield name, _scaled(MLPRegressor(hidden_layer_sizes=widths, max_iter=30, random_state=SEED))


def _networks() -> Iterator[tuple[str, tuple[int, ...]]]:
    for widths in ((64,), (256,), (256, 128), (256, 256), (384, 256)):
        yield f"neural-{'x'.join(str(width) for width in widths)}", widths
