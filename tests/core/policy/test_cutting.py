"""What of a call's arguments an expression is given, and which spellings are refused."""

from mesh7_core.policy import cutting, named


def part() -> named.Part:
    """Of an expression that names `amount`."""
    found = named.Part()
    found.field("amount")
    return found


def test_a_key_seen_beside_harmless_ones_is_still_another_spelling() -> None:
    """X1: what was learned of earlier calls excuses nothing of later ones."""
    wanted = part()
    assert not cutting.has_folded_twin(wanted, {"amount": 1, "currency": "EUR"})
    assert not cutting.has_folded_twin(wanted, {"currency": "EUR"})
    assert cutting.has_folded_twin(wanted, {"currency": "EUR", "Amount": 1})
    assert cutting.has_folded_twin(wanted, {"Amount": 1})
    assert cutting.has_folded_twin(wanted, {"amount": 1, "Amount": 1})


def test_two_named_keys_that_fold_alike_are_refused_together_however_often_they_come() -> None:
    """No upstream reads both; alone, each is what it says."""
    wanted = part()
    wanted.field("AMOUNT")
    for _ in range(2):
        assert not cutting.has_folded_twin(wanted, {"amount": 1})
        assert not cutting.has_folded_twin(wanted, {"AMOUNT": 1})
        assert cutting.has_folded_twin(wanted, {"amount": 1, "AMOUNT": 1})


def test_an_agent_that_makes_up_keys_fills_no_memory() -> None:
    """However many and however long they are."""
    wanted = part()
    for number in range(10_000):
        assert not cutting.has_folded_twin(wanted, {"amount": 1, f"key-{number}": 1})
        assert not cutting.has_folded_twin(wanted, {f"{number:0200}": 1})
    assert len(wanted.harmless) <= cutting.MOST_LEARNED
    assert all(len(key) <= cutting.LONGEST_LEARNED for key in wanted.harmless)
