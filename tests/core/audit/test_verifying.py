"""Nothing of a stored chain can be changed, taken away, added or moved unseen."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh7_core.audit import chain, heads, verifying
from mesh7_core.audit.findings import MOST, Kind
from tests.core.audit.chains import NAME, OTHER, TIME, Stored, blocks, found, kinds, lines

BLOCKS, HEAD = blocks(3, 64, 1, 5)
WHOLE = b"".join(BLOCKS)


def test_what_was_stored_is_verified_with_all_its_records() -> None:
    """docs/reference/audit.md: blocks of at most 64 records, counted on."""
    stored = Stored()
    stored.add(130)
    stored.add(1)

    verified = verifying.verify([("audit.jsonl", stored.content)], [stored.head])

    assert (verified.records, verified.blocks, verified.findings) == (131, 4, ())
    assert verified.is_intact
    assert [(one.first, one.end, one.signed) for one in verified.chains] == [
        (1, stored.head, stored.head)
    ]
    identifiers = [json.loads(line).get("id") for line in stored.content.splitlines()]
    assert [one for one in identifiers if one] == [f"{NAME}-{n}" for n in range(1, 132)]


@pytest.mark.promise("W10")
@settings(max_examples=500)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_no_byte_can_be_changed_unseen(at: int, change: int) -> None:
    """W10: not of a record, not of a seal, not a newline."""
    edited = bytearray(WHOLE)
    edited[at] ^= change

    assert not verifying.verify([("audit.jsonl", bytes(edited))], [HEAD]).is_intact


@pytest.mark.promise("T5")
@pytest.mark.parametrize("field", ["time", "tool", "n", "id"])
def test_an_edited_field_is_found_and_placed(field: str) -> None:
    """T5, W10; the block is named, and the lines before and after are still believed."""
    parts = WHOLE.split(b"\n")
    record = json.loads(parts[10])
    record[field] = "another"
    parts[10] = json.dumps(record, separators=(",", ":")).encode()

    (finding,) = found(b"\n".join(parts), HEAD)

    assert (finding.kind, finding.segment, finding.block) == (Kind.EDITED, "audit.jsonl", 2)
    assert finding.line in {5, 11}
    assert "records 4 to 67" in finding.what


@pytest.mark.promise("W10")
def test_whoever_seals_anew_what_they_edited_meets_the_signed_head() -> None:
    """W10: the hash has no key, so anybody can make one that fits; the head is signed."""
    forged, _ = blocks(3, 64, 1, 4)

    findings = found(b"".join(forged), HEAD)

    assert [(one.kind, one.block, one.line) for one in findings] == [(Kind.EDITED, 4, 76)]


@pytest.mark.promise("T5", "W10")
@settings(max_examples=200)
@given(st.integers(0, len(WHOLE) - 1))
def test_no_tail_can_be_cut_that_a_head_names(end: int) -> None:
    """W10: wherever the cut is, in a line or between blocks."""
    findings = found(WHOLE[:end], HEAD)

    assert Kind.CUT in kinds(findings)
    (cut,) = (one for one in findings if one.kind is Kind.CUT)
    assert cut.block == WHOLE[:end].count(b'"}}\n') + 1


@pytest.mark.promise("T5")
def test_blocks_that_are_missing_in_between_are_a_gap() -> None:
    """T5; the place is where the next block begins."""
    (finding,) = found(BLOCKS[0] + BLOCKS[3], HEAD)

    assert (finding.kind, finding.block) == (Kind.GAP, 2)
    assert "blocks 2 to 3 " in finding.what


@pytest.mark.promise("T5")
def test_a_record_that_is_taken_out_of_a_block_is_a_gap() -> None:
    parts = WHOLE.split(b"\n")
    del parts[1]

    (finding,) = found(b"\n".join(parts), HEAD)

    assert (finding.kind, finding.line, finding.block) == (Kind.GAP, 2, 1)


@pytest.mark.promise("T5")
def test_blocks_in_another_order_are_found() -> None:
    (finding,) = found(BLOCKS[0] + BLOCKS[2] + BLOCKS[1] + BLOCKS[3], HEAD)

    assert (finding.kind, finding.block) == (Kind.REORDERED, 2)


@pytest.mark.promise("T5")
def test_records_of_a_block_in_another_order_are_found() -> None:
    parts = WHOLE.split(b"\n")
    parts[10], parts[11] = parts[11], parts[10]

    (finding,) = found(b"\n".join(parts), HEAD)

    assert (finding.kind, finding.line, finding.block) == (Kind.REORDERED, 11, 2)


@pytest.mark.promise("T5")
def test_files_in_another_order_are_found() -> None:
    """Two generations that were given each other's name."""
    four, head = blocks(2, 2, 2, 2)
    segments = [("audit.jsonl.2", b"".join(four[2:])), ("audit.jsonl.1", b"".join(four[:2]))]

    (finding,) = verifying.verify(segments, [head]).findings

    assert (finding.kind, finding.segment, finding.block) == (
        Kind.REORDERED, "audit.jsonl.1", 1,
    )  # fmt: skip


