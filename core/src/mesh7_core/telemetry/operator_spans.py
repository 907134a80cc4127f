"""The spans that the operator's programs make, and what each attribute means: one table.

`conventions` is the sidecar's. Approvers are never named: a keyed hash stands for each.
Pure: no clock, no network, no logging.
"""

from typing import Final

from mesh7_core.telemetry.conventions import APPROVAL_ID, EFFECT, ERROR, AttributeRow, SpanRow

RECONCILE: Final = "reconcile"
ADMISSION: Final = "admission"
EXCHANGE: Final = "exchange"
DECIDE: Final = "approval.decide"

SPANS: Final = (
    SpanRow(
        key=RECONCILE,
        name=RECONCILE,
        kind="INTERNAL",
        meaning="The controller plans one namespace and applies the plan.",
    ),
    SpanRow(
        key=ADMISSION,
        name="`admission <door>`, such as `admission inject`",
        kind="SERVER",
        meaning="One question of the API server to the injector. The span of the API server is its"
        " parent where the API server is traced.",
    ),
    SpanRow(
        key=EXCHANGE,
        name=EXCHANGE,
        kind="SERVER",
        meaning="A sidecar asks for its Redis credentials.",
    ),
    SpanRow(
        key=DECIDE,
        name=DECIDE,
        kind="INTERNAL",
        meaning="From the moment that a person's Grant was made until sidecars were told what it"
        " decided. A trace of its own, with a link to the `approval.wait` of the held call; made"
        " whenever that call is traced.",
    ),
)

NAMESPACE: Final = "mesh7.namespace"
OUTCOME: Final = "mesh7.operator.outcome"
WRITTEN: Final = "mesh7.operator.written"
DOOR: Final = "mesh7.admission.door"
OBJECT: Final = "mesh7.admission.kind"
VERDICT: Final = "mesh7.approval.verdict"
APPROVERS: Final = "mesh7.approval.approver.hash"
STATUS: Final = "http.response.status_code"

ATTRIBUTES: Final = (
    AttributeRow(
        name=NAMESPACE,
        spans=(RECONCILE, DECIDE),
        meaning="The namespace that it is about.",
        example="team-a",
    ),
    AttributeRow(
        name=OUTCOME,
        spans=(RECONCILE, ADMISSION),
        meaning="As the metric of it counts it.",
        example="done",
    ),
    AttributeRow(
        name=WRITTEN,
        spans=(RECONCILE,),
        meaning="Objects and bundles that the plan has written.",
        example="3",
    ),
    AttributeRow(
        name=DOOR, spans=(ADMISSION,), meaning="`inject`, `mutate`, `validate`.", example="inject"
    ),
    AttributeRow(
        name=OBJECT,
        spans=(ADMISSION,),
        meaning="The kind that is judged; `unknown` when it was not read.",
        example="Pod",
    ),
    AttributeRow(name=STATUS, spans=(ADMISSION, EXCHANGE), meaning="Of the answer.", example="200"),
    AttributeRow(
        name=ERROR,
        spans=(RECONCILE, ADMISSION, EXCHANGE),
        meaning="The outcome, or the status, when it is a failure of ours.",
        example="failed",
    ),
    AttributeRow(
        name=APPROVAL_ID,
        spans=(DECIDE,),
        meaning="The request, which is the ApprovalRequest's name.",
        example="7nq2k4wd3f",
    ),
    AttributeRow(
        name=VERDICT, spans=(DECIDE,), meaning="`approved` or `denied`.", example="approved"
    ),
    AttributeRow(name=EFFECT, spans=(DECIDE,), meaning="`allow` or `deny`.", example="allow"),
    AttributeRow(
        name=APPROVERS,
        spans=(DECIDE,),
        meaning="A keyed hash for each person, in order; the same one until another controller"
        " leads. Names are in the audit.",
        example='["b2:5c1f0a…"]',
    ),
)
