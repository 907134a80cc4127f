"""The exact call and its digest: what changes it, what does not, and how it is spelled."""

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from mesh7_core.compiling import compiler
from mesh7_core.policy import calls, judge, view
from mesh7_sidecar.gate import exact
from tests.sidecar.gate.parts import NOON, REFUNDS, policy, refund

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
ARGUMENTS = st.dictionaries(TEXT, VALUES, max_size=5)


def forwarding(params: str) -> calls.Call:
    """A call that forwards these params."""
    call = refund()
    call.body = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}'.encode()
    return call


def plain_http(
    body: bytes, query: str = "", method: str = "POST", content_type: str = ""
) -> calls.Call:
    call = refund(definition="")
    headers = (("content-type", content_type),) if content_type else ()
    call.http = calls.HttpPart(method=method, path="/v1/refunds", query=query, headers=headers)
    call.body = body
    return call


def turned(value: object) -> object:
    """The same value with the keys of every object in the other order."""
    if isinstance(value, dict):
        return {key: turned(each) for key, each in reversed(value.items())}
    return [turned(each) for each in value] if isinstance(value, list) else value


def rules_of(*documents: str) -> tuple[str, ...]:
    """The compiled form of the rules that ask about a refund."""
    compiled = compiler.compile_files(
        {f"{number}.yaml": text.encode() for number, text in enumerate(documents)}
    )
    assert compiled.bundle is not None, compiled.diagnostics
    call = refund()
    seen = view.view_of(compiled.bundle, call.agent)
    return exact.asked_rules(seen, judge.needs(seen, call, NOON).asked)


def digest_of(call: calls.Call, rules: tuple[str, ...] = ("r",), salt: str = "salt") -> str:
    return exact.digest(call, exact.forwarded(call).mark, call.definition, rules, salt)


@pytest.mark.promise("A1")
@given(ARGUMENTS)
def test_the_order_of_keys_does_not_matter(arguments: dict[str, object]) -> None:
    """Issue 4: RFC 8785."""
    one = exact.forwarded(forwarding(json.dumps({"arguments": arguments})))
    other = exact.forwarded(forwarding(json.dumps({"arguments": turned(arguments)}, indent=1)))

    assert one == other


@pytest.mark.promise("A1")
@given(ARGUMENTS)
def test_the_spelling_is_that_of_another_implementation(arguments: dict[str, object]) -> None:
    """RFC 8785, held against PyPI's `rfc8785` where both say the same: integers of 53 bits."""
    found = exact.forwarded(forwarding(json.dumps({"arguments": arguments})))

    assert found.text.encode() == rfc8785.dumps(arguments)  # type: ignore[arg-type]


@pytest.mark.promise("A1")
@pytest.mark.parametrize(
    "spelling",
    ["0", "-0", "1.0", "1", "1e2", "1E2", "100", "1E400", "123456789012345678901234567890"],
)
def test_numbers_stay_as_they_were_spelled(spelling: str) -> None:
    """Issue 4: big integers keep their digits."""
    found = exact.forwarded(forwarding(f'{{"arguments": {{"n": [{spelling}]}}}}'))

    assert found.text == f'{{"n":[{spelling}]}}'


@pytest.mark.promise("A1", "AG5")
def test_anything_that_is_changed_is_another_call() -> None:
    """Issue 4: changed argument, definition, rule, pod."""
    others = [
        refund("501"),
        refund("5e2"),
        refund('{"a": [1, 2]}'),
        refund('{"a": [2, 1]}'),
        refund(pod="pod-2"),
        refund(tool="refund"),
        refund(definition="sha256:two"),
        refund(more=',"task":{}'),
        refund(more=',"requestState":"s"'),
        forwarding('{"arguments":{"arguments":{"amount":500,"to":"ann"},"task":{}}}'),
        plain_http(b""),
        plain_http(b"{}"),
        plain_http(b"", "a=1"),
        plain_http(b"", method="PUT"),
        plain_http(b"", content_type="application/json"),
    ]
    elsewhere = refund()
    elsewhere.source_host = "other.example"
    another_account = refund()
    another_account.source_digest = "sha256:other"
    digests = [digest_of(one) for one in (refund(), *others, elsewhere, another_account)]

    assert len(set(digests)) == len(digests)
    assert digest_of(refund()) != digest_of(refund(), ("r", "s"))


