"""What mmctl does for a user without a home directory, as in a container that runs as any user."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from mmctl.__main__ import run
from mmctl.connect import Target, local_state, resolve
from mmctl.errors import Unavailable
from mmctl.local.home import Home, default_data_dir
from mmctl.places import NoHome, place
from mmctl.runs import state_dir

PLACES = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom the system does not know."""
    for name in ("HOME", "MMCTL_ENDPOINT", *PLACES):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_the_directory_is_missed_only_where_it_is_needed() -> None:
    target = Target(endpoints=("a:1",))
    assert resolve(target) == target
    assert local_state(Target()) is None
    with pytest.raises(Unavailable, match=r"no mesh is named, .* set HOME or XDG_DATA_HOME; or name a mesh with --end"):
        resolve(Target())
    for needed, variable in ((default_data_dir, "XDG_DATA_HOME"), (state_dir, "XDG_STATE_HOME")):
        with pytest.raises(NoHome, match=f"this user has no home directory: set HOME or {variable}"):
            needed()


def test_an_instance_that_the_environment_names_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the image: its user may be any, and its instance is named so."""
    monkeypatch.setenv("MMCTL_ENDPOINT", "127.0.0.1:8033")
    assert resolve(Target()).endpoints == ("127.0.0.1:8033",)


def test_a_variable_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in PLACES:
        monkeypatch.setenv(variable, str(tmp_path))
        assert place(variable, "x") == tmp_path / "mmctl"
    with pytest.raises(Unavailable, match="no mesh is up in"):
        resolve(Target())
    contexts = tmp_path / "mmctl" / "config.yaml"
    contexts.parent.mkdir()
    contexts.write_text("current: a\ncontexts: {a: {endpoint: 'a:1'}}")
    assert resolve(Target()).endpoints == ("a:1",)


def test_a_home_that_is_known_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_data_dir() == Path("/home/somebody/.local/share/mmctl/default")
    assert Home(Path("~/mesh")).path == Path("/home/somebody/mesh")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["status"], 4, "set HOME or XDG_DATA_HOME; or name a mesh with --endpoint"),
        (["down"], 2, "set HOME or XDG_DATA_HOME"),
        (["context", "list"], 2, "set HOME or XDG_CONFIG_HOME"),
        (["down", "--data-dir", "~/mesh"], 2, "~/mesh: there is no such home directory"),
    ],
)
def test_a_command_says_what_to_set(
    arguments: list[str], code: int, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code
    assert error in " ".join(capsys.readouterr().err.split())
