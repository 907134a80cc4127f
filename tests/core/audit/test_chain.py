"""Chains: what they are called."""

from mesh7_core.audit import chain


def test_a_fresh_chains_name_spells_sixty_random_bits() -> None:
    """docs/reference/audit.md: 12 characters of lower-case base32, the same for every writer."""
    assert chain.fresh_name(lambda many: bytes(range(many))) == "aaaqeayeauda"
    assert chain.fresh_name(lambda many: b"\xff" * many) == "777777777777"


def test_a_single_bit_makes_another_name() -> None:
    zeros, one = chain.fresh_name(bytes), chain.fresh_name(lambda many: b"\x80" + bytes(many - 1))
    assert (zeros, one) == ("aaaaaaaaaaaa", "qaaaaaaaaaaa")
