"""What callers say of their trace: https://www.w3.org/TR/trace-context/."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.telemetry import context
from mesh7_core.telemetry.context import Context

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (PARENT, Context(TRACE, SPAN, is_sampled=True)),
        (f"00-{TRACE}-{SPAN}-00", Context(TRACE, SPAN, is_sampled=False)),
        (f"00-{TRACE}-{SPAN}-fe", Context(TRACE, SPAN, is_sampled=False)),
        (f"01-{TRACE}-{SPAN}-03-more", Context(TRACE, SPAN, is_sampled=True)),
    ],
)
def test_a_valid_traceparent_is_read(written: str, read: Context) -> None:
    """Later versions may have more fields; of the flags only the first bit has a meaning."""
    assert context.read(written) == read


@pytest.mark.parametrize(
    "written",
    [
        None, "", "x", PARENT.upper(), PARENT + "-more", PARENT + "\n", " " + PARENT,
        f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
        PARENT.replace("0af7", "0ag7"), PARENT.replace("-01", "-1"),
        "\N{FULLWIDTH DIGIT ZERO}" + PARENT[1:],
    ],
)  # fmt: skip
def test_what_is_no_traceparent_is_ignored(written: str | None) -> None:
    """The specification: it is as if there were none."""
    assert context.read(written) is None


@given(st.text(max_size=80))
def test_whatever_is_written_reads_as_nothing_or_as_itself(written: str) -> None:
    """A law: no text breaks the reader."""
    found = context.read(written, written)

    assert found is None or context.read(found.traceparent) == found


@given(
    st.text("0123456789abcdef", min_size=32, max_size=32).filter(lambda text: text.strip("0")),
    st.text("0123456789abcdef", min_size=16, max_size=16).filter(lambda text: text.strip("0")),
    st.booleans(),
)
def test_what_is_written_reads_back(trace_id: str, span_id: str, is_sampled: bool) -> None:
    """A law."""
    written = Context(trace_id, span_id, is_sampled)

    assert context.read(written.traceparent) == written


@pytest.mark.parametrize("state", ["a=1", "a=1,b@vendor=x y", " a=1 ,, b=2\t", "a=" + "x" * 200])
def test_a_proper_tracestate_goes_with_it(state: str) -> None:
    found = context.read(PARENT, state)

    assert found is not None
    assert found.state == state


@pytest.mark.parametrize(
    "state",
    [
        "", "a", "=1", "A=1", "a=1\r\nx-evil: 1", "a=\N{SNOWMAN}", "a=1\0", "a=" + "x" * 100_000,
        ",".join(f"a{number}=1" for number in range(40)),
    ],
)  # fmt: skip
@pytest.mark.promise("X11")
def test_a_hostile_tracestate_is_left_out_and_the_trace_goes_on(state: str) -> None:
    """A hundred kilobytes, a header of its own, other alphabets: none of it is handed on."""
    assert context.read(PARENT, state) == Context(TRACE, SPAN, is_sampled=True)


def test_a_child_is_of_the_same_trace_and_each_name_has_its_own() -> None:
    parent = Context(TRACE, SPAN, is_sampled=True, state="a=1")
    first, second = context.child(parent, "client"), context.child(parent, "policy.evaluate")

    assert first == context.child(parent, "client")
    assert (first.trace_id, first.is_sampled, first.state) == (TRACE, True, "a=1")
    assert len({first.span_id, second.span_id, SPAN}) == 3
    assert context.read(first.traceparent, first.state) == first
