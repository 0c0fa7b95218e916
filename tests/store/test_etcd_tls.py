"""An etcd that speaks TLS and lets in only who shows a certificate."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from meshcore.kv import ANY, Committed, Write
from meshd.store.base import StoreUnavailable
from meshd.store.connect import open_store, parse_kv_store
from tests.certificates import Authority
from tests.etcd import EtcdServer
from tests.store.places import run

pytestmark = pytest.mark.etcd

NAME = "etcd.local"


def test_etcd_is_spoken_to_over_mutual_tls_under_another_name(tmp_path: Path) -> None:
    authority = Authority()
    authority.write(tmp_path)
    authority.issue(NAME, [NAME]).write(tmp_path, "mesh")
    options = [
        f"--cert-file={tmp_path / 'mesh.crt'}",
        f"--key-file={tmp_path / 'mesh.key'}",
        f"--trusted-ca-file={tmp_path / 'ca.pem'}",
        "--client-cert-auth",
    ]
    server = EtcdServer(tmp_path, options, scheme="https")
    known = {
        "endpoints": server.address,
        "certificate_file": "ca.pem",
        "client_key_file": "mesh.key",
        "client_certificate_file": "mesh.crt",
        "override_authority": NAME,
    }
    stranger = {name: value for name, value in known.items() if not name.startswith("client_")}
    misled = {name: value for name, value in known.items() if name != "override_authority"}

    async def test() -> None:
        for attributes, is_let_in in ((known, True), (stranger, False), (misled, False)):
            (tmp_path / "kv.json").write_text(json.dumps(attributes))
            store = open_store(parse_kv_store(f"etcd:{tmp_path / 'kv.json'}"), Random(1))
            if is_let_in:
                assert isinstance(await store.commit(Write("a", ANY, b"1")), Committed)
            else:
                with pytest.raises(StoreUnavailable, match=server.address):
                    await store.check(0.5)
            await store.close()

    server.start()
    try:
        run(test())
    finally:
        server.kill()
