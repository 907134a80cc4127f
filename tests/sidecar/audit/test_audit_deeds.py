"""What people did is in the file when they are told so."""

import asyncio
from pathlib import Path

from mesh7_core.audit import deeds
from tests.sidecar.audit.stored import Line, records_in
from tests.sidecar.audit.test_audit_file import audit_file, record


def _deed(number: int) -> deeds.Deed:
    return deeds.Deed(
        at_ns=number,
        act=deeds.Act.KILL,
        person="uid:1",
        name="ann",
        evidence="",
        reason=f"{number}",
    )


def _lines(path: Path) -> list[Line]:
    return records_in(path.read_bytes())


async def test_a_deed_is_in_the_file_when_it_is_noted(tmp_path: Path) -> None:
    """Design 11: a SIGKILL loses 50 ms of records, and none of a person's decision."""
    path = tmp_path / "audit.jsonl"
    audit = audit_file(path)
    audit.append(record(1))
    await audit.note(_deed(2))
    first, second = _lines(path)
    assert (first, second["reason"]) == ({"n": 1}, "2")
    await audit.close()


async def test_deeds_noted_at_once_are_all_written_in_order(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = audit_file(path)
    await asyncio.gather(*(audit.note(_deed(number)) for number in range(20)))
    assert [line["reason"] for line in _lines(path)] == [str(number) for number in range(20)]
    await audit.close()


async def test_a_deed_is_kept_when_memory_for_records_is_full(tmp_path: Path) -> None:
    """An agent that floods the file cannot hide what a person did."""
    path = tmp_path / "audit.jsonl"
    audit = audit_file(path, maximum_waiting_bytes=1)
    for number in range(3):
        audit.append(record(number))
    await audit.note(_deed(7))
    assert {"n": 0} in _lines(path)
    assert any(line.get("reason") == "7" for line in _lines(path))
    await audit.close()
