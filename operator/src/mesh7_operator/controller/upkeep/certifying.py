"""Certificates kept by the leader: what is there is looked at, and the plan's steps are done.

All that lasts is kept at the API server, so that whoever leads goes on where the last one was.
Where certificates are others' business only their authorities are read, for the bundles.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from mesh7_core import errors, names
from mesh7_operator import settings
from mesh7_operator.authority import certificates, kept, planning, webhooks
from mesh7_operator.authority.kept import Program
from mesh7_operator.authority.planning import Found, KeepAuthorities, KeepLeaf, Publish, Step
from mesh7_operator.clock import Clock
from mesh7_operator.cluster import api_server, authority_secrets, replicas, resources, shapes
from mesh7_operator.cluster.api_server import ApiServer
from mesh7_operator.cluster.authority_secrets import Held
from mesh7_operator.cluster.resources import Resource
from mesh7_operator.metrics import ControllerMetrics

_LOG: Final = logging.getLogger(__name__)
_MOST_LOOKS: Final = 8
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What is there, with what is needed to change it."""

    found: Found
    secrets: dict[str, Held]
    configurations: tuple[tuple[Resource, shapes.Object], ...] = field(repr=False)

    @property
    def needs(self) -> tuple[str, ...]:
        """Secrets that are not there."""
        return tuple(name for name, held in self.secrets.items() if not held.version)


