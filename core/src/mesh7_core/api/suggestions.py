"""'Did you mean': the nearest of the known words. Pure: no clock, no network, no logging."""

import difflib
import itertools
from collections.abc import Collection
from typing import Final

MOST_LOOKED_AT: Final = 500
"""Known words that are held against a word: each takes up to a tenth of a millisecond."""
_LONGEST: Final = 100
_NEAR = 0.7
_SYNONYMS = {"condition": "when", "conditions": "when", "if": "when", "effect": "action"}
"""Words of other policy languages."""

_MOST_LISTED = 12


def nearest(word: str, known: Collection[str]) -> str | None:
    """The known word that was probably meant; case and underscores weigh nothing."""
    synonym = _SYNONYMS.get(word)
    if synonym in known:
        return synonym
    looked_at = itertools.islice(known, MOST_LOOKED_AT)
    folded = {_fold(candidate)[:_LONGEST]: candidate for candidate in looked_at}
    found = difflib.get_close_matches(_fold(word)[:_LONGEST], list(folded), n=1, cutoff=_NEAR)
    return folded[found[0]] if found else None


def advice(word: str, known: Collection[str]) -> str:
    """`did you mean …?`, or what is known when nothing is near."""
    near = nearest(word, known)
    if near is not None:
        return f"did you mean `{near}`?"
    if not known:
        return "there is none that could be named"
    listed = ", ".join(f"`{candidate}`" for candidate in sorted(known)[:_MOST_LISTED])
    more = ", …" if len(known) > _MOST_LISTED else ""
    return f"known here: {listed}{more}"


def _fold(word: str) -> str:
    return word.casefold().replace("_", "").replace("-", "")
