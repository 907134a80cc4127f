"""What can go wrong between a person and the API server, each with what to do about it."""

from mesh7_core import errors


class KubectlError(errors.ClusterError):
    """The program `kubectl` is missing, too old, silent, or said something that we do not know."""


class UnreachableError(errors.ClusterError):
    """No API server answered."""


class UnknownPersonError(errors.ClusterError):
    """The API server does not know who asks."""


class ForbiddenError(errors.ClusterError):
    """The API server knows who asks, and this person may not.

    Attributes:
        who: as the API server calls them; empty when it does not say.
        verb: such as `list`; empty when it does not say.
        resource: such as `pods` or `agentpolicies.mesh7.dev`; empty when it does not say.
        namespace: empty for what is in none.
    """

    def __init__(
        self,
        message: str,
        *,
        who: str = "",
        verb: str = "",
        resource: str = "",
        namespace: str = "",
    ) -> None:
        super().__init__(message)
        self.who = who
        self.verb = verb
        self.resource = resource
        self.namespace = namespace


class NotThereError(errors.ClusterError):
    """There is no object of that name."""


class NoSuchKindError(errors.ClusterError):
    """The API server serves no such kind."""
