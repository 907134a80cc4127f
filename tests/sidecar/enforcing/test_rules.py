"""The rules of level Enforced as text, and how they are recognised in the kernel.

That they keep everybody in is tried on real network namespaces: e2e/node/test_enforcing.py.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh7_core import errors
from mesh7_sidecar import enforce_rules

_USER = 77007
_LISTED = (Path(__file__).parent / "listed.json").read_bytes()
"""As nft 1.0.6 lists the table that `ruleset(77007)` has made."""


def _told(written: str) -> str:
    with pytest.raises(errors.SettingsError) as caught:
        enforce_rules.user({"MESH7_USER": written})
    return caught.value.message


def test_the_user_is_the_one_that_the_injector_names() -> None:
    """docs/administrator/enforcement.md: the release's setting `injection.user`."""
    assert enforce_rules.user({"MESH7_USER": "77007"}) == _USER


@pytest.mark.parametrize("written", ["", "0", "-1", "root", "4294967295", "7" * 12, "\u0667"])
def test_root_and_what_is_no_number_is_refused(written: str) -> None:
    """Rules for root would let out whoever becomes root."""
    assert _told(written) == (
        f"MESH7_USER: `{written}` is no user's number above 0 – the injector sets it; see "
        "docs/administrator/enforcement.md"
    )


def test_a_missing_user_is_refused() -> None:
    with pytest.raises(errors.SettingsError, match="MESH7_USER: `` is no user's number"):
        enforce_rules.user({})


def test_the_table_replaces_itself_in_one_transaction() -> None:
    """A second run never leaves a moment without rules."""
    first, second, third, *_ = enforce_rules.ruleset(_USER).splitlines()
    assert [first, second, third] == [
        "add table inet mesh7",
        "delete table inet mesh7",
        "table inet mesh7 {",
    ]


def test_nobody_but_the_user_is_named() -> None:
    """All rules of the owner carry the number that is asked for."""
    owners = [line.strip() for line in enforce_rules.ruleset(5).splitlines() if "skuid" in line]
    assert owners == [
        'meta skuid != 5 ct mark 447346 goto refusal comment "in a stranger\'s name"',
        'meta skuid 5 ct mark set 447346 accept comment "the sidecar"',
        'meta skuid != 5 goto refusal comment "everybody else"',
    ]


def test_what_was_loaded_is_recognised() -> None:
    """Written out by a real nft; a newer one that spells conditions differently is the same."""
    assert enforce_rules.difference(_LISTED, _USER) is None


def _rule(listed: list[dict[str, dict[str, object]]], comment: str) -> dict[str, object]:
    [found] = [one["rule"] for one in listed if one.get("rule", {}).get("comment") == comment]
    return found


def _chain(listed: list[dict[str, dict[str, object]]], name: str) -> dict[str, object]:
    [found] = [one["chain"] for one in listed if one.get("chain", {}).get("name") == name]
    return found


_Listed = list[dict[str, dict[str, object]]]
_CHANGES: dict[str, tuple[str, Callable[[_Listed], object]]] = {
    "a policy that accepts": (
        "output",
        lambda listed: _chain(listed, "output").update(policy="accept"),
    ),
    "a later priority": ("output", lambda listed: _chain(listed, "output").update(prio=5)),
    "no hook": ("forward", lambda listed: _chain(listed, "forward").pop("hook")),
    "a rule more": (
        "output",
        lambda listed: listed.append({"rule": {"chain": "output", "expr": [{"accept": None}]}}),
    ),
    "a rule less": (
        "output",
        lambda listed: listed.remove({"rule": _rule(listed, "everybody else")}),
    ),
    "another order": ("output", lambda listed: listed.reverse()),
    "a refusal that accepts": (
        "refusal",
        lambda listed: _rule(listed, "TCP").update(expr=[{"accept": None}]),
    ),
    "a chain more": (
        "extra",
        lambda listed: listed.append({"chain": {"name": "extra"}}),
    ),
}


@pytest.mark.parametrize(("chain", "change"), _CHANGES.values(), ids=_CHANGES)
def test_what_is_not_as_it_was_meant_is_told(
    chain: str, change: Callable[[_Listed], object]
) -> None:
    """The init container fails then, and the agent does not start."""
    said = json.loads(_LISTED)
    change(said["nftables"])
    told = enforce_rules.difference(json.dumps(said).encode(), _USER)
    assert told == f"the chain `{chain}` is missing, or not the one that was meant"


def test_rules_for_another_user_are_not_ours() -> None:
    assert enforce_rules.difference(_LISTED, 5) == (
        "the chain `output` is missing, or not the one that was meant"
    )


@pytest.mark.parametrize(
    "listed", [b"", b"no JSON", b"[]", b"{}", b'{"nftables": null}', b'{"nftables": [1, null]}']
)
def test_a_listing_that_means_nothing_is_no_table(listed: bytes) -> None:
    """Another program under the name of nft, for one."""
    assert enforce_rules.difference(listed, _USER) == (
        "the chain `arriving` is missing, or not the one that was meant"
    )
