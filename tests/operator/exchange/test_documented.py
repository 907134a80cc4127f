"""The page about the exchange's API, held against the code."""

import re

from mesh7_operator.exchange import service
from mesh7_operator.exchange.tokens import Refusal
from tests.architecture import tree

PAGE = (tree.ROOT / "docs/reference/exchange-api.md").read_text()


def test_every_reason_is_explained_with_its_status() -> None:
    rows = re.findall(r"(?m)^\| (\d{3}) \| `([a-z-]+)` \|", PAGE)
    assert {reason: int(status) for status, reason in rows} == {
        "unexpected-body": 400,
        **{refusal.value: service.status_of(refusal) for refusal in Refusal},
    }
