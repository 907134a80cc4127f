"""Grants and vetoes of people: listed, made, revoked; and the kill, a veto of everything.

What is answered with 201 is in force in this gateway. A kill is so even while the ledger takes
nothing: then it holds here alone, and the answer's `note` says until when.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from mesh7_core.audit.deeds import Act
from mesh7_core.compiling import drafting, grants
from mesh7_core.ledger import protocol
from mesh7_core.policy import bundle
from mesh7_sidecar.doors import people_grants_shown as rows
from mesh7_sidecar.doors.people_answers import Answer, Ground, deed, lost, refused, unsure
from mesh7_sidecar.gate import observing
from mesh7_sidecar.people import agents, shown
from mesh7_sidecar.people.hurdles import Person
from mesh7_sidecar.people.wishes import GrantWish, KillWish, Wrong


class Grants:
    """Over one ledger and the bundle in force."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def list(self) -> Answer:
        """Those made by hand, then those of files, each by name."""
        ground = self._ground
        if not await ground.standing.refresh():
            return lost(ground.ledger)
        by_hand = [rows.by_hand(one, self._namespace) for one in ground.standing.known()]
        known = {one["id"] for one in by_hand}
        in_force = ground.bundle()
        compiled = in_force.grants if in_force is not None else ()
        files = sorted((one for one in compiled if one.id not in known), key=lambda one: one.id)
        found = await self._with_uses([*by_hand, *(rows.of_file(one) for one in files)])
        return Answer(200, shown.rendered({"grants": found}))

    async def make(self, wish: GrantWish, person: Person) -> Answer:
        """Grant what is wished for, within what the rule lets itself be relaxed by."""
        ground, in_force = self._ground, self._ground.bundle()
        if in_force is None:
            return refused(409, "there is no policy in force yet, so nothing can be granted")
        agent = self._named(wish.agent or ground.agent)
        if isinstance(agent, Wrong):
            return refused(422, agent.why)
        now = await self._now()
        if now is None:
            return lost(ground.ledger)
        drafted = self._drafted(wish, agent, in_force, now)
        if isinstance(drafted, drafting.Undrafted):
            return refused(422, drafted.why)
        document, name = json.dumps(drafted), _name(drafted)
        compiled = grants.compile_standing(document, in_force)
        if not isinstance(compiled, bundle.Grant):
            return refused(422, "; ".join(compiled))
        kept = await ground.standing.stand(name, document, person.account.name)
        if isinstance(kept, protocol.Lost):
            return unsure(ground.ledger)
        if isinstance(kept, protocol.Refused):
            return refused(409, kept.why)
        made = deed(ground, person, Act.GRANT, grant=name, tool=wish.tool, reason=wish.reason)
        await ground.note(made)
        return await self._stood(kept, self._note_on(agent))

    async def kill(self, wish: KillWish, person: Person) -> Answer:
        """Refuse everything from the next call on, until somebody revokes it."""
        ground = self._ground
        agent = self._named(wish.agent) if wish.agent is not None else None
        if isinstance(agent, Wrong):
            return refused(422, agent.why)
        # By our own clock if need be: it is a label here, and nothing may keep a kill waiting.
        manifest = drafting.veto(
            agent,
            wish.reason,
            namespace=self._namespace,
            suffix=ground.new_suffix(),
            now=ground.clock.now(),
        )
        veto = protocol.Standing(
            name=_name(manifest),
            document=json.dumps(manifest),
            made_at_ms=ground.clock.wall_ns() // 1_000_000,
            by=person.account.name,
        )
        kept = await ground.standing.veto(veto)
        is_waiting = ground.standing.is_waiting(veto.name)
        if isinstance(kept, protocol.Refused) and not is_waiting:
            return refused(409, kept.why)
        done = deed(
            ground, person, Act.KILL, grant=veto.name, agent=agent or "", reason=wish.reason
        )
        await ground.note(done)
        notes = [self._note_on(agent) if agent is not None else ""]
        if is_waiting:
            notes.append(self._note_unstored(kept))
        standing = kept if isinstance(kept, protocol.Standing) else veto
        return await self._stood(standing, "; ".join(each for each in notes if each))

    async def revoke(self, name: str, person: Person) -> Answer:
        """Take away what was made by hand, by its whole name."""
        ground = self._ground
        fallen = await ground.standing.fall(name)
        if isinstance(fallen, protocol.Lost):
            return unsure(ground.ledger)
        if isinstance(fallen, protocol.Unknown):
            return self._not_by_hand(name)
        gone = rows.by_hand(fallen, self._namespace)
        await ground.note(deed(ground, person, Act.REVOKE, grant=name))
        return Answer(200, shown.rendered(gone))

    def _not_by_hand(self, name: str) -> Answer:
        in_force = self._ground.bundle()
        for grant in in_force.grants if in_force is not None else ():
            if grant.id == f"{self._namespace}/{name}":
                return refused(
                    409, f"grant `{name}` is written in a file of the folder – remove it there"
                )
        return refused(404, f"there is no grant `{name}` – `mesh7 grants` lists them")

    def _drafted(
        self, wish: GrantWish, agent: str, in_force: bundle.Bundle, now: datetime
    ) -> drafting.Manifest | drafting.Undrafted:
        return drafting.draft(
            drafting.Wish(
                tool=wish.tool,
                service_account=agent,
                lasts=timedelta(seconds=wish.seconds),
                reason=wish.reason,
                uses=wish.uses,
                when=wish.when,
                policy=wish.policy,
            ),
            in_force.policies,
            namespace=in_force.namespace,
            suffix=self._ground.new_suffix(),
            now=now,
        )

    async def _stood(self, kept: protocol.Standing, note: str) -> Answer:
        """201 when calls are judged by it here."""
        ground = self._ground
        if not ground.standing.is_in_force(kept.name):
            trouble = ground.ledger.trouble() or "its answer cannot be read"
            return refused(
                503,
                f"`{kept.name}` is stored, but this gateway is not yet judging by it ({trouble}) – "
                f"mend that, then look with `mesh7 grants`; `mesh7 revoke {kept.name}` takes it "
                "back",
            )
        (made,) = await self._with_uses([rows.by_hand(kept, self._namespace)])
        return Answer(201, shown.rendered(made | {"note": note} if note else made))

    def _named(self, agent: str) -> str | Wrong:
        return agents.service_account(agent, self._namespace, self._ground.may_know)

    def _note_on(self, agent: str) -> str:
        if self._ground.may_know(agent):
            return ""
        return (
            f"no agent `{agent}` has called this gateway so far – is it spelled as `mesh7 "
            "requests` shows agents?"
        )

    def _note_unstored(self, kept: protocol.Standing | protocol.Refused | protocol.Lost) -> str:
        ledger = self._ground.ledger
        why = kept.why if isinstance(kept, protocol.Refused) else ledger.trouble()
        return (
            f"it is in force in this gateway alone and ends when it stops, because it cannot be "
            f"stored ({why or 'the ledger does not answer'}); that is tried again each second"
        )

    async def _with_uses(self, found: Sequence[rows.Shown]) -> Sequence[rows.Shown]:
        """The same with how often each was used; null where the ledger cannot say."""
        in_force = self._ground.bundle()
        compiled = (
            *(in_force.grants if in_force is not None else ()),
            *self._ground.standing.in_force(),
        )
        keys = {one.id: observing.use_key(one) for one in compiled}
        used = await self._ground.ledger.used([keys.get(str(one["id"]), "") for one in found])
        if not isinstance(used, protocol.Lost):
            for one, times in zip(found, used, strict=True):
                one["used"] = times
        return found

    async def _now(self) -> datetime | None:
        now_ms = await self._ground.ledger.now_ms()
        if isinstance(now_ms, protocol.Lost):
            return None
        return datetime.fromtimestamp(now_ms / 1000, UTC)

    @property
    def _namespace(self) -> str:
        in_force = self._ground.bundle()
        return in_force.namespace if in_force is not None else "default"


def _name(manifest: Mapping[str, object]) -> str:
    metadata = manifest["metadata"]
    return str(metadata["name"]) if isinstance(metadata, Mapping) else ""