@pytest.mark.promise("A1")
def test_meta_ids_and_sessions_are_outside() -> None:
    """Design 6.1: `_meta`, the JSON-RPC id and progress tokens are outside it."""
    same = [
        refund(meta='{"progressToken": 4, "x": [1]}'),
        refund(session="another"),
        forwarding('{"arguments":{"to":"ann", "amount":500}, "name":"create_refund"}'),
    ]

    assert {digest_of(one) for one in same} == {digest_of(refund())}


@pytest.mark.promise("A1", "A11")
def test_a_masked_value_cannot_be_tried_out_by_the_digest() -> None:
    """All else that is in it is shown to people; without the salt they could try out the rest."""
    assert digest_of(refund(), salt="one") != digest_of(refund(), salt="two")


@pytest.mark.promise("A1")
def test_a_name_beside_a_resource_is_neither_unseen_nor_unbound() -> None:
    """Of tools and prompts the name is the tool; a resource's is another param, and forwarded."""
    reads = [forwarding(f'{{"uri":"file:///a"{more}}}') for more in ("", ',"name":"b"')]
    for one in reads:
        one.family = calls.Family.RESOURCES
    plain, named = (exact.forwarded(one) for one in reads)
    prompt = forwarding('{"name":"create_refund","arguments":{}}')
    prompt.family = calls.Family.PROMPTS

    assert json.loads(named.text) == {"uri": "file:///a", "name": "b"}
    assert plain.mark != named.mark
    assert exact.forwarded(prompt).text == "{}"


@pytest.mark.promise("A1")
def test_a_retry_is_the_same_call_but_for_what_it_adds() -> None:
    """MRTR: `requestState` and `inputResponses`."""
    first = exact.forwarded(refund())
    retry = exact.forwarded(refund(more=',"requestState":"s","inputResponses":{"a":1}'))

    assert (retry.request_state, retry.base) == ("s", first.mark)
    assert retry.mark != first.mark


@pytest.mark.promise("A1")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("count: 1", "count: 2"),
        ("timeout: 10m", "timeout: 11m"),
        ("useWithin: 5m", "useWithin: 6m"),
        ("hold: 50s", "hold: 51s"),
        ("maxUses: 2", "maxUses: 3"),
        ("billing.create_refund", "billing.*"),
        ("name: refunds", "name: other"),
        ("    action: RequireApproval", "    when: 'true'\n    action: RequireApproval"),
    ],
)
def test_a_changed_rule_is_another_form(before: str, after: str) -> None:
    """Design 6.1: the compiled form of each rule that asked."""
    assert before in REFUNDS
    changed = policy(REFUNDS.replace(before, after))

    assert rules_of(policy()) != rules_of(changed)


@pytest.mark.promise("A1")
def test_edits_elsewhere_leave_the_form_as_it_was() -> None:
    """Design 6.1: unrelated policy edits void nothing."""
    other = policy("\n  - {name: no, tools: ['x.*'], action: Deny}\n", name="zzz")
    before = f"\n  - {{name: a, tools: ['x.*'], action: Deny}}{REFUNDS}"

    assert rules_of(policy()) == rules_of(policy(), other) == rules_of(policy(before))


def test_the_digest_is_the_same_after_any_restart() -> None:
    """Pinned: requests in a ledger are found by it. Another form needs another `exact.FORM`."""
    assert digest_of(refund(), rules_of(policy())) == (
        "sha256:397ed61102888ed7c3b2a4a35c640a21b30a68e69d8890953ba6b8e5684bcc22"
    )


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"params": []}', b'{"params": {"a": NaN}}', b'{"params":{"a":1,"a":2}}']
)
def test_what_has_no_exact_form_has_no_digest(body: bytes) -> None:
    """Fail closed: the gate denies what it cannot spell."""
    call = refund()
    call.body = body

    with pytest.raises(ValueError, match=r"."):
        exact.forwarded(call)


def test_people_see_a_small_body_of_a_plain_http_call_as_text() -> None:
    """Design 6.4: arguments up to 16 KiB."""
    small = json.loads(exact.forwarded(plain_http(b'{"amount": 1}')).text)
    large = json.loads(exact.forwarded(plain_http(b"x" * 20_000)).text)
    binary = json.loads(exact.forwarded(plain_http(b"\xff\xfe")).text)

    assert small["body"] == '{"amount": 1}'
    assert (large["bodySize"], "body" in large) == (20_000, False)
    assert "body" not in binary
