"""Whether a namespace's audit is sound: the controller's word, and what can be checked here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh7_cli import reading
from mesh7_cli.cluster import looking
from mesh7_cli.cluster.kubectl import Kubectl
from mesh7_cli.querying import anchors, spec
from mesh7_cli.querying.anchors import Checked
from mesh7_cli.querying.asking import Asking
from mesh7_core import names

NOT_HERE: Final = (
    "this person may not read the anchor, so this is the controller's word – bind Role "
    "mesh7-anchors-reader in namespace `{release}` to check it here"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Of one namespace.

    Attributes:
        verified: the controller's, as `status.verified` has it.
        checked: what was checked here; None = nothing could be.
        said: of that, in words.
    """

    namespace: str
    verified: Mapping[str, object]
    checked: Checked | None
    said: str

    @property
    def is_sound(self) -> bool:
        """Whether neither of both found anything."""
        is_ours = self.checked is None or self.checked.is_ours
        return reading.truth(self.verified, "sound") and is_ours


def verify(kubectl: Kubectl, asking: Asking, namespace: str, release: str) -> Verdict:
    """Have the audit of a namespace verified.

    Args:
        kubectl: reads the anchor, as the person who asks.
        asking: asks the controller.
        namespace: whose audit.
        release: the namespace that mesh7 is installed in.

    Raises:
        ClusterError: it is not known.
    """
    verified = reading.one(asking.ask(namespace, spec.VERIFY), "verified")
    found = looking.look_together(
        kubectl,
        {
            name: looking.get("configmap", name, f"--namespace={release}")
            for name in (names.AUDIT_CONFIG_MAP_PREFIX + namespace, names.TRUST_CONFIG_MAP)
        },
    )
    anchor, trust = found.values()
    if isinstance(anchor, looking.Hidden) or isinstance(trust, looking.Hidden):
        said = NOT_HERE.format(release=release)
        return Verdict(namespace=namespace, verified=verified, checked=None, said=said)
    checked = _checked(anchor, trust, namespace, reading.text(verified, "anchored", "until"))
    if checked is None:
        said = "nothing is signed yet: there is no anchor"
        return Verdict(namespace=namespace, verified=verified, checked=None, said=said)
    return Verdict(namespace=namespace, verified=verified, checked=checked, said=checked.said)


def _checked(
    anchor: looking.Look, trust: looking.Look, namespace: str, until: str
) -> Checked | None:
    """None = there is nothing to check."""
    if not isinstance(anchor, looking.Seen):
        if not until:
            return None
        said = "the anchor that the controller vouches by is gone"
        return Checked(is_ours=False, said=said)
    key = reading.text(looking.value(trust), "data", "key")
    found = anchors.check(reading.one(anchor.value, "data"), key, namespace)
    # It may be newer by now, but not older; both are spelled alike.
    if found.is_ours and found.until < until:
        said = f"the anchor ends at {found.until}, and the controller vouches until {until}"
        return Checked(is_ours=False, said=said)
    return found
