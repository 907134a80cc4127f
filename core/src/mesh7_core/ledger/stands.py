"""Standing grants and vetoes that people made by hand: by name, bounded in number."""

from mesh7_core.ledger.asked import Refused
from mesh7_core.ledger.protocol import MOST_STANDING, Standing, Unknown


def unreadable(name: str) -> Standing:
    """What is handed on of one that cannot be read: it may be a veto, so it may not be left out."""
    return Standing(name=name, document="", made_at_ms=0, by="")


class Stands:
    """All of one namespace."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[str, Standing] = {}

    def listed(self) -> tuple[Standing, ...]:
        """All, by name."""
        return tuple(self._by_name[name] for name in sorted(self._by_name))

    def find(self, name: str) -> Standing | Unknown:
        """One, by its whole name."""
        return self._by_name.get(name) or Unknown()

    def plan(self, name: str, document: str, by: str, now_ms: int) -> Standing | Refused:
        """What would stand, or why not; changes nothing."""
        if name in self._by_name:
            return Refused(f"there is a grant `{name}` already; revoke it first")
        if len(self._by_name) >= MOST_STANDING:
            return Refused(f"there are {MOST_STANDING} standing grants already; revoke some first")
        return Standing(name=name, document=document, made_at_ms=now_ms, by=by)

    def put(self, standing: Standing) -> None:
        """Take one."""
        self._by_name[standing.name] = standing

    def fall(self, name: str) -> Standing | Unknown:
        """Remove one; what it was."""
        return self._by_name.pop(name, None) or Unknown()
