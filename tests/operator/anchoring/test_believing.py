"""What whoever shares a namespace's credentials can append, and what is believed of it."""

from dataclasses import replace

import pytest

from mesh7_core.audit import heads, seals
from mesh7_core.delivery import spelled
from mesh7_core.ledger import audit_entries
from mesh7_core.ledger.audit_entries import Kind, Segment
from mesh7_operator.anchoring import writing
from mesh7_operator.anchoring.anchor import Anchor, Trouble
from mesh7_operator.anchoring.verifying import verify
from mesh7_operator.querying import questions
from mesh7_operator.querying.answers import Answer
from tests.operator.anchoring.streams import (
    NAMESPACE,
    ONE,
    OPERATORS,
    OTHER_KEY,
    TIME,
    Writer,
    entries,
    followed,
    key_of,
)

YES = b'"time":"%b","deed":"approve","by":{"name":"olga@example.com"}' % TIME.encode()


def _block(writer: Writer, content: bytes, records: int = 1) -> Segment:
    """As its own chain's first, whatever it has."""
    seal, head = seals.sealed(content, heads.begun(writer.head.chain), records, TIME)
    return writer.raw(content + seal, head, records)


def _troubles(*segments: Segment) -> list[Trouble]:
    return [one.trouble for one in followed(entries(*segments)).findings]


def _records(stream: list[audit_entries.Entry], **spec: object) -> list[object]:
    question = questions.read({"requestedBy": "jane", **spec})
    assert isinstance(question, questions.Question)
    answer = Answer(question, NAMESPACE)
    answer.take(stream[::-1])
    answer.take([])
    found = answer.status()["records"]
    assert isinstance(found, list)
    return found


@pytest.mark.promise("T5")
@pytest.mark.parametrize(
    "line",
    [
        b'{"id":"%(theirs)b-1",%(yes)b}',
        b'{"id":"%(own)b-1",%(yes)b}',
        b'{"id":"%(own)b-1","id":"%(theirs)b-1",%(yes)b}',
        b'{"id":"%(own)b-1",%(yes)b,"\\u0069d":"%(theirs)b-1"}',
        b'{"id":"%(own)b-2",%(yes)b}',
        b'{%(yes)b,"id":"%(own)b-1"}',
        b'{"id":"%(own)b-1","trimmed":{"upTo":"9-0","entries":1}}',
    ],
)
def test_a_pod_cannot_record_a_persons_yes_in_the_controllers_name(line: bytes) -> None:
    """Found by review: a sound block of its own chain could hold any id and any deed."""
    operator, pod = Writer(None, "-", "-"), Writer()
    no = operator.lines([b'{"time":"%b","deed":"deny"}' % TIME.encode()])
    names = {b"theirs": OPERATORS.encode(), b"own": ONE.encode(), b"yes": YES}
    forged = _block(pod, line % names + b"\n")
    stream = [*entries(no, is_operators=True), *entries(forged, start=1)]
    found = followed(stream)
    assert [one.trouble for one in found.findings] == [Trouble.FORGED]
    assert not verify(stream, found.anchor).is_whole
    (answered,) = _records(stream, id=f"{OPERATORS}-1")
    assert '"deny"' in str(answered)
    assert _records(stream, id=f"{ONE}-1") == []
    assert len(_records(stream, deeds=True)) == 1


@pytest.mark.promise("T5")
def test_a_repeat_with_another_body_is_forged() -> None:
    """Found by review: its line alone was compared, and queries were answered from its body."""
    writer = Writer()
    segment = writer.blocks(2, 3)
    line = b'{"id":"%b-1","time":"%b","decision":"Allow"}\n' % (ONE.encode(), TIME.encode())
    other = writer.signed(replace(segment, body=line, records=999))
    stream = entries(segment, other)
    found = followed(stream)
    assert [one.trouble for one in found.findings] == [Trouble.EDITED]
    verified = verify(stream, found.anchor)
    assert (verified.is_whole, verified.records) == (False, 5)
    (answered,) = _records(stream, id=f"{ONE}-1")
    assert "decision" not in str(answered)


def test_a_repeat_is_counted_and_answered_once() -> None:
    writer = Writer()
    segment = writer.blocks(2, 3)
    stream = entries(segment, segment)
    verified = verify(stream, followed(stream).anchor)
    assert (verified.is_whole, verified.records) == (True, 5)
    assert len(_records(stream)) == 5


