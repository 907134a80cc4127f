"""Without a store everything is lost, and says why."""

from mesh7_core.ledger.absent import AbsentLedger
from mesh7_core.ledger.protocol import LOST, Caps, Changed, Seen
from tests.core.ledger.contract import asked, observed, plain, request, vote, window


async def test_without_a_store_everything_is_lost_and_says_why() -> None:
    absent = AbsentLedger("no store is configured")
    assert (await observed(absent, plain(window()))).seen is Seen.LOST
    assert (await observed(absent, asked(window()))).seen is Seen.LOST
    assert await absent.open(request(), Caps()) is LOST
    assert await absent.vote(request().id, vote()) is LOST
    assert await absent.claim(request().id, "sha256:a", ()) is LOST
    assert await absent.finish(request().id, "ok") is LOST
    assert await absent.withdraw(request().id) is LOST
    assert await absent.give_back("sha256:a", ()) is LOST
    assert await absent.requests() is LOST
    assert await absent.request(request().id) is LOST
    assert await absent.used(["grant"]) is LOST
    assert await absent.standing() is LOST
    assert await absent.stand("veto", "{}", "lea") is LOST
    assert await absent.fall("veto") is LOST
    assert await absent.now_ms() is LOST
    assert absent.trouble() == "no store is configured"


async def test_nobody_is_told_of_changes_in_no_store() -> None:
    changes = list[Changed]()
    end = AbsentLedger().subscribe(changes.append)
    end()
    assert changes == []
