"""What kubectl complains of becomes an error that says what to do."""

import pytest

from mesh7_cli.cluster import complaints
from mesh7_cli.cluster import errors as cluster_errors
from mesh7_core import errors

_CASES: list[tuple[str, type[errors.ClusterError], str]] = [
    (
        (
            'Error from server (Forbidden): pods is forbidden: User "jane" cannot list resource '
            '"pods" in API group "" in the namespace "shop"'
        ),
        cluster_errors.ForbiddenError,
        (
            "`jane` may not list pods in namespace `shop` – have an administrator bind ClusterRole "
            "`view` (kubectl create rolebinding in `shop`)"
        ),
    ),
    (
        (
            'Error from server (Forbidden): agentpolicies.mesh7.dev is forbidden: User "jane" '
            'cannot list resource "agentpolicies" in API group "mesh7.dev" at the cluster scope'
        ),
        cluster_errors.ForbiddenError,
        (
            "`jane` may not list agentpolicies.mesh7.dev in the whole cluster – have an "
            "administrator bind ClusterRole `mesh7-viewer` (kubectl create clusterrolebinding)"
        ),
    ),
    (
        (
            'Error from server (Forbidden): secrets "x" is forbidden: User "jane" cannot get '
            'resource "secrets" in API group "" in the namespace "mesh7-system"'
        ),
        cluster_errors.ForbiddenError,
        (
            "`jane` may not get secrets in namespace `mesh7-system` – ask an administrator of the "
            "cluster, or let them run it"
        ),
    ),
    (
        'Error from server (Forbidden): forbidden: User "jane" cannot get path "/metrics"',
        cluster_errors.ForbiddenError,
        "`jane` may not get `/metrics` – ask an administrator of the cluster",
    ),
    (
        "The connection to the server 127.0.0.1:1 was refused - did you specify the right host?",
        cluster_errors.UnreachableError,
        (
            "the API server does not answer: The connection to the server 127.0.0.1:1 was refused "
            "- did you specify the right host? – see that `kubectl version` works, with the same "
            "--context and --kubeconfig"
        ),
    ),
    (
        (
            'E1121 12:00:00.000000   17 memcache.go:265] "Unhandled Error"\n'
            "Unable to connect to the server: dial tcp: lookup nowhere: no such host"
        ),
        cluster_errors.UnreachableError,
        (
            "the API server does not answer: Unable to connect to the server: dial tcp: lookup "
            "nowhere: no such host – see that `kubectl version` works, with the same --context and "
            "--kubeconfig"
        ),
    ),
    (
        "error: You must be logged in to the server (Unauthorized)",
        cluster_errors.UnknownPersonError,
        "the API server does not know who you are – log in again, and try `kubectl auth whoami`",
    ),
    (
        'error: the server doesn\'t have a resource type "agentpolicies"',
        cluster_errors.NoSuchKindError,
        "the API server has no kind `agentpolicies` – mesh7's own come with the chart mesh7-crds",
    ),
    (
        'Error from server (NotFound): namespaces "shop" not found',
        cluster_errors.NotThereError,
        'namespaces "shop" not found – see its name and its namespace (-n)',
    ),
    (
        "error: unknown flag: --as-uid\nSee 'kubectl get --help' for usage.",
        cluster_errors.KubectlError,
        (
            "this kubectl does not know what is asked of it: unknown flag: --as-uid; See "
            "'kubectl get --help' for usage. – install kubectl 1.30 or newer"
        ),
    ),
    (
        "error: something\x1b[2J new",
        cluster_errors.KubectlError,
        r"kubectl failed: something\x1b[2J new",
    ),
    ("", cluster_errors.KubectlError, "kubectl failed: it ended with code 3 and said nothing"),
]


@pytest.mark.parametrize(("stderr", "kind", "message"), _CASES)
def test_a_complaint_says_who_may_not_what_and_what_to_do(
    stderr: str, kind: type[errors.ClusterError], message: str
) -> None:
    """Issue 6: clear errors when kubectl is too old, not reachable, or forbidden."""
    found = complaints.error_of(stderr, 3)
    assert type(found) is kind
    assert found.message == message