@pytest.mark.promise("T5")
@pytest.mark.parametrize("records", [1, 2**53 - 1, 2**53, 10**15])
def test_no_segment_makes_an_anchor_that_cannot_be_read_back(records: int) -> None:
    """Found by review: what one bound let in another refused, and the next leader knew nothing."""
    writer = Writer()
    segments = [
        writer.signed(replace(writer.blocks(1), kind=Kind.WITHHELD, body=b"", records=records))
    ]
    for seed, last in ((7, 2**53 - 1), (8, 2**53 - 2)):
        many = Writer(key_of(seed)).withheld(1)
        lie = replace(many, last=last, records=min(records, spelled.MOST))
        segments.append(Writer(key_of(seed)).signed(lie))
    read = [
        audit_entries.read_entry([b"1-0", [
            one if isinstance(one, bytes) else str(one).encode()
            for one in audit_entries.fields(segment)
        ]])
        for segment in segments
    ]  # fmt: skip
    known = [one.segment for one in read if one is not None]
    anchor = followed(entries(*known)).anchor
    assert writing.decoded(writing.encoded(anchor)) == anchor


def test_a_chain_cannot_count_beyond_what_json_counts() -> None:
    writer = Writer()
    content = b'{"id":"%b-%d","time":"%b"}\n' % (ONE.encode(), 10**16 - 1, TIME.encode())
    before = replace(heads.begun(ONE), block=4, total=10**16 - 2)
    seal, head = seals.sealed(content, before, 1, TIME)
    assert _troubles(writer.raw(content + seal, head, 1, first=5)) == [Trouble.FORGED]


@pytest.mark.promise("T5")
@pytest.mark.parametrize("kind", Kind)
def test_who_reads_a_pods_log_cannot_speak_for_its_chain(kind: Kind) -> None:
    """Found by review: chain, uid and hash stand on stdout, and were all that it took."""
    writer, thief = Writer(), Writer(OTHER_KEY)
    first = writer.blocks(1)
    before, after = followed(entries(first)), writer.blocks(2)
    body = after.body if kind is Kind.BLOCKS else b""
    last = first.last if kind is Kind.END else after.last
    digest = first.hash if kind is Kind.END else after.hash
    lie = replace(after, kind=kind, body=body, last=last, first=last, hash=digest, records=2)
    unsigned = replace(lie, signature=b"")
    by_another = replace(thief.signed(lie), chain=ONE)
    replayed = replace(lie, signature=first.signature)
    for forged in (unsigned, by_another, thief.signed(lie), replayed):
        found = followed(entries(forged, start=1), before.anchor)
        assert [one.trouble for one in found.findings] == [Trouble.FORGED]
        assert found.anchor.chains == before.anchor.chains
    assert followed(entries(after, start=1), before.anchor).findings == ()


def test_a_segment_of_one_namespace_says_nothing_in_another() -> None:
    stream = entries(Writer().blocks(1))
    found = followed(stream, Anchor(namespace="lab"))
    assert [one.trouble for one in found.findings] == [Trouble.FORGED]


def test_blocks_without_records_are_not_believed() -> None:
    """Found by review: a segment of nothing but seals was followed."""
    assert _troubles(_block(Writer(), b"")) == [Trouble.FORGED]


def test_what_a_crash_cut_off_is_believed_once_a_record_says_so() -> None:
    """A write to stdout that stopped midway, in a record or in its seal."""
    writer = Writer()
    opening = b'{"id":"%b-' % ONE.encode()
    rest = b'1","time":"","n":1}\n' + opening + b'2","ti\n' + seals.SEAL + b"~\n"
    torn = opening + b'2","torn":{"records":1,"bytes":99}}\n'
    assert _troubles(_block(writer, opening + rest + torn, 2)) == []
    assert _troubles(_block(writer, opening + rest + opening + b'2","n":1}\n', 2)) == [
        Trouble.FORGED
    ]


@pytest.mark.promise("T5")
def test_names_make_no_anchor_larger_than_they_are() -> None:
    """Found by review: 253 quotes are twice as many characters of JSON."""
    for pod, uid in (("'\"\\" * 80, "u"), ("web-1", '"'), ("Web", "u"), ("web-1", "u" * 37)):
        segment = replace(Writer().blocks(1), pod=pod, uid=uid)
        fields = [
            one if isinstance(one, bytes) else str(one).encode()
            for one in audit_entries.fields(segment)
        ]
        entry = audit_entries.read_entry([b"1-0", fields])
        assert entry is not None
        assert entry.segment is None
