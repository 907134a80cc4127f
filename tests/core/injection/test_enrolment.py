"""Who is guarded: every combination of namespace, annotation, label and release."""

import itertools
from dataclasses import replace

import pytest

from mesh7_core import names
from mesh7_core.injection.enrolment import is_enrolled
from mesh7_core.injection.inject import Namespace, inject
from mesh7_core.injection.outcomes import Injected, Level, Outcome, Refused, Skipped
from tests.core.injection import parts

WRITTEN = (None, "true", "false", "yes")
ROWS = list(
    itertools.product((None, "enabled", "on-request", "Enabled"), WRITTEN, WRITTEN, (False, True))
)


def _expected(enrols: str | None, annotation: str | None, label: str | None, out: bool) -> str:
    """The table of `enrolment`, read from its first row down."""
    said = {one for one in (annotation, label) if one is not None}
    if enrols is None:
        return "not-enrolled"
    if enrols == "Enabled" or "yes" in said:
        return "invalid-value"
    if len(said) == 2:
        return "contradiction"
    asked = said.pop() if said else None
    table = {
        ("enabled", None): "guarded",
        ("enabled", "true"): "guarded",
        ("enabled", "false"): "opted-out" if out else "opt-out-not-allowed",
        ("on-request", "true"): "guarded",
        ("on-request", None): "not-requested",
        ("on-request", "false"): "opted-out",
    }
    return table[enrols, asked]


def _word(outcome: Outcome) -> str:
    match outcome:
        case Injected():
            return "guarded"
        case Skipped(reason=skip):
            return skip.value
        case Refused(reason=refusal):
            return refusal.value


@pytest.mark.promise("K5")
@pytest.mark.parametrize(("enrols", "annotation", "label", "out"), ROWS)
def test_each_combination_comes_to_what_the_table_says(
    enrols: str | None, annotation: str | None, label: str | None, out: bool
) -> None:
    """Design 9 and docs/reference/injection.md."""
    pod = parts.pod(
        annotations={} if annotation is None else {names.INJECT: annotation},
        labels={} if label is None else {names.INJECT: label},
    )
    settings = replace(parts.RELEASE, may_opt_out=out)

    found = inject(pod, parts.namespace(enrols), settings, parts.CLUSTER)

    assert _word(found) == _expected(enrols, annotation, label, out)


@pytest.mark.parametrize("enrols", ["enabled", "on-request", "Enabled"])
def test_in_the_release_namespace_nobody_is_guarded(enrols: str) -> None:
    """Otherwise what guards could not start without being guarded itself."""
    place = replace(parts.namespace(enrols), name=names.RELEASE_NAMESPACE)

    found = inject(parts.pod(), place, parts.RELEASE, parts.CLUSTER)

    assert _word(found) == "not-enrolled"


def test_a_mirror_pod_is_left_alone_wherever_it_is() -> None:
    pod = parts.pod(annotations={"kubernetes.io/config.mirror": "", names.INJECT: "yes"})

    found = inject(pod, parts.namespace(), parts.RELEASE, parts.CLUSTER, is_nodes=True)

    assert _word(found) == "mirror-pod"


@pytest.mark.promise("K15")
def test_a_mirror_pod_that_no_node_makes_is_guarded_as_any_other() -> None:
    """Attack: the annotation is a word that every tenant can write."""
    pod = parts.pod(annotations={"kubernetes.io/config.mirror": "x"})

    assert _word(inject(pod, parts.namespace(), parts.RELEASE, parts.CLUSTER)) == "guarded"


@pytest.mark.parametrize(
    ("field", "mark"),
    [
        ("labels", names.INJECTED_LABEL),
        ("annotations", names.ENFORCEMENT),
        ("annotations", names.INJECTION_ANNOTATION),
    ],
)
@pytest.mark.promise("K13")
def test_a_pod_that_is_left_alone_may_not_say_that_it_is_guarded(field: str, mark: str) -> None:
    """Whoever counts guarded pods believes the marks."""
    written = {mark: "true"}
    pod = parts.pod(labels=written) if field == "labels" else parts.pod(annotations=written)

    found = inject(pod, parts.namespace("on-request"), parts.RELEASE, parts.CLUSTER)

    assert parts.told(found) == [("contradiction", f"metadata.{field}.{mark}")]


def test_who_asks_in_vain_is_told() -> None:
    pod = parts.pod(annotations={names.INJECT: "true"})

    found = inject(pod, parts.namespace(None), parts.RELEASE, parts.CLUSTER)

    assert isinstance(found, Skipped)
    (warning,) = found.warnings
    assert warning == (
        "the pod asks to be guarded, and namespace `shop` is not enrolled: give it the label "
        "`mesh7.dev/injection`"
    )


@pytest.mark.promise("K13")
@pytest.mark.parametrize(
    ("written", "default", "level"),
    [
        (None, Level.COOPERATIVE, Level.COOPERATIVE),
        ("Cooperative", Level.GUARDED, Level.COOPERATIVE),
    ],
)
def test_the_namespace_names_the_level_and_else_the_release(
    written: str | None, default: Level, level: Level
) -> None:
    settings = replace(parts.RELEASE, default_level=default)

    found = inject(parts.pod(), parts.namespace(level=written), settings, parts.CLUSTER)

    assert isinstance(found, Injected)
    assert found.level is level


@pytest.mark.parametrize(
    ("namespace", "label", "expected"),
    [
        ("shop", "enabled", True),
        ("shop", "on-request", True),
        ("shop", "Enabled", False),
        ("shop", "", False),
        ("shop", None, False),
        (names.RELEASE_NAMESPACE, "enabled", False),
    ],
)
def test_the_label_enrols_and_the_release_namespace_never_is(
    namespace: str, label: str | None, expected: bool
) -> None:
    labels = {} if label is None else {names.INJECTION_LABEL: label}
    assert is_enrolled(namespace, labels, names.RELEASE_NAMESPACE) is expected


def test_a_label_that_is_empty_means_nothing_and_refuses() -> None:
    place = Namespace(name="shop", labels={names.INJECTION_LABEL: ""}, annotations={})

    assert _word(inject(parts.pod(), place, parts.RELEASE, parts.CLUSTER)) == "invalid-value"
