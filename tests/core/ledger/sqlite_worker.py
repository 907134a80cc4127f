"""A process that works on a ledger until it is killed, or whose disk fails; run by test_sqlite."""

import asyncio
import os
import resource
import signal
import sqlite3
import sys
from pathlib import Path

from mesh7_core.errors import SettingsError
from mesh7_core.ledger.protocol import LOST, Caps, Changed
from mesh7_core.ledger.sqlite import SqliteLedger, open_ledger
from tests.core.ledger.contract import observed, opened, plain, request, vote, window
from tests.core.ledger.homes import Clock


def say(word: str) -> None:
    print(word, flush=True)  # noqa: T201 - how it speaks to the test


def is_counted(path: Path) -> bool:
    """Whether the counts are in the file, as another process sees it."""
    connection = sqlite3.connect(path)
    try:
        return bool(connection.execute("SELECT key FROM windows").fetchall())
    finally:
        connection.close()


async def work_until_killed(ledger: SqliteLedger, path: Path) -> None:
    """Each word is said once the coroutine has returned; counts are written soon by themselves."""
    for _ in range(10):
        await observed(ledger, plain(window("p/counted", 10)))
    async with asyncio.timeout(30):
        while not is_counted(path):  # noqa: ASYNC110 - a file gives no event
            await asyncio.sleep(0.005)
    say("counted")
    await opened(ledger, request(1, "sha256:1"))
    await ledger.vote(request(1).id, vote())
    say("approved")
    second = await opened(ledger, request(2, "sha256:2"))
    await ledger.vote(second, vote())
    await ledger.claim(second, "sha256:2", [])
    say("used")
    await ledger.stand("night", "{}", "lea")
    say("stood")
    say("done")
    await asyncio.Event().wait()


async def fail_and_come_back(ledger: SqliteLedger, path: Path, fault: str) -> None:
    back = asyncio.Event()

    def told(changed: Changed) -> None:
        if not changed.request_id:
            back.set()

    ledger.subscribe(told)
    identifier = await opened(ledger, request())
    _break(path, fault)
    answer = await ledger.open(request(2, "sha256:2"), Caps())
    if answer is LOST and ledger.trouble():
        say("lost")
    _mend(path, fault)
    await asyncio.wait_for(back.wait(), 30)
    await ledger.vote(identifier, vote())
    await opened(ledger, request(2, "sha256:2"))
    say("back")


def be_forbidden(path: Path) -> None:
    path.parent.chmod(0o500)
    if os.geteuid() == 0:
        os.setuid(65534)
    try:
        open_ledger(path, Clock())
    except SettingsError as error:
        say(error.message)


def _break(path: Path, fault: str) -> None:
    if fault == "full":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, resource.RLIM_INFINITY))
    else:
        path.rename(path.with_suffix(".kept"))
        path.mkdir()


def _mend(path: Path, fault: str) -> None:
    if fault == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    else:
        path.rmdir()
        path.with_suffix(".kept").rename(path)


async def main() -> None:
    path = Path(sys.argv[1])
    if sys.argv[2:] == ["forbidden"]:
        be_forbidden(path)
        return
    ledger = open_ledger(path, Clock())
    if len(sys.argv) > 2:
        await fail_and_come_back(ledger, path, sys.argv[2])
        await ledger.close()
    else:
        await work_until_killed(ledger, path)


if __name__ == "__main__":
    os.umask(0)
    asyncio.run(main())
