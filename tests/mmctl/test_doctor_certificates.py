"""What the doctor says of certificates: dates, keys, chains and names, each by a certificate that was made so."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mmctl.doctor.certificates import Identity, of_authorities, of_identity
from mmctl.doctor.files import of_files
from mmctl.doctor.finding import Level
from tests.certificates import Authority, Pair
from tests.mmctl.meshes import mmctl_here
from tests.mmctl.ways import NOBODY

NOW = datetime.now(UTC)
ROOT = Authority("root")
MIDDLE = Authority("middle", above=ROOT)
GOOD = ROOT.issue("good", ("mesh.local", "10.0.0.1", "*.mesh.example"), days=(-1, 100))


def worst(identity: Identity) -> tuple[Level, str]:
    (finding,) = of_identity(identity, NOW)
    assert (finding.level is Level.OK) == (finding.do == "")
    return finding.level, finding.what


@pytest.mark.parametrize(
    ("identity", "level", "words"),
    [
        (Identity("f", GOOD.certificate, GOOD.key, trust=ROOT.pem, names=("mesh.local",)), Level.OK, "good, until"),
        (Identity("f", GOOD.certificate, names=("10.0.0.1", "a.mesh.example", "MESH.local")), Level.OK, "good, until"),
        (Identity("f", ROOT.issue("old", days=(-9, -2)).certificate), Level.PROBLEM, "old has expired on"),
        (Identity("f", ROOT.issue("new", days=(2, 9)).certificate), Level.PROBLEM, "new is not valid before"),
        (Identity("f", ROOT.issue("soon", days=(-9, 29.5)).certificate), Level.WARNING, "soon expires in 29 days"),
        (Identity("f", ROOT.issue("now", days=(-9, 1.5)).certificate), Level.WARNING, "now expires in 1 day,"),
        (Identity("f", ROOT.issue("fine", days=(-9, 30.5)).certificate), Level.OK, "fine, until"),
        (Identity("f", GOOD.certificate, ROOT.issue().key), Level.PROBLEM, "the key does not belong"),
        (Identity("f", GOOD.certificate, b"no key"), Level.PROBLEM, "its key cannot be read"),
        (Identity("f", GOOD.certificate, ROOT.issue(passphrase="x").key), Level.PROBLEM, "its key is encrypted"),
        (Identity("f", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"), Level.PROBLEM, "no certificate"),
        (Identity("f", b""), Level.PROBLEM, "no certificate"),
        (Identity("f", GOOD.certificate, names=("other",)), Level.PROBLEM, "not for other but for mesh.local"),
        (Identity("f", GOOD.certificate, names=("a.b.mesh.example",)), Level.PROBLEM, "not for a.b.mesh.example"),
        (Identity("f", GOOD.certificate, names=("10.0.0.2",)), Level.PROBLEM, "not for 10.0.0.2"),
        (Identity("f", MIDDLE.issue("own").certificate, trust=ROOT.pem), Level.PROBLEM, "middle, which signed own"),
        (Identity("f", MIDDLE.issue("own").certificate + MIDDLE.pem, trust=ROOT.pem), Level.OK, "own, until"),
        (Identity("f", MIDDLE.issue("own").certificate, trust=MIDDLE.pem), Level.OK, "own, until"),
        (Identity("f", GOOD.certificate, trust=GOOD.certificate), Level.OK, "good, until"),
    ],
)  # fmt: skip
def test_a_certificate_is_judged_by_what_is_wrong_with_it(identity: Identity, level: Level, words: str) -> None:
    found = worst(identity)
    assert found[0] is level
    assert words in found[1]


def test_an_encrypted_key_is_opened_by_its_passphrase_alone() -> None:
    pair = ROOT.issue(passphrase="open")
    assert worst(Identity("f", pair.certificate, pair.key, "open"))[0] is Level.OK
    assert worst(Identity("f", pair.certificate, pair.key, "shut"))[0] is Level.PROBLEM


def test_authorities_are_judged_each() -> None:
    old = ROOT.issue("old", days=(-9, -2)).certificate
    assert [finding.level for finding in of_authorities("f", ROOT.pem + MIDDLE.pem, NOW)] == [Level.OK]
    assert [finding.what.split(" on ")[0] for finding in of_authorities("f", ROOT.pem + old, NOW)] == [
        "old has expired"
    ]


def test_files_that_an_environment_names_are_looked_at_by_any_of_their_names(tmp_path: Path) -> None:
    now_ms = int(NOW.timestamp() * 1000)
    certificate, key = Pair(GOOD.certificate, ROOT.issue().key).write(tmp_path)
    ROOT.write(tmp_path / "trust", "a.crt")
    env = {"MM_SVC_GRPC_CA_CERT_PATH": str(certificate), "MM_TLS_PRIVATE_KEY_PATH": str(key),
           "MM_INTERNAL_TRUST_CERTS": f"{tmp_path / 'trust'}, /nowhere.pem"}  # fmt: skip
    found = {finding.where: (finding.level, finding.what) for finding in of_files(env, now_ms)}
    assert found[str(certificate)] == (Level.PROBLEM, "the key does not belong to the first certificate")
    assert found[str(tmp_path / "trust" / "a.crt")][0] is Level.OK
    assert found["/nowhere.pem"] == (Level.NOTE, "cannot be read here: No such file or directory")
    assert of_files({}, now_ms) == []


@pytest.mark.parametrize("place", ["", "a,b"])
def test_a_certificate_that_is_no_file_is_told_as_one_that_cannot_be_read(tmp_path: Path, place: str) -> None:
    (tmp_path / "x.pem").write_bytes(Authority().pem)
    env = {"MM_TLS_KEY_CERT_PATH": str(tmp_path / place), "MM_TLS_PRIVATE_KEY_PATH": str(tmp_path / "x.pem")}
    (finding,) = of_files(env, 0)
    assert (finding.level, finding.where) == (Level.NOTE, str(tmp_path / place))
    assert finding.what.startswith("cannot be read here: ")


def test_certificates_on_this_host_are_looked_at_though_no_instance_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = Authority().issue("mesh", days=(-2, -1)).write(tmp_path)
    env = tmp_path / "env"
    env.write_text(f"MM_TLS_KEY_CERT_PATH={certificate}\nMM_TLS_PRIVATE_KEY_PATH={key}\n")
    way = ("--endpoint", NOBODY, "--env-file", str(env), "--only", "certificates")
    ended = mmctl_here(capsys, "doctor", *way, "-o", "json")
    assert ended.code == 1
    (finding,) = ended.json
    assert finding["where"] == str(certificate)
    assert "has expired" in finding["what"]
