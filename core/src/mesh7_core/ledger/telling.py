"""Who wants to be told of changes."""

from collections.abc import Callable

from mesh7_core.ledger.protocol import Changed


class Listeners:
    """Callbacks, told in the order in which they came."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: dict[object, Callable[[Changed], None]] = {}

    def add(self, told: Callable[[Changed], None]) -> Callable[[], None]:
        """Tell this one too, until what is answered is called."""
        token = object()
        self._told[token] = told

        def end() -> None:
            self._told.pop(token, None)

        return end

    def tell(self, changed: Changed) -> None:
        """Tell everybody; who comes or goes meanwhile changes nothing about this time."""
        for told in tuple(self._told.values()):
            told(changed)
