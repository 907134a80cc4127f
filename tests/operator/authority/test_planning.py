"""One authority follows another: each moment of it, and what is made good in between."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mesh7_operator.authority import certificates, kept, planning
from mesh7_operator.authority.kept import Program
from mesh7_operator.authority.planning import LEAF_LIFE, SPREAD, KeepAuthorities, KeepLeaf
from tests.operator.authority import clusters
from tests.operator.authority.clusters import NOON, TERMS, Cluster

A_SECOND = timedelta(seconds=1)
A_DAY = timedelta(days=1)


def issuer(cluster: Cluster) -> str:
    found = cluster.authorities
    assert found is not None
    return found.issuing.certificate


def followed(cluster: Cluster) -> None:
    """Another one has followed and issues."""
    cluster.rotate()
    cluster.round()
    cluster.pass_(SPREAD)
    cluster.round()


def test_a_first_round_makes_everything() -> None:
    """docs/administrator/certificates.md."""
    cluster = Cluster()
    assert cluster.round() == 3
    found = cluster.authorities
    assert found is not None
    assert found.trusted == cluster.trusted == (found.issuing.certificate,)
    assert (found.following, found.retiring, found.issuing_since) == (None, (), NOON)
    for program in Program:
        leaf = cluster.leaf(program)
        assert leaf is not None
        assert leaf.authorities == found.trusted
        read = certificates.read(leaf.pair.certificate)
        assert read is not None
        assert certificates.is_pair(leaf.pair)
        assert certificates.is_issued_by(read, found.issuing.certificate)
        assert certificates.names_of(read) == program.names("mesh7-system")
        assert read.not_valid_before_utc == NOON - A_DAY
        assert read.not_valid_after_utc == NOON + timedelta(days=90)
    assert kept.Program.EXCHANGE.names("mesh7-system") == (
        "mesh7-exchange.mesh7-system.svc",
        "mesh7-exchange",
        "mesh7-exchange.mesh7-system",
        "mesh7-exchange.mesh7-system.svc.cluster.local",
    )
    assert cluster.round() == 1


def test_without_a_redis_of_its_own_nothing_is_made_for_one() -> None:
    """docs/administrator/certificates.md: three with the embedded Redis, two without."""
    terms = planning.Terms(namespace="mesh7-system")
    (step,) = planning.plan(NOON, Cluster().found(), {}, terms)
    assert isinstance(step, KeepAuthorities)
    found = planning.Found(authorities=step.authorities, leaves={}, published=())
    steps = planning.plan(NOON, found, {}, terms)
    assert [step.program for step in steps if isinstance(step, KeepLeaf)] == [
        Program.INJECTOR,
        Program.EXCHANGE,
    ]


def test_a_certificate_is_renewed_at_two_thirds_of_its_life() -> None:
    cluster = clusters.installed()
    before = cluster.leaf(Program.INJECTOR)
    cluster.pass_(LEAF_LIFE * 2 / 3 - timedelta(minutes=10))
    assert cluster.round() == 1
    cluster.pass_(timedelta(minutes=10))
    assert cluster.round() == 2
    after = cluster.leaf(Program.INJECTOR)
    assert before is not None
    assert after is not None
    assert after.pair != before.pair
    assert after.authorities == before.authorities
    assert issuer(cluster) == before.authorities[0]  # type: ignore[index]


@pytest.mark.promise("K7")
def test_another_authority_is_known_before_it_issues_and_the_old_one_until_nobody_serves_it() -> (
    None
):
    """The order of docs/administrator/certificates.md, step by step."""
    cluster = clusters.installed()
    old = issuer(cluster)
    cluster.rotate()
    cluster.round()
    found = cluster.authorities
    assert found is not None
    assert found.following is not None
    new = found.following.certificate
    both = tuple(sorted((old, new)))
    assert (issuer(cluster), cluster.trusted) == (old, both)
    assert {cluster.leaf(one).authorities for one in Program} == {both}  # type: ignore[union-attr]
    cluster.pass_(SPREAD - A_SECOND)
    cluster.round()
    assert issuer(cluster) == old
    cluster.pass_(A_SECOND)
    cluster.round()
    # It issues, and the old one's key is nowhere.
    assert (issuer(cluster), cluster.trusted) == (new, both)
    cluster.replicas[0].is_seen = False
    cluster.pass_(2 * SPREAD)
    cluster.round()
    assert cluster.trusted == both
    cluster.replicas[0].is_seen = True
    cluster.round()
    assert cluster.trusted == (new,)
    assert {cluster.leaf(one).authorities for one in Program} == {(new,)}  # type: ignore[union-attr]
    assert cluster.round() == 1


def test_one_replica_that_serves_the_old_ones_keeps_it_trusted() -> None:
    cluster = clusters.installed()
    slow = cluster.replicas[3]
    mounted = slow.mounted
    followed(cluster)
    cluster.pass_(2 * SPREAD)
    slow.mounted = mounted
    cluster.round()
    assert len(cluster.trusted) == 2
    cluster.kubelet(slow)
    cluster.round()
    assert len(cluster.trusted) == 1


def test_an_authority_is_followed_at_two_thirds_of_its_life() -> None:
    cluster = clusters.installed()
    old = issuer(cluster)
    for _ in range(243):
        cluster.pass_(A_DAY)
        cluster.round()
    assert cluster.trusted == (old,)
    for _ in range(4):
        cluster.pass_(A_DAY)
        cluster.round()
    assert old not in cluster.trusted


def test_somebody_who_takes_it_off_a_webhook_delays_it() -> None:
    """What is not published for the whole time may not have been seen."""
    cluster = clusters.installed()
    old = cluster.trusted
    cluster.rotate()
    cluster.round()
    cluster.pass_(SPREAD - A_SECOND)
    cluster.trusted = old
    cluster.round()
    assert len(cluster.trusted) == 2
    cluster.pass_(SPREAD - A_SECOND)
    cluster.round()
    assert issuer(cluster) == old[0]
    cluster.pass_(A_SECOND)
    cluster.round()
    assert issuer(cluster) != old[0]


@pytest.mark.parametrize(
    "held",
    [
        None,
        {},
        {"tls.crt": b"", "tls.key": b"", "ca.crt": b""},
        {"tls.crt": b"\xff", "tls.key": b"\xff", "ca.crt": b"\xff"},
    ],
)
@pytest.mark.parametrize("program", Program)
def test_a_programs_secret_is_made_good(held: dict[str, bytes] | None, program: Program) -> None:
    cluster = clusters.installed()
    authorities = cluster.authorities
    del cluster.secrets[program.secret]
    if held is not None:
        cluster.secrets[program.secret] = held
    cluster.round()
    leaf = cluster.leaf(program)
    assert leaf is not None
    assert leaf.authorities == cluster.trusted
    assert certificates.is_pair(leaf.pair)
    assert cluster.authorities == authorities


def test_a_key_of_another_certificate_is_made_good() -> None:
    cluster = clusters.installed()
    held = cluster.secrets[Program.INJECTOR.secret]
    held["tls.key"] = cluster.secrets[Program.EXCHANGE.secret]["tls.key"]
    cluster.round()
    leaf = cluster.leaf(Program.INJECTOR)
    assert leaf is not None
    assert certificates.is_pair(leaf.pair)


@pytest.mark.parametrize("trusted", [(), ("garbage",)])
def test_a_webhook_is_made_good(trusted: tuple[str, ...]) -> None:
    cluster = clusters.installed()
    before, cluster.trusted = cluster.trusted, trusted
    cluster.round()
    assert cluster.trusted == before


@pytest.mark.parametrize("what", ["deleted", "garbage", "without its key", "without its times"])
def test_a_lost_authority_is_followed_and_trusted_until_it_is_served_no_more(what: str) -> None:
    """Nothing of the old one is cut off, although nothing can be issued by it."""
    cluster = clusters.installed()
    old = issuer(cluster)
    held = cluster.secrets[kept.SECRET]
    match what:
        case "deleted":
            del cluster.secrets[kept.SECRET]
        case "garbage":
            held["tls.crt"] = b"x"
        case "without its key":
            held["tls.key"] = b""
        case _:
            held["state"] = b"[]"
    cluster.round()
    assert (issuer(cluster), len(cluster.trusted)) == (old, 2)
    cluster.pass_(SPREAD)
    cluster.round()
    assert (issuer(cluster) != old, old in cluster.trusted) == (True, True)
    cluster.pass_(SPREAD)
    cluster.round()
    assert cluster.trusted == (issuer(cluster),)


def test_an_authority_made_by_hand_is_taken_over() -> None:
    """Whoever installed with certificates of their own changes the mode, and nothing else."""
    by_hand = certificates.new_authority(NOON, timedelta(days=30))
    served = certificates.issue(by_hand, ["x"], NOON, timedelta(days=30))
    cluster = Cluster(trusted=(by_hand.certificate,))
    for program in Program:
        cluster.secrets[program.secret] = kept.written_leaf(served, ())
    cluster.round()
    cluster.replicas = [clusters.Replica(one, cluster.leaf(one)) for one in Program]
    assert by_hand.certificate in cluster.trusted
    cluster.pass_(SPREAD)
    cluster.round()
    cluster.pass_(SPREAD)
    cluster.round()
    assert cluster.trusted == (issuer(cluster),)
    assert issuer(cluster) != by_hand.certificate


def test_one_that_has_ended_is_followed_at_once() -> None:
    """Nothing that it issued is of use any more; a controller that was away for a year."""
    cluster = clusters.installed()
    cluster.pass_(timedelta(days=366))
    cluster.round()
    leaf = cluster.leaf(Program.INJECTOR)
    assert leaf is not None
    read = certificates.read(leaf.pair.certificate)
    assert read is not None
    assert certificates.is_issued_by(read, issuer(cluster))
    assert cluster.trusted == (issuer(cluster),)


def test_a_clock_that_was_too_fast_is_made_good() -> None:
    """In the order all the same: it may be ours that is slow."""
    cluster = Cluster(now=NOON + timedelta(hours=3))
    cluster.round()
    cluster.now = NOON
    cluster.round()
    cluster.pass_(SPREAD)
    cluster.round()
    leaf = cluster.leaf(Program.EXCHANGE)
    assert leaf is not None
    read = certificates.read(leaf.pair.certificate)
    assert read is not None
    assert read.not_valid_before_utc <= cluster.now


def test_a_rotation_under_way_is_not_begun_again() -> None:
    cluster = clusters.installed()
    cluster.rotate()
    found = cluster.authorities
    cluster.rotate()
    assert cluster.authorities == found


def test_no_key_is_shown_and_none_of_an_authority_leaves_its_secret() -> None:
    cluster = clusters.installed()
    followed(cluster)
    found = cluster.authorities
    assert found is not None
    assert "PRIVATE" not in repr((found, cluster.found(), clusters.without(cluster, published=())))
    secret = found.issuing.key
    elsewhere = [held for name, held in cluster.secrets.items() if name != kept.SECRET]
    assert all(secret not in held.values() for held in elsewhere)


def test_what_is_kept_is_read_back() -> None:
    cluster = clusters.installed()
    followed(cluster)
    cluster.rotate()
    cluster.round()
    found = cluster.authorities
    assert found is not None
    assert (found.following is not None, found.published_at, len(found.retiring)) == (
        True, cluster.now, 1,
    )  # fmt: skip
    assert kept.read_authorities(kept.written_authorities(found)) == found
    again = replace(found, following=None, published_at=None)
    assert kept.read_authorities(kept.written_authorities(again)) == again


def test_keeping_authorities_comes_alone() -> None:
    """What follows from it is planned when it is done: somebody else may have been faster."""
    (step,) = planning.plan(NOON, Cluster().found(), {}, TERMS)
    assert isinstance(step, KeepAuthorities)
