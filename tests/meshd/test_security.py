"""The table of docs/security.md: who may call what on which port, each row tried on a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from meshd.handshake import SERVICES
from protos import meshd_internal_pb2 as wire
from protos import meshd_internal_pb2_grpc, meshd_pb2
from tests.certificates import Authority
from tests.client import ECHO, GUARD_S, Metadata, Secure, connect
from tests.meshd.mesh import Mesh, mesh
from tests.meshd.secure import as_client, settings
from tests.meshd.test_mesh_port import headers
from tests.processes import free_port, got, until

DOCS = Path(__file__).parents[2] / "docs" / "security.md"
ANSWERED, NO_CONNECTION = "answered", "no connection"
MODEL = "m"
HELLO = "/meshd.internal.v1.Mesh/Hello"

CA, OTHER = Authority(), Authority("another authority")
OURS, THEIRS, ENDED = CA.issue("client"), OTHER.issue("client"), CA.issue("client", days=(-9, -1))
ANYONE = as_client(CA)

SETUPS: dict[str, dict[str, str]] = {
    "no TLS": {},
    "any": {},
    "TLS": {},
    "TLS, client auth none": {"MM_TLS_CLIENT_AUTH": "none"},
    "TLS, client auth optional": {"MM_TLS_CLIENT_AUTH": "optional"},
    "TLS, client auth require": {"MM_TLS_CLIENT_AUTH": "require"},
    "TLS, `MM_INTRACLUSTER_CLIENTAUTH=false`": {"MM_INTRACLUSTER_CLIENTAUTH": "false"},
    "TLS, `MM_ENABLE_SSL=false`": {"MM_ENABLE_SSL": "false"},
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    port: str
    setup: str
    who: str
    calls: str
    gets: str


def table() -> list[Row]:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in DOCS.read_text().splitlines() if "|" in line]
    return [Row(*cells) for cells in rows if len(cells) == 6 and cells[0] != "row" and set(cells[0]) != {"-"}]


class Worlds:
    """A mesh of one instance for each way to set it up, made when it is first asked for."""

    def __init__(self, directory: Path, ending: ExitStack) -> None:
        self._directory, self._ending = directory, ending
        self._made: dict[str, Mesh] = {}

    def of(self, setup: str) -> Mesh:
        if setup not in self._made:
            given, secure = SETUPS[setup], None
            if setup.startswith("TLS"):
                trust = {"MM_TLS_TRUST_CERT_PATH": str(CA.write(self._directory))}
                given = settings(self._directory / str(len(self._made)), CA.issue(), CA.pem, **given, **trust)
                secure = as_client(CA, OURS)
            made = self._ending.enter_context(mesh(1, secure=secure, **given))
            made.client.register(MODEL)
            made.copy(MODEL, 0) if setup != "TLS, `MM_ENABLE_SSL=false`" else made.client.ensure(MODEL)
            self._made[setup] = made
        return self._made[setup]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    with ExitStack() as ending:
        yield Worlds(tmp_path_factory.mktemp("worlds"), ending)


def told(call: Callable[[], Any]) -> str:
    """How a call ends, in the words of the table."""
    try:
        call()
    except grpc.RpcError as error:
        failed: Any = error
        is_answer = failed.trailing_metadata() or "failed to connect" not in failed.details()
        return str(failed.code().name) if is_answer else NO_CONNECTION
    return ANSWERED


def called(port: int, secure: Secure | None, method: str, metadata: Metadata = (), body: bytes = b"x") -> str:
    with connect(f"127.0.0.1:{port}", secure) as channel:
        return told(lambda: channel.unary_unary(method)(body, metadata=metadata, timeout=GUARD_S))


def inferred(made: Mesh, secure: Secure | None = None) -> str:
    return called(made[0].port, secure, ECHO, (("mm-model-id", MODEL),))


def passed_on(made: Mesh, secure: Secure | None = None, **change: Any) -> str:
    return called(made[0].mesh_port, secure, ECHO, headers(made, MODEL, **change))


def without_key(made: Mesh) -> Metadata:
    return [pair for pair in headers(made, MODEL) if pair[0] != "mm-i-key-bin"]


def hello(made: Mesh, key: bytes | None) -> str:
    keyed: Metadata = () if key is None else (("mm-i-key-bin", key),)
    return called(made[0].mesh_port, None, HELLO, (("mm-i-v", "1"), *keyed), wire.HelloRequest().SerializeToString())


def of_another_version(made: Mesh) -> str:
    asked = wire.EnsureLoadedRequest(protocol=2, model=MODEL, kind=wire.EnsureLoadedRequest.LOAD)
    stub = meshd_internal_pb2_grpc.MeshStub(made[0].peer)
    metadata = (("mm-i-v", "2"), ("mm-i-key-bin", made.key))
    return told(lambda: stub.EnsureLoaded(asked, metadata=metadata, timeout=GUARD_S))


def reflected(made: Mesh) -> str:
    stub = reflection_pb2_grpc.ServerReflectionStub(made.client.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    return told(lambda: list(stub.ServerReflectionInfo(iter([asked]), timeout=GUARD_S)))


def runtime_managed(made: Mesh) -> str:
    ends = {
        called(made[0].port, None, f"/{service}/{method}", (("mm-model-id", MODEL),))
        for service in SERVICES
        for method in ("loadModel", "unloadModel", "runtimeStatus")
    }
    assert not made[0].fake.counts[MODEL].unloads
    return ", ".join(sorted(ends))


def runtime_managed_over_a_hop(made: Mesh) -> str:
    ends = {called(made[0].mesh_port, None, f"/{service}/unloadModel", headers(made, MODEL)) for service in SERVICES}
    assert not made[0].fake.counts[MODEL].unloads
    return ", ".join(sorted(ends))


def forged(made: Mesh) -> str:
    """`hit` for a model that is not here would be refused, were it believed."""
    others = headers(made, "another", tried_bin=b'[["i0", 1]]', hops="9")
    return called(made[0].port, None, ECHO, (("mm-model-id", MODEL), *others))


def keyless(made: Mesh, secure: Secure | None = None, method: str = ECHO) -> str:
    return called(made[0].mesh_port, secure, method, without_key(made))


def http(port: int, *paths: str) -> str:
    return ", ".join(sorted({str(got(f"http://127.0.0.1:{port}{path}")[0]) for path in paths}))


def at_the_stop(*paths: str) -> str:
    """What the port of /prestop answers of an instance that stops meanwhile."""
    port = free_port()
    with mesh(1, MM_PRESTOP_WAIT_PORT=str(port)) as made, ThreadPoolExecutor(1) as asking:
        answer = asking.submit(http, port, *paths)
        until(lambda: answer.done() or made.client.instances()["i0"].phase == "draining", "it is asked")
        made.stop(0)
        return answer.result(GUARD_S)


CASES: dict[str, Callable[[Mesh], str]] = {
    "E1": inferred,
    "E2": lambda made: told(lambda: made.client.status(MODEL)),
    "E3": lambda made: told(lambda: made.client.v1.Info(meshd_pb2.InfoRequest(), timeout=GUARD_S)),
    "E4": lambda made: told(
        lambda: health_pb2_grpc.HealthStub(made.client.channel).Check(health_pb2.HealthCheckRequest(), timeout=GUARD_S)
    ),
    "E5": reflected,
    "E6": runtime_managed,
    "E7": lambda made: called(made[0].port, None, HELLO, headers(made, MODEL)),
    "E8": forged,
    "E9": lambda made: inferred(made, ANYONE),
    "E10": inferred,
    "E11": lambda made: inferred(made, as_client(OTHER)),
    "E12": lambda made: inferred(made, ANYONE),
    "E13": lambda made: inferred(made, as_client(CA, THEIRS)),
    "E14": lambda made: inferred(made, as_client(CA, OURS)),
    "E15": lambda made: inferred(made, ANYONE),
    "E16": lambda made: inferred(made, as_client(CA, THEIRS)),
    "E17": lambda made: inferred(made, as_client(CA, ENDED)),
    "M1": passed_on,
    "M2": lambda made: hello(made, made.key),
    "M3": keyless,
    "M4": lambda made: passed_on(made, key_bin=b"another key"),
    "M5": lambda made: hello(made, None),
    "M6": lambda made: keyless(made, method="/mmesh.ModelMesh/registerModel"),
    "M7": lambda made: keyless(made, method="/mmesh.ModelRuntime/unloadModel"),
    "M8": lambda made: passed_on(made, v="2"),
    "M9": of_another_version,
    "M10": lambda made: passed_on(made, as_client(CA, OURS)),
    "M11": lambda made: keyless(made, as_client(CA, OURS)),
    "M12": lambda made: passed_on(made, ANYONE),
    "M13": lambda made: passed_on(made, as_client(CA, THEIRS)),
    "M14": lambda made: passed_on(made, as_client(CA, ENDED)),
    "M15": passed_on,
    "M16": lambda made: passed_on(made, ANYONE),
    "M17": lambda made: keyless(made, ANYONE),
    "M18": passed_on,
    "M19": runtime_managed_over_a_hop,
    "P1": lambda made: http(made[0].probe_port, "/ready", "/live"),
    "P2": lambda made: http(made[0].probe_port, "/", "/metrics", "/prestop"),
    "P3": lambda _: at_the_stop("/prestop"),
    "P4": lambda _: at_the_stop("/", "/ready", "/metrics"),
    "P5": lambda made: http(made[0].metrics_port, "/metrics"),
    "P6": lambda made: http(made[0].metrics_port, "/", "/ready", "/debug"),
}


def test_the_rows_and_the_cases_are_the_same_list() -> None:
    assert [row.name for row in table()] == list(CASES)


@pytest.mark.parametrize("row", table(), ids=lambda row: row.name)
def test_a_row_of_the_table_is_true(worlds: Worlds, row: Row) -> None:
    assert CASES[row.name](worlds.of(row.setup)) == row.gets
    assert inferred(worlds.of("no TLS")) == ANSWERED  # whatever was refused, the mesh serves on
