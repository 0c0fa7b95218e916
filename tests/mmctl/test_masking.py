"""What never gets into a bundle, in whatever form it stands there; and that an archive is whole or not there."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmctl.doctor import archive as archives
from mmctl.doctor.archive import archive
from mmctl.doctor.bundle import file_name, tail, words_of
from mmctl.doctor.masking import MASK, Masker, is_secret_name
from mmctl.doctor.web import Page
from mmctl.errors import Failed
from tests.certificates import Authority

KEY = Authority().issue().key.decode()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("etcd:http://mesh:hunter2@h:2379", "hunter2"),
        ("KV_STORE=etcd:mesh:hunter2@h:2379", "hunter2"),
        ("postgres://u:hunter2@db/x?y=1", "hunter2"),
        ('{"password": "hun\\"ter2", "x": 1}', "ter2"),
        ("{'storagePassword': 'hunter2 and more'}", "hunter2"),
        ('"key": "{\\"secret_key\\": \\"hunter2 x\\"}"', "hunter2"),
        ("AWS_SECRET_ACCESS_KEY=hunter2/x", "hunter2"),
        ("client_key: hunter2", "hunter2"),
        ("MM_TLS_PRIVATE_KEY_PASSPHRASE: hunter2", "hunter2"),
        ("Authorization: Bearer hunter2hunter2", "hunter2"),
        ("s3://b/m?X-Amz-Signature=hunter2&y=1", "hunter2"),
        ("https://x.blob/m?sv=1&sig=hunter2%3D", "hunter2"),
        ("used AKIAIOSFODNN7EXAMPLE for it", "AKIAIOSFODNN7EXAMPLE"),
        (f"read {KEY} here", KEY.splitlines()[1]),
        (json.dumps({"client_key": KEY}), KEY.splitlines()[1]),
        (json.dumps({"pem": KEY}), KEY.splitlines()[1]),
        (KEY[40:], KEY.splitlines()[-2]),
        (KEY[:-40], KEY.splitlines()[1]),
    ],
    ids=lambda _: "text",  # the key is another one each time
)
def test_what_looks_like_a_secret_is_masked(text: str, secret: str) -> None:
    assert secret in text
    masked = Masker().text(text)
    assert secret not in masked
    assert MASK in masked


@pytest.mark.parametrize(
    "text",
    [
        "MM_TLS_PRIVATE_KEY_PATH=/etc/tls.key",
        "client_key_file: /etc/key.pem",
        "tokens=5, passed=3, design: round, x: signal=9",
        "password is wrong",
        "a@b.example wrote",
        'modelmesh_api_request_milliseconds_bucket{le="0.5",} 3.0',
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert Masker().text(text) == text


@pytest.mark.parametrize("part", ["a:", "token", "pass.", "password", "a.", '"', "token ", "://"])
def test_a_long_line_takes_no_longer_for_what_it_is_made_of(part: str) -> None:
    """With time that grows by the square of the length this would be minutes."""
    assert Masker().text(part * 60_000 + " password=hunter2").endswith(" password=***")


def test_names_of_secrets_are_told_from_names_of_their_files() -> None:
    assert all(map(is_secret_name, ("DB_PASSWORD", "apiKey", "MM_TLS_PRIVATE_KEY_PASSPHRASE", "token", "client_key")))
    assert not any(map(is_secret_name, ("MM_TLS_PRIVATE_KEY_PATH", "client_key_file", "MM_LABELS", "path", "compass")))


@given(
    secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=30),
    before=st.text(max_size=20), after=st.text(max_size=20),
)  # fmt: skip
def test_a_known_secret_is_found_wherever_it_stands_also_in_json(secret: str, before: str, after: str) -> None:
    masker = Masker()
    masker.learn([secret, "something else"])
    if "-----" not in secret:
        for text in (
            f"{before}{secret}{after}",
            json.dumps({"x": f"{secret}"}),
            json.dumps([secret], ensure_ascii=False),
        ):
            assert MASK in masker.text(text)
        found = masker.value({"deep": [{"text": f"{before}{secret}"}], "n": 5})
        assert MASK in found["deep"][0]["text"]
        assert found["n"] == 5


def test_the_key_of_a_model_is_a_secret_as_a_whole_and_in_its_parts_unless_it_is_asked_for() -> None:
    key = json.dumps({"type": "s3", "access": {"secret_access_key": "hunter2hunter2"}})
    masker, open_masker = Masker(), Masker(shows_keys=True)
    plain = {"id": "m", "key": key, "failures": [{"text": f"could not log in with hunter2hunter2 of {key}"}]}
    for each in (masker, open_masker):
        each.learn_key(key)
    masked = masker.model(plain)
    assert masked["key"] == MASK
    assert "hunter2" not in json.dumps(masked)
    assert open_masker.model(plain)["key"] == key
    assert masker.model({"id": "m", "key": ""})["key"] == ""
    masker.learn_key("not json, but long")
    assert masker.text("a line with not json, but long in it") == f"a line with {MASK} in it"


# -- the archive -------------------------------------------------------------------------------------


def test_an_archive_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    with archive(path, "b") as into:
        assert into.add("a/x.txt", b"one")
        assert not path.exists()
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["b/a/x.txt"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def broken(path: Path) -> None:
    with archive(path, "b") as into:
        into.add("x", b"1")
        raise KeyError("in the middle")


def test_what_goes_wrong_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        broken(tmp_path / "b.tar.gz")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Failed, match="cannot be written: No such file"), archive(tmp_path / "no" / "b.tar.gz", "b"):
        pass
    (tmp_path / "b.tar.gz").write_text("mine")
    with pytest.raises(Failed, match="is there already"):
        broken(tmp_path / "b.tar.gz")
    assert (tmp_path / "b.tar.gz").read_text() == "mine"


def test_parts_and_the_whole_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "PART_BYTES", 100)
    monkeypatch.setattr(archives, "WHOLE_BYTES", 250)
    with archive(tmp_path / "b.tar.gz", "b") as into:
        assert into.add("whole", b"x" * 100)
        assert not into.add("long", b"x" * 101)
        assert not into.add("late", b"x" * 100)
    with tarfile.open(tmp_path / "b.tar.gz") as tar:
        assert [member.size for member in tar] == [100, 100, 50]


@pytest.mark.parametrize("path", ["", ".", "/", "/dev/null"])
def test_what_is_no_name_of_a_new_file_is_said_to_be_there(path: str) -> None:
    with pytest.raises(Failed, match="is there already"), archive(Path(path), "b"):
        pass


def test_what_is_missing_is_told_as_a_whole_where_all_else_has_filled_the_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "WHOLE_BYTES", 50)
    with archive(tmp_path / "b.tar.gz", "b") as into:
        assert not into.add("x", b"x" * 60)
        into.add_last("missing.json", b"y" * 60)
    with tarfile.open(tmp_path / "b.tar.gz") as tar:
        assert tar.extractfile("b/missing.json").read() == b"y" * 60  # type: ignore[union-attr]


def test_a_page_of_somebody_else_is_told_by_its_status_alone() -> None:
    assert words_of(Page(500, "planted")) == "HTTP 500"
    assert words_of(Page(0, "nobody")) == "nobody"


def test_the_end_of_a_log_begins_with_a_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "l"
    log.write_text("first\nsecond\nthird\n")
    assert tail(log, 100) == "first\nsecond\nthird\n"
    assert tail(log, 10) == "third\n"


@pytest.mark.parametrize(("name", "file"), [("mesh-0", "mesh-0"), ("../x", "_x"), ("a/b c", "a_b_c"), ("", "_")])
def test_names_of_instances_are_no_paths(name: str, file: str) -> None:
    assert file_name(name) == file
