"""What is said of a Redis that does not do what we ask (docs/administrator/redis.md)."""

import hiredis
import pytest

from mesh7_core.ledger import redis_troubles
from tests.architecture.tree import ROOT
from tests.core.ledger.redis_parts import SECRET

PAGE = (ROOT / "docs" / "administrator" / "redis.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "reply",
    [
        "WRONGPASS invalid username-password pair or user is disabled.",
        "NOAUTH Authentication required.",
        "NOPERM User gateway has no permissions to run the 'fcall' command",
        "READONLY You can't write against a read only replica.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Redis is configured to save RDB snapshots, but it's unable to persist to disk.",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "M7UNREADABLE a key holds what this library did not write",
        "ERR Function not found",
        "ERR unknown command 'FUNCTION', with args beginning with: 'LIST'",
        "NOPROTO unsupported protocol version",
    ],
)
def test_what_it_says_is_on_the_page_for_administrators(reply: str) -> None:
    said = redis_troubles.of_error(hiredis.ReplyError(reply))
    what = said.partition(";")[0].partition(",")[0]
    assert f"\n| {what}" in PAGE


def test_an_error_that_we_do_not_know_is_named_by_its_code_alone() -> None:
    """Values never reach a log: an error can quote the command."""
    said = redis_troubles.of_error(hiredis.ReplyError(f"ODD value `{SECRET}` is odd"))
    assert said == "it answered an error (`ODD`); look into its log"
