"""The chain of a state folder: it goes on over starts, and whatever was done to it is found."""

import asyncio
import logging
import os
import sys
from functools import partial
from pathlib import Path

import pytest

from mesh7_core import errors
from mesh7_core.audit import chain, heads, verifying
from mesh7_core.audit.findings import Kind
from mesh7_core.audit.heads import Head
from mesh7_sidecar.audit import opening, segments, signing
from mesh7_sidecar.audit.bundles import BundleRecords
from mesh7_sidecar.audit.lines import AuditLines
from mesh7_sidecar.audit.segments import Segment
from mesh7_sidecar.audit.stream import Stream
from tests.sidecar.audit.stored import files, records_in, verified
from tests.sidecar.audit.test_audit_file import audit_file, content, lines_of, record, render
from tests.sidecar.lifecycle.parts import eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


async def write(path: Path, *numbers: int, **bounds: int) -> None:
    """One start of a gateway with these records."""
    audit = audit_file(path, **bounds)
    for number in numbers:
        audit.append(record(number))
    await audit.close()


def signed(path: Path) -> list[Head]:
    """The heads that the folder's key signed."""
    public = signing.public_key(path.parent)
    return [] if public is None else list(signing.read(path.parent, public))


def kinds(path: Path) -> list[Kind]:
    return [finding.kind for finding in verified(path).findings]


@pytest.mark.promise("T5", "D50")
async def test_the_chain_goes_on_over_starts_and_rotations(path: Path) -> None:
    """docs/reference/audit.md: one chain for a state folder, its end signed at each stop."""
    for number in range(4):
        await write(path, number, maximum_bytes=700)

    found = verified(path)
    assert (found.findings, found.records) == ((), 4)
    assert [one.end.total for one in found.chains] == [4]
    assert signed(path) == [found.chains[0].end]
    assert len(files(path)) > 1


async def test_a_head_is_signed_while_the_gateway_runs(path: Path) -> None:
    """docs/reference/audit.md: after so many seconds, whether or not more records come."""
    audit = opening.audit_file(path, render, lambda: 0, sign_s=0.01)
    audit.append(record(1))
    await eventually(lambda: [head.total for head in signed(path)] == [1])
    audit.append(record(2))
    await eventually(lambda: [head.total for head in signed(path)] == [2])
    await audit.close()

    assert verified(path).is_intact


KILLED = """
import asyncio, sys
from pathlib import Path
from mesh7_sidecar.audit.opening import audit_file
from tests.sidecar.audit.test_audit_file import record, render

async def main():
    audit = audit_file(Path(sys.argv[1]), render, lambda: 0)
    while True:
        for number in range(500):
            audit.append(record(number))
        await asyncio.sleep(0)

asyncio.run(main())
"""


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def has_grown(path: Path, size: int) -> bool:
    return size_of(path) > size


def replace(path: Path, stored: bytes) -> None:
    """As somebody does who may write the file."""
    path.write_bytes(stored)


def forget_heads(path: Path) -> None:
    path.with_name(signing.HEADS_NAME).unlink()


@pytest.mark.promise("D50")
async def test_killed_at_full_speed_again_and_again_nothing_stored_is_lost(path: Path) -> None:
    """W10, design 11: each kill leaves at most one torn place, and the chain goes on.

    A loop that never rests kept the thread that writes from the interpreter for minutes.
    """
    before = 0
    for _ in range(3):
        writer = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(path))
        await eventually(partial(has_grown, path, size_of(path) + 500_000))
        writer.kill()
        await writer.wait()
        found = verified(path)
        assert found.is_intact
        assert found.records > before
        before = found.records
    await write(path, 1)

    found = verified(path)
    assert found.is_intact
    assert len(found.findings) <= 3
    assert len(found.chains) == 1


@pytest.mark.parametrize("left", [1, 20, 100, 150])
async def test_a_record_that_a_kill_cut_in_half_is_covered_at_the_next_start(
    path: Path, left: int
) -> None:
    """D50: it is told as torn, and no later record is joined to it."""
    await write(path, 1)
    whole = content(path)
    forget_heads(path)
    await write(path, 2)
    replace(path, content(path)[: len(whole) + left])
    forget_heads(path)
    await write(path, 3)

    assert kinds(path) == [Kind.TORN]
    assert content(path).startswith(whole)
    last = [line for line in content(path).splitlines() if b'"seal"' not in line][-1]
    assert last.endswith(b'"n":  3}')