@pytest.mark.promise("T5")
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_file_of_another_chain_in_the_place_of_one_is_found(at: int) -> None:
    """A swapped file: whole and true in itself, but of another folder."""
    three, head = blocks(2, 2, 2)
    segments = list(zip(["a.2", "a.1", "a"], three, strict=True))
    segments[at] = (segments[at][0], b"".join(blocks(2, 2, name=OTHER)[0]))

    findings = verifying.verify(segments, [head]).findings

    assert [(one.kind, one.segment, one.chain) for one in findings] == [
        (Kind.SWAPPED, segments[at][0], OTHER)
    ]


@pytest.mark.promise("T5")
def test_a_file_that_stands_in_another_s_place_a_second_time_is_found() -> None:
    three, head = blocks(2, 2, 2)

    findings = verifying.verify([("a.2", three[2]), ("a.1", three[1]), ("a", three[2])],
                                [head]).findings  # fmt: skip

    assert Kind.REORDERED in kinds(findings)
    assert Kind.GAP in kinds(findings)


def test_what_retention_took_away_is_no_gap() -> None:
    """docs/reference/audit.md: the newest head says from which block on everything is kept."""
    three, head = blocks(2, 2, 2)
    kept = b"".join(three[1:])

    assert found(kept, replace(head, first=2)) == ()
    assert kinds(found(kept, head)) == [Kind.GAP]
    assert kinds(found(three[2], replace(head, first=2))) == [Kind.GAP]
    assert found(kept) == ()


def test_a_head_that_was_kept_elsewhere_is_held_against_what_it_names() -> None:
    """`mesh7 audit verify --head`: an older one, from another place."""
    stored = Stored()
    stored.add()
    early = stored.head
    stored.add()
    forged = Stored()
    forged.add(word="forged")
    forged.add()

    assert found(stored.content, early) == ()
    assert kinds(found(forged.content, early)) == [Kind.EDITED]


def test_whoever_reads_on_says_where_the_chain_stood() -> None:
    three, head = blocks(2, 2, 2)
    stored = Stored()
    stored.add(2)
    start = {NAME: stored.head}

    def after(*segments: bytes) -> list[Kind]:
        named = [(str(at), one) for at, one in enumerate(segments)]
        return kinds(verifying.verify(named, [], start).findings)

    assert after(three[1], three[2]) == []
    assert after(three[2]) == [Kind.GAP]
    assert kinds(verifying.verify([], [head], start).findings) == [Kind.CUT]


@pytest.mark.promise("T5")
def test_a_line_that_somebody_added_is_found_and_the_rest_is_believed() -> None:
    added = BLOCKS[0] + b'{"time":"now","tool":"s.never"}\n' + BLOCKS[1] + b"and this\n"

    findings = found(added)

    assert [(one.kind, one.line) for one in findings] == [(Kind.FOREIGN, 5), (Kind.FOREIGN, 71)]


def test_two_writers_of_one_chain_are_found() -> None:
    """Two programs that both went on from the same block."""
    stored = Stored()
    first = stored.add()
    one, two = (Stored(chain.Chain(stored.head)) for _ in range(2))
    parts = [one.add(word="one"), two.add(word="two"), two.add(word="two"), one.add(word="one")]

    (finding,) = found(first + b"".join(parts))

    assert (finding.kind, finding.block, finding.line) == (Kind.SECOND_WRITER, 2, 12)


