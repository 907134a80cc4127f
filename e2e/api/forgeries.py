"""Sidecars as tenants forge them: each changes a guarded pod, and what is said against it."""

from collections.abc import Callable

from e2e.api import backstops
from e2e.api.backstops import Object
from mesh7_core import names

Forge = Callable[[Object], object]
"""Changes a guarded pod in place."""


def _sidecar(**fields: object) -> Forge:
    return lambda pod: backstops.sidecar(pod).update(fields)


def _secure(**fields: object) -> Forge:
    return lambda pod: backstops.sidecar(pod)["securityContext"].update(fields)


def _variable(name: str, **entry: object) -> Forge:
    """One more variable, which comes last, and so counts."""
    return lambda pod: backstops.sidecar(pod)["env"].append({"name": name, **entry})


def _without_variable(name: str) -> Forge:
    def forge(pod: Object) -> None:
        sidecar = backstops.sidecar(pod)
        sidecar["env"] = [one for one in sidecar["env"] if one["name"] != name]

    return forge


def _volume(name: str, **source: object) -> Forge:
    def forge(pod: Object) -> None:
        others = [one for one in pod["spec"]["volumes"] if one["name"] != name]
        pod["spec"]["volumes"] = [*others, {"name": name, **source}]

    return forge


def _mounted(name: str, path: str, **more: object) -> Forge:
    """A volume of the tenant's own in the sidecar."""

    def forge(pod: Object) -> None:
        pod["spec"]["volumes"].append({"name": name, "configMap": {"name": "mine"}})
        mount = {"name": name, "mountPath": path, **more}
        backstops.sidecar(pod)["volumeMounts"].append(mount)

    return forge


def _moved(path: str) -> Forge:
    return lambda pod: backstops.sidecar(pod)["volumeMounts"][0].update(mountPath=path)


def _with_the_accounts_token(pod: Object) -> None:
    """The API server mounts it where nothing is mounted."""
    sidecar = backstops.sidecar(pod)
    sidecar["volumeMounts"] = [
        one for one in sidecar["volumeMounts"] if "kubernetes.io" not in one["mountPath"]
    ]


def _with_an_account_of_ones_own(pod: Object) -> None:
    _with_the_accounts_token(pod)
    _mounted("mine", "/var/run/secrets/kubernetes.io/serviceaccount")(pod)


def _spec(**fields: object) -> Forge:
    return lambda pod: pod["spec"].update(fields)


def _as_usual_container(pod: Object) -> None:
    sidecar = backstops.sidecar(pod)
    pod["spec"]["initContainers"] = []
    del sidecar["restartPolicy"]
    pod["spec"]["containers"].append(sidecar)


def _ends(pod: Object) -> None:
    """A usual init container, over before the agent starts."""
    sidecar = backstops.sidecar(pod)
    for field in ("restartPolicy", "startupProbe", "readinessProbe", "livenessProbe"):
        del sidecar[field]


def _probed(probe: str, **fields: object) -> Forge:
    return lambda pod: backstops.sidecar(pod)[probe]["httpGet"].update(fields)


def _without(field: str) -> Forge:
    return lambda pod: backstops.sidecar(pod).pop(field)


def with_authority(value: str) -> Forge:
    return _variable("MESH7_EXCHANGE_AUTHORITIES", value=value)


def _label(value: str | None) -> Forge:
    def forge(pod: Object) -> None:
        pod["metadata"]["labels"] = {} if value is None else {names.INJECTED_LABEL: value}

    return forge


def _level(value: str) -> Forge:
    return lambda pod: pod["metadata"]["annotations"].update({names.ENFORCEMENT: value})


