"""How clusters end: by their owner, by hand, or by whoever comes after an owner that was killed."""

from pathlib import Path

from e2e.cluster import homes, processes, rooms


def end(home: Path) -> None:
    """End a cluster of which nothing is known but its folder, and leave nothing behind.

    By SIGKILL: its data go too, so there is nothing to put in order. The youngest goes first, so
    that nobody fills a log with the loss of the others.
    """
    with homes.ending(home) as is_ours:
        if not is_ours:
            return
        for process in reversed(processes.recorded(home)):
            processes.kill(home, process)
        rooms.remove(home)
        homes.remove(home)


def sweep() -> None:
    """End the clusters whose owners were killed before they could."""
    for home in homes.orphans():
        end(home)


def end_all() -> None:
    """End every cluster of this user, running or not."""
    for name in homes.names():
        end(homes.home_of(name))
