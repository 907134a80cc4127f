"""A made-up cluster that certificates live in: Secrets, webhooks, replicas with a kubelet."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509

from mesh7_operator.authority import certificates, kept, planning
from mesh7_operator.authority.kept import Authorities, Leaf, Program
from mesh7_operator.authority.planning import Found, KeepAuthorities, KeepLeaf, Publish, Terms

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TERMS = Terms(namespace="mesh7-system", programs=kept.WITH_REDIS)
LAG = timedelta(minutes=5)
"""Within which a kubelet brings what a Secret holds."""


@dataclass
class Replica:
    """One pod.

    Attributes:
        mounted: what it serves; None = it waits for its Secret.
        is_seen: whether the controller reaches it.
    """

    program: Program
    mounted: kept.Leaf | None
    is_seen: bool = True

    @property
    def served(self) -> x509.Certificate | None:
        return None if self.mounted is None else certificates.read(self.mounted.pair.certificate)


@dataclass
class Cluster:
    """All of it; `round` is what the leading controller does each few seconds.

    Attributes:
        secrets: by name, what each holds.
        trusted: caBundle of our webhooks; `before` is that of the round before.
        changed_at: when a program's Secret was last written.
    """

    now: datetime = NOON
    secrets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    trusted: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    changed_at: dict[Program, datetime] = field(default_factory=dict)
    replicas: list[Replica] = field(default_factory=list)

    @property
    def authorities(self) -> Authorities | None:
        return kept.read_authorities(self.secrets.get(kept.SECRET, {}))

    def leaf(self, program: Program) -> Leaf | None:
        held = self.secrets.get(program.secret)
        return None if held is None else kept.read_leaf(held)

    def found(self) -> Found:
        leaves = {one: leaf for one in Program if (leaf := self.leaf(one)) is not None}
        return Found(authorities=self.authorities, leaves=leaves, published=(self.trusted,) * 2)

    def served(self) -> planning.Served:
        return {
            program: tuple(
                one.served if one.is_seen else None
                for one in self.replicas
                if one.program is program and one.mounted is not None
            )
            for program in Program
        }

    def step(self) -> bool:
        """One look and what follows from it; whether anything did."""
        steps = planning.plan(self.now, self.found(), self.served(), TERMS)
        for step in steps:
            match step:
                case KeepAuthorities():
                    written = kept.written_authorities(step.authorities)
                    self.secrets[kept.SECRET] = written
                case Publish():
                    self.before, self.trusted = self.trusted, step.trusted
                case KeepLeaf():
                    held = kept.written_leaf(step.pair, step.trusted)
                    self.secrets[step.program.secret] = held
                    self.changed_at[step.program] = self.now
        return bool(steps)

    def round(self) -> int:
        """Until nothing is left to be done; how many looks that took."""
        self.before = self.trusted
        for looks in range(1, 10):
            if not self.step():
                return looks
        raise AssertionError

    def kubelet(self, replica: Replica) -> None:
        """Bring what the Secret holds; one that is gone stays mounted as it was."""
        replica.mounted = self.leaf(replica.program) or replica.mounted

    def pass_(self, span: timedelta) -> None:
        """Time goes by; whatever is older than a kubelet's lag has been brought."""
        self.now += span
        for one in self.replicas:
            if self.now - self.changed_at.get(one.program, self.now) >= LAG:
                self.kubelet(one)

    def rotate(self) -> None:
        """`mesh7-operator certificates rotate`."""
        found = self.authorities
        assert found is not None
        made = planning.rotated(found, self.now, TERMS)
        self.secrets[kept.SECRET] = kept.written_authorities(made)


def installed() -> Cluster:
    """After the first round, two replicas of each program."""
    cluster = Cluster()
    cluster.round()
    cluster.round()
    cluster.replicas = [Replica(one, cluster.leaf(one)) for one in Program for _ in range(2)]
    return cluster


def without(cluster: Cluster, **changed: object) -> Found:
    """What is found, but for something."""
    return replace(cluster.found(), **changed)  # type: ignore[arg-type]
