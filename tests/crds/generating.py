"""Objects as people may write them: by the CRD's schema, with content that means something.

`written` makes mostly good ones; `broken` changes one spot of a good one, mostly for the worse.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from mesh7_core import names
from tests.crds import schemas
from tests.crds.schemas import Schema

Spec = dict[str, Any]

DURATIONS = (
    "500ms", "1s", "10m", "1h30m", "8784h", "31622400000ms", "0s", "999ms", "8785h", "00001h",
    "10", "1 minute", "1m1h", "-1s", "1.5h", "1h\n", "", "٣s", "1d",
)  # fmt: skip
SIZES = (
    1, 10_485_760, 999_999_999_999, "10Mi", "512", "999Gi", "1k", 0, "0Mi", -1, 10**12, "1000Gi",
    "10MB", "1.5Gi", "", "Mi", "0000000001Ki",
)  # fmt: skip
_WORDS = st.sampled_from(["billing", "a", "support-eu", "x1", "finance"])
_GLOBS = st.sampled_from(["*", "billing.*", "billing.create_refund", "git.p?sh", "*.get_*"])
_EXPRESSIONS = st.sampled_from(["args.amount < 500", "tool == 'billing.list'", "true"])
_MOMENTS = st.sampled_from(
    ["2026-11-21T10:00:00Z", "2026-11-21T10:00:00.123456789+01:30", "2999-12-31T23:59:59-00:00"]
)
_URLS = st.sampled_from(["https://billing.example.com/mcp", "http://10.0.0.1:8080", "HTTPS://a/x"])
_CONTENT: Mapping[str, st.SearchStrategy[Any]] = {
    "when": _EXPRESSIONS,
    "url": _URLS,
    "baseURL": _URLS,
    "expiresAt": _MOMENTS,
    "match": st.sampled_from(["delete_*", "get_?", "*"]),
    "header": st.sampled_from(["Authorization", "X-Api-Key"]),
    "scheme": st.sampled_from(["Bearer", ""]),
    "redact": st.lists(st.sampled_from(["$.token", "$.items[*].secret", "$..x['a']"]), max_size=3),
    "reason": st.sampled_from(["INC-4711", "refunds\tneed finance", "grün"]),
    "maxResponseSize": st.sampled_from(SIZES[:7]),
    **dict.fromkeys(("tools", "resources", "prompts"), st.lists(_GLOBS, min_size=1, max_size=3)),
    **dict.fromkeys(("include", "exclude"), st.lists(st.sampled_from(["get_*", "a"]), max_size=3)),
}
_DURATION = st.sampled_from(DURATIONS[1:6])


def written(kind: str) -> st.SearchStrategy[Spec]:
    """Specs that keep to the schema and mostly to its CEL rules too."""
    mend = {names.AGENT_POLICY: _mend_policy, names.TOOL_SOURCE: _mend_source}.get(kind)
    made = _values(schemas.spec(kind), "spec")
    return made.map(mend) if mend else _grants(made)


@st.composite
def broken(draw: st.DrawFn, kind: str) -> Spec:
    """A spec of `written` with one spot changed: left out, of another type, beyond a bound."""
    spec = copy.deepcopy(draw(written(kind)))
    spots = list(_spots(spec, schemas.spec(kind)))
    parent, key, schema = draw(st.sampled_from(spots))
    match draw(st.sampled_from(["remove", "replace", "stretch", "add"])):
        case "remove":
            del parent[key]
        case "add" if isinstance(parent[key], dict):
            parent[key]["unknown"] = "value"
        case "stretch":
            parent[key] = draw(_stretched(schema, parent[key]))
        case _:
            parent[key] = draw(st.sampled_from([0, 10, True, "", "no", "a b", [], {}, ["a"], 1.5]))
    return spec


def manifest(kind: str, spec: Spec, name: str = "support") -> dict[str, Any]:
    """The whole object."""
    return {
        "apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec,
    }  # fmt: skip


def _values(schema: Schema, name: str) -> st.SearchStrategy[Any]:
    if name in _CONTENT and schema.get("type") != "object":
        return _CONTENT[name]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return _MAKERS[schema["type"]](schema, name)


def _object(schema: Schema, _: str) -> st.SearchStrategy[Any]:
    if "properties" not in schema:
        # The keys of a map are bound by CEL alone.
        keys = st.sampled_from(["app", "example.com/app", "kubernetes.io/metadata.name"])
        return st.dictionaries(keys, _values(schema["additionalProperties"], ""), max_size=2)
    required = schema.get("required", ())
    inner = {key: _values(one, key) for key, one in schema["properties"].items()}
    return st.fixed_dictionaries(
        {key: one for key, one in inner.items() if key in required},
        optional={key: one for key, one in inner.items() if key not in required},
    )


def _array(schema: Schema, name: str) -> st.SearchStrategy[Any]:
    keys = schema.get("x-kubernetes-list-map-keys", [None])

    def identity(one: Any) -> object:
        return one if keys == [None] else one[keys[0]]

    is_merged = schema["x-kubernetes-list-type"] != "atomic"
    return st.lists(
        _values(schema["items"], name.removesuffix("s")),
        min_size=schema.get("minItems", 0),
        max_size=3,
        unique_by=identity if is_merged else None,
    )


def _text(schema: Schema, _: str) -> st.SearchStrategy[Any]:
    pattern = schema.get("pattern", "")
    if "ms)?" in pattern:
        return _DURATION
    if pattern.startswith("^sha256"):
        return st.sampled_from([f"sha256:{'0' * 64}", f"sha256:{'ab' * 32}"])
    return _WORDS


def _number(schema: Schema, _: str) -> st.SearchStrategy[Any]:
    return st.sampled_from([schema["minimum"], schema["minimum"] + 1, schema["maximum"]])


_MAKERS: Mapping[str, Callable[[Schema, str], st.SearchStrategy[Any]]] = {
    "object": _object,
    "array": _array,
    "string": _text,
    "integer": _number,
    "boolean": lambda _, __: st.booleans(),
}


def _stretched(schema: Schema, value: object) -> st.SearchStrategy[Any]:
    """At a bound, or just beyond it."""
    if "ms)?" in schema.get("pattern", ""):
        return st.sampled_from(DURATIONS)
    if schema.get("x-kubernetes-int-or-string"):
        return st.sampled_from(SIZES)
    if "minimum" in schema:
        least, most = schema["minimum"], schema["maximum"]
        return st.sampled_from([least - 1, least, most, most + 1])
    if isinstance(value, str):
        most = schema.get("maxLength", 8)
        return st.sampled_from(["a" * most, "a" * (most + 1), value + "\n", value.upper(), "a\x00"])
    if isinstance(value, list) and value:
        return st.sampled_from([value + value[:1], value[:0], [*value, 1]])
    return st.just(value)


def _spots(value: Any, schema: Schema) -> Iterator[tuple[Any, Any, Schema]]:
    """Every place of a value with its schema, as (what holds it, key there, schema)."""
    if isinstance(value, dict):
        for key, inner in value.items():
            known = schema.get("properties", {}).get(key) or schema.get("additionalProperties", {})
            yield value, key, known
            yield from _spots(inner, known)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield value, index, schema["items"]
            yield from _spots(inner, schema["items"])


def _mend_policy(spec: Spec) -> Spec:
    for name in ("selector", "namespaceSelector"):
        for one in spec.get(name, {}).get("matchExpressions", ()):
            values = ["a"] if one["operator"] in ("In", "NotIn") else []
            one["values"] = values
    known = [one["name"] for one in spec.get("limits", ())]
    for rule in spec.get("rules", ()):
        families = [one for one in ("tools", "resources", "prompts") if one in rule]
        for one in families[1:]:
            del rule[one]
        if not families:
            rule["tools"] = ["*"]
        if rule["action"] != "RequireApproval":
            rule.pop("approval", None)
        if "limits" in rule:
            rule["limits"] = known[: len(rule["limits"])]
    return spec


def _mend_source(spec: Spec) -> Spec:
    ways = [one for one in ("mcp", "http") if one in spec]
    for one in ("openapi", "cli", *ways[1:]):
        spec.pop(one, None)
    if not ways:
        spec["http"] = {"url": "https://billing.example.com/api"}
    spec.get("http", {}).pop("operations", None)
    if "mcp" in spec:
        spec["mcp"] = {"url": spec["mcp"].get("url", "https://billing.example.com/mcp")}
    else:
        spec.pop("pinning", None)
    spec["validateArguments"] = False
    return spec


def _grants(made: st.SearchStrategy[Spec]) -> st.SearchStrategy[Spec]:
    more = st.fixed_dictionaries({
        "policyRef": st.just({"namespace": "default", "name": "known"}),
        "expiresAt": _MOMENTS,
        "reason": st.just("INC-4711"),
        "subject": st.sampled_from([{"serviceAccount": "support"}, {"pod": "pod-1"}]),
    })  # fmt: skip

    def mend(spec: Spec, more: Spec) -> Spec:
        is_exact = "tools" not in spec and "requestRef" in spec and "digest" in spec
        mended = spec | more if spec["effect"] == "Allow" or is_exact else spec
        if "tools" in mended or not ("requestRef" in mended and "digest" in mended):
            mended = {
                key: one for key, one in mended.items()
                if key not in ("requestRef", "digest", "unseen")
            }  # fmt: skip
        else:
            mended = {key: one for key, one in mended.items() if key not in ("when", "maxUses")}
            mended["subject"] = {"pod": "pod-1"}
        if mended["effect"] == "Allow" and "requestRef" not in mended:
            mended.setdefault("tools", ["billing.*"])
        if mended["effect"] == "Deny" and len(mended["subject"]) > 1:
            mended["subject"] = {}
        return mended

    return st.builds(mend, made, more)
