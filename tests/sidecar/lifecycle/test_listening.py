"""Where a gateway may listen, and what it says when it may not."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh7_core import errors
from mesh7_sidecar import listening
from mesh7_sidecar.settings import Address, Settings


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def settings(
    listen: Address | None = None, admin: Address | None = None, token_file: Path | None = None,
    *, may_move: bool = False,
) -> Settings:  # fmt: skip
    return Settings(
        directory=Path(), state=Path(), listen=listen, admin=admin, admin_may_move=may_move,
        token_file=token_file,
    )  # fmt: skip


@pytest.mark.promise("C4")
def test_a_taken_data_port_is_an_error(taken: int) -> None:
    with pytest.raises(errors.SettingsError) as raised:
        listening.data_socket(settings(Address("127.0.0.1", taken)))

    assert raised.value.message == (
        f"`--listen 127.0.0.1:{taken}` is in use by another program"
        " – give another address with `--listen HOST:PORT`"
    )


def test_a_port_is_taken_from_the_moment_it_is_ours(free_port: int) -> None:
    """A second gateway must not bind what the first will listen on after its compiler run."""
    first = listening.data_socket(settings(Address("127.0.0.1", free_port)))
    assert first is not None
    with first, pytest.raises(errors.SettingsError, match="in use"):
        listening.data_socket(settings(Address("127.0.0.1", free_port)))


def test_a_taken_default_admin_port_yields_to_a_free_one(taken: int) -> None:
    """Design 10: the default admin port yields to a free one that is printed."""
    found = listening.admin_socket(settings(admin=Address("127.0.0.1", taken), may_move=True))
    assert found is not None
    with found:
        assert found.getsockname()[1] != taken


def test_a_given_admin_port_that_is_taken_is_an_error(taken: int) -> None:
    with pytest.raises(errors.SettingsError, match=f"`--admin 127.0.0.1:{taken}` is in use"):
        listening.admin_socket(settings(admin=Address("127.0.0.1", taken)))


@pytest.mark.promise("X13")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104
def test_beyond_loopback_a_token_is_demanded(host: str) -> None:
    """Design 10: listening beyond loopback without `--token-file` is refused."""
    with pytest.raises(errors.SettingsError, match="is beyond loopback") as raised:
        listening.data_socket(settings(Address(host, 0)))

    assert "--token-file" in raised.value.message


def test_an_address_that_is_none_of_this_machine_is_an_error_in_words() -> None:
    with pytest.raises(errors.SettingsError) as raised:
        listening.data_socket(settings(Address("192.0.2.1", 0), token_file=Path("token")))

    assert "`--listen 192.0.2.1:0` fails: " in raised.value.message
    assert "Errno" not in raised.value.message


@pytest.mark.parametrize(
    "content", [b"", b"short", b"two words that are long enough", b"\xff" * 32]
)
def test_a_token_file_without_a_usable_token_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)

    with pytest.raises(errors.SettingsError, match="must hold one token") as raised:
        listening.read_token(path)

    assert "two words" not in raised.value.message


def test_the_token_is_the_file_s_content_without_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("0123456789abcdef\n", encoding="ascii")

    assert listening.read_token(path) == b"0123456789abcdef"
    assert listening.read_token(None) is None
    with pytest.raises(errors.SettingsError, match=r"nowhere` cannot be read: No such file"):
        listening.read_token(tmp_path / "nowhere")