class Certifying:
    """Certificates of one release.

    Args:
        mode: whose business they are.
        changed: told when those who ask the exchange are to trust others.
    """

    def __init__(
        self,
        api: ApiServer,
        mode: settings.Certificates,
        terms: planning.Terms,
        *,
        clock: Clock,
        metrics: ControllerMetrics,
        changed: Callable[[], None],
    ) -> None:
        self._api = api
        self._mode = mode
        self._terms = terms
        self._clock = clock
        self._metrics = metrics
        self._changed = changed
        self.authorities: tuple[str, ...] = ()
        self.accepted: tuple[str, ...] = ()
        self._seen: dict[str, datetime] = {}

    async def look(self) -> None:
        """Do all that is to be done now.

        Raises:
            ClusterError: something could not be; the next look goes on with it.
        """
        if self._mode is not settings.Certificates.SELF:
            await self._read_others()
            return
        for _ in range(_MOST_LOOKS):
            look = await self._look()
            # Before anything that may fail: bundles are not to forget whom pods trust.
            if (known := look.found.authorities) is not None and self._take(known.trusted):
                # Namespaces are to hear of it before an injector gives it to a pod: the next look
                # goes on.
                return
            steps = planning.plan(
                self._clock.now(), look.found, await self._served(look), self._terms
            )
            if not steps:
                self._settle(look)
                return
            try:
                await self._do_all(steps, look)
            except api_server.Conflict:
                # Somebody was faster: theirs is looked at.
                continue
            except api_server.Invalid as error:
                if not error.is_failed_test:
                    raise
        raise errors.ClusterError("certificates: somebody else goes on changing them")

    async def _read_others(self) -> None:
        secret = Program.EXCHANGE.secret
        held = await authority_secrets.read(self._api, self._terms.namespace, secret)
        found = kept.read_certificates(held.content.get(kept.AUTHORITIES, b""))
        if held.version:
            self._measure({"exchange": kept.read_leaf(held.content).pair.certificate})
        if found is None:
            raise errors.ClusterError(
                f"Secret `{self._terms.namespace}/{secret}`: `{kept.AUTHORITIES}` cannot be read"
            )
        # What is gone for a moment is trusted on: pods would lose their Redis for it.
        if found:
            self._take(found)

    async def _look(self) -> _Look:
        namespace = self._terms.namespace
        secrets = {
            name: await authority_secrets.read(self._api, namespace, name)
            for name in (kept.SECRET, *(program.secret for program in self._terms.programs))
        }
        there = []
        for resource in resources.WEBHOOKS:
            try:
                there.append((resource, await self._api.get(resource, "", names.WEBHOOKS)))
            except api_server.NotFound:
                continue
        found = Found(
            authorities=kept.read_authorities(secrets[kept.SECRET].content),
            leaves={
                one: kept.read_leaf(secrets[one.secret].content)
                for one in self._terms.programs
                if secrets[one.secret].version
            },
            published=tuple(
                trusted for _, one in there for trusted in webhooks.published(one, namespace)
            ),
        )
        return _Look(found=found, secrets=secrets, configurations=tuple(there))

    async def _served(self, look: _Look) -> planning.Served:
        now, found = self._clock.now(), look.found.authorities
        if not planning.is_waiting_for_replicas(now, found, self._terms):
            return {}
        namespace = self._terms.namespace
        return {
            program: await replicas.served(self._api, namespace, program.value)
            for program in self._terms.programs
        }

    async def _do_all(self, steps: Iterable[Step], look: _Look) -> None:
        """In order; what cannot be published keeps nobody from a certificate."""
        refused: errors.ClusterError | None = None
        for step in steps:
            try:
                await self._do(step, look)
            except errors.ClusterError as error:
                if not isinstance(step, Publish):
                    raise
                refused = error
        if refused is not None:
            raise refused

    async def _do(self, step: Step, look: _Look) -> None:
        match step:
            case KeepAuthorities():
                content = kept.written_authorities(step.authorities)
                await self._write(kept.SECRET, content, look)
                _LOG.info(
                    "authorities are kept",
                    extra={"trusted": len(step.authorities.trusted)},
                )
            case KeepLeaf():
                content = kept.written_leaf(step.pair, step.trusted)
                await self._write(step.program.secret, content, look)
                if step.is_new:
                    self._metrics.certificates_made.labels(_short(step.program)).inc()
                    _LOG.info("a certificate is made", extra={"certificate": step.program.value})
            case Publish():
                await self._publish(step.trusted, look)

    async def _write(self, name: str, content: dict[str, bytes], look: _Look) -> None:
        version = look.secrets[name].version
        await authority_secrets.write(self._api, self._terms.namespace, name, content, version)

    async def _publish(self, trusted: tuple[str, ...], look: _Look) -> None:
        for resource, configuration in look.configurations:
            patch = webhooks.patch(configuration, self._terms.namespace, trusted)
            if patch:
                await self._api.patch(resource, "", names.WEBHOOKS, patch)
                _LOG.info("webhooks are trusted anew", extra={"kind": resource.kind})

    def _settle(self, look: _Look) -> None:
        found = look.found.authorities
        if found is None:
            return
        self._metrics.authorities.set(len(found.trusted))
        shown = {_short(one): leaf.pair.certificate for one, leaf in look.found.leaves.items()}
        self._measure({"authority": found.issuing.certificate, **shown})

    def _measure(self, shown: dict[str, str]) -> None:
        now = self._clock.now()
        for name, text in shown.items():
            self._metrics.certificate_days.labels(name).set(_days(text, now))

    def _take(self, authorities: tuple[str, ...]) -> bool:
        """Trust them; a kubelet may give an injector for a while what lay there before.

        Returns:
            Whether one has come to those that were known.
        """
        has_more = bool(self.authorities) and not set(authorities) <= set(self.accepted)
        now = self._clock.now()
        self._seen |= dict.fromkeys(authorities, now)
        self._seen = {
            one: at for one, at in self._seen.items() if now - at < self._terms.spread
        } | dict.fromkeys(authorities, now)
        accepted = tuple(sorted(self._seen))
        if (authorities, accepted) != (self.authorities, self.accepted):
            self.authorities, self.accepted = authorities, accepted
            self._changed()
        return has_more


def _short(program: Program) -> str:
    return program.value.removeprefix("mesh7-")


def _days(text: str, now: datetime) -> float:
    found = certificates.read(text)
    return -1.0 if found is None else (found.not_valid_after_utc - now).total_seconds() / _DAY_S
