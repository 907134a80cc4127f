"""The next steps of certificates, from what is there: one authority follows another in an order.

    made        a new authority, beside the one that issues: at two thirds of that one's life, when
                its key is lost, or when people asked for it
    published   it is trusted beside the old one by the API server, and by those who ask the
                exchange; for a time, until everybody can have seen it
    issuing     certificates are issued by it; the old one's key is gone
    dropped     once no replica serves a certificate of the old one, nobody trusts that one

Never is one swapped for another in one step. What was deleted or edited is made good.
Pure but for the random numbers of keys: the time is an argument, no network, no logging.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from mesh7_operator.authority import certificates, kept
from mesh7_operator.authority.certificates import SKEW, Pair
from mesh7_operator.authority.kept import Authorities, Leaf, Program

AUTHORITY_LIFE: Final = timedelta(days=365)
LEAF_LIFE: Final = timedelta(days=90)
SPREAD: Final = timedelta(minutes=10)
"""Until everybody has seen what was published: the API server at once, sidecars within two minutes,
kubelets within some."""
MOST_RETIRING: Final = 4
"""More are not kept: those who are trusted travel in every bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long things last.

    Attributes:
        namespace: the release's.
        programs: whose certificates are kept.
    """

    namespace: str
    programs: tuple[Program, ...] = kept.PROGRAMS
    authority_life: timedelta = AUTHORITY_LIFE
    leaf_life: timedelta = LEAF_LIFE
    spread: timedelta = SPREAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is there.

    Attributes:
        authorities: None = the Secret is not there, or of no use.
        leaves: of programs whose Secret is there.
        published: what each of our webhooks is trusted by; None = nothing that can be read.
    """

    authorities: Authorities | None
    leaves: Mapping[Program, Leaf]
    published: tuple[tuple[str, ...] | None, ...]


Served = Mapping[Program, tuple[x509.Certificate | None, ...]]
"""What each replica of a program serves; None = nobody can say."""


@dataclass(frozen=True, slots=True)
class KeepAuthorities:
    """Write Secret `mesh7-authority`."""

    authorities: Authorities


@dataclass(frozen=True, slots=True)
class Publish:
    """Have our webhooks trusted by these alone."""

    trusted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeepLeaf:
    """Write a program's Secret."""

    program: Program
    pair: Pair
    trusted: tuple[str, ...]
    is_new: bool


Step = KeepAuthorities | Publish | KeepLeaf


def plan(now: datetime, found: Found, served: Served, terms: Terms) -> tuple[Step, ...]:
    """What is to be done next, in this order; nothing = all is as it should be.

    A step that keeps authorities comes alone: what follows from it is planned once it is done.

    Args:
        now: aware.
        found: what is there.
        served: what replicas serve; may be empty unless `is_waiting_for_replicas`.
        terms: how long things last.
    """
    wanted = _next(now, found, served, terms)
    if wanted != found.authorities:
        return (KeepAuthorities(wanted),)
    steps: list[Step] = []
    if any(one != wanted.trusted for one in found.published):
        steps.append(Publish(wanted.trusted))
    for program in terms.programs:
        steps += _leaf_step(now, found.leaves.get(program), program, wanted, terms)
    return tuple(steps)


def rotated(authorities: Authorities, now: datetime, terms: Terms) -> Authorities:
    """Have another one follow, unless one does already."""
    if authorities.following is not None:
        return authorities
    made = certificates.new_authority(now, terms.authority_life)
    return replace(authorities, following=made, published_at=None)


def is_waiting_for_replicas(now: datetime, authorities: Authorities | None, terms: Terms) -> bool:
    """Whether the next step hangs on what replicas serve."""
    return (
        authorities is not None
        and bool(authorities.retiring)
        and _is_over(authorities.issuing_since, now, terms.spread)
    )


def _next(now: datetime, found: Found, served: Served, terms: Terms) -> Authorities:
    current = found.authorities
    if current is None:
        return _first(now, found, terms)
    current = replace(current, retiring=_lasting(now, current.retiring))
    if current.following is None and _is_due(now, current.issuing):
        return rotated(current, now, terms)
    if current.following is not None:
        return _followed(now, current, current.following, found, terms)
    if is_waiting_for_replicas(now, current, terms) and _is_served(
        now, found, served, current.issuing, terms
    ):
        return replace(current, retiring=())
    return current


def _first(now: datetime, found: Found, terms: Terms) -> Authorities:
    """A first one; where others are trusted already it only follows: something of theirs is served.

    Those were made by hand, or are ours from before the Secret was lost.
    """
    made = certificates.new_authority(now, terms.authority_life)
    known = {one for trusted in found.published for one in trusted or ()}
    known.update(one for leaf in found.leaves.values() for one in leaf.authorities or ())
    before = _likeliest(found, _lasting(now, known))[:MOST_RETIRING]
    if not before:
        return Authorities(issuing=made, issuing_since=now)
    return Authorities(
        issuing=Pair(certificate=before[0], key=b""),
        issuing_since=now,
        following=made,
        retiring=tuple(before[1:]),
    )


