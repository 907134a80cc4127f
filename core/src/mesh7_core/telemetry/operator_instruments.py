"""Every metric of the operator's programs: controller, injector, exchange. Pure: a table.

Labels are bounded: namespaces that are enrolled, and closed sets of words. No metric names a user,
a tool or an argument. A namespace that leaves loses its series.
"""

from functools import partial
from typing import Final

from mesh7_core.telemetry.instruments import Instrument, Kind, Label, Program

_LAG_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_WORK_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_ADMISSION_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_ANSWER_S: Final = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
_PATCH_BYTES: Final = (1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576)

_NAMESPACE: Final = Label(attribute="namespace", bound="namespaces that are enrolled")
_KIND: Final = Label(attribute="kind", bound="kinds of the API server that mesh7 uses")
_of_controller = partial(Instrument, programs=(Program.CONTROLLER,))
_of_injector = partial(Instrument, programs=(Program.INJECTOR,))
_of_exchange = partial(Instrument, programs=(Program.EXCHANGE,))
_of_all = partial(Instrument, programs=(Program.CONTROLLER, Program.INJECTOR, Program.EXCHANGE))
_per_namespace = partial(_of_controller, kind=Kind.GAUGE, labels=(_NAMESPACE,))

LEADER: Final = _of_controller(
    name="mesh7.leader",
    kind=Kind.GAUGE,
    help="1 where this process holds the Lease",
    meaning="1 where this process leads; the sum over all controllers is 1, or 0 for less than "
    "half a minute",
)
QUEUE_DEPTH: Final = _of_controller(
    name="mesh7.queue.depth",
    kind=Kind.GAUGE,
    unit="{namespace}",
    help="Namespaces that are due and wait to be reconciled",
)
QUEUE_AGE: Final = _of_controller(
    name="mesh7.queue.age",
    kind=Kind.GAUGE,
    unit="s",
    help="How long the namespace that is due longest has waited",
    meaning="how long the namespace that is due longest has waited, or has been worked on; above "
    "60 while no namespace gets done, or above 600, `/healthz` says no; so it does when a leader "
    "does not know everything after 300 s",
)
RECONCILE: Final = _of_controller(
    name="mesh7.reconcile",
    kind=Kind.HISTOGRAM,
    unit="s",
    labels=(Label(attribute="outcome", values=("done", "failed", "crashed")),),
    help="One namespace: gathered, reconciled, applied",
    meaning="one namespace, from reading what is known to the last write. `failed` is tried again, "
    "each time later, after a minute at most; `crashed` is a defect of mesh7, its traceback is in "
    "the log",
    buckets=_WORK_S,
)
WATCH_RESTARTS: Final = _of_controller(
    name="mesh7.watch.restarts",
    kind=Kind.COUNTER,
    labels=(_KIND,),
    help="Watches begun anew",
    meaning="watches of the API server begun anew. One in five to ten minutes a kind is usual",
)
FAILED_ROUNDS: Final = _of_controller(
    name="mesh7.failed.rounds",
    kind=Kind.COUNTER,
    labels=(
        Label(attribute="round", bound="`resync`, `reports`, `keys`, `users`, `newcomers`, `pods`, "
              "`certificates`, `secrets`, `approvals` and the like"),
        Label(attribute="outcome", values=("failed", "crashed")),
    ),
    help="Rounds of upkeep that were not done",
    meaning="rounds of upkeep that were not done, and are done again with the next one; `crashed` "
    "is a defect of mesh7, its traceback is in the log",
)  # fmt: skip
BUNDLE_VERSION: Final = _per_namespace(
    name="mesh7.bundle.version",
    help="The bundle in force: Unix time in milliseconds when it was made",
)
BUNDLE_BYTES: Final = _per_namespace(
    name="mesh7.bundle",
    unit="By",
    help="Size of the bundle as delivered; 716,800 is the most",
)
PROPAGATION: Final = _of_controller(
    name="mesh7.propagation",
    kind=Kind.HISTOGRAM,
    unit="s",
    help="From a bundle's version to the first report of each sidecar that obeys it",
    meaning="from a bundle's making to the first report of each sidecar that obeys it. Reports are "
    "looked at every five seconds, so that much is the measurement itself",
    buckets=_LAG_S,
)
STALE_SIDECARS: Final = _per_namespace(
    name="mesh7.stale.sidecars",
    help="Sidecars that report another bundle than the one in force",
)
GUARDED_PODS: Final = _per_namespace(
    name="mesh7.guarded.pods",
    help="Pods with a sidecar",
    meaning="pods with a sidecar; this and the four below are counted every 30 s "
    "(`--audit-interval`)",
)
UNGUARDED_PODS: Final = _per_namespace(
    name="mesh7.unguarded.pods",
    help="Pods without a sidecar that should have one",
    meaning="pods that should have a sidecar and have none, or a forged one: older than the "
    "enrolment, or made while admission was off. Pods that may go without (not asked for in an "
    "`on-request` namespace, opted out where that is allowed) are in neither count",
)
OUTDATED_PODS: Final = _per_namespace(
    name="mesh7.outdated.pods",
    help="Pods whose sidecar has another image than those of today",
    meaning="guarded pods whose sidecar has another image than those made today; 0 where "
    "`--sidecar-image` is not given",
)
UNREADY_SIDECARS: Final = _per_namespace(
    name="mesh7.unready.sidecars",
    help="Guarded pods that run while their sidecar is not ready",
)
NETWORK_POLICIES: Final = _of_controller(
    name="mesh7.network.policies",
    kind=Kind.GAUGE,
    labels=(Label(attribute="egress", values=("open", "closed")),),
    help="Namespaces with NetworkPolicy mesh7-guarded",
    meaning="namespaces with [NetworkPolicy `mesh7-guarded`](../administrator/network.md), by "
    "whether it lets pods out to any address of some port",
)
OPEN_REQUESTS: Final = _per_namespace(
    name="mesh7.open.requests",
    help="ApprovalRequests that wait for people, or were approved and can be used",
)
DECISIONS: Final = _of_controller(
    name="mesh7.decisions",
    kind=Kind.COUNTER,
    labels=(Label(attribute="verdict", values=("approved", "denied")),),
    help="Held calls that people decided, signed and written to Redis",
)
DECISION: Final = _of_controller(
    name="mesh7.decision",
    kind=Kind.HISTOGRAM,
    unit="s",
    help="From the creation of the last Grant that was needed to the decision in Redis",
    meaning="from the creation of the last Grant that was needed to the signed decision in Redis. "
    "The API server notes creations in whole seconds, so up to one second is the measurement "
    "itself",
    buckets=_LAG_S,
)
REFUSED_ANSWERS: Final = _of_controller(
    name="mesh7.refused.answers",
    kind=Kind.COUNTER,
    help="Grants that answer a held call and do not count",
    meaning="Grants that answer a held call and do not count; their statuses say why",
)
FORGED_REQUESTS: Final = _of_controller(
    name="mesh7.forged.requests",
    kind=Kind.COUNTER,
    labels=(_NAMESPACE,),
    help="Requests in Redis whose state was nobody's word, and was repaired",
    meaning="requests in Redis whose state was nobody's word: somebody wrote there past mesh7. It "
    "was put right, and the log says what it claimed",
)
DOUBTED_REQUESTS: Final = _of_controller(
    name="mesh7.doubted.requests",
    kind=Kind.COUNTER,
    labels=(_NAMESPACE,),
    help="Requests in Redis that are not what they claim to be, and are not mirrored",
    meaning="requests in Redis that are not what they claim to be, and that nobody is asked about; "
    "the log says why. Some come with a change of policies; many are somebody who writes there "
    "past mesh7",
)
STORE_STATE: Final = _of_controller(
    name="mesh7.store.state",
    kind=Kind.GAUGE,
    labels=(Label(attribute="state", values=("connected", "lost", "none")),),
    help="1 for how it stands with Redis",
)
STORE_TROUBLE: Final = _of_controller(
    name="mesh7.store.trouble",
    kind=Kind.GAUGE,
    labels=(Label(attribute="trouble", values=("open", "not-kept")),),
    help="1 for what is wrong with a server of Redis",
    meaning="1 for what is wrong with a server of Redis: it takes users [without a password]"
    "(../administrator/redis.md#the-default-user), or its users and functions cannot be kept. The "
    "log names the server; `/healthz` says `is_redis_well`",
)
CERTIFICATES_MADE: Final = _of_controller(
    name="mesh7.certificates.made",
    kind=Kind.COUNTER,
    labels=(Label(attribute="certificate", values=("injector", "exchange", "redis")),),
    help="Certificates issued",
)
AUTHORITIES: Final = _of_controller(
    name="mesh7.authorities",
    kind=Kind.GAUGE,
    help="Authorities that are trusted now",
    meaning="authorities that are trusted now; more than 1 while [one follows another]"
    "(../administrator/certificates.md#how-one-authority-follows-another). Only with certificates "
    "of our own",
)
EXCHANGE_REQUESTS: Final = _of_exchange(
    name="mesh7.exchange.requests",
    kind=Kind.COUNTER,
    labels=(Label(attribute="outcome", bound="`handed`, or [why not](exchange-api.md)"),),
    help="Requests for credentials, by what became of them: handed, or why not",
)
EXCHANGE_REVIEWS: Final = _of_exchange(
    name="mesh7.exchange.token.reviews",
    kind=Kind.COUNTER,
    help="Tokens that the API server was asked about",
)
EXCHANGE: Final = _of_exchange(
    name="mesh7.exchange",
    kind=Kind.HISTOGRAM,
    unit="s",
    help="From a request to its answer",
    buckets=_ANSWER_S,
)
ADMISSIONS: Final = _of_injector(
    name="mesh7.admissions",
    kind=Kind.COUNTER,
    labels=(
        Label(attribute="door", values=("inject", "mutate", "validate")),
        _KIND,
        Label(attribute="outcome", bound="a closed set of words"),
    ),
    help="Questions of the API server, by door, kind and what became of them",
)
ADMISSION: Final = _of_injector(
    name="mesh7.admission",
    kind=Kind.HISTOGRAM,
    unit="s",
    labels=(Label(attribute="door", values=("inject", "mutate", "validate")),),
    help="From a question to its answer",
    meaning="from a question to its answer; `inject` is what a new pod waits",
    buckets=_ADMISSION_S,
)
INJECTIONS: Final = _of_injector(
    name="mesh7.injections",
    kind=Kind.COUNTER,
    labels=(
        Label(attribute="outcome", values=("injected", "skipped", "refused", "failed")),
        Label(attribute="reason", bound="[a closed set of words](injection.md)"),
    ),
    help="Pods that were asked about, by what became of them, and why",
    meaning="new pods that were asked about, dry runs not counted: of those injected the level "
    "achieved, of those skipped and refused [the reason](injection.md), of those that failed "
    "`unavailable` or `crashed`. The API server may ask about a pod twice",
)
PATCH_BYTES: Final = _of_injector(
    name="mesh7.injection.patch",
    kind=Kind.HISTOGRAM,
    unit="By",
    help="Size of what was changed of a pod, as JSON Patch",
    buckets=_PATCH_BYTES,
)
AUDIT_FINDINGS: Final = _of_controller(
    name="mesh7.audit.findings",
    kind=Kind.COUNTER,
    labels=(
        _NAMESPACE,
        Label(
            attribute="kind",
            values=("edited", "gap", "repeated", "forged", "cut", "withheld", "unanchored"),
        ),
    ),
    help="What does not fit in the audit of a namespace",
    meaning="what the controller found in the audit of a namespace that is not as it was written "
    "(docs/administrator/audit.md, Findings). `withheld` is a sidecar's own word that it could not "
    "send some blocks; all others are worth a look at who may write to Redis",
)
AUDIT_EVICTED: Final = _of_controller(
    name="mesh7.audit.evicted",
    kind=Kind.COUNTER,
    labels=(_NAMESPACE,),
    help="Audit records taken away before their time",
    meaning="records that left the audit of a namespace before `audit.retention`, for their pod "
    "had written more than `audit.maxBytes` leaves it; they are on its stdout",
)
API_ERRORS: Final = _of_all(
    name="mesh7.api.errors",
    kind=Kind.COUNTER,
    labels=(
        Label(attribute="verb", bound="verbs of the API server that mesh7 uses"),
        _KIND,
        Label(attribute="error", values=("forbidden", "gone", "invalid", "unavailable", "other")),
    ),
    help="Requests that the API server did not do",
    meaning="requests that the API server did not do, after they were repeated where that is safe",
)
CERTIFICATE_DAYS: Final = _of_all(
    name="mesh7.certificate",
    kind=Kind.GAUGE,
    unit="d",
    labels=(Label(attribute="certificate", values=("authority", "injector", "exchange", "redis")),),
    help="Days that a certificate is still valid",
    meaning="days that a certificate is still valid: in exchange and injector that which is "
    "served, in the leading controller those in the Secrets, `authority` too",
)

ALL: Final[tuple[Instrument, ...]] = tuple(
    each for each in tuple(globals().values()) if isinstance(each, Instrument)
)
"""In the order of the documentation."""
