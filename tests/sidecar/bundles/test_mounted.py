"""The ConfigMap as the kubelet mounts it: swapped by one link, and writable by a tenant."""

import os
from pathlib import Path

import pytest

from mesh7_core.delivery.envelopes import MAXIMUM_SEALED_BYTES, Kind
from mesh7_core.delivery.reports import Origin
from mesh7_sidecar.bundles import mounted
from tests.sidecar.bundles.delivering import BUNDLE, CONFIG_MAP, OVERLAY, ConfigMap


class Reader:
    """A mounted ConfigMap; what is found in it is kept."""

    def __init__(self, folder: Path) -> None:
        self.config_map = ConfigMap(folder / "mounted")
        self.found: list[tuple[Kind, bytes]] = []
        self.mounted = mounted.Mounted(self.config_map.directory, self._take)

    async def _take(self, kind: Kind, data: bytes, origin: Origin) -> bool:
        assert origin is CONFIG_MAP
        self.found.append((kind, data))
        return True

    async def look(self) -> list[tuple[Kind, bytes]]:
        """What one look finds."""
        self.found = []
        await self.mounted.look()
        return self.found


@pytest.mark.promise("K4")
async def test_a_swapped_link_is_seen_at_the_next_look(tmp_path: Path) -> None:
    """Facts tried on a real kubelet: content changes by a swap of `..data`. Revocations first."""
    reader = Reader(tmp_path)
    reader.config_map.write(bundle=b"one", overlay=b"two")
    assert await reader.look() == [(OVERLAY, b"two"), (BUNDLE, b"one")]
    assert await reader.look() == []
    reader.config_map.write(bundle=b"three", overlay=b"two")
    assert await reader.look() == [(OVERLAY, b"two"), (BUNDLE, b"three")]


async def test_what_looks_the_same_is_read_now_and_then(tmp_path: Path) -> None:
    """A net under the look at links and times; nothing that is read twice is judged twice."""
    reader = Reader(tmp_path)
    reader.config_map.write(bundle=b"one")
    found = [bool(await reader.look()) for _ in range(2 * mounted.REREAD_LOOKS)]
    assert found == [True, False, False, False, True] + [False] * 4 + [True]


async def test_a_file_that_is_edited_in_place_is_seen(tmp_path: Path) -> None:
    """No kubelet does that; a test by hand may."""
    reader = Reader(tmp_path)
    reader.config_map.write(bundle=b"one")
    await reader.look()
    (reader.config_map.directory / "..data" / "bundle").write_bytes(b"longer")
    assert await reader.look() == [(BUNDLE, b"longer")]


async def test_what_is_not_there_is_told_once_and_taken_when_it_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A namespace that was just enrolled has no ConfigMap; the mount is optional."""
    reader = Reader(tmp_path)
    for _ in range(2 * mounted.REREAD_LOOKS):
        assert await reader.look() == []
    reader.config_map.write()
    assert await reader.look() == []
    assert caplog.text.count("there is no ConfigMap `mesh7-bundle`") == 1
    reader.config_map.write(overlay=b"two")
    assert await reader.look() == [(OVERLAY, b"two")]
    reader.config_map.write()
    assert await reader.look() == []
    assert caplog.text.count("there is no ConfigMap `mesh7-bundle`") == 2


@pytest.mark.promise("K9")
async def test_too_long_a_file_is_read_no_further_than_it_takes_to_see_that(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.config_map.write(overlay=b"two")
    with (reader.config_map.directory / "..data" / "bundle").open("wb") as file:
        file.truncate(1 << 34)
    (_, overlay), (kind, found) = await reader.look()
    assert (overlay, kind, len(found)) == (b"two", BUNDLE, MAXIMUM_SEALED_BYTES + 1)


@pytest.mark.promise("K9")
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
async def test_only_plain_files_in_the_folder_are_read(tmp_path: Path, kind: str) -> None:
    """Whatever lies there must neither lead outside nor hang the sidecar."""
    reader = Reader(tmp_path)
    (tmp_path / "secret").write_bytes(b"of the sidecar")
    reader.config_map.write(overlay=b"two")
    place = reader.config_map.directory / "..data" / "bundle"
    match kind:
        case "link":
            place.symlink_to(tmp_path / "secret")
        case "pipe":
            os.mkfifo(place)
        case _:
            place.mkdir()
    assert await reader.look() == [(OVERLAY, b"two")]


@pytest.mark.promise("K9")
@pytest.mark.parametrize("target", ["..", ".", "../elsewhere", "/etc", "file", "link", "away"])
async def test_the_link_leads_nowhere_else(tmp_path: Path, target: str) -> None:
    reader = Reader(tmp_path)
    directory = reader.config_map.directory
    directory.mkdir()
    (tmp_path / "elsewhere").mkdir()
    for folder in (tmp_path, tmp_path / "elsewhere", directory):
        (folder / "bundle").write_bytes(b"of somebody else")
    (directory / "file").write_bytes(b"none")
    (directory / "link").symlink_to(tmp_path / "elsewhere")
    (directory / "..data").symlink_to(target)
    assert await reader.look() == []
