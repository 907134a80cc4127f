"""A cluster as people's verbs want it: ApprovalRequests are read, Grants are made, by kubectl."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mesh7_cli import cards, exits, ids, neutral, plugin_options, reading
from mesh7_cli.approving import answers, handing_in, paths, records
from mesh7_cli.backend import ANY, Object, Pin, Voice
from mesh7_cli.cluster import looking
from mesh7_cli.cluster.errors import NotThereError
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_core import names

PROGRAM: Final = "kubectl mesh7"
CLIENT: Final = "client"
SERVER: Final = "server"
_AGREES: Final = {
    "approve": frozenset({cards.PENDING, "approved", "used", "lapsed"}),
    "deny": frozenset({"denied"}),
}
"""States that a counted answer can have led to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a person wants it done.

    Attributes:
        wait_s: how long to wait for what the controller says; 0 = not at all.
        release: the namespace that mesh7 is installed in.
        has_answers: whether `grants` has answers to held calls among them.
        dry_run: how `revoke` deletes: not at all for `client`, for `server` as far as that checks.
    """

    wait_s: float = plugin_options.WAIT_S
    release: str = names.RELEASE_NAMESPACE
    has_answers: bool = False
    dry_run: str = ""


class Cluster:
    """The held calls of one namespace, or of all, as `backend.Backend` wants them.

    Besides `RefusedError` and `UnknownError` it complains by ClusterError.

    Args:
        namespace: None = all of them; only what lists works then.
        new_suffix: a few random letters, that make a name unique.
    """

    def __init__(
        self,
        kubectl: Kubectl,
        namespace: str | None,
        new_suffix: Callable[[], str],
        manner: Manner | None = None,
    ) -> None:
        self._kubectl = kubectl
        self._namespace = namespace
        self._new_suffix = new_suffix
        self._manner = manner or Manner()

    @property
    def voice(self) -> Voice:
        """Of `kubectl mesh7`."""
        where = "" if self._namespace is None else f" -n {neutral.line(self._namespace)}"
        return Voice(
            program=PROGRAM,
            complaint="error: ",
            where=where,
            request_kind=f"approvalrequest.{names.GROUP}/",
            grant_kind=f"grant.{names.GROUP}/",
            revoke_needs=" (needs `delete` on grants)",
            place=" in any namespace"
            if self._namespace is None
            else f" in namespace `{neutral.line(self._namespace)}` (-A looks into all)",
        )

    def hint(self) -> str:
        """That nobody can ask in this namespace; empty when somebody may, or that is not seen."""
        if self._namespace is None:
            return ""
        seen = looking.look(self._kubectl, looking.get("namespace", self._namespace))
        named = f"namespace `{self._namespace}`"
        if isinstance(seen, looking.Absent):
            return f"there is no {named} – `kubectl get namespaces`"
        labels = reading.one(looking.value(seen), "metadata", "labels")
        if isinstance(seen, looking.Hidden) or names.INJECTION_LABEL in labels:
            return ""
        return (
            f"{named} is not enrolled, no agent is guarded there – `kubectl label namespace "
            f"{self._namespace} {names.INJECTION_LABEL}=enabled`"
        )

    def requests(self, state: str) -> list[Object]:
        """The requests that are `open`, or `all` that are kept; oldest first."""
        found = records.requests(paths.listed(self._kubectl, paths.REQUESTS, self._namespace))
        return [one for one in found if state == "all" or one["state"] in records.OPEN]

    def request(self, identifier: str) -> Object:
        """One request, with what was handed in about it as far as this person may see that."""
        where = self._here
        beside = looking.look_together(
            self._kubectl,
            {
                kind: lambda asked, kind=kind: {"items": paths.listed(asked, kind, where)}  # type: ignore[misc]
                for kind in (paths.REQUESTS, paths.GRANTS)
            },
        )
        return records.request(
            self._value(identifier),
            looking.items(beside[paths.REQUESTS]),
            looking.items(beside[paths.GRANTS]),
            datetime.now(UTC),
        )

    def answers(
        self, verb: str, identifier: str, reason: str, *, unseen: bool = False, pin: Pin = ANY
    ) -> list[Object]:
        """The Grants that say it; nothing is handed in yet.

        Raises:
            RefusedError: the call does not wait any more, was not seen in full, or is another.
        """
        return self._drafted(verb, self._value(identifier), reason, unseen=unseen, pin=pin)

    def decide(
        self, verb: str, identifier: str, reason: str, *, unseen: bool = False, pin: Pin = ANY
    ) -> Object:
        """Hand in a yes or a no, and wait for what the controller makes of it."""
        value = self._value(identifier)
        drafts = self._drafted(verb, value, reason, unseen=unseen, pin=pin)
        deadline_s = time.monotonic() + self._manner.wait_s
        handed = handing_in.hand_in(self._kubectl, drafts)
        if self._manner.wait_s <= 0:
            return _handed_in(value, handed.grants, handed.refusals)
        with handing_in.kept(handed.grants):
            return self._told(verb, value, handed, deadline_s)

    def _told(
        self, verb: str, value: Object, handed: handing_in.HandedIn, deadline_s: float
    ) -> Object:
        """What the controller makes of an answer, as far as it says so in time."""
        said = handing_in.awaited(self._kubectl, handed.grants, deadline_s)
        refused = [str(why) for one in said if (why := records.why_not(one)) is not None]
        notes = (*handed.refusals, *refused)
        if any(map(handing_in.is_accepted, said)):
            return self._settled(verb, value, said, notes, deadline_s)
        if all(map(handing_in.is_answered, said)):
            raise exits.RefusedError(neutral.line("; ".join(notes)))
        return _handed_in(value, said, notes)

    def grants(self) -> list[Object]:
        """Standing grants and vetoes; with `has_answers` those to held calls, too."""
        found = map(records.grant, paths.listed(self._kubectl, paths.GRANTS, self._namespace))
        kept = [one for one in found if self._manner.has_answers or one["request"] is None]
        return sorted(kept, key=lambda one: (str(one["madeAt"]), str(one["id"])))

    def permission(self, wish: Mapping[str, object]) -> tuple[Object, str]:
        """The Grant of a wish, and a note; nothing is handed in yet."""
        from mesh7_cli.approving import permissions  # noqa: PLC0415 - the compiler, 150 ms

        return permissions.permission(
            self._kubectl, self._here, self._manner.release, wish, self._new_suffix
        )

    def grant(self, wish: Mapping[str, object]) -> Object:
        """Make a standing grant; what it became.

        Raises:
            RefusedError: no policy lets itself be relaxed so far, or the controller says so.
        """
        manifest, note = self.permission(wish)
        made = self._standing(manifest)
        notes = "; ".join(filter(None, (note, str(made.get("note", "")))))
        return made | {"note": notes} if notes else made

    def veto(self, agent: str | None, reason: str) -> Object:
        """The Grant that stops an agent, None = everybody; nothing is handed in yet."""
        from mesh7_cli.approving import permissions  # noqa: PLC0415 - the compiler, 150 ms

        return permissions.veto(self._here, agent, reason, self._new_suffix)

    def kill(self, agent: str | None, reason: str) -> Object:
        """Refuse every call of `agent`, None = of everybody in the namespace."""
        made = self._standing(self.veto(agent, reason))
        notes = "; ".join(filter(None, (str(made.get("note", "")), self._unknown(agent))))
        return made | {"note": notes} if notes else made

    def revoke(self, name: str) -> Object:
        """Delete one standing grant or veto, or an answer to a call that waits; what it was.

        Raises:
            RefusedError: it answered a call that is decided: that cannot be taken back.
        """
        was = records.grant(
            self._named(
                "grant", paths.GRANTS, name, lambda: [str(one["name"]) for one in self.grants()]
            )
        )
        if (identifier := was["request"]) is not None:
            self._check_undecided(str(identifier))
        if self._manner.dry_run != CLIENT:
            is_dry = self._manner.dry_run == SERVER
            paths.delete(self._kubectl, paths.GRANTS, self._here, name, is_dry=is_dry)
        return was

    def _check_undecided(self, identifier: str) -> None:
        try:
            value = paths.one(self._kubectl, paths.REQUESTS, self._here, identifier)
        except NotThereError:
            return
        if (wrong := answers.objection("deny", value, unseen=True)) is not None:
            message = f"{wrong.message} – what was decided stays decided"
            raise exits.RefusedError(message)

    def tried(self, manifests: Sequence[Object]) -> handing_in.HandedIn:
        """What the API server would make of them; nothing is stored."""
        return handing_in.hand_in(self._kubectl, manifests, is_dry=True)

    @property
    def _here(self) -> str:
        return self._kubectl.namespace() if self._namespace is None else self._namespace

    def _drafted(
        self, verb: str, value: Object, reason: str, *, unseen: bool, pin: Pin
    ) -> list[Object]:
        if (wrong := answers.mistaken(value, pin)) is not None:
            raise wrong
        if (wrong := answers.objection(verb, value, unseen=unseen)) is not None:
            raise wrong
        return answers.manifests(verb, value, reason, self._new_suffix, unseen=unseen)

    def _value(self, identifier: str) -> Object:
        return self._named(
            "request",
            paths.REQUESTS,
            identifier,
            lambda: [str(one["id"]) for one in self.requests("open")],
        )

    def _named(self, what: str, kind: str, name: str, known: Callable[[], Sequence[str]]) -> Object:
        def ask() -> Object:
            try:
                return paths.one(self._kubectl, kind, self._here, name)
            except NotThereError as error:
                raise exits.UnknownError(error.message) from error

        return ids.found(what, name, ask, known, self.voice.command(f"{what}s"))

    def _settled(
        self,
        verb: str,
        value: Object,
        said: Sequence[Object],
        notes: Sequence[str],
        deadline_s: float,
    ) -> Object:
        """The request after an answer that counts; what became of it may be told a little later."""
        person = reading.text(said[0], "spec", "grantedBy", "username")
        identifier, where = (reading.text(value, "metadata", key) for key in ("name", "namespace"))
        steps = handing_in.pauses()
        while True:
            found = paths.one(self._kubectl, paths.REQUESTS, where, identifier)
            after = records.request(found, grants=said)
            is_told = after["state"] != cards.PENDING or _waits_for_others(after, person)
            left_s = handing_in.left(next(steps), deadline_s)
            if is_told or not left_s:
                break
            time.sleep(left_s)
        if not is_told:
            return _handed_in(found, said, notes)
        if after["state"] not in _AGREES[verb]:
            raise answers.objection(verb, found, unseen=True) or exits.RefusedError(
                f"request `{neutral.line(identifier)}` waits still, the answer was not counted"
            )
        return after | {"notes": list(notes)}

    def _standing(self, manifest: Object) -> Object:
        """Hand in what is to stand, and wait until it does."""
        deadline_s = time.monotonic() + self._manner.wait_s
        (stored,) = handing_in.hand_in(self._kubectl, [manifest]).grants
        is_awaited = self._manner.wait_s > 0
        if is_awaited:
            with handing_in.kept([stored]):
                (stored,) = handing_in.awaited(self._kubectl, [stored], deadline_s)
        made = records.grant(stored)
        if handing_in.is_accepted(stored):
            return made
        if handing_in.is_answered(stored):
            name = neutral.line(str(made["name"]))
            why = neutral.line(str(made["why"]))
            end = self.voice.ending(name)
            raise exits.RefusedError(f"`{name}` is not in force: {why} – {end} takes it away")
        look = self.voice.command("grants")
        note = f"no controller has answered yet – see `{look}`" if is_awaited else ""
        return made | {"isHandedIn": True, "isUnanswered": is_awaited, "note": note}

    def _unknown(self, agent: str | None) -> str:
        """That nobody of that name is here, or nobody can tell; empty when somebody is."""
        if agent is None:
            return ""
        where = self._here
        seen = looking.look(
            self._kubectl, looking.get("serviceaccount", agent, f"--namespace={where}")
        )
        if isinstance(seen, looking.Seen):
            return ""
        named = f"service account `{agent}` in namespace `{where}`"
        told = f"there is no {named}"
        if isinstance(seen, looking.Hidden):
            told = f"that there is a {named} could not be checked, you may not see them"
        return f"{told} – is it spelled as `{self.voice.command('requests')}` shows agents?"


def _waits_for_others(after: Object, person: str) -> bool:
    """Whether the request has counted this person, and it takes more than that."""
    said = [reading.text(one, "name") for one in reading.objects(after, "decisions")]
    return person in said and bool(cards.missing(after))


def _handed_in(value: Object, grants: Sequence[Object], notes: Sequence[str]) -> Object:
    found = records.request(value, grants=grants)
    return found | {"isHandedIn": True, "notes": list(notes)}
