"""The audit file: what it holds, who may read it, how it grows old, how it fails."""

import asyncio
import logging
import os
import stat
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mesh7_core import errors
from mesh7_core.policy import calls
from mesh7_core.policy.decision import Decision, Verdict
from mesh7_core.policy.reasons import Reason
from mesh7_core.telemetry.passage import Passage
from mesh7_core.telemetry.records import Outcome, Record
from mesh7_sidecar import settings
from mesh7_sidecar.audit import opening
from mesh7_sidecar.audit.lines import AT_ONCE, AuditLines
from mesh7_sidecar.audit.segments import Segment
from tests.fakes.threads import NoThreads
from tests.peers import processes
from tests.sidecar.audit.stored import Line, records_in, verified
from tests.sidecar.lifecycle.parts import eventually

AGENT = calls.Agent(namespace="default", service_account="tester", pod="here", labels={})
ALLOWED = Decision(Verdict.ALLOW, Reason.ALLOWED_BY_RULE)


def record(number: int) -> Record:
    """One record, told from others by its number."""
    call = calls.Call(
        AGENT, calls.Family.TOOLS, "s", str(number), {}, calls.SourceKind.MCP, "", None, "", b"{}"
    )
    return Record(call, ALLOWED, Outcome.OK, Passage("v1", 0), ended_ns=0, duration_ns=0, bundle="")


def render(one: Record) -> bytes:
    """A line of ten bytes with its newline."""
    return b'{"n":%3d}' % int(one.call.name)


def audit_file(path: Path, **bounds: int) -> AuditLines:
    """One with these bounds."""
    return opening.audit_file(path, render, wall_ns=lambda: 0, **bounds)


def lines_of(path: Path) -> list[Line]:
    """The records of a file, each line whole."""
    return records_in(path.read_bytes())


def content(path: Path) -> bytes:
    """All of a file."""
    return path.read_bytes()


def mode(path: Path) -> int:
    """Who may do what."""
    return stat.S_IMODE(path.stat().st_mode)


def beside(path: Path) -> list[Path]:
    """Everything in the folder of a file."""
    return list(path.parent.iterdir())


def make_public(path: Path) -> None:
    path.touch()
    path.chmod(0o644)


def ends_with(path: Path, number: int) -> bool:
    """Whether this record is the last of the file."""
    return lines_of(path)[-1:] == [{"n": number}]


def has_rotated(path: Path, number: int) -> bool:
    """Whether this record is the last of the newest generation, and a new file is there."""
    newest = path.with_name("audit.jsonl.1")
    return newest.exists() and ends_with(newest, number) and path.exists()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


async def test_records_are_written_in_order_within_the_promised_time(path: Path) -> None:
    """Design 11: at most 50 ms of records are lost by a SIGKILL; so nobody has to close it."""
    audit = audit_file(path)
    for number in range(3):
        audit.append(record(number))

    await eventually(lambda: content(path) != b"")
    assert lines_of(path) == [{"n": 0}, {"n": 1}, {"n": 2}]
    await audit.close()


@pytest.mark.parametrize("mask", [0, 0o077])
async def test_the_file_is_its_owner_s_alone(path: Path, mask: int) -> None:
    """Design 10: files in the state folder are private by their own mode, not by the umask's."""
    make_public(path)
    before = os.umask(mask)
    try:
        await audit_file(path).close()
    finally:
        os.umask(before)

    assert mode(path) == 0o600


def make_link(path: Path) -> None:
    path.with_name("target").write_bytes(b"precious")
    path.symlink_to(path.with_name("target"))


@pytest.mark.parametrize("make", [make_link, Path.mkdir, os.mkfifo])
async def test_what_is_no_file_of_ours_is_refused(path: Path, make: Callable[[Path], None]) -> None:
    make(path)

    with pytest.raises(errors.SettingsError, match=r"audit\.jsonl` cannot be written: "):
        audit_file(path)


async def test_a_full_file_becomes_a_generation_and_four_are_kept(path: Path) -> None:
    """docs/reference/audit.md."""
    audit = audit_file(path, maximum_bytes=20)
    for number in range(0, 14, 2):
        audit.append(record(number))
        audit.append(record(number + 1))
        await eventually(partial(has_rotated, path, number + 1))
    await audit.close()

    files = [path.with_name(f"audit.jsonl.{number}") for number in (1, 2, 3, 4)]
    assert [lines_of(each) for each in files] == [
        [{"n": 12}, {"n": 13}], [{"n": 10}, {"n": 11}], [{"n": 8}, {"n": 9}], [{"n": 6}, {"n": 7}],
    ]  # fmt: skip
    assert content(path) == b""
    assert sorted(each.name for each in beside(path)) == [
        "audit.heads.jsonl",
        "audit.jsonl",
        *(each.name for each in files),
        "audit.key",
    ]
    assert {mode(each) for each in beside(path)} == {0o600}
    verified_files = verified(path)
    assert verified_files.findings == ()
    assert verified_files.chains[0].first > 1, "what was let go is no gap"