def _likeliest(found: Found, known: Iterable[str]) -> list[str]:
    """Those first that issued what the Secrets hold, then the oldest: the others never issued."""
    held = [certificates.read(leaf.pair.certificate) for leaf in found.leaves.values()]

    def rank(authority: str) -> tuple[bool, str, str]:
        is_idle = not any(one and certificates.is_issued_by(one, authority) for one in held)
        read = certificates.read(authority)
        return is_idle, str(read and read.not_valid_before_utc), authority

    return sorted(known, key=rank)


def _followed(
    now: datetime, current: Authorities, following: Pair, found: Found, terms: Terms
) -> Authorities:
    """Published, or issuing once it was for long enough."""
    is_published = _is_published(found, following.certificate)
    published_at = current.published_at
    if not is_published:
        published_at = None
    elif published_at is None or published_at > now + SKEW:
        published_at = now
    is_spread = published_at is not None and _is_over(published_at, now, terms.spread)
    # What it issued is of no use any more, so that nothing is lost by a swap.
    has_ended = not _lasting(now, (current.issuing.certificate,))
    if not is_spread and not has_ended:
        return replace(current, published_at=published_at)
    retiring = _lasting(now, (current.issuing.certificate, *current.retiring))
    return Authorities(issuing=following, issuing_since=now, retiring=retiring[:MOST_RETIRING])


def _is_published(found: Found, certificate: str) -> bool:
    """Whether all who have to trust it do."""
    trusted = (*found.published, *(leaf.authorities for leaf in found.leaves.values()))
    return all(certificate in (one or ()) for one in trusted)


def _is_served(now: datetime, found: Found, served: Served, issuing: Pair, terms: Terms) -> bool:
    """Whether every replica serves what this one issued, and every new one will."""
    held = [certificates.read(leaf.pair.certificate) for leaf in found.leaves.values()]
    seen = [one for program in terms.programs for one in served.get(program, (None,))]
    return (
        len(held) == len(terms.programs)
        and all(
            one is not None and certificates.is_issued_by(one, issuing.certificate)
            for one in (*held, *seen)
        )
        # A kubelet may give a new pod what lay there a while ago.
        and all(
            one is not None and _is_over(one.not_valid_before_utc + SKEW, now, terms.spread)
            for one in held
        )
    )


def _leaf_step(
    now: datetime, leaf: Leaf | None, program: Program, wanted: Authorities, terms: Terms
) -> Iterator[Step]:
    names = program.names(terms.namespace)
    if leaf is not None and _is_good(now, leaf.pair, wanted.issuing, names):
        if leaf.authorities != wanted.trusted:
            yield KeepLeaf(program, leaf.pair, wanted.trusted, is_new=False)
        return
    if wanted.issuing.key:
        issued = certificates.issue(wanted.issuing, names, now, terms.leaf_life)
        yield KeepLeaf(program, issued, wanted.trusted, is_new=True)
    elif leaf is not None and leaf.authorities != wanted.trusted:
        yield KeepLeaf(program, leaf.pair, wanted.trusted, is_new=False)


def _is_good(now: datetime, pair: Pair, issuing: Pair, names: tuple[str, ...]) -> bool:
    """Whether a program may go on with it."""
    certificate = certificates.read(pair.certificate)
    return (
        certificate is not None
        and certificates.is_pair(pair)
        and certificates.is_issued_by(certificate, issuing.certificate)
        and certificates.names_of(certificate) == names
        and not _is_too_early(now, certificate, issuing)
        and (now < certificates.renewal_at(certificate) or _is_last(certificate, issuing))
    )


def _is_last(certificate: x509.Certificate, issuing: Pair) -> bool:
    """Whether another one would end no later."""
    authority = certificates.read(issuing.certificate)
    return (
        authority is not None and certificate.not_valid_after_utc >= authority.not_valid_after_utc
    )


def _is_too_early(now: datetime, certificate: x509.Certificate, issuing: Pair) -> bool:
    """Whether it was made by a clock that was too fast, and another would begin earlier."""
    authority = certificates.read(issuing.certificate)
    least = now if authority is None else max(now, authority.not_valid_before_utc)
    return certificate.not_valid_before_utc > least


def _is_due(now: datetime, issuing: Pair) -> bool:
    found = certificates.read(issuing.certificate)
    if not issuing.key or found is None:
        return True
    return now >= certificates.renewal_at(found) or now < found.not_valid_before_utc


def _is_over(since: datetime, now: datetime, span: timedelta) -> bool:
    return now - since >= span


def _lasting(now: datetime, authorities: Iterable[str]) -> tuple[str, ...]:
    """Those that are authorities and have not ended."""
    found = [(one, certificates.read(one)) for one in authorities]
    return tuple(
        text
        for text, one in found
        if one is not None and certificates.is_authority(one) and one.not_valid_after_utc > now
    )
