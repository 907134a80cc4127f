"""Years of certificates, by a clock of our own: whatever happens, what is served is trusted."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mesh7_operator.authority import certificates, kept
from mesh7_operator.authority.kept import Program
from tests.operator.authority import clusters
from tests.operator.authority.clusters import Replica

MOST = 4
REPLICAS = st.integers(0, 2 * len(Program) - 1)


class Years(RuleBasedStateMachine):
    """Two replicas of each program, a kubelet with a lag, a controller that comes and goes."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = clusters.installed()
        self.keys = {self.authority_key()}

    def authority_key(self) -> bytes:
        return self.cluster.secrets.get(kept.SECRET, {}).get("tls.key", b"")

    @rule(seconds=st.integers(1, 900))
    def a_while(self, seconds: int) -> None:
        self.cluster.pass_(timedelta(seconds=seconds))
        self.cluster.round()

    @rule(weeks=st.integers(1, 15))
    def weeks(self, weeks: int) -> None:
        # Whatever was begun is ended within the hour, not at the pace of weeks.
        for span in [timedelta(minutes=15)] * 4 + [timedelta(days=7)] * weeks:
            self.cluster.pass_(span)
            self.cluster.round()
            self.trusted()

    @rule(days=st.integers(1, 20))
    def no_controller(self, days: int) -> None:
        self.cluster.pass_(timedelta(days=days))
        self.trusted()
        for _ in range(4):
            self.cluster.round()
            self.cluster.pass_(timedelta(minutes=15))

    @rule()
    def a_controller_that_ends_after_one_step(self) -> None:
        self.cluster.step()

    @rule(number=REPLICAS)
    def kubelet(self, number: int) -> None:
        self.cluster.kubelet(self.cluster.replicas[number])

    @rule(number=REPLICAS)
    def restarted(self, number: int) -> None:
        program = self.cluster.replicas[number].program
        leaf = self.cluster.leaf(program)
        if leaf is not None:
            self.cluster.replicas[number] = Replica(program, leaf)

    @rule(number=REPLICAS, is_seen=st.booleans())
    def unseen(self, number: int, *, is_seen: bool) -> None:
        self.cluster.replicas[number].is_seen = is_seen

    # More at once are not kept; each ends once replicas are seen.
    @precondition(lambda self: self.cluster.authorities and len(self.cluster.trusted) < MOST)
    @rule()
    def rotate(self) -> None:
        self.cluster.rotate()
        self.keys.add(self.cluster.secrets[kept.SECRET]["next.key"])

    @rule(program=st.sampled_from(Program))
    def lose_a_certificate(self, program: Program) -> None:
        self.cluster.secrets.pop(program.secret, None)

    @precondition(lambda self: len(self.cluster.trusted) < MOST)
    @rule()
    def lose_the_authority(self) -> None:
        self.cluster.secrets.pop(kept.SECRET, None)

    # Whoever takes all of it away at once leaves nobody who could know.
    @precondition(lambda self: self.cluster.authorities is not None)
    @rule(trusted=st.sampled_from([(), ("garbage",)]))
    def edited(self, trusted: tuple[str, ...]) -> None:
        self.cluster.trusted = trusted
        self.cluster.round()
        self.cluster.before = self.cluster.trusted

    @invariant()
    def trusted(self) -> None:
        cluster = self.cluster
        for replica in cluster.replicas:
            served = replica.served
            assert served is not None
            assert served.not_valid_before_utc <= cluster.now < served.not_valid_after_utc
            for known in (cluster.trusted, cluster.before):
                by = [one for one in known if certificates.is_issued_by(served, one)]
                assert by
                authority = certificates.read(by[0])
                assert authority is not None
                assert authority.not_valid_after_utc > cluster.now

    @invariant()
    def bounded(self) -> None:
        assert len(self.cluster.trusted) <= 6

    @invariant()
    def secret(self) -> None:
        self.keys.add(self.authority_key())
        known = self.keys - {b""}
        for name, held in self.cluster.secrets.items():
            if name != kept.SECRET:
                assert known.isdisjoint(held.values())


TestYears = pytest.mark.promise("K7")(Years.TestCase)
TestYears.settings = settings(
    max_examples=15,
    stateful_step_count=30,
    deadline=None,
    # Keys are others each time, so that what fails cannot be made smaller by trying again.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
