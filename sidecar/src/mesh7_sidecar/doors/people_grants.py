"""Grants and vetoes of people: listed, made, revoked; and the kill, a veto of everything."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from mesh7_core.compiling import drafting, grants
from mesh7_core.ledger import protocol
from mesh7_core.policy import bundle
from mesh7_core.telemetry.deeds import Act
from mesh7_sidecar.doors.people_answers import Answer, Ground, deed, lost, refused
from mesh7_sidecar.people import shown
from mesh7_sidecar.people.hurdles import Person
from mesh7_sidecar.people.wishes import GrantWish, KillWish

_Shown = dict[str, object]


class Grants:
    """Over one ledger and the bundle in force."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def list(self) -> Answer:
        """Those made by hand, then those of files, each by name."""
        ground = self._ground
        standing = await ground.ledger.standing()
        if isinstance(standing, protocol.Lost):
            return lost(ground.ledger)
        by_hand = [_by_hand(one, self._namespace) for one in standing]
        known = {one["id"] for one in by_hand}
        in_force = ground.bundle()
        compiled = in_force.grants if in_force is not None else ()
        files = sorted((one for one in compiled if one.id not in known), key=lambda one: one.id)
        found = await self._with_uses([*by_hand, *(_of_file(one) for one in files)])
        return Answer(200, shown.rendered({"grants": found}))

    async def make(self, wish: GrantWish, person: Person) -> Answer:
        """Grant what is wished for, within what the rule lets itself be relaxed by."""
        ground, in_force = self._ground, self._ground.bundle()
        if in_force is None:
            return refused(409, "there is no policy in force yet, so nothing can be granted")
        now = await self._now()
        if now is None:
            return lost(ground.ledger)
        drafted = drafting.draft(
            drafting.Wish(
                tool=wish.tool,
                service_account=wish.agent or ground.agent,
                lasts=timedelta(seconds=wish.seconds),
                reason=wish.reason,
                uses=wish.uses,
                when=wish.when,
                policy=wish.policy,
            ),
            in_force.policies,
            namespace=in_force.namespace,
            suffix=ground.new_suffix(),
            now=now,
        )
        if isinstance(drafted, drafting.Undrafted):
            return refused(422, drafted.why)
        compiled = grants.compile_standing(json.dumps(drafted), in_force)
        if not isinstance(compiled, bundle.Grant):
            return refused(422, "; ".join(compiled))
        return await self._stand(drafted, Act.GRANT, wish.tool, wish.reason, person)

    async def kill(self, wish: KillWish, person: Person) -> Answer:
        """Refuse everything from the next call on, until somebody revokes it."""
        # By our own clock if need be: it is a label here, and nothing may keep a kill waiting.
        manifest = drafting.veto(
            wish.agent,
            wish.reason,
            namespace=self._namespace,
            suffix=self._ground.new_suffix(),
            now=self._ground.clock.now(),
        )
        return await self._stand(manifest, Act.KILL, "", wish.reason, person, wish.agent or "")

    async def revoke(self, name: str, person: Person) -> Answer:
        """Take away what was made by hand, by its whole name."""
        ground = self._ground
        fallen = await ground.ledger.fall(name)
        if isinstance(fallen, protocol.Lost):
            return lost(ground.ledger)
        if isinstance(fallen, protocol.Unknown):
            return self._not_by_hand(name)
        gone = _by_hand(fallen, self._namespace)
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

    async def _stand(
        self,
        manifest: Mapping[str, object],
        act: Act,
        tool: str,
        reason: str,
        person: Person,
        agent: str = "",
    ) -> Answer:
        ground = self._ground
        metadata = manifest["metadata"]
        name = str(metadata["name"]) if isinstance(metadata, Mapping) else ""
        kept = await ground.ledger.stand(name, json.dumps(manifest), person.account.name)
        if isinstance(kept, protocol.Lost):
            return lost(ground.ledger)
        if isinstance(kept, protocol.Refused):
            return refused(409, kept.why)
        await ground.note(
            deed(ground, person, act, grant=name, tool=tool, agent=agent, reason=reason)
        )
        (made,) = await self._with_uses([_by_hand(kept, self._namespace)])
        return Answer(201, shown.rendered(made))

    async def _with_uses(self, found: Sequence[_Shown]) -> Sequence[_Shown]:
        """The same with how often each was used; null where the ledger cannot say."""
        used = await self._ground.ledger.used([str(one["id"]) for one in found])
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


def _by_hand(standing: protocol.Standing, namespace: str) -> _Shown:
    """As written; a document that cannot be read (anybody may write to a store) shows no field."""
    try:
        document = json.loads(standing.document)
    except ValueError:
        document = None
    spec = _mapping(_mapping(document).get("spec"))
    subject, policy = _mapping(spec.get("subject")), _mapping(spec.get("policyRef"))
    reference = "/".join(str(policy[key]) for key in ("namespace", "name") if key in policy)
    return {
        "name": standing.name,
        "id": f"{namespace}/{standing.name}",
        "effect": spec.get("effect"),
        "tools": spec.get("tools") or [],
        "agent": subject.get("serviceAccount"),
        "pod": subject.get("pod"),
        "policy": reference or None,
        "when": spec.get("when"),
        "expiresAt": spec.get("expiresAt"),
        "maxUses": spec.get("maxUses"),
        "used": None,
        "reason": spec.get("reason") or "",
        "by": standing.by,
        "madeAt": shown.when(standing.made_at_ms),
        "from": "hand",
    }


def _of_file(grant: bundle.Grant) -> _Shown:
    return {
        "name": grant.id.rpartition("/")[2],
        "id": grant.id,
        "effect": grant.effect,
        "tools": [each.text for each in grant.patterns],
        "agent": grant.service_account or None,
        "pod": grant.pod or None,
        "policy": grant.policy or None,
        "when": grant.condition.text if grant.condition is not None else None,
        "expiresAt": _moment(grant.expires_at),
        "maxUses": grant.maximum_uses,
        "used": None,
        "reason": grant.reason,
        "by": None,
        "madeAt": _moment(grant.created_at),
        "from": "file",
    }


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else shown.when(int(moment.timestamp() * 1000))
