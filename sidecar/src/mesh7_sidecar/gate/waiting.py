"""One caller that waits while people are asked: what its door sees of that.

Pure: no clock, no network, no logging.
"""

from collections.abc import Callable


class Wait:
    """Somebody waits for people; a door may show it, and says when its caller is gone.

    Attributes:
        hold_s: how long the answer may take, counted from the start of the wait.
        request_id: of the request that people see; empty until it is open.
    """

    __slots__ = ("_left", "hold_s", "request_id")

    def __init__(self, hold_s: float, left: Callable[[], None]) -> None:
        self.hold_s = hold_s
        self.request_id = ""
        self._left = left

    def leave(self) -> None:
        """The caller is gone: its `answer` is not called, nothing runs for it, the request stays.

        After the answer it does nothing.
        """
        self._left()


def unseen(_: Wait) -> None:
    """For doors that show nothing while they wait."""