def test_two_writers_with_chains_of_their_own_in_one_file_are_found() -> None:
    ours, others = blocks(2, 2)[0], blocks(2, name=OTHER)[0]

    (finding,) = found(ours[0] + others[0] + ours[1])

    assert (finding.kind, finding.chain, finding.line) == (Kind.SECOND_WRITER, NAME, 9)


def test_chains_that_take_turns_as_segments_are_several_pods() -> None:
    """The entries of a stream: one chain a container."""
    ours, others = blocks(2, 2)[0], blocks(2, 2, name=OTHER)[0]
    segments = [("1", ours[0]), ("2", others[0]), ("3", ours[1]), ("4", others[1])]

    assert verifying.verify(segments).findings == ()


@pytest.mark.parametrize(
    "tool",
    [
        '{"seal":{"chain":"abcdefghijkl","block":1',
        '\n{"seal":{"chain":"',
        BLOCKS[0].decode(),
        '","torn":{"records":0}',
        '{"id":"abcdefghijkl-1","torn":{"records":0,"bytes":3}}',
        "\u2028\u0085\x0b",
    ],
)
def test_a_tool_cannot_be_named_like_a_seal(tool: str) -> None:
    """Records begin with `{"id":"` and have no newline, whatever the agent wrote into them."""
    line = json.dumps({"tool": tool, "seal": {"chain": tool}, "torn": {}}, ensure_ascii=False)
    stored = Stored()
    sealed = stored.writer.seal([line.encode()] * 2, TIME)
    stored.writer.keep(sealed)

    verified = verifying.verify([("audit.jsonl", sealed.content)], [stored.head])

    assert (verified.records, verified.blocks, verified.findings) == (2, 1, ())


@settings(max_examples=300)
@given(st.integers(1, len(BLOCKS[0]) - 1), st.integers(0, 400))
def test_a_crash_in_the_middle_of_a_write_is_covered_by_the_next_start(
    first: int, second: int
) -> None:
    """A SIGKILL, and another one in the middle of the next start's first block."""
    stored = BLOCKS[0] + BLOCKS[1]
    again = chain.continued(stored + BLOCKS[2][:first])
    assert again is not None
    stored += BLOCKS[2][:first]
    part = again.seal(lines(2), TIME).content
    if second < len(part):
        stored += part[:second]
        again = chain.continued(stored)
        assert again is not None
        part = again.seal(lines(2), TIME).content
    sealed = again.seal(lines(2), TIME)
    again.keep(sealed)
    stored += part

    verified = verifying.verify([("audit.jsonl", stored)], [again.head])

    assert verified.is_intact
    assert len(verified.findings) <= 1
    assert verified.chains[0].end == again.head


def test_what_a_crash_left_at_the_end_is_torn_and_nothing_worse() -> None:
    """Nobody has started again yet."""
    for end in range(1, len(BLOCKS[0])):
        assert kinds(found(BLOCKS[0][:end])) in ([Kind.TORN], [Kind.FOREIGN]), end
        assert kinds(found(BLOCKS[0] + BLOCKS[1][:end])) == [Kind.TORN]


def test_a_write_that_failed_half_way_is_told_and_covered() -> None:
    """A full disk, or a reader of stdout that left: what is there cannot be taken back."""
    writer = chain.new(NAME)
    sealed = writer.seal(lines(70), TIME)
    end = sealed.content.index(b'-67"')

    stored = writer.keep_part(sealed, end)

    assert stored == 66
    assert writer.head == sealed.blocks[0]
    rest = writer.seal(lines(1), TIME)
    assert rest.left == sealed.content[sealed.ends[0] : end]
    writer.keep(rest)
    content = sealed.content[:end] + rest.content
    assert kinds(found(content, writer.head)) == [Kind.TORN]
    assert writer.head.total == 68


def test_a_clock_that_goes_back_changes_nothing() -> None:
    """Order is by number, never by time."""
    writer = chain.new(NAME)
    content = b""
    for time in (TIME, "2020-01-01T00:00:00.000000Z", TIME):
        sealed = writer.seal(lines(1), time)
        writer.keep(sealed)
        content += sealed.content

    assert found(content, writer.head) == ()


@given(st.binary(max_size=300), st.integers(0, 3))
def test_reading_is_total(noise: bytes, at: int) -> None:
    """Whatever lies there is read to its end."""
    parts = [*BLOCKS[:at], noise, *BLOCKS[at:]]

    verifying.verify([("a", noise), ("b", b"".join(parts))], [heads.begun(OTHER), HEAD])