async def test_a_rotation_that_fails_loses_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Something in the way of `audit.jsonl.1` must not end the audit."""
    for number in range(1, settings.DEFAULT_AUDIT_FILES + 1):
        (path.with_name(f"audit.jsonl.{number}") / "in the way").mkdir(parents=True)
    audit = audit_file(path, maximum_bytes=10)
    for number in range(3):
        audit.append(record(number))
        await eventually(partial(ends_with, path, number))
    await audit.close()

    assert lines_of(path) == [{"n": 0}, {"n": 1}, {"n": 2}]
    (told,) = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert told.startswith("audit records are written, none is lost, but the file is full")
    assert audit.lost == 0


async def test_a_record_that_cannot_be_rendered_is_counted_and_told_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever our defect is: `lost`, the metric and the audit itself know of it."""

    def rendered(one: Record) -> bytes:
        if int(one.call.name) % 2:
            raise LookupError("a defect")
        return render(one)

    audit = opening.audit_file(path, rendered, wall_ns=lambda: 0)
    for number in range(6):
        audit.append(record(number))
    await audit.close()

    dropped = sum(line.get("dropped", 0) for line in lines_of(path))
    assert (audit.lost, audit.written, dropped) == (3, 3, 3)
    (told,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert told.exc_info is not None


async def test_a_follower_that_fails_keeps_no_record_from_the_others(path: Path) -> None:
    audit, found = audit_file(path), list[Segment]()

    def fail(_: Segment) -> None:
        raise LookupError("a defect")

    audit.followers += [fail, found.append]
    audit.append(record(1))
    await audit.close()

    assert [one.records for one in found] == [1]


async def test_what_memory_cannot_hold_is_dropped_and_the_count_is_written(path: Path) -> None:
    """Design 11: telemetry never blocks a call, and says what it dropped."""
    audit = audit_file(path, maximum_waiting_bytes=18)
    for number in range(5):
        audit.append(record(number))
    await audit.close()

    assert lines_of(path) == [{"n": 0}, {"n": 1}, {"dropped": 3}]


async def test_records_become_lines_a_few_at_a_time_and_heavy_ones_at_once(path: Path) -> None:
    """Memory holds no more than a few small messages for them."""
    rendered: list[str] = []

    def render_told(one: Record) -> bytes:
        rendered.append(one.call.name)
        return render(one)

    audit = opening.audit_file(path, render_told, wall_ns=lambda: 0)
    for number in range(AT_ONCE - 1):
        audit.append(record(number))
    assert rendered == []
    audit.append(record(AT_ONCE - 1))
    assert len(rendered) == AT_ONCE
    heavy = record(AT_ONCE)
    heavy.passage.sent_body = b" " * 100_000
    audit.append(heavy)
    assert len(rendered) == AT_ONCE + 1
    unknown = record(AT_ONCE + 1)
    unknown.call.body, unknown.call.arguments = b"", {"parsed": [[] for _ in range(1000)]}
    audit.append(unknown)
    assert len(rendered) == AT_ONCE + 2, "what was parsed of a body that is not kept may be large"
    audit.append(record(AT_ONCE + 2))
    await audit.close()

    assert lines_of(path) == [{"n": number} for number in range(AT_ONCE + 3)]


FULL_DISK = """
import resource, sys
from pathlib import Path
from mesh7_sidecar.audit.generations import Generations
from mesh7_sidecar.audit.sealing import Sealing

files = Generations(Path(sys.argv[1]), 1_000_000)
sealing = Sealing(files, files.continued("abcdefghijkl"), lambda: 0)
before = sealing.write([b'{"n":0}'], 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (400, resource.RLIM_INFINITY))
first = sealing.write([b'{"n":%d}' % n for n in range(1, 5)], 0)
again = sealing.write([b'{"n":5}'] * 3, 2)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
later = sealing.write([b'{"n":6}'], 9)
print(before.lost, first.lost, again.lost, later.lost, first.why)
sealing.close()
"""


async def test_lines_that_a_full_disk_refuses_are_counted_and_cut_no_later_one(path: Path) -> None:
    """A disk that is full again has room: what is written then is whole."""
    found = await processes.run([sys.executable, "-c", FULL_DISK, path], timeout_s=60)

    assert found.out == "0 4 5 0 File too large\n", found.err
    assert lines_of(path) == [{"n": 0}, {"n": 6}, {"dropped": 9}]
    assert verified(path).findings == ()


async def test_close_ends_although_a_flush_is_under_way(path: Path) -> None:
    audit = audit_file(path)
    audit.append(record(1))
    await asyncio.gather(audit.close(), asyncio.sleep(0))

    assert lines_of(path) == [{"n": 1}]


async def test_an_agent_that_takes_all_threads_hides_no_record(path: Path) -> None:
    """The bound on processes is the pod's, and the agent is in it."""
    audit = audit_file(path)
    asyncio.get_running_loop().set_default_executor(NoThreads())
    audit.append(record(1))
    await audit.close()

    assert lines_of(path) == [{"n": 1}]
