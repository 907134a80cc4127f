"""STATE/definitions.json: what outlives the gateway, and what does not harm it."""

import asyncio
import logging
import os
import stat
from pathlib import Path

import pytest

from mesh7_sidecar.sources.baselines import (
    MAXIMUM_TEXT_CHARACTERS,
    MAXIMUM_TOOLS,
    Baselines,
    Known,
)
from tests.fakes.threads import NoThreads


@pytest.mark.promise("M11")
async def test_what_was_seen_is_known_after_a_restart_and_private(tmp_path: Path) -> None:
    """docs/user/pinning.md."""
    path = tmp_path / "definitions.json"
    first = Baselines(path)
    first.put("s", "a", "sha256:1", "{}")
    first.put("s", "long", "sha256:2", "x" * (MAXIMUM_TEXT_CHARACTERS + 1))
    first.save()
    await first.close()

    assert Baselines(path).of("s") == {"a": Known("sha256:1", "{}"), "long": Known("sha256:2", "")}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await asyncio.to_thread(os.listdir, tmp_path) == ["definitions.json"]


@pytest.mark.parametrize("content", ["", "[]", '{"s":[]}', '{"s":{"a":7}}', '{"s":{"a":["x"]}}'])
def test_a_damaged_file_is_told_and_forgotten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    """It must not stop the gateway."""
    path = tmp_path / "definitions.json"
    path.write_text(content)
    with caplog.at_level(logging.WARNING, "mesh7.pinning"):
        assert Baselines(path).of("s") == {}
    assert "cannot be read" in caplog.text


async def test_a_file_that_cannot_be_written_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue 4: state folder full or read-only."""
    found = Baselines(tmp_path / "gone" / "definitions.json")
    found.put("s", "a", "sha256:1", "{}")
    with caplog.at_level(logging.WARNING, "mesh7.pinning"):
        found.save()
        await found.close()
    assert "cannot be written" in caplog.text
    assert found.of("s") == {"a": Known("sha256:1", "{}")}


def test_a_source_cannot_make_it_grow_without_end() -> None:
    """A server may list other names each time."""
    found = Baselines(None)
    for number in range(MAXIMUM_TOOLS + 10):
        found.put("s", str(number), "sha256:1", "{}")
    assert len(found.of("s")) == MAXIMUM_TOOLS
    assert sum(bool(known.text) for known in found.of("s").values()) < 300


async def test_saving_writes_nothing_while_others_wait_and_all_of_it_in_the_end(
    tmp_path: Path,
) -> None:
    """A file of megabytes, written for each tool of a list, kept everybody waiting for 37 s."""
    path = tmp_path / "definitions.json"
    found = Baselines(path)
    for number in range(100):
        found.put("s", str(number), "sha256:1", "{}")
        found.save()
    assert not path.exists()
    found.put("s", "last", "sha256:2", "{}")
    await found.close()
    assert Baselines(path).of("s") == found.of("s")
    assert len(found.of("s")) == 101


async def test_whatever_is_kept_is_read_again(tmp_path: Path) -> None:
    """Names and definitions are strangers' texts."""
    path = tmp_path / "definitions.json"
    found = Baselines(path)
    for source, tool, text in (("s", 'a"\\\n', "{}"), ("s", "\u202e", "\ud800"), ("t", "", '"')):
        found.put(source, tool, "sha256:1", text)
    found.save()
    await found.close()
    assert Baselines(path).of("s") == found.of("s")
    assert Baselines(path).of("t") == found.of("t")


async def test_a_pod_without_threads_ends_in_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is closed after it must be closed as well."""
    asyncio.get_running_loop().set_default_executor(NoThreads())
    found = Baselines(tmp_path / "definitions.json")
    found.put("s", "a", "sha256:1", "{}")
    found.save()
    await found.close()
    assert "cannot be written now (RuntimeError)" in caplog.text