@pytest.mark.promise("W10")
async def test_a_start_does_not_hide_that_the_tail_was_cut(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """W10: a chain that went on would overwrite the head that tells of it."""
    await write(path, 1)
    first = content(path)
    await write(path, 2)
    replace(path, first)
    await write(path, 3)

    (finding,) = verified(path).findings
    assert (finding.kind, finding.block) == (Kind.CUT, 2)
    assert "is not what was signed" in caplog.text
    await write(path, 4)
    assert kinds(path) == [Kind.CUT], "and not at the start after that"


@pytest.mark.promise("W10")
async def test_a_generation_that_somebody_took_away_is_found(path: Path) -> None:
    """Retention takes the oldest, and says so; whoever takes another one does not."""
    for number in range(5):
        await write(path, number, maximum_bytes=1)
    assert kinds(path) == []
    newest = path.with_name("audit.jsonl.1")

    older = [each for each in files(path) if each != newest]
    public = signing.public_key(path.parent)
    assert public is not None
    heads_ = signing.read(path.parent, public)
    named = [(each.name, each.read_bytes()) for each in older]
    assert [one.kind for one in verifying.verify(named, heads_).findings] == [Kind.CUT]
    del named[1]
    assert Kind.GAP in {one.kind for one in verifying.verify(named, heads_).findings}
    oldest = [(each.name, each.read_bytes()) for each in files(path)[1:]]
    assert [one.kind for one in verifying.verify(oldest, heads_).findings] == [Kind.GAP]


async def test_two_gateways_in_one_folder_are_found(path: Path) -> None:
    """The state folder's lock prevents it; whoever goes round that is seen."""
    await write(path, 0)
    one, two = audit_file(path), audit_file(path)
    one.append(record(1))
    two.append(record(2))
    await one.close()
    await two.close()

    assert Kind.SECOND_WRITER in kinds(path)


async def test_an_empty_file_in_place_of_the_audit_is_found(path: Path) -> None:
    await write(path, 1)
    replace(path, b"")
    await write(path, 2)

    assert kinds(path) == [Kind.CUT]


async def test_a_clock_that_goes_back_changes_nothing(path: Path) -> None:
    times = iter(range(10**18, 0, -(10**17)))
    audit = opening.audit_file(path, render, lambda: next(times))
    for number in range(3):
        audit.append(record(number))
        await eventually(partial(has_records, path, number + 1))
    await audit.close()

    assert verified(path).findings == ()


def has_records(path: Path, count: int) -> bool:
    return len(lines_of(path)) == count


@pytest.mark.promise("D50")
async def test_heads_that_cannot_be_written_stop_no_record_and_are_told_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """D50: what could not be written is said."""
    audit = opening.audit_file(path, render, lambda: 0, sign_s=0.01)
    (path.with_name(f"{signing.HEADS_NAME}.new") / "in the way").mkdir(parents=True)
    audit.append(record(1))
    await eventually(lambda: "audit records are not signed" in caplog.text)
    audit.append(record(2))
    await eventually(partial(has_records, path, 2))
    await audit.close()

    assert len([each for each in caplog.records if each.levelno == logging.ERROR]) == 1


async def test_a_damaged_key_is_an_error_that_says_what_to_do(path: Path) -> None:
    await write(path, 1)
    path.with_name(signing.KEY_NAME).write_bytes(b"short")

    with pytest.raises(errors.SettingsError, match=r"audit\.key` is damaged – move it"):
        audit_file(path)


async def test_followers_are_given_every_block_as_it_is_stored(path: Path) -> None:
    """What goes to Redis and to collectors is what is in the file."""
    audit, found = audit_file(path), list[Segment]()
    audit.followers.append(found.append)
    for number in range(130):
        audit.append(record(number))
    await audit.close()

    assert b"".join(one.content for one in found) == content(path)
    assert (found[0].first.block, found[-1].last.block) == (1, 3)
    assert sum(one.records for one in found) == 130
    assert len([line for one in found for line in segments.records_of(one)]) == 130


def test_a_segment_has_few_blocks_when_they_are_long() -> None:
    """Redis takes no segment beyond 1 MiB."""
    writer = chain.new("abcdefghijkl")
    sealed = writer.seal([b'{"x":"%b"}' % (b"y" * 20_000)] * 100, "2026-11-21T00:00:00.000000Z")

    found = segments.of(sealed, 0, len(sealed.content))

    assert b"".join(one.content for one in found) == sealed.content
    assert [one.records for one in found] == [19, 19, 19, 19, 24]
    assert [one.first.block for one in found] == [1, 2, 3, 4, 5]
    assert verifying.verify([(str(n), one.content) for n, one in enumerate(found)],
                            [heads.begun("abcdefghijkl")]).findings == ()  # fmt: skip


async def test_a_reader_that_left_stdout_costs_its_lines_and_no_more() -> None:
    """A pod's collector that dies: lines are counted, and later blocks cover what was cut."""
    reader, writer = os.pipe()
    os.close(reader)
    audit = opening.audit_stream(render, lambda: 0, "abcdefghijkl", stream=Stream(writer))
    audit.append(record(1))
    await eventually(lambda: audit.lost == 1)
    await audit.close()
    os.close(writer)


async def test_what_is_in_force_is_a_record_once(path: Path) -> None:
    """Issue 8: every bundle change."""
    audit = audit_file(path)
    bundles = BundleRecords(audit, lambda: 0)
    bundles.tell("sha256:1", "folder")
    bundles.tell("sha256:1", "folder")
    bundles.tell("sha256:2", "redis", 7)
    await audit.close()

    assert records_in(content(path)) == [
        {
            "time": "1970-01-01T00:00:00.000000Z",
            "bundle": {"from": "", "to": "sha256:1", "origin": "folder"},
        },
        {
            "time": "1970-01-01T00:00:00.000000Z",
            "bundle": {"from": "sha256:1", "to": "sha256:2", "version": 7, "origin": "redis"},
        },
    ]


async def test_many_at_once_are_all_chained(path: Path) -> None:
    """Deeds and calls side by side, whichever thread is slow."""
    audit: AuditLines = audit_file(path)
    for number in range(300):
        audit.append(record(number))
        if not number % 50:
            await asyncio.sleep(0)
    await audit.close()

    assert [line["n"] for line in lines_of(path)] == list(range(300))
    assert verified(path).findings == ()
