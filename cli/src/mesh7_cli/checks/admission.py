"""Checks of admission: webhooks, their certificates, and the policies that hold without them.

Pure: no clock, no network, no logging.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

from mesh7_cli import reading
from mesh7_cli.checks import certificates
from mesh7_cli.checks.certificates import Certificate
from mesh7_cli.checks.findings import Category, Check, Facts, Finding, fatal, ok, warn
from mesh7_core import names

SOON: Final = timedelta(days=14)
POLICIES: Final = (
    "mesh7-accepted",
    "mesh7-answers",
    "mesh7-auditqueries",
    "mesh7-bindings",
    "mesh7-bundle",
    "mesh7-changes",
    "mesh7-controller-configmaps",
    "mesh7-controller-namespaces",
    "mesh7-custody",
    "mesh7-debug-containers",
    "mesh7-enrolment",
    "mesh7-finalizers",
    "mesh7-grants",
    "mesh7-levels",
    "mesh7-network",
    "mesh7-pods",
    "mesh7-requests",
    "mesh7-shells",
    "mesh7-statuses",
    "mesh7-tokens",
    "mesh7-vetoes",
)
"""ValidatingAdmissionPolicies of the chart; each has a binding of its own name."""
MUTATING: Final = (
    "grants.mesh7.dev",
    "vetoes.mesh7.dev",
    "enabled-pods.mesh7.dev",
    "requested-pods.mesh7.dev",
    "mislabelled-pods.mesh7.dev",
)
VALIDATING: Final = ("policies.mesh7.dev", "grants.mesh7.dev", "vetoes.mesh7.dev")
OPEN: Final = {"vetoes.mesh7.dev"}
"""A veto waits for nobody."""
CERTIFICATES: Final = {
    "mesh7-injector-certificate": "mesh7-injector",
    "mesh7-exchange-certificate": "mesh7-exchange",
}
"""Secrets, and the services whose names they are for."""
KEYS: Final = ("tls.crt", "ca.crt")
"""Of a Secret, what is looked at."""
_BY_WEBHOOKS: Final = "mesh7-injector-certificate"
"""What the API server is answered with."""
_CONFIGURATIONS: Final = {"mutating": MUTATING, "validating": VALIDATING}


def _webhooks(facts: Facts) -> Finding:
    missing: list[str] = []
    weak: list[str] = []
    for kind, wanted in _CONFIGURATIONS.items():
        hooks = {
            reading.text(hook, "name"): hook
            for hook in reading.objects(facts.value(kind), "webhooks")
        }
        missing.extend(f"{kind}: {name}" for name in wanted if name not in hooks)
        weak.extend(
            f"{kind}: {name}"
            for name, hook in hooks.items()
            if name not in OPEN and reading.text(hook, "failurePolicy") != "Fail"
        )
    if missing:
        return fatal(
            f"webhooks of configuration `{names.WEBHOOKS}` are missing: no new pod is guarded, "
            "and admission policies refuse it – `helm upgrade` restores them",
            missing,
        )
    if weak:
        return fatal("webhooks let everything pass while the injector is away", weak)
    return ok()


def _authorities(facts: Facts) -> Finding:
    empty, over, soon = [], [], []
    for kind in _CONFIGURATIONS:
        for hook in reading.objects(facts.value(kind), "webhooks"):
            name = f"{kind}: {reading.text(hook, 'name')}"
            found = certificates.read_encoded(reading.text(hook, "clientConfig", "caBundle"))
            left = max((one.left(facts.now) for one in found), default=None)
            if left is None:
                empty.append(name)
            elif left <= timedelta():
                over.append(name)
            elif left < SOON:
                soon.append(f"{name}: {_days(left)}")
    if empty or over:
        return fatal(
            "the API server has no authority, or only expired ones, to trust the injector by – "
            "the controller writes them (certificates.mode self), cert-manager, or you",
            [*empty, *over],
        )
    if soon:
        return warn("the newest authority ends soon; the controller's log says why", soon)
    return ok()


def _certificates(facts: Facts) -> Finding:
    wrong, soon, left = [], [], []
    for name, secret in facts.named("certificates").items():
        chain = certificates.read_encoded(reading.text(secret, "data", "tls.crt"))
        trouble = _trouble(chain, f"{CERTIFICATES[name]}.{facts.release}.svc", facts)
        trouble = trouble or _distrust(chain, _vouching(name, secret, facts))
        if trouble:
            wrong.append(f"{name}: {trouble}")
        elif chain[0].left(facts.now) < SOON:
            soon.append(f"{name}: {_days(chain[0].left(facts.now))}")
        else:
            left.append(_days(chain[0].left(facts.now)))
    missing = [name for name in _due(facts) if name not in facts.named("certificates")]
    if wrong or missing:
        return fatal(
            "certificates are missing or of no use – the controller makes them (certificates.mode "
            "self), cert-manager, or you",
            [*(f"{name}: missing" for name in missing), *wrong],
        )
    return warn("certificates end soon", soon) if soon else ok(", ".join(left))


def _due(facts: Facts) -> Iterable[str]:
    """Those that there have to be."""
    programs = facts.named("deployments")
    return [name for name, service in CERTIFICATES.items() if service in programs]


def _vouching(
    name: str, secret: Mapping[str, object], facts: Facts
) -> Mapping[str, tuple[Certificate, ...]]:
    """Whom those who ask a program trust: sidecars its Secret, the API server the webhooks."""
    own = reading.text(secret, "data", "ca.crt")
    found = {"the Secret's `ca.crt`": certificates.read_encoded(own)}
    if name != _BY_WEBHOOKS:
        return found
    hooks = reading.objects(facts.value("mutating"), "webhooks")
    bundle = reading.text(hooks[0], "clientConfig", "caBundle") if hooks else ""
    asked = {"the webhooks' `caBundle`": certificates.read_encoded(bundle)}
    # Nobody reads the injector's own, and a webhook without one is another check's finding.
    return {**(found if own else {}), **(asked if bundle else {})}


def _trouble(chain: tuple[Certificate, ...], host: str, facts: Facts) -> str:
    if not chain:
        return "`tls.crt` is no certificate"
    if chain[0].left(facts.now) <= timedelta():
        return "it has expired"
    return "" if host in chain[0].hosts else f"it is not for `{host}`"


def _distrust(
    chain: tuple[Certificate, ...], vouching: Mapping[str, tuple[Certificate, ...]]
) -> str:
    for whose, authorities in vouching.items():
        if not authorities:
            return f"{whose} is no certificate"
        # An authority may have signed the one in between.
        if not any(one.is_of(authorities) for one in chain):
            return f"none of {whose} signed it"
    return ""


def _policies(facts: Facts) -> Finding:
    there, bound = facts.named("policies"), facts.named("bindings")
    missing = [f"policy {name}" for name in POLICIES if name not in there]
    missing.extend(f"binding {name}" for name in POLICIES if not _denies(bound.get(name, {})))
    if missing:
        return fatal(
            "admission policies are missing or do not refuse: what they hold off is open while "
            "webhooks are away – `helm upgrade` restores them",
            missing,
        )
    open_ones = [
        name
        for name in POLICIES
        if reading.text(there[name], "spec", "failurePolicy") not in {"", "Fail"}
    ]
    if open_ones:
        return fatal("admission policies let pass what they cannot judge", open_ones)
    doubtful = [
        f"{name}: {reading.text(one, 'fieldRef')}"
        for name in POLICIES
        for one in reading.objects(there[name], "status", "typeChecking", "expressionWarnings")
    ]
    if doubtful:
        return warn("the API server has doubts about expressions of these", doubtful)
    return ok(f"{len(POLICIES)} policies")


def _denies(binding: Mapping[str, object]) -> bool:
    return "Deny" in reading.texts(binding, "spec", "validationActions")


def _days(left: timedelta) -> str:
    days = left.days
    return f"{days} day{'' if days == 1 else 's'} left" if days else "less than a day left"


CATEGORY: Final = Category(
    name="admission",
    checks=(
        Check(
            name="webhooks",
            title="the webhooks are there",
            judge=_webhooks,
            needs=("mutating", "validating"),
        ),
        Check(
            name="webhook-authorities",
            title="the API server trusts the injector",
            after="webhooks",
            judge=_authorities,
            needs=("mutating", "validating"),
        ),
        Check(
            name="certificates",
            title="certificates are for the right names, and hold",
            after="programs",
            judge=_certificates,
            needs=("certificates", "deployments"),
        ),
        Check(
            name="admission-policies",
            title="the admission policies are there",
            judge=_policies,
            needs=("policies", "bindings"),
        ),
    ),
)
