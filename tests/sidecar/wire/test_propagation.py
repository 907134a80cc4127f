"""Our span in the place of the agent's, and every other byte as it came (M4)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.telemetry.context import Context
from mesh7_sidecar.wire import propagation

SPAN = Context("a" * 32, "b" * 16, is_sampled=True, state="k=v")
BARE = Context("a" * 32, "b" * 16, is_sampled=True)
WRITTEN = SPAN.traceparent.encode()


@pytest.mark.promise("M4")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"params": {"name":"x","n": 1.0 }}',
         b'{"params": {"_meta":{"traceparent":"%b"},"name":"x","n": 1.0 }}'),
        (b'{"params":{"_meta":{ },"n":1e2}}',
         b'{"params":{"_meta":{"traceparent":"%b" },"n":1e2}}'),
        (b'{"params":{"n":1E2,"_meta":{"a" : 1 , "traceparent":"00-x"}}}',
         b'{"params":{"n":1E2,"_meta":{"a" : 1 , "traceparent":"%b"}}}'),
        (b'{"params":{"_meta":{"tracestate":"old=1", "baggage":"b=1"}}}',
         b'{"params":{"_meta":{"traceparent":"%b", "baggage":"b=1"}}}'),
        (b'{"params":{"_meta":{"trace\\u0070arent":"00-x"},"_Meta":{}}}',
         b'{"params":{"_meta":{"trace\\u0070arent":"%b"},"_Meta":{}}}'),
    ],
)  # fmt: skip
def test_only_the_two_keys_of_meta_change(before: bytes, after: bytes) -> None:
    """Numbers keep their spelling, blanks their place; baggage is not ours."""
    assert propagation.message(before, BARE) == after % WRITTEN
    place = len(b'{"params":')
    assert propagation.params(before[place:-1], BARE) == (after % WRITTEN)[place:-1]


def test_a_state_goes_with_it() -> None:
    found = json.loads(propagation.message(b'{"params":{"_meta":{"tracestate":"old=1"}}}', SPAN))

    assert found["params"]["_meta"] == {"traceparent": SPAN.traceparent, "tracestate": "k=v"}


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(st.none() | st.integers() | st.text(max_size=8), st.lists, max_leaves=5),
    ),
    st.booleans(),
)
def test_whatever_else_is_in_meta_stays(meta: dict[str, object], is_bare: bool) -> None:
    """A law."""
    span = BARE if is_bare else SPAN
    body = json.dumps({"jsonrpc": "2.0", "params": {"name": "x", "_meta": meta}}).encode()
    found = json.loads(propagation.message(body, span))

    ours = {"traceparent": span.traceparent} | ({} if is_bare else {"tracestate": "k=v"})
    kept = {key: value for key, value in meta.items() if key not in {"traceparent", "tracestate"}}
    assert found == {"jsonrpc": "2.0", "params": {"name": "x", "_meta": kept | ours}}


def test_headers_of_the_agent_are_replaced() -> None:
    received = [(b"accept", b"*/*"), (b"tracestate", b"old=1"), (b"traceparent", b"00-x")]
    ours = [(b"traceparent", WRITTEN), (b"tracestate", b"k=v")]

    assert propagation.headers(received, SPAN) == [(b"accept", b"*/*"), *ours]
    lines = b"traceparent: 00-x\r\naccept: */*\r\ntracestate: old=1\r\n"
    assert propagation.block(lines, SPAN) == (
        b"accept: */*\r\ntraceparent: %b\r\ntracestate: k=v\r\n" % WRITTEN
    )
    assert propagation.block(b"x-traceparent: 1\r\n", BARE) == (
        b"x-traceparent: 1\r\ntraceparent: %b\r\n" % WRITTEN
    )
