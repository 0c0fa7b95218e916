"""CPU per request by the name of a virtual model, with weights and a shadow: `python -m bench.vmodels`.

Processes and calls are those of `bench.plane`; every model is loaded here. Several rounds of all kinds by turns, and of
each kind the median.
"""

from __future__ import annotations

import argparse
from statistics import median

import grpc.aio

from bench.plane import KNOWN, TO_MODEL, drive, with_processes
from protos import meshd_pb2 as v1
from protos import meshd_pb2_grpc as v1_grpc
from protos import model_mesh_pb2 as mmesh
from protos import model_mesh_pb2_grpc as mmesh_grpc

MODELS = ("bench", "other", "shadow")
VMODELS: dict[str, tuple[dict[str, int], str]] = {
    "plain": ({"bench": 100}, ""),
    "split": ({"bench": 90, "other": 10}, ""),
    "shadowed": ({"bench": 100}, "shadow"),
}
KINDS = {
    "by model": TO_MODEL,
    "by virtual model": (("mm-vmodel-id", "plain"),),
    "split by chance": (("mm-vmodel-id", "split"),),
    "split by key": (("mm-vmodel-id", "split"), ("mm-vmodel-key", "user-1")),
    "with a shadow": (("mm-vmodel-id", "shadowed"),),
}


async def measure(rounds: int, count: int, ports: dict[str, int], meshd: int) -> None:
    """Make the models, then call them in every way by turns."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
        for model in MODELS:
            info = mmesh.ModelInfo(type="fake", path="fake:?size=1MiB")
            asked = mmesh.RegisterModelRequest(modelId=model, modelInfo=info, loadNow=True, sync=True)
            await mmesh_grpc.ModelMeshStub(channel).registerModel(asked)
        for name, (weights, shadow) in VMODELS.items():
            targets = [v1.WeightedModel(model=model, weight=weight) for model, weight in weights.items()]
            await v1_grpc.MeshStub(channel).SetVModel(v1.SetVModelRequest(name=name, targets=targets, shadow=shadow))
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind, metadata in KINDS.items():
            found[kind].append(await drive(ports["grpc"], KNOWN, count, meshd, metadata))
    least = median(found["by model"])
    for kind, costs in found.items():
        cost = median(costs)
        print(f"{kind:17} {cost:6.0f} us CPU per call in meshd, {cost / least:4.2f} times a call by model")


def main() -> None:
    """Measure so many rounds of so many calls of each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    said = parser.parse_args()
    with_processes(lambda ports, meshd, _: measure(said.rounds, said.calls, ports, meshd))


if __name__ == "__main__":
    main()
