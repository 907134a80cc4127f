"""Audit lines read back, and which of them somebody wants to see."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.audit import recorded, wanted
from mesh7_core.audit.recorded import Kind, Recorded, Traits
from mesh7_core.audit.wanted import Wanted
from mesh7_core.policy.globs import TextGlob

LINE = (
    b'{"id":"abcdefghijkl-7","time":"2026-11-21T10:00:00.000001Z","decision":"Deny",'
    b'"reason":"denied-by-rule","rules":["ns/policy/rule",5],"agent":{"namespace":"ns",'
    b'"serviceAccount":"support","pod":"p-1"},"outcome":"refused","tool":"git.git_push",'
    b'"traceId":"4bf9","requestId":"r-1"}'
)
AT_US = 1_795_255_200_000_001


def read(line: bytes) -> Recorded:
    """A line that can be read."""
    found = recorded.read(line)
    assert found is not None
    return found


@pytest.mark.promise("T5")
def test_a_call_is_read_back() -> None:
    """docs/reference/audit.md; what is of another type reads as empty."""
    found = read(LINE)
    traits = Traits(
        Kind.CALL, "ns/support", "p-1", "git.git_push", "Deny", "denied-by-rule", "refused",
        ("ns/policy/rule",),
    )  # fmt: skip
    assert (found.id, found.at_us, found.traits) == ("abcdefghijkl-7", AT_US, traits)
    assert (found.trace_id, found.request_id) == ("4bf9", "r-1")


@pytest.mark.promise("T5")
@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b'{"deed":"grant","reason":"x","agent":"ns/a"}', Kind.DEED),
        (b'{"seal":{}}', Kind.SEAL),
        (b'{"bundle":{}}', Kind.BUNDLE),
        (b'{"dropped":3}', Kind.DROPPED),
        (b'{"torn":{}}', Kind.TORN),
        (b"{}", Kind.OTHER),
        (b'{"decision":"Allow","bundle":"sha256:1"}', Kind.CALL),
    ],
)
def test_each_kind_of_line_is_told(line: bytes, kind: Kind) -> None:
    """docs/reference/audit.md; what a person wrote is no reason of a call."""
    found = read(line)
    assert (found.traits.kind, found.traits.reason) == (kind, "")


@pytest.mark.promise("T5")
@given(st.binary(max_size=40) | st.sampled_from([LINE[:30], b"[]", b"5", b"[" * 5000, b""]))
def test_no_line_raises(line: bytes) -> None:
    """Issue 8, faults: a record cut in half; whatever stands in the file."""
    found = recorded.read(line)
    assert found is None or isinstance(found.fields, dict)


@pytest.mark.promise("T5")
@pytest.mark.parametrize(
    ("wish", "is_meant"),
    [
        (Wanted(), True),
        (Wanted(agent="support"), True),
        (Wanted(agent="ns/support"), True),
        (Wanted(agent="port"), False),
        (Wanted(pod="p-1"), True),
        (Wanted(tool=TextGlob.parse("git.*push")), True),
        (Wanted(tool=TextGlob.parse("git")), False),
        (Wanted(decision="Deny", reason="denied-by-rule", outcome="refused"), True),
        (Wanted(decision="Allow"), False),
        (Wanted(rule="rule"), True),
        (Wanted(rule="policy/rule"), True),
        (Wanted(rule="ule"), False),
        (Wanted(is_deed=True), False),
        (Wanted(trace="4bf9", request="r-1", id="abcdefghijkl-7"), True),
        (Wanted(trace="4bf"), False),
        (Wanted(request="r"), False),
        (Wanted(id="abcdefghijkl"), False),
        (Wanted(since_us=AT_US), True),
        (Wanted(until_us=AT_US), False),
        (Wanted(since_us=AT_US + 1), False),
    ],
)
def test_all_that_is_asked_must_be_true(wish: Wanted, *, is_meant: bool) -> None:
    """docs/reference/commands.md, audit; ids are whole, since is in and until is not."""
    assert wanted.means(wish, read(LINE)) is is_meant


@pytest.mark.promise("T5")
def test_seals_are_no_records_and_what_has_no_time_is_in_no_span() -> None:
    """docs/user/audit.md."""
    assert not wanted.means(Wanted(), read(b'{"seal":{}}'))
    assert not wanted.means(Wanted(since_us=0), read(b'{"dropped":3}'))
    assert wanted.means(Wanted(), read(b'{"dropped":3}'))
