"""What was delivered, as what gateways judge by: the bundle, and the grants that lie over it.

The controller has fenced off what is broken, so that a set that does not compile here comes from
another release of the compiler: it is refused whole, and the one in force stays.
Pure: no clock, no network, no logging.
"""

from dataclasses import replace

from mesh7_core.compiling import compiler, grants, standing
from mesh7_core.compiling.diagnostics import Severity
from mesh7_core.delivery.payloads import BundleContent, OverlayContent
from mesh7_core.errors import BundleError
from mesh7_core.policy.bundle import Bundle, Grant


def compile_bundle(content: BundleContent) -> Bundle:
    """The bundle without grants: those are the overlay's.

    Raises:
        BundleError: something in it does not compile; the first mistake is told.
    """
    compiled = compiler.compile_set(
        content.documents,
        namespace=content.namespace,
        namespace_labels=content.labels,
        in_cluster=True,
        release_namespace=content.release_namespace,
    )
    if compiled.bundle is None:
        wrong = next(one for one in compiled.diagnostics if one.severity is Severity.ERROR)
        raise BundleError(f"{wrong}; it was delivered by another release, update the sidecar")
    return replace(compiled.bundle, roster=content.roster, authorities=content.authorities)


def compile_overlay(content: OverlayContent, in_force: Bundle) -> tuple[Grant, ...]:
    """The grants and vetoes in force, by id.

    A grant that cannot be compiled is left out (its policy is unknown to the bundle, perhaps until
    the next one); a veto that cannot be is a veto of everything.

    Args:
        content: as delivered.
        in_force: the bundle whose policies they are about; with another one, compile again.

    Raises:
        BundleError: the two are of different namespaces.
    """
    if content.namespace != in_force.namespace:
        raise BundleError(
            f"the overlay is of namespace `{content.namespace}`, not `{in_force.namespace}`"
        )
    policies = {one.id: one for one in in_force.policies}
    found = []
    for document in content.documents:
        compiled = grants.compile_document(document, in_force.namespace, policies, in_cluster=True)
        if isinstance(compiled, Grant):
            found.append(compiled)
        elif compiled is not None and not standing.is_permission(document.value):
            found.append(standing.veto_of_everything(document.name, in_force.namespace))
    return tuple(sorted(found, key=lambda one: one.id))
