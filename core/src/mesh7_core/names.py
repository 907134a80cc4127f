"""Names that other programs see, each spelled once: API group, kinds, `_meta` keys, objects."""

GROUP = "mesh7.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

AGENT_POLICY = "AgentPolicy"
TOOL_SOURCE = "ToolSource"
GRANT = "Grant"
APPROVAL_REQUEST = "ApprovalRequest"
AUDIT_QUERY = "AuditQuery"
POLICY_CASES = "PolicyCases"
"""Of files that `mesh7 test` reads; no cluster has this kind."""

WRITTEN_KINDS = (AGENT_POLICY, TOOL_SOURCE, GRANT)
"""What people write and compile."""

INJECTION_LABEL = f"{GROUP}/injection"
"""On a Namespace: `enabled` or `on-request`; its sidecars are served with bundles then."""
INJECTION_VALUES = ("enabled", "on-request")

INJECT = f"{GROUP}/inject"
"""On a pod, as label or annotation: `"true"` asks for a sidecar, `"false"` for none."""
INJECTED_LABEL = f"{GROUP}/injected"
"""On a guarded pod: `"true"`; the injector alone writes it."""
ENFORCEMENT = f"{GROUP}/enforcement"
"""Label of a Namespace: the level asked for; annotation of a pod: the level achieved."""
INJECTION_ANNOTATION = f"{GROUP}/injection-status"
"""On a guarded pod, JSON: release, image, level."""
SIDECAR_CONTAINER = "mesh7"
ENFORCER_CONTAINER = "mesh7-enforce"
"""The init container whose rules let nobody but the sidecar out; at level Enforced."""
VOLUME_PREFIX = "mesh7-"
"""Of the pod's volumes that are the sidecar's alone."""

INJECTION_CONFIG_MAP = "mesh7-injection"
TRUST_CONFIG_MAP = "mesh7-trust"
"""In the release namespace: `key` = the public key that bundles are signed with, base64."""
NETWORK_POLICY = "mesh7-guarded"
WEBHOOKS = "mesh7"
"""Both webhook configurations."""
VERB_APPROVE = "approve"
VERB_ACCEPT = "accept"
VERB_DEBUG = "debug"
"""On `pods` of the API group mesh7.dev: exec, attach and ephemeral containers at the sidecar."""
VERB_ENROL = "enrol"
"""On `namespaces` of the API group mesh7.dev: who changes what is guarded, and how much."""

BUNDLE_CONFIG_MAP = "mesh7-bundle"
BUNDLE_KEY = "bundle"
OVERLAY_KEY = "overlay"
BUNDLE_FLOOR_ANNOTATION = f"{GROUP}/bundle-floor"
OVERLAY_FLOOR_ANNOTATION = f"{GROUP}/overlay-floor"
"""On a Namespace: versions that a new pod's sidecar takes nothing older than."""
TRUST_KEYS_ANNOTATION = f"{GROUP}/trust-keys"
"""On an enrolled Namespace: the public keys that a new pod's sidecar may begin with, base64, newest
first, with a space between."""
AUTHORITIES_ANNOTATION = f"{GROUP}/exchange-authorities"
"""On an enrolled Namespace: the certificates that a new pod's sidecar may believe the exchange by,
as `delivery.authorities` spells them, one after another."""
BUNDLE_VERSION_ANNOTATION = f"{GROUP}/bundle-version"
OVERLAY_VERSION_ANNOTATION = f"{GROUP}/overlay-version"
"""On the ConfigMap, for people."""
AUDIT_CONFIG_MAP_PREFIX = "mesh7-audit-"
"""With a namespace's name: where the release namespace keeps what is signed of its audit."""
AUDIT_OF_LABEL = f"{GROUP}/audit-of"
"""On it: the namespace."""
FIELD_MANAGER = f"{GROUP.partition('.')[0]}-controller"
TOKEN_AUDIENCE = GROUP

RELEASE_NAMESPACE = "mesh7-system"
"""Where baseline policies live; on the laptop `DIR/baseline/` stands for it."""

DEFAULT_NAMESPACE = "default"
BASELINE_FOLDER = "baseline"

CREDENTIALS_SECRET = "mesh7-tool-credentials"  # noqa: S105 - an object's name, not a secret
HOSTS_SUFFIX = ".hosts"
"""`<key>.hosts` beside `<key>` in the Secret: the hosts that the credential may be sent to."""

CREDENTIAL_VARIABLE_PREFIX = "MESH7_CREDENTIAL_"

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"

RELEASE = "0.1.0"
"""The version of all distributions of this workspace; tests hold it to their `pyproject.toml`."""

META_PREFIX = f"{GROUP}/"
"""`_meta` keys under it are the gateway's alone; from agent or upstream they are dropped (M3)."""

META_DECISION = f"{META_PREFIX}decision"
META_RULE = f"{META_PREFIX}rule"
META_REASON = f"{META_PREFIX}reason"
META_REQUEST_ID = f"{META_PREFIX}requestId"
META_RETRY_AFTER = f"{META_PREFIX}retryAfter"


def credential_variable(key: str) -> str:
    """The environment variable that may hold a credential; several keys can share one."""
    folded = key.upper().replace("-", "_").replace(".", "_")
    return f"{CREDENTIAL_VARIABLE_PREFIX}{folded}"