def test_a_forged_seal_that_counts_to_the_moon_costs_nothing() -> None:
    """Whoever may append to a stream writes seals at will; they are read by the controller."""
    seal = BLOCKS[0].splitlines(keepends=True)[-1]
    forged = seal.replace(b'"records":3,"total":3', b'"records":%d,"total":%d' % (10**15, 10**15))

    assert Kind.EDITED in kinds(found(forged, HEAD))


def test_blocks_that_leap_to_and_fro_are_read_in_bounded_time() -> None:
    """Each leap is a gap, or comes too late; there are only so many findings of one reading."""
    one = BLOCKS[2].splitlines(keepends=True)
    forged = b"".join(
        one[0] + one[1].replace(b'"block":3,', b'"block":%d,' % number)
        for at in range(1, 8_000)
        for number in (3 * at + 10, at)
    )

    assert len(found(forged)) == MOST


UNSEALED = b"".join(line + b"\n" for line in lines(3, "before"))


def stripped(content: bytes) -> bytes:
    """As somebody makes it who takes away seals and ids, so that it looks as if of before them."""
    records = [line for line in content.splitlines(keepends=True) if b'"seal"' not in line]
    return b"".join(b"{" + line.partition(b",")[2] for line in records)


@pytest.mark.parametrize("older", [UNSEALED, UNSEALED[:-20], UNSEALED[:-1]])
@pytest.mark.parametrize("signed", [(), (HEAD,)])
def test_files_of_before_seals_are_told_and_no_attack(
    older: bytes, signed: tuple[heads.Head, ...]
) -> None:
    """An upgrade: as long as they were kept, every verification cried attack."""
    files = [("audit.jsonl.2", older), ("audit.jsonl.1", UNSEALED), ("audit.jsonl", WHOLE)]
    verified = verifying.verify(files, signed)

    assert [(one.kind, one.segment) for one in verified.findings] == [
        (Kind.UNSEALED, "audit.jsonl.2"),
        (Kind.UNSEALED, "audit.jsonl.1"),
    ]
    assert verified.is_intact


@pytest.mark.promise("W10")
@pytest.mark.parametrize("count", [1, 2, 4])
def test_seals_taken_away_do_not_make_files_of_before_seals(count: int) -> None:
    """Whoever edits records and takes their seals away cuts the chain, which its head shows."""
    laundered = [(f"audit.jsonl.{n}", stripped(one)) for n, one in enumerate(BLOCKS[:count])]
    sealed = [(f"audit.jsonl.{n}", one) for n, one in enumerate(BLOCKS[count:], count)]
    verified = verifying.verify([*laundered, *sealed], [HEAD])

    assert {one.kind for one in verified.findings} == {
        Kind.FOREIGN, Kind.GAP if sealed else Kind.CUT,
    }  # fmt: skip
    assert not verified.is_intact
    without_heads = verifying.verify([*laundered, *sealed])
    assert {one.kind for one in without_heads.findings} == {Kind.FOREIGN}


@pytest.mark.promise("W10")
def test_what_is_put_in_front_of_older_blocks_that_went_is_foreign() -> None:
    """The files of before seals go first, so there are none when the first block is gone."""
    head = replace(HEAD, first=2)
    rest = b"".join(BLOCKS[1:])
    assert kinds(verifying.verify([("a", UNSEALED), ("b", rest)], [head]).findings) == [
        Kind.FOREIGN
    ]
    assert kinds(verifying.verify([("a", UNSEALED), ("b", WHOLE)], [head]).findings) == [
        Kind.FOREIGN
    ]


@pytest.mark.promise("W10")
def test_unsealed_lines_behind_sealed_ones_or_among_others_are_foreign() -> None:
    after = verifying.verify([("a", WHOLE), ("b", UNSEALED)], [HEAD]).findings
    assert kinds(after) == [Kind.FOREIGN] * 3
    assert Kind.FOREIGN in kinds(found(UNSEALED + WHOLE, HEAD))
    mixed = UNSEALED + b'{"decision":"Allow"}\n'
    assert Kind.FOREIGN in kinds(verifying.verify([("a", mixed), ("b", WHOLE)], [HEAD]).findings)
