"""What a namespace's objects come to: made anew only when what is written changed.

Reports, clocks and versions play no part here, so that a round in which only they changed costs
little: whoever reconciles keeps the last compilation and hands it back.
Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from mesh7_core import names
from mesh7_core.api import objects
from mesh7_core.api.manifests import Document
from mesh7_core.api.places import value_at
from mesh7_core.compiling import fencing, selectors, standing
from mesh7_core.compiling.diagnostics import Diagnostic, Findings
from mesh7_core.compiling.texts import Parser
from mesh7_core.delivery import envelopes, payloads, stamps
from mesh7_core.injection.outcomes import Level
from mesh7_core.policy import canonical, rules
from mesh7_operator.reconciling import bounds, enrolment, plain_credentials, roster
from mesh7_operator.reconciling.world import World, Written

ROOM: Final = 80 * 1024
"""Bytes kept free for what is added when it is delivered: the roster, the header with its keys."""

_EVERYBODY: Final = rules.Selector(match_labels=(), match_expressions=(), service_accounts=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a compilation depends on; equal keys make equal compilations.

    Compared by value; objects that are the very same ones are not looked into.
    """

    namespace: str
    release_namespace: str
    labels: Mapping[str, str]
    default_level: Level
    stamps: tuple[bytes, ...]
    authorities: tuple[str, ...] = field(repr=False)
    own: tuple[Mapping[str, object], ...] = field(repr=False)
    baseline: tuple[Mapping[str, object], ...] = field(repr=False)

    @property
    def is_guarded(self) -> bool:
        """Whether the level asks for more than pods that cooperate."""
        return enrolment.level(self.labels, self.default_level) is not Level.COOPERATIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """One namespace's objects, compiled and fenced.

    Attributes:
        content: what the bundle says, without roster; what does not compile is fenced in it.
        payload: the same as bytes.
        is_too_large: no sidecar would take it.
        has_local_limits: some limit is divided by the roster while the store is lost.
        grants: standing grants and vetoes that compile, and vetoes that stand in for broken ones;
            which of them are in force is for their stamps and the clock to say.
        stamped: permissions that admission has stamped.
        diagnostics: what the compiler says of each object, as far as it says anything.
        refused: objects that do not compile.
        selectors: whom the namespace's own policies select; of a fenced one whom its fence selects.
            One that is missing is not in the bundle: the set as a whole could not be used.
        excess: what the namespace wrote too much of, so that its policies, its sources and what
            is permitted by them were not looked at; empty = nothing.
        excess_of_grants: the same of its grants and vetoes, none of which was looked at.
        excess_of_permissions: the same of its permissions alone.

    Objects are named as `Written.file` names them.
    """

    key: Key
    content: payloads.BundleContent = field(repr=False)
    payload: bytes = field(repr=False)
    is_too_large: bool
    has_local_limits: bool
    grants: Mapping[str, Document] = field(repr=False)
    stamped: frozenset[str]
    diagnostics: Mapping[str, tuple[Diagnostic, ...]] = field(repr=False)
    refused: frozenset[str]
    selectors: Mapping[str, rules.Selector] = field(repr=False)
    excess: str = ""
    excess_of_grants: str = ""
    excess_of_permissions: str = ""


def compilation_of(world: World, last: Compilation | None = None) -> Compilation:
    """The world's compilation: `last` where nothing that is written changed since."""
    key = _key(world)
    return last if last is not None and last.key == key else _compile(key, world)


def is_of(last: Compilation | None, world: World) -> bool:
    """Whether nothing that is written changed since."""
    return last is not None and last.key == _key(world)


def is_release(world: World) -> bool:
    """Whether its policies are the baseline itself."""
    return world.namespace == world.release_namespace


def is_exact(grant: Written) -> bool:
    """Whether a grant answers one held call."""
    spec = grant.value.get("spec")
    return isinstance(spec, dict) and (
        spec.get("requestRef") is not None or spec.get("digest") is not None
    )


def is_taken_back(grant: Written) -> bool:
    """Whether a grant permits nothing any more, whatever keeps it from being gone.

    What stops calls does so until it is gone: whoever may keep it may not lift it.
    """
    return grant.is_ending and standing.is_permission(grant.value)


def _compiled_grants(world: World) -> Iterator[Written]:
    """Those that stand for themselves and were not taken back."""
    return (one for one in world.grants if not (is_exact(one) or is_taken_back(one)))


def _key(world: World) -> Key:
    own = (*world.policies, *world.sources, *_compiled_grants(world))
    return Key(
        namespace=world.namespace,
        release_namespace=world.release_namespace,
        labels=world.labels,
        default_level=world.release.default_level,
        stamps=world.keys.stamps,
        authorities=world.release.authorities,
        own=_in_order(own, world.namespace),
        baseline=() if is_release(world) else _in_order(world.baseline, world.release_namespace),
    )


