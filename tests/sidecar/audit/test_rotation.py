"""Audit files as they grow old: whatever fails, or is done to them, no older one is lost."""

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh7_core.audit import verifying
from mesh7_sidecar.audit import signing
from mesh7_sidecar.audit.generations import Generations
from mesh7_sidecar.audit.sealing import Sealing, Stored
from tests.sidecar.audit.stored import files, records_in, verified

NAME = "abcdefghijkl"
KEPT = 5


class Writing:
    """A gateway's thread of audit files; a file is full with its second record."""

    def __init__(self, path: Path) -> None:
        generations = Generations(path, 500, KEPT)
        self._sealing = Sealing(generations, generations.continued(NAME), lambda: 0)
        self.path = path
        self.count = 0

    def write(self) -> Stored:
        """One record more."""
        self.count += 1
        return self._sealing.write([b'{"n":%d}' % self.count], 0)

    def fill(self) -> None:
        """Until there are as many files as are kept."""
        while not self.older(KEPT - 1).exists():
            assert self.write().besides == ""

    def older(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def close(self) -> None:
        self._sealing.close()


@contextmanager
def gateway(path: Path) -> Iterator[Writing]:
    writing = Writing(path)
    try:
        yield writing
    finally:
        writing.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    state = tmp_path / "state"
    state.mkdir()
    return state / "audit.jsonl"


def numbers(path: Path) -> list[object]:
    """Of all records that are there, oldest first."""
    return [line["n"] for each in files(path) for line in records_in(each.read_bytes())]


def stored_in(writing: Writing) -> list[bytes]:
    """The older files, newest first."""
    return [writing.older(number).read_bytes() for number in range(1, KEPT)]


def until(writing: Writing, claim: Callable[[Stored], bool], most: int = 1000) -> Stored:
    """Write until it holds."""
    return next(
        stored for stored in (writing.write() for _ in itertools.repeat(0, most)) if claim(stored)
    )


@pytest.mark.promise("D50")
@pytest.mark.parametrize("name", ["audit.jsonl.new", "audit.jsonl.4", "audit.heads.jsonl.new"])
def test_a_fresh_file_that_cannot_be_made(path: Path, name: str) -> None:
    """One failed rotation once moved all older files on at every flush, until they were gone."""
    with gateway(path) as writing:
        writing.fill()
        obstacle, aside = path.with_name(name), path.with_name("aside")
        if obstacle.exists():
            obstacle.replace(aside)
        (obstacle / "in the way").mkdir(parents=True)
        before = stored_in_without(writing, obstacle)
        told = {until(writing, lambda stored: stored.besides != "").besides}
        stored = [writing.write() for _ in range(20)]
        told |= {one.besides for one in stored}

        assert stored_in_without(writing, obstacle) == before, "no older file was moved"
        assert {(one.lost, one.why) for one in stored} == {(0, "")}
        assert len(told) == 1, told
        assert told.pop().startswith("the file is full, and no new one can be begun: `")

        (obstacle / "in the way").rmdir()
        obstacle.rmdir()
        if aside.exists():
            aside.replace(obstacle)
        until(writing, lambda stored: stored.besides == "")

    assert verified(path).findings == ()
    assert numbers(path)[-1] == writing.count


def stored_in_without(writing: Writing, obstacle: Path) -> list[bytes]:
    numbered = (writing.older(number) for number in range(1, KEPT))
    return [each.read_bytes() for each in numbered if each != obstacle]


@pytest.mark.promise("D50")
@pytest.mark.parametrize("is_deleted", [False, True])
def test_the_live_file_moved_away(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, is_deleted: bool
) -> None:
    """By logrotate, or by somebody who makes room: it is begun anew, and no older one is moved."""
    elsewhere = tmp_path / "elsewhere"
    with gateway(path) as writing:
        writing.fill()
        writing.write()
        before = stored_in(writing)
        path.replace(elsewhere)
        if is_deleted:
            elsewhere.unlink()
        first = writing.count + 1
        stored = writing.write()

        assert (stored.lost, stored.why, stored.besides) == (0, "", "")
        assert stored_in(writing) == before
        assert [line["n"] for line in records_in(path.read_bytes())] == [first]
        assert [each.levelno for each in caplog.records] == [logging.ERROR]
        assert "was moved away or deleted while it was written" in caplog.text

    if not is_deleted:
        public = signing.public_key(path.parent)
        assert public is not None
        all_of_them = [*files(path)[:-1], elsewhere, path]
        segments = [(each.name, each.read_bytes()) for each in all_of_them]
        found = verifying.verify(segments, signing.read(path.parent, public))
        assert found.findings == (), "with the one that was moved away nothing is missing"


def test_a_link_in_place_of_the_live_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    """What is written goes where it went; that the path leads elsewhere is told."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    with gateway(path) as writing:
        writing.write()
        path.replace(tmp_path / "elsewhere")
        path.symlink_to(precious)
        stored = [writing.write() for _ in range(10)]

        assert {(one.lost, one.why) for one in stored} == {(0, "")}
        assert all(one.besides for one in stored)
        path.unlink()
        assert writing.write().besides == ""
    assert precious.read_bytes() == b"precious"
    moved = records_in((tmp_path / "elsewhere").read_bytes())
    assert [line["n"] for line in moved] == list(range(1, 12))


def test_a_file_that_is_gone_and_cannot_be_begun_anew_loses_records_and_says_so(
    path: Path,
) -> None:
    """What goes into a file that nobody can open is not stored."""
    with gateway(path) as writing:
        writing.write()
        path.unlink()
        path.mkdir()
        stored = writing.write()
        path.rmdir()
        again = writing.write()

    assert (stored.lost, again.lost) == (1, 0)
    assert stored.why == f"`{path}` was deleted: Is a directory"
    assert [line["n"] for line in records_in(path.read_bytes())] == [3]


def test_a_rotation_goes_on_where_one_was_cut_short(path: Path) -> None:
    """Killed between two steps: what has been moved is not moved again, and nothing is let go."""
    with gateway(path) as writing:
        writing.fill()
    for number in range(KEPT - 1, 0, -1):
        writing.older(number).replace(writing.older(number + 1))
    moved_once = writing.older(KEPT)
    moved_once.unlink()
    before = [writing.older(number).read_bytes() for number in range(2, KEPT)]
    with gateway(path) as writing:
        until(writing, lambda _: writing.older(1).exists())

    assert [writing.older(number).read_bytes() for number in range(2, KEPT)] == before
    assert not moved_once.exists()


def test_files_of_before_seals_are_kept_and_told_of(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An upgrade: nothing vouches for them, and whoever upgrades has to know."""
    older = b'{"time":"2026-10-01T00:00:00.000000Z","decision":"Allow"}\n'
    path.write_bytes(older)
    with gateway(path) as writing:
        writing.write()

    assert "is of before records were sealed" in caplog.text
    assert path.with_name("audit.jsonl.1").read_bytes() == older
    caplog.clear()
    with gateway(path) as writing:
        writing.write()
    assert caplog.text == ""
