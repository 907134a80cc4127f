"""AdmissionReviews: the API server's question read into a value, our answer written back.

Whoever reaches the port may send anything, so nothing about a question is believed before it was
looked at. Pure: no clock, no network, no logging.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mesh7_core import names
from mesh7_core.delivery import spelled

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"
CREATE: Final = "CREATE"
UPDATE: Final = "UPDATE"
_WARNING_CHARACTERS: Final = 256
"""The API server cuts longer ones, and all of them beyond 4096 together."""
_MOST_WARNINGS: Final = 15
_MOST_CAUSES: Final = 50
_MESSAGE_CHARACTERS: Final = 4_096
_SHOWN_CHARACTERS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a door is asked about.

    Attributes:
        group: of the API; empty = the core group.
    """

    group: str
    kinds: tuple[str, ...]
    operations: tuple[str, ...]


OURS: Final = About(group=names.GROUP, kinds=names.WRITTEN_KINDS, operations=(CREATE, UPDATE))
NEW_PODS: Final = About(group="", kinds=("Pod",), operations=(CREATE,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Who asks the API server for the change.

    Attributes:
        groups: all of the user's; never logged.
        extra: what else the API server's authorizers are told, such as a token's scopes; neither.
    """

    username: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_node(self) -> bool:
        """As admission policies tell it."""
        return self.username.startswith("system:node:") and "system:nodes" in self.groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One question.

    Attributes:
        uid: the question's, not the object's.
        name: empty where the API server has yet to make one up.
        value: the object as it is to be stored; its `metadata.namespace` is `namespace`.
        before: as it is stored now; None = it is new.
        is_dry_run: whether nothing is going to be stored.
    """

    uid: str
    group: str
    kind: str
    namespace: str
    name: str
    value: Mapping[str, object]
    before: Mapping[str, object] | None
    maker: Maker
    is_dry_run: bool = False

    @property
    def spec(self) -> Mapping[str, object]:
        """Empty when there is none."""
        spec = self.value.get("spec")
        return spec if isinstance(spec, dict) else {}


@dataclass(frozen=True, slots=True)
class Malformed:
    """No question of ours; says why."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that is wrong.

    Attributes:
        path: of the field, such as `spec.rules[2].when`; empty for the whole object.
        code: a word of ours that the answer begins with; empty = there is none.
    """

    path: str
    message: str
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Yes.

    Attributes:
        warnings: kubectl shows them.
        patch: JSON Patch; empty = the object stays as it is.
    """

    warnings: tuple[str, ...] = ()
    patch: Sequence[Mapping[str, object]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """No.

    Attributes:
        code: HTTP's.
        reason: a word of the API server's.
        message: used when there are no causes.
    """

    code: int
    reason: str
    message: str = ""
    causes: tuple[Cause, ...] = ()
    warnings: tuple[str, ...] = ()


Verdict = Allowed | Refused


def invalid(*causes: Cause, warnings: tuple[str, ...] = ()) -> Refused:
    """The object as written cannot be."""
    return Refused(code=422, reason="Invalid", causes=causes, warnings=warnings)


def forbidden(message: str) -> Refused:
    """Somebody else might."""
    return Refused(code=403, reason="Forbidden", message=message)


def not_allowed(*causes: Cause) -> Refused:
    """Nobody may, as it is written.

    Not a 422: of that kubectl shows fields and messages alone, and so no code.
    """
    return Refused(code=403, reason="Forbidden", causes=causes)


def unavailable(message: str) -> Refused:
    """Nobody knows now; trying again may help."""
    return Refused(code=503, reason="ServiceUnavailable", message=message)


def read(body: bytes, about: About) -> Review | Malformed:
    """A question of the API server, if it is one that this door is asked."""
    review = spelled.json_object(body)
    if review is None:
        return Malformed("the body is no strict JSON object of at most 200 levels")
    if review.get("apiVersion") != API_VERSION or review.get("kind") != KIND:
        return Malformed(f"the body is no `{KIND}` of `{API_VERSION}`")
    request = review.get("request")
    if not isinstance(request, dict):
        return Malformed("`request` is missing")
    uid, namespace = _text(request, "uid"), _text(request, "namespace")
    kind = _kind(request.get("kind"), about)
    operation = _text(request, "operation")
    if not uid or not namespace:
        return Malformed("`request.uid` or `request.namespace` is missing")
    if kind is None:
        return Malformed(f"`request.kind` is none of `{about.group}`: {', '.join(about.kinds)}")
    if operation not in about.operations:
        return Malformed(f"`request.operation` is none of: {', '.join(about.operations)}")
    maker = _maker(request.get("userInfo"))
    if maker is None:
        return Malformed("`request.userInfo.username` is missing")
    value = _object(request.get("object"), kind, namespace)
    before = _object(request.get("oldObject"), kind, namespace) if operation == UPDATE else None
    if value is None or (operation == UPDATE and before is None):
        return Malformed(
            f"`request.object` or `request.oldObject` is no {kind} of `request.namespace`"
        )
    return Review(
        uid=uid, group=about.group, kind=kind, namespace=namespace,
        name=_text(value["metadata"], "name"), value=value, before=before, maker=maker,
        is_dry_run=request.get("dryRun") is True,
    )  # fmt: skip


def written(review: Review, verdict: Verdict) -> dict[str, object]:
    """The answer."""
    response: dict[str, object] = {"uid": review.uid, "allowed": isinstance(verdict, Allowed)}
    if verdict.warnings:
        response["warnings"] = [_cut(one, _WARNING_CHARACTERS) for one in verdict.warnings][
            :_MOST_WARNINGS
        ]
    if isinstance(verdict, Refused):
        response["status"] = _status(review, verdict)
    elif verdict.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(verdict.patch).encode()).decode()
    return {"apiVersion": API_VERSION, "kind": KIND, "response": response}


def _status(review: Review, refused: Refused) -> dict[str, object]:
    causes = refused.causes[:_MOST_CAUSES]
    said = "; ".join(": ".join(filter(None, (one.code, one.path, one.message))) for one in causes)
    if len(refused.causes) > len(causes):
        said += f"; and {len(refused.causes) - len(causes)} more"
    details: dict[str, object] = {
        "group": review.group,
        "kind": review.kind,
        "name": _cut(review.name, _SHOWN_CHARACTERS),
    }
    if causes:
        details["causes"] = [
            {
                "reason": one.code or "FieldValueInvalid",
                "message": _cut(one.message, _MESSAGE_CHARACTERS),
                "field": one.path or "metadata",
            }
            for one in causes
        ]
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": refused.code,
        "reason": refused.reason,
        "message": _cut(said or refused.message, _MESSAGE_CHARACTERS),
        "details": details,
    }


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _text(value: object, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _kind(value: object, about: About) -> str | None:
    kind = _text(value, "kind")
    return kind if _text(value, "group") == about.group and kind in about.kinds else None


def _maker(value: object) -> Maker | None:
    username = _text(value, "username")
    if not username or not isinstance(value, dict):
        return None
    extra = value.get("extra")
    return Maker(
        username=username,
        uid=_text(value, "uid"),
        groups=_texts(value.get("groups")),
        extra={key: _texts(one) for key, one in extra.items()} if isinstance(extra, dict) else {},
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _object(value: object, kind: str, namespace: str) -> dict[str, object] | None:
    """The object with the namespace that the question is about; None = it is another one."""
    if not isinstance(value, dict) or value.get("kind") != kind:
        return None
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("namespace") not in {None, "", namespace}:
        return None
    return {**value, "metadata": {**metadata, "namespace": namespace}}
