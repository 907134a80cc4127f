"""The state folder: who holds it, and who may read it."""

import os
import signal
import socket
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mesh7_core import errors
from mesh7_sidecar import state

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)

HOLDER = """
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from mesh7_sidecar import state
held = state.hold(Path(sys.argv[1]), "mesh7 run", datetime(2026, 11, 21, 9, 0, tzinfo=UTC))
if isinstance(held, state.Held):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(held.socket))
print(type(held).__name__, flush=True)
sys.stdin.read()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def held_by_us(directory: Path) -> state.Held:
    held = state.hold(directory, "mesh7 run", NOW)
    assert isinstance(held, state.Held)
    return held


def folder_of_somebody_else(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        return Path("/")
    os.chown(tmp_path, 12345, 12345)
    return tmp_path


def start_holder(directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def finish(process: subprocess.Popen[bytes]) -> None:
    process.communicate(b"", timeout=60)


def test_a_new_folder_and_all_in_it_are_private(tmp_path: Path) -> None:
    """Promised by design 10: files in the state folder are private by their own mode."""
    old = os.umask(0)
    try:
        held = held_by_us(tmp_path / "deep" / "state")
    finally:
        os.umask(old)
    assert mode(held.directory) == 0o700
    assert {path.name: mode(path) for path in held.directory.iterdir()} == {
        "lock": 0o600,
        "id": 0o600,
        "key": 0o600,
    }
    held.release()


def test_identifier_and_key_stay_the_same_from_start_to_start(tmp_path: Path) -> None:
    """Promised by design 1: on the laptop the pod is the state folder's id."""
    first = held_by_us(tmp_path)
    first.release()
    second = held_by_us(tmp_path)
    assert (first.identifier, first.key) == (second.identifier, second.key)
    assert len(first.key) == 32
    assert repr(second) == f"Held({tmp_path})"
    second.release()


def test_the_second_of_two_holders_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    """Promised by issue 1: the second `mesh7 run` says who holds the folder."""
    process = start_holder(tmp_path)
    assert first_line(process) == b"Held\n"
    found = state.hold(tmp_path, "mesh7 run", NOW)
    assert found == state.HeldElsewhere(
        directory=tmp_path,
        pid=process.pid,
        program="mesh7 run",
        since=datetime(2026, 11, 21, 9, 0, tzinfo=UTC),
    )
    assert str(found) == (
        f"state folder `{tmp_path}` is held by `mesh7 run` (process {process.pid}) "
        "since 2026-11-21T09:00:00+00:00 – stop it, or give another folder with `--state`"
    )
    finish(process)


def test_of_several_racing_processes_exactly_one_holds(tmp_path: Path) -> None:
    """Promised by design 10: the first process holds the folder."""
    racers = [start_holder(tmp_path / "fresh") for _ in range(4)]
    outcomes = sorted(first_line(racer) for racer in racers)
    assert outcomes == [b"Held\n", b"HeldElsewhere\n", b"HeldElsewhere\n", b"HeldElsewhere\n"]
    for racer in racers:
        finish(racer)


def test_a_killed_holders_socket_is_removed_by_the_next(tmp_path: Path) -> None:
    """Promised by issue 1: a stale socket never stops a start."""
    process = start_holder(tmp_path)
    assert first_line(process) == b"Held\n"
    process.send_signal(signal.SIGKILL)
    finish(process)
    assert (tmp_path / state.SOCKET_NAME).is_socket()
    held = held_by_us(tmp_path)
    assert not held.socket.exists()
    held.release()


def test_a_socket_of_a_living_holder_is_left_alone(tmp_path: Path) -> None:
    """Promised by the brief of the state folder: stale sockets go under the lock only."""
    held = held_by_us(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(held.socket))
        assert isinstance(state.hold(tmp_path, "mesh7 run", NOW), state.HeldElsewhere)
        assert held.socket.exists()
    held.release()
    assert not held.socket.exists()


def test_wrong_modes_are_tightened(tmp_path: Path) -> None:
    """Promised by design 10: private by their own mode."""
    held_by_us(tmp_path).release()
    tmp_path.chmod(0o755)
    (tmp_path / "key").chmod(0o644)
    held = held_by_us(tmp_path)
    assert (mode(tmp_path), mode(tmp_path / "key")) == (0o700, 0o600)
    held.release()


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    """Promised by the brief of the state folder."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(errors.SettingsError) as raised:
        state.hold(tmp_path / "link", "mesh7 run", NOW)
    assert raised.value.message == (
        f"`{tmp_path / 'link'}` is a symbolic link – give another state folder with `--state`"
    )


@pytest.mark.parametrize("name", ["lock", "id", "key"])
def test_a_symbolic_link_in_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    """Promised by the brief of the state folder: nothing is written through a link."""
    target = tmp_path / "elsewhere"
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / name).symlink_to(target)
    with pytest.raises(errors.SettingsError):
        state.hold(folder, "mesh7 run", NOW)
    assert not target.exists()


def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """Promised by the brief of the state folder."""
    folder = folder_of_somebody_else(tmp_path)
    with pytest.raises(errors.SettingsError) as raised:
        state.hold(folder, "mesh7 run", NOW)
    assert raised.value.message == (
        f"`{folder}` belongs to another user – give another state folder with `--state`"
    )


def test_a_path_too_long_for_a_socket_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """Promised by the brief of the state folder."""
    deep = tmp_path / ("x" * 100)
    with pytest.raises(errors.SettingsError) as raised:
        state.hold(deep, "mesh7 run", NOW)
    assert raised.value.message.endswith("give a shorter one with `--state`")
    assert not deep.exists()


@pytest.mark.parametrize(("name", "content"), [("key", b"short"), ("id", b"no label!")])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    """Promised by C4: every error says what, where and what to do."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.SettingsError) as raised:
        state.hold(tmp_path, "mesh7 run", NOW)
    assert raised.value.message == (
        f"`{tmp_path / name}` is damaged – remove it, and a new one is made"
    )
    (tmp_path / name).unlink()
    held_by_us(tmp_path).release()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """Promised by C4."""
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.SettingsError):
        state.hold(tmp_path / "file", "mesh7 run", NOW)


@pytest.mark.promise("A11")
def test_the_salt_of_digests_outlives_a_restart_and_tells_nothing_of_the_key(
    tmp_path: Path,
) -> None:
    """A held call keeps its digest when the sidecar's container starts anew."""
    first = held_by_us(tmp_path)
    first.release()
    second = held_by_us(tmp_path)
    other = held_by_us(tmp_path / "other")

    assert first.salt == second.salt != other.salt
    assert len(first.salt) == 32
    assert first.key.hex() not in first.salt
    for held in (second, other):
        held.release()
