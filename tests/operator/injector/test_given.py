"""What pods are given, from mounted files: late, changed, broken."""

from pathlib import Path

import pytest

from e2e.cluster import keys as certificates
from mesh7_core import errors
from mesh7_operator.injector.given import Files
from tests.operator.injector import opened

_WITH_EXCHANGE = (
    opened.SETTINGS
    + "exchange: {url: 'https://mesh7-exchange.mesh7-system.svc', isRedisEncrypted: true}\n"
)


async def _look(files: Files) -> list[str]:
    """What changed, and what is said against the others."""
    found = []
    for look in files.looks:
        try:
            if await look.refresh():
                found.append(look.what)
        except errors.SettingsError as error:
            found.append(error.message)
    return found


async def test_nothing_is_given_before_all_is_there(tmp_path: Path) -> None:
    files = opened.files_in(tmp_path)
    said = await _look(files)
    assert [one.split(" ")[0] for one in said] == [
        "--settings-file", "--trust-directory", "--authorities-file",
    ]  # fmt: skip
    assert not files.given
    opened.give(tmp_path)
    assert (await _look(files))[:2] == ["settings", "trust key"]
    assert files.given is not None
    assert (files.given.trust_key, files.given.authorities) == (opened.TRUST_KEY, "")
    assert all(files.had.values())


async def test_an_exchange_needs_its_authorities(tmp_path: Path) -> None:
    opened.give(tmp_path, _WITH_EXCHANGE)
    files = opened.files_in(tmp_path)
    await _look(files)
    assert not files.given
    assert files.had == {"has_settings": True, "has_trust_key": True, "has_authorities": False}
    authority = certificates.authority("test").certificate
    (tmp_path / "ca.crt").write_bytes(authority)
    assert await _look(files) == ["authorities"]
    assert files.given is not None
    assert files.given.authorities == authority.decode()


async def test_a_private_key_beside_the_authorities_reaches_no_pod(tmp_path: Path) -> None:
    opened.give(tmp_path, _WITH_EXCHANGE)
    files = opened.files_in(tmp_path)
    old, new = certificates.authority("old"), certificates.authority("new")
    (tmp_path / "ca.crt").write_bytes(old.certificate + old.key + b"# hello\n" + new.certificate)
    await _look(files)
    assert files.given is not None
    assert files.given.authorities == (old.certificate + new.certificate).decode()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("injection.yaml", b"kind: Other", "--settings-file"),
        ("injection.yaml", b"\xff", "is no UTF-8 text"),
        ("key", b"", "is not the base64 of a key's 32 bytes"),
        ("key", b"\xff", "is not the base64 of a key's 32 bytes"),
        ("ca.crt", b"none", "holds no PEM certificates"),
    ],
)
async def test_what_is_broken_leaves_what_was_in_use(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    opened.give(tmp_path, _WITH_EXCHANGE)
    (tmp_path / "ca.crt").write_bytes(certificates.authority("test").certificate)
    files = opened.files_in(tmp_path)
    await _look(files)
    before = files.given
    (tmp_path / name).write_bytes(content)
    (found,) = await _look(files)
    assert said in found
    assert files.given == before
    (tmp_path / name).unlink()
    (found,) = await _look(files)
    assert "cannot be used" in found
    assert files.given == before


async def test_other_settings_are_taken_up(tmp_path: Path) -> None:
    opened.give(tmp_path)
    files = opened.files_in(tmp_path)
    await _look(files)
    opened.give(tmp_path, opened.SETTINGS + "defaultLevel: Guarded\n")
    assert (await _look(files))[0] == "settings"
    assert files.given is not None
    assert files.given.settings.default_level == "Guarded"
