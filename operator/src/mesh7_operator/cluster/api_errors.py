"""What the API server says when it does not do what was asked; each with a word for metrics."""

from collections.abc import Mapping
from typing import Final

from mesh7_core import errors

_NOT_APPLIED: Final = "the server rejected our request due to an error in our request"
_TOO_MANY: Final = 429


class ApiError(errors.ClusterError):
    """The API server said no, or nothing.

    Attributes:
        word: a bounded label for metrics.
    """

    word = "other"


class NotFound(ApiError):  # noqa: N818 - says what it is
    """There is no such object, or no such kind."""

    word = "not-found"


class Conflict(ApiError):  # noqa: N818
    """Somebody else was faster: it exists, or is another by now."""

    word = "conflict"


class Forbidden(ApiError):  # noqa: N818
    """RBAC or admission refuses."""

    word = "forbidden"


class Gone(ApiError):  # noqa: N818
    """The list went on for too long; begin anew."""

    word = "gone"


class Invalid(ApiError):  # noqa: N818
    """The object as sent cannot be; or a test of a JSON patch failed."""

    word = "invalid"

    @property
    def is_failed_test(self) -> bool:
        """Whether nothing was wrong but the object's being another one than was thought.

        API servers say this of any JSON patch that cannot be applied, and nothing more of it.
        """
        return self.message.endswith(_NOT_APPLIED)


class TooLate(ApiError):  # noqa: N818
    """We may not ask any more; what was sent already may have been done."""

    word = "too-late"


class Unavailable(ApiError):  # noqa: N818
    """Not reached, overloaded or failing; perhaps it did what was asked."""

    word = "unavailable"


BY_STATUS: Final[Mapping[int, type[ApiError]]] = {
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    _TOO_MANY: Unavailable,
}
"""Other statuses are `Unavailable` from 500 on, and `ApiError` below."""
