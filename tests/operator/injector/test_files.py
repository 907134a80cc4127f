"""The injector's files, certificate and stamp key: late, changed, broken."""

import base64
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from e2e.cluster import keys as certificates
from mesh7_core import errors
from mesh7_core.delivery import keys
from mesh7_operator.certificates import Certificate
from mesh7_operator.injector.stamp_key import StampKey, entry_of
from tests.operator.injector.asked import RELEASE, Table

_CONFIG_MAP = ("ConfigMap", RELEASE, "mesh7-stamp-public")


def _write(folder: Path, name: str) -> certificates.Pair:
    pair = certificates.server(certificates.authority("test"), [name])
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)
    return pair


def test_a_certificate_is_taken_up_when_it_comes_and_when_it_changes(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path / "tls.crt", tmp_path / "tls.key")
    with pytest.raises(errors.SettingsError, match="--certificate"):
        certificate.refresh()
    assert not certificate.is_loaded
    _write(tmp_path, "one.example")
    assert [certificate.refresh(), certificate.refresh()] == [True, False]
    _write(tmp_path, "two.example")
    assert certificate.refresh()
    assert 29 < certificate.days(datetime.now(UTC)) < 30  # noqa: TID251 - certificates begin now


def test_half_of_a_pair_is_not_taken_up(tmp_path: Path) -> None:
    """The kubelet swaps both at once, people do not."""
    certificate = Certificate(tmp_path / "tls.crt", tmp_path / "tls.key")
    _write(tmp_path, "one.example")
    certificate.refresh()
    other = certificates.server(certificates.authority("other"), ["two.example"])
    (tmp_path / "tls.crt").write_bytes(other.certificate)
    with pytest.raises(errors.SettingsError, match="cannot be used"):
        certificate.refresh()
    assert certificate.is_loaded
    (tmp_path / "tls.key").write_bytes(other.key)
    assert certificate.refresh()


def test_old_tls_is_not_spoken(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path / "tls.crt", tmp_path / "tls.key")
    assert certificate.context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert certificate.days(datetime(2026, 11, 21, tzinfo=UTC)) < 0


async def test_a_stamp_key_is_published_before_it_is_used(tmp_path: Path) -> None:
    """The controller honours no stamp of a key that it does not know."""
    table = Table()
    key = StampKey(tmp_path / "seed", table, RELEASE)
    with pytest.raises(errors.SettingsError, match="cannot be read"):
        await key.refresh()
    (tmp_path / "seed").write_bytes(b"\x01" * 32)
    with pytest.raises(errors.ClusterError, match="apply the manifests"):
        await key.refresh()
    assert key.key is None
    table.found[_CONFIG_MAP] = {}
    assert await key.refresh()
    public = keys.SigningKey(b"\x01" * 32).public
    assert table.published == {entry_of(public): base64.b64encode(public).decode()}
    assert ":" not in entry_of(public)


async def test_another_stamp_key_is_published_beside_the_one_before(tmp_path: Path) -> None:
    """What the one before stamped holds on."""
    table = Table({_CONFIG_MAP: {}})
    key = StampKey(tmp_path / "seed", table, RELEASE)
    (tmp_path / "seed").write_bytes(b"\x01" * 32)
    await key.refresh()
    (tmp_path / "seed").write_bytes(b"\x02" * 32)
    assert await key.refresh()
    assert not await key.refresh()
    assert len(table.published) == 2
    assert key.key == keys.SigningKey(b"\x02" * 32)


async def test_what_is_no_key_changes_nothing(tmp_path: Path) -> None:
    key = StampKey(tmp_path / "seed", Table({_CONFIG_MAP: {}}), RELEASE)
    (tmp_path / "seed").write_bytes(b"\x01" * 32)
    await key.refresh()
    (tmp_path / "seed").write_bytes(b"short\n")
    with pytest.raises(errors.SettingsError, match="has 6 bytes"):
        await key.refresh()
    assert key.key == keys.SigningKey(b"\x01" * 32)