_EXEC = {"exec": {"command": ["cat", "/var/run/secrets/mesh7/token"]}}
FORGERIES: dict[str, tuple[Forge, str]] = {
    "own-image": (_sidecar(image="mine:1"), "is a native sidecar"),
    "image-of-another-tag": (_sidecar(image="mesh7-sidecar:0.0.9"), "is a native sidecar"),
    "ends-after-the-start": (_ends, "is a native sidecar"),
    "own-command": (_sidecar(command=["sleep", "1d"]), "runs its image as it is"),
    "own-args": (_sidecar(args=["-c", "x"]), "runs its image as it is"),
    "python-from-the-work-folder": (_sidecar(workingDir="/mine"), "runs its image as it is"),
    "code-hidden-by-a-last-message": (
        _sidecar(terminationMessagePath="/opt/mesh7/judge.py"), "runs its image as it is",
    ),
    "port-of-the-node": (
        _sidecar(ports=[{"containerPort": 7008, "hostPort": 7008}]), "runs its image as it is",
    ),
    "lifecycle": (_sidecar(lifecycle={"postStart": _EXEC}), "runs its image as it is"),
    "startup-probe": (_sidecar(startupProbe=_EXEC), "or exec probes"),
    "readiness-probe": (_sidecar(readinessProbe=_EXEC), "or exec probes"),
    "liveness-probe": (_sidecar(livenessProbe=_EXEC), "or exec probes"),
    "env-from": (
        _sidecar(envFrom=[{"configMapRef": {"name": "mine"}}]), "runs its image as it is",
    ),
    "root": (_secure(runAsUser=0, runAsNonRoot=False), "runs as 77007:77007"),
    "agents-user": (_secure(runAsUser=1000), "runs as 77007:77007"),
    "writable-root": (_secure(readOnlyRootFilesystem=False), "runs as 77007:77007"),
    "capability": (
        _secure(capabilities={"drop": ["ALL"], "add": ["SYS_PTRACE"]}), "runs as 77007:77007",
    ),
    "seccomp-unconfined": (
        _secure(seccompProfile={"type": "Unconfined"}), "its securityContext says nothing else",
    ),
    "apparmor-unconfined": (
        _secure(appArmorProfile={"type": "Unconfined"}), "its securityContext says nothing else",
    ),
    "proc-unmasked": (
        lambda pod: (_spec(hostUsers=False)(pod), _secure(procMount="Unmasked")(pod)),
        "its securityContext says nothing else",
    ),
    "device-claimed": (
        lambda pod: (
            _spec(resourceClaims=[{"name": "d", "resourceClaimName": "d"}])(pod),
            backstops.sidecar(pod)["resources"].update(claims=[{"name": "d"}]),
        ),
        "no devices or claims",
    ),
    "device-of-a-plugin": (
        lambda pod: backstops.sidecar(pod)["resources"]["limits"].update({"example.com/d": "1"}),
        "no devices or claims",
    ),
    "probe-of-another-host": (
        _probed("readinessProbe", host="169.254.169.254"), "is asked at its own port",
    ),
    "probe-of-another-port": (_probed("livenessProbe", port=80), "is asked at its own port"),
    "probe-of-another-path": (_probed("startupProbe", path="/"), "is asked at its own port"),
    "no-startup-probe": (_without("startupProbe"), "is asked at its own port"),
    "no-readiness-probe": (_without("readinessProbe"), "is asked at its own port"),
    "no-liveness-probe": (_without("livenessProbe"), "is asked at its own port"),
    "own-authority": (with_authority("mine"), "believes an authority that is none"),
    "one-authority-more": (
        with_authority(f"{backstops.AUTHORITIES}mine\n-----END CERTIFICATE-----\n"),
        "believes an authority that is none",
    ),
    "exchange-led-elsewhere": (
        _spec(
            hostAliases=[
                {"ip": "10.0.0.9", "hostnames": ["mesh7-exchange.mesh7-system.svc"]}
            ]
        ),
        "the name of mesh7's exchange",
    ),
    "own-name-server": (
        _spec(dnsPolicy="None", dnsConfig={"nameservers": ["10.0.0.9"]}), "asks the cluster's DNS",
    ),
    "one-name-server-more": (
        _spec(dnsConfig={"nameservers": ["10.0.0.9"]}), "asks the cluster's DNS",
    ),
    "nodes-names-and-own-searches": (
        _spec(dnsPolicy="Default", dnsConfig={"searches": ["evil.example"]}),
        "asks the cluster's DNS",
    ),
    "python-path": (_variable("PYTHONPATH", value="/mine"), "another variable, or value"),
    "python-startup": (_variable("PYTHONSTARTUP", value="/mine"), "another variable, or value"),
    "preload": (_variable("LD_PRELOAD", value="/mine.so"), "another variable, or value"),
    "bundle-folder": (_variable("MESH7_BUNDLE_DIR", value="/mine"), "another variable, or value"),
    "exchange": (_variable("MESH7_EXCHANGE_URL", value="https://m"), "another variable, or value"),
    "own-collector": (
        _variable("MESH7_COLLECTOR_AUTHORITIES", value="mine"), "another variable, or value",
    ),
    "own-redis": (_variable("MESH7_REDIS_URL", value="redis://m"), "another variable, or value"),
    "dials-loopback": (_variable("MESH7_DIALLED", value="127.0.0.0/8"), "another variable, or"),
    "listens-for-all": (_variable("MESH7_LISTEN", value="0.0.0.0:7007"), "another variable, or"),
    "quiet": (_variable("MESH7_AUDIT", value="off"), "another variable, or value"),
    "another-namespace": (_variable("MESH7_NAMESPACE", value="rich"), "another variable, or"),
    "another-account": (
        _variable(
            "MESH7_SERVICE_ACCOUNT",
            valueFrom={"fieldRef": {"fieldPath": "metadata.annotations['x']"}},
        ),
        "another variable, or value",
    ),
    "no-exchange": (_without_variable("MESH7_EXCHANGE_URL"), "lacks a variable"),
    "own-key": (_variable("MESH7_TRUST_KEY", value="bWluZQ=="), "trusts a key that is none of"),
    "empty-key": (_variable("MESH7_TRUST_KEY", value=""), "trusts a key that is none of"),
    "key-from-elsewhere": (
        _variable(
            "MESH7_TRUST_KEY", valueFrom={"configMapKeyRef": {"name": "mine", "key": "k"}}
        ),
        "another variable, or value|trusts a key",
    ),
    "no-key": (_without_variable("MESH7_TRUST_KEY"), "lacks a variable"),
    "code-mounted": (
        _mounted("mine", "/usr/local/lib/python3.13"), "mounts its own volumes at their places",
    ),
    "moved-mount": (_moved("/opt"), "mounts its own volumes at their places"),
    "token-of-the-account": (_with_the_accounts_token, "mounts its own volumes at their places"),
    "account-of-ones-own": (
        _with_an_account_of_ones_own, "mounts its own volumes at their places",
    ),
    "own-bundle": (
        _volume("mesh7-bundle", configMap={"name": "mine"}), "names that begin with mesh7-",
    ),
    "other-key-of-the-bundle": (
        _volume(
            "mesh7-bundle",
            configMap={"name": "mesh7-bundle", "items": [{"key": "old", "path": "bundle"}]},
        ),
        "names that begin with mesh7-",
    ),
    "kept-state": (
        _volume("mesh7-state", persistentVolumeClaim={"claimName": "mine"}),
        "names that begin with mesh7-",
    ),
    "own-labels": (
        _volume(
            "mesh7-podinfo",
            downwardAPI={
                "items": [
                    {"path": "labels", "fieldRef": {"fieldPath": "metadata.annotations['x']"}}
                ]
            },
        ),
        "names that begin with mesh7-",
    ),
    "no-labels": (
        _volume("mesh7-podinfo", downwardAPI={"items": []}), "names that begin with mesh7-",
    ),
    "labels-elsewhere": (
        _volume(
            "mesh7-podinfo",
            downwardAPI={
                "items": [{"path": "other", "fieldRef": {"fieldPath": "metadata.labels"}}]
            },
        ),
        "names that begin with mesh7-",
    ),
    "own-credentials": (
        _volume("mesh7-credentials", configMap={"name": "mine"}), "names that begin with mesh7-",
    ),
    "host-network": (_spec(hostNetwork=True), "leave hostNetwork, hostPID"),
    "host-processes": (_spec(hostPID=True), "leave hostNetwork, hostPID"),
    "host-ipc": (_spec(hostIPC=True), "leave hostNetwork, hostPID"),
    "shared-processes": (_spec(shareProcessNamespace=True), "leave hostNetwork, hostPID"),
    "usual-container": (_as_usual_container, "this pod is unguarded|is mesh7's init container"),
    "label-missing": (_label(None), 'the label mesh7.dev/injected: "true"'),
    "label-false": (_label("false"), 'the label mesh7.dev/injected: "true"'),
    "level-overstated": (_level("Enforced"), "mesh7.dev/enforcement: Cooperative"),
}  # fmt: skip