def _in_order(
    objects_written: Iterable[Written], namespace: str
) -> tuple[Mapping[str, object], ...]:
    """Each object of the namespace once, by kind and name."""
    found = {(one.kind, one.name): one.value for one in objects_written
             if one.namespace == namespace}  # fmt: skip
    return tuple(found[key] for key in sorted(found))


def _compile(key: Key, world: World) -> Compilation:
    excess, excess_of_grants, excess_of_permissions = _excess(world)
    kept = set() if excess else {one.file for one in (*world.policies, *world.sources)}
    if not excess_of_grants:
        kept |= _kept(world, is_permitting=not (excess or excess_of_permissions))
    documents = _documents(key, kept, is_baseline=is_release(world))
    plain = plain_credentials.refused(documents) if key.is_guarded else {}
    fenced = fencing.fence(
        [one for one in documents if one.file not in plain],
        key.namespace,
        key.labels,
        release_namespace=key.release_namespace,
    )
    bundled = tuple(one for one in fenced.documents if one.kind != names.GRANT)
    content = payloads.BundleContent(
        namespace=key.namespace,
        labels=key.labels,
        documents=bundled,
        release_namespace=key.release_namespace,
        authorities=key.authorities,
    )
    payload = payloads.write_bundle(content)
    return Compilation(
        key=key,
        content=content,
        payload=payload,
        is_too_large=not is_release(world) and (bool(excess) or _is_too_large(world, payload)),
        has_local_limits=roster.is_needed(bundled),
        grants={one.file: one for one in fenced.documents if one.kind == names.GRANT},
        stamped=frozenset(
            one.file for one in world.grants if stamps.is_stamped(one.value, world.keys.stamps)
        ),
        diagnostics={**fenced.diagnostics, **{file: (one,) for file, one in plain.items()}},
        refused=fenced.refused | plain.keys(),
        selectors={
            one.file: _selector(one)
            for one in bundled
            if one.kind == names.AGENT_POLICY and not one.is_baseline
        },
        excess=excess,
        excess_of_grants=excess_of_grants,
        excess_of_permissions=excess_of_permissions,
    )


def _excess(world: World) -> tuple[str, str, str]:
    """What there is too much of: of policies and sources, of grants, of permissions."""
    policies = [one.value for one in world.policies]
    grants = [one.value for one in _compiled_grants(world)]
    return (
        bounds.excess_of_policies(policies, (one.value for one in world.sources)),
        bounds.excess_of_grants(grants),
        bounds.excess_of_permissions(
            (one for one in grants if standing.is_permission(one)),
            (*policies, *(one.value for one in world.baseline)),
        ),
    )


def _kept(world: World, *, is_permitting: bool) -> set[str]:
    """Files of the grants that are compiled."""
    return {
        one.file
        for one in _compiled_grants(world)
        if is_permitting or not standing.is_permission(one.value)
    }


def _documents(key: Key, kept: set[str], *, is_baseline: bool) -> list[Document]:
    """What is compiled together; the release namespace holds policies of the baseline alone."""
    own = [payloads.document_of(_sayable(one), is_baseline=is_baseline) for one in key.own]
    baseline = [payloads.document_of(_sayable(one), is_baseline=True) for one in key.baseline]
    return [
        *(one for one in own if one.file in kept
          and (one.kind == names.AGENT_POLICY or not is_baseline)),
        *baseline,
    ]  # fmt: skip


def _sayable(value: Mapping[str, object]) -> Mapping[str, object]:
    """The object; without its `spec`, which is then refused, where no JSON could say that."""
    try:
        canonical.written(value.get("spec"))
    except (TypeError, ValueError):
        return {key: one for key, one in value.items() if key != "spec"}
    return value


def _is_too_large(world: World, payload: bytes) -> bool:
    if len(payload) > envelopes.MAXIMUM_PAYLOAD_BYTES - ROOM:
        return True
    sealed = envelopes.seal(
        envelopes.Kind.BUNDLE, world.namespace, 1, payload, world.keys.signer, ()
    )
    return len(sealed) > envelopes.MAXIMUM_SEALED_BYTES - ROOM


def _selector(document: Document) -> rules.Selector:
    """Whom a policy that compiles selects."""
    findings = Findings()
    try:
        written = objects.LabelSelector.model_validate(
            value_at(document.value, ("spec", "selector"))
        )
    except ValidationError:
        return _EVERYBODY
    accounts = value_at(document.value, ("spec", "serviceAccounts"))
    texts = tuple(one for one in (accounts if isinstance(accounts, list) else ()) if
                  isinstance(one, str))  # fmt: skip
    globs = Parser(document, findings).text_globs(texts, ("spec", "serviceAccounts"))
    return selectors.compile_selector(written, globs, document, ("spec", "selector"), findings)
