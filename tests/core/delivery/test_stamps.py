"""The injector's stamp on a Grant."""

import copy

import pytest

from mesh7_core.delivery import stamps
from mesh7_core.errors import ManifestError
from tests.core.delivery.parts import FIRST, SECOND

GRANT: dict[str, object] = {
    "apiVersion": "mesh7.dev/v1alpha1",
    "kind": "Grant",
    "metadata": {"name": "morning", "namespace": "shop"},
    "spec": {
        "effect": "Allow",
        "subject": {"serviceAccount": "support"},
        "maxUses": 10,
        "grantedBy": {"username": "ada", "uid": "u-1", "groups": ["finance"]},
    },
}


def changed(*path: str, value: object = None) -> dict[str, object]:
    """The stamped grant with one thing changed."""
    grant = copy.deepcopy(GRANT)
    set_at(grant, ("spec", "grantedBy", "stamp"), stamps.stamp(GRANT, FIRST))
    if path:
        set_at(grant, path, value)
    return grant


def set_at(grant: dict[str, object], path: tuple[str, ...], value: object) -> None:
    at: object = grant
    for step in path[:-1]:
        assert isinstance(at, dict)
        at = at[step]
    assert isinstance(at, dict)
    at[path[-1]] = value


def test_a_stamped_grant_is_known_again() -> None:
    """Whatever the API server adds: uid, times, labels, managed fields, status."""
    assert stamps.is_stamped(changed(), [FIRST.public])
    assert stamps.is_stamped(changed(), [SECOND.public, FIRST.public])
    assert stamps.is_stamped(changed("metadata", "uid", value="x"), [FIRST.public])
    assert stamps.is_stamped(changed("status", value={"phase": "Active"}), [FIRST.public])


def test_stamping_a_stamped_grant_gives_the_same_stamp() -> None:
    """Admission may see one object twice."""
    assert stamps.stamp(changed(), FIRST) == stamps.stamp(GRANT, FIRST)


@pytest.mark.parametrize(
    "grant",
    [
        GRANT,
        changed("metadata", "name", value="evening"),
        changed("metadata", "namespace", value="bank"),
        changed("spec", "effect", value="Deny"),
        changed("spec", "maxUses", value=11),
        changed("spec", "maxUses", value=10.0),
        changed("spec", "tools", value=["*"]),
        changed("spec", "grantedBy", "username", value="eve"),
        changed("spec", "grantedBy", "groups", value=["finance", "admins"]),
        changed("spec", "grantedBy", "stamp", value=""),
        changed("spec", "grantedBy", "stamp", value=None),
        changed("spec", "grantedBy", "stamp", value="!"),
        changed("spec", "grantedBy", "stamp", value=stamps.stamp(GRANT, SECOND)),
        changed("spec", "grantedBy", value=None),
        changed("spec", value=None),
        changed("spec", "when", value="\ud800"),
        changed("metadata", value=[]),
        {},
    ],
)
def test_a_grant_that_admission_did_not_see_so_is_not_stamped(grant: dict[str, object]) -> None:
    """Design 6: no Allow grant without a valid stamp."""
    assert not stamps.is_stamped(grant, [FIRST.public])


def test_nobody_trusted_is_nobody() -> None:
    assert not stamps.is_stamped(changed(), [])


@pytest.mark.parametrize("missing", ["metadata", "spec"])
def test_a_grant_without_name_or_spec_cannot_be_stamped(missing: str) -> None:
    """With `generateName` there is no name yet that a stamp could be about."""
    with pytest.raises(ManifestError, match="no namespace, name or spec"):
        stamps.stamp({**GRANT, missing: {} if missing == "metadata" else None}, FIRST)
