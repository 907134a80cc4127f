"""What the verbs of people need of whoever knows the held calls: a gateway, or a cluster.

`control` is the gateway of a laptop, `cluster.approvals` a cluster by kubectl. Both answer in the
objects of docs/reference/control-api.md; what a cluster knows beyond them are further keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

Object = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """How a program speaks of itself.

    Attributes:
        program: as people type it.
        complaint: what stands before a complaint on stderr.
        where: what a command needs beside the name to mean the same; empty, or with a space first.
        request_kind, grant_kind: what stands before a name with `-o name`.
        revoke_needs: the right that ending a grant takes; empty, or with a space first.
        place: where is looked, for who finds nothing there; likewise.
    """

    program: str
    complaint: str
    where: str = ""
    request_kind: str = ""
    grant_kind: str = ""
    revoke_needs: str = ""
    place: str = ""

    def ending(self, *names: str) -> str:
        """What ends grants, or takes answers back: the command to copy, and who may."""
        return f"`{self.command('revoke', *names)}`{self.revoke_needs}"

    def command(self, *words: str) -> str:
        """A command to copy; a name may be `<namespace>/<name>`."""
        *before, last = words
        namespace, slash, name = last.rpartition("/")
        if not slash:
            return f"{' '.join((self.program, *words))}{self.where}"
        return f"{' '.join((self.program, *before, name))} -n {namespace}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """The one request that a person saw: a name may be that of another a moment later.

    Attributes:
        uid: of its object; empty = of any.
        digest: of its call; empty = of any.
    """

    uid: str = ""
    digest: str = ""


ANY: Final = Pin()


class Deciding(Protocol):
    """Whoever knows a held call, as far as people decide about it.

    Each raises a Mesh7Error when it is not done: `RefusedError` (not for this person, or not any
    more), `UnknownError` (there is none by this whole name; near ones are named), and what its
    home has of its own.
    """

    @property
    def voice(self) -> Voice:
        """How the program speaks that people started."""

    def request(self, identifier: str) -> Object:
        """One request."""

    def decide(
        self, verb: str, identifier: str, reason: str, *, unseen: bool = False, pin: Pin = ANY
    ) -> Object:
        """Say `approve` or `deny` to one request; the request after it.

        Args:
            unseen: whether the person decides without having seen all that is forwarded.
            pin: what they saw; a request that is another one now is refused.

        Returns:
            With `isHandedIn` when nobody has said yet what becomes of it; with `notes` to tell.
        """


class Backend(Deciding, Protocol):
    """Whoever knows the held calls, for all verbs; it complains as `Deciding` does."""

    def requests(self, state: str) -> list[Object]:
        """The requests that are `open`, or `all` that are remembered; oldest first."""

    def hint(self) -> str:
        """Why nothing may wait where it was looked; empty when there is nothing to say."""

    def grants(self) -> list[Object]:
        """All standing grants and vetoes."""

    def grant(self, wish: Mapping[str, object]) -> Object:
        """Make a standing grant; what it became.

        Args:
            wish: `tool`, `forSeconds`, `reason`; `uses`, `when`, `agent`, `policy` or None.
        """

    def kill(self, agent: str | None, reason: str) -> Object:
        """Refuse every call of `agent`, None = of everybody; the veto that does it."""

    def revoke(self, name: str) -> Object:
        """End one standing grant or veto; what it was."""
