"""Which methods the runtime takes, and where in a request it wants to find the model's id."""

from __future__ import annotations

from collections.abc import Mapping

UNARY = frozenset(
    f"/{service}/{name}"
    for service, names in {
        "inference.GRPCInferenceService": ("ModelInfer", "ModelMetadata", "ModelReady"),
        "tensorflow.serving.PredictionService": ("Predict", "Classify", "Regress", "MultiInference"),
        "org.pytorch.serve.grpc.inference.InferenceAPIsService": ("Predictions",),
    }.items()
    for name in names
)
"""Methods that take one message and answer one, as their protocols say: a call of them costs a third less when that is
known beforehand. Of all others only the call itself tells."""


class Methods:
    """What a runtime says of its methods (docs/design.md, data plane); ``infos`` empty: it takes every one."""

    def __init__(self, infos: Mapping[str, tuple[int, ...]], allow_any_method: bool) -> None:
        self._paths = {f"/{method}": path for method, path in infos.items() if path}
        self._listed = frozenset(f"/{method}" for method in infos)
        self._takes_all = not infos or allow_any_method

    def is_permitted(self, method: str) -> bool:
        """Whether ``/package.Service/Method`` may be called."""
        return self._takes_all or method in self._listed

    def injection_path(self, method: str) -> tuple[int, ...]:
        """Field numbers at which a request of ``method`` takes the model's id; empty: nowhere."""
        return self._paths.get(method, ())
