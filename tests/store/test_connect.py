"""Reading KV_STORE: every form and attribute, and a clear sentence for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from meshcore.kv import ABSENT, Committed, Write
from meshd.store.base import Store
from meshd.store.connect import StoreConfig, StoreConfigError, open_store, parse_kv_store
from meshd.store.etcd_channel import Endpoint, EtcdConfig, Tls
from meshd.store.memory import MemoryHub
from tests.store.places import run

PEM = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "etcd_connection"


def parsed(file: Path, **attributes: object) -> StoreConfig:
    file.write_text(json.dumps(attributes))
    return parse_kv_store(f"etcd:{file}")


def etcd(config: StoreConfig) -> EtcdConfig:
    assert config.etcd is not None
    return config.etcd


@pytest.mark.parametrize(
    ("value", "endpoints"),
    [
        ("etcd:http://localhost:2379", [Endpoint("localhost:2379")]),
        ("etcd:model-mesh-etcd", [Endpoint("model-mesh-etcd:2379")]),
        ("ETCD: a:1 , https://b:2/ ,", [Endpoint("a:1"), Endpoint("b:2", is_tls=True)]),
        ("etcd:[::1],http://[fd00::2]:99", [Endpoint("[::1]:2379"), Endpoint("[fd00::2]:99")]),
        ("etcd:" + ",".join(["etcd-with-a-long-name.namespace.svc:2379"] * 20), None),
    ],
)
def test_endpoints_stand_in_the_value(value: str, endpoints: list[Endpoint] | None) -> None:
    config = parse_kv_store(value)
    assert config.root_prefix == ""
    assert endpoints is None or list(etcd(config).endpoints) == endpoints


def test_root_prefix_follows_the_endpoints() -> None:
    assert parse_kv_store("etcd:a:1;rootPrefix=/some/root") == StoreConfig(EtcdConfig((Endpoint("a:1"),)), "/some/root")


def test_memory_is_the_store_of_one_process() -> None:
    assert parse_kv_store("memory:") == StoreConfig(None)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("zookeeper:zk:2181", "ZooKeeper is not supported: use etcd"),
        ("", "KV_STORE is '': it can be etcd:"),
        ("etcd", "it can be"),
        ("etcd:", "it can be"),
        ("memory:x", "it can be"),
        ("redis:x", "it can be"),
        ("etcd:,", "endpoints is empty"),
        ("etcd:a:b", "endpoints has 'a:b'"),
        ("etcd:a:70000", "endpoints has 'a:70000'"),
        ("etcd:::1", "endpoints has '::1'"),
        ("etcd:ftp://a", "endpoints has 'ftp://a'"),
        ("etcd:http://me:hun,ter@a:1", "a user and a password before @"),
        ("etcd:a;prefix=b", "unknown option 'prefix'"),
        ("etcd:some/file", "endpoints has 'some/file'"),
        ("etcd:/no/such/file", "/no/such/file: cannot be read: No such file"),
        ("etcd:missing.json", "missing.json: cannot be read: No such file"),
    ],
)
def test_value_that_names_no_store_is_refused(value: str, text: str) -> None:
    with pytest.raises(StoreConfigError, match=text.replace("[", r"\[")) as error:
        parse_kv_store(value)
    assert "hun" not in str(error.value)


def test_file_with_endpoints_alone_is_enough(file: Path) -> None:
    assert parsed(file, endpoints="http://etcd:2379") == StoreConfig(EtcdConfig((Endpoint("etcd:2379"),)))


def test_every_attribute_is_read(file: Path) -> None:
    for name in ("trust.pem", "key.pem", "cert.pem"):
        (file.parent / name).write_text(PEM + name)
    config = parsed(
        file,
        endpoints="https://a:1,b:2",
        userid="me",
        password="secret",
        root_prefix="root",
        tls_mode="TLS",
        certificate="overruled by its file",
        certificate_file="trust.pem",
        client_key_file=str(file.parent / "key.pem"),
        client_certificate_file="cert.pem",
        override_authority="etcd.local",
    )
    text = PEM.encode()
    tls = Tls(text + b"trust.pem", text + b"key.pem", text + b"cert.pem", "etcd.local")
    endpoints = (Endpoint("a:1", is_tls=True), Endpoint("b:2", is_tls=True))
    assert config == StoreConfig(EtcdConfig(endpoints, "me", "secret", tls), "root")


def test_certificates_may_stand_in_the_file(file: Path) -> None:
    config = parsed(file, endpoints="https://a", certificate=PEM, client_key=PEM, client_certificate=PEM)
    assert etcd(config).tls == Tls(PEM.encode(), PEM.encode(), PEM.encode())


@pytest.mark.parametrize(
    ("mode", "certificate", "are_tls"),
    [
        (None, None, [False, True, False]),
        ("AUTO", PEM, [False, True, True]),
        ("tls", None, [True, True, True]),
        ("PLAINTEXT", PEM, [False, False, False]),
    ],
)
def test_tls_mode_decides_and_auto_goes_by_scheme_and_certificate(
    file: Path, mode: str | None, certificate: str | None, are_tls: list[bool]
) -> None:
    config = parsed(file, endpoints="http://a,https://b,c", tls_mode=mode, certificate=certificate)
    assert [endpoint.is_tls for endpoint in etcd(config).endpoints] == are_tls


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({}, "endpoints is empty"),
        ({"endpoints": ["a"]}, "endpoints is list: a text is expected"),
        ({"endpoints": "a:b:c"}, "endpoints has 'a:b:c'"),
        ({"endpoints": "a", "tls_mode": "ON"}, "tls_mode is 'ON': it can be AUTO, TLS, PLAINTEXT"),
        ({"endpoints": "a", "userid": "me"}, "password is missing"),
        ({"endpoints": "a", "password": "secret"}, "userid is missing"),
        ({"endpoints": "a", "client_key": PEM}, "client_certificate is missing"),
        ({"endpoints": "a", "client_certificate": PEM}, "client_key is missing"),
        ({"endpoints": "a", "certificate": "secret"}, "certificate is not PEM"),
        (
            {"endpoints": "a", "certificate_file": "none.pem"},
            "certificate_file 'none.pem' cannot be read: No such file",
        ),
    ],
)
def test_attribute_that_is_wrong_is_named_and_no_secret_told(
    file: Path, attributes: dict[str, object], text: str
) -> None:
    with pytest.raises(StoreConfigError, match=text) as error:
        parsed(file, **attributes)
    assert str(file) in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(("content", "text"), [("{", "not JSON"), ('"a"', "a JSON object is expected")])
def test_file_that_is_no_json_object_is_refused(file: Path, content: str, text: str) -> None:
    file.write_text(content)
    with pytest.raises(StoreConfigError, match=text):
        parse_kv_store(f"etcd:{file}")


def test_unknown_attribute_is_a_warning_with_the_nearest_known(file: Path) -> None:
    config = parsed(file, endpoints="a", user_id="me", compose_deployment="x", other="y")
    assert [warning.partition(": ")[2] for warning in config.warnings] == [
        "user_id is ignored: did you mean userid?",
        "compose_deployment is ignored: that service is no more; give its trust as certificate",
        "other is ignored",
    ]


def test_configuration_shows_no_secret(file: Path) -> None:
    config = parsed(
        file, endpoints="a", userid="me", password="hidden", client_key=PEM + "hidden", client_certificate=PEM
    )
    assert "hidden" not in repr(config)


def test_memory_stores_with_one_hub_share_their_pairs() -> None:
    async def test() -> None:
        hub = MemoryHub()
        stores: list[Store] = [open_store(StoreConfig(None), Random(1), hub) for _ in range(2)]
        alone = open_store(StoreConfig(None), Random(1))
        assert isinstance(await stores[0].commit(Write("a", ABSENT, b"1")), Committed)
        assert len((await stores[1].snapshot("")).pairs) == 1
        assert (await alone.snapshot("")).pairs == ()
        for store in (*stores, alone):
            await store.close()

    run(test())
