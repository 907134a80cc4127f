"""Credentials and the sidecar's identity are the sidecar's alone, and levels stay true."""

from collections.abc import Callable

import pytest
import yaml

from e2e.api import backstops
from e2e.api.backstops import Ground, Object, refusal, said
from mesh7_core import names

pytestmark = pytest.mark.promise("K15")
ROLES = ("edit", "admin")
Attack = Callable[[Object], object]
"""Changes a pod in place."""
_OURS = {"serviceAccountToken": {"audience": names.TOKEN_AUDIENCE, "path": "t"}}
_SECRET = {"name": names.CREDENTIALS_SECRET}


def _volume(**source: object) -> Attack:
    """A volume of the tenant's own, mounted by the agent."""

    def attack(pod: Object) -> None:
        pod["spec"].setdefault("volumes", []).append({"name": "mine", **source})
        pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "mine", "mountPath": "/mine"}]

    return attack


def _agent(**fields: object) -> Attack:
    return lambda pod: pod["spec"]["containers"][0].update(fields)


def _first(**fields: object) -> Attack:
    """The same by an init container."""
    more = {"name": "first", "image": "mine:1", **fields}
    return lambda pod: pod["spec"].setdefault("initContainers", []).append(more)


_TOKEN_MOUNT = [{"name": "mesh7-token", "mountPath": "/mine"}]
_CREDENTIALS_MOUNT = [{"name": "mesh7-credentials", "mountPath": "/mine", "subPath": "billing"}]
_KEY = [{"name": "K", "valueFrom": {"secretKeyRef": {**_SECRET, "key": "billing"}}}]
THEFTS: dict[str, tuple[Attack, str]] = {
    "token-projected": (_volume(projected={"sources": [_OURS]}), "audience mesh7.dev"),
    "token-among-others-projected": (
        _volume(projected={"sources": [{"configMap": {"name": "x"}}, _OURS]}),
        "audience mesh7.dev",
    ),
    "secret-mounted": (
        _volume(secret={"secretName": names.CREDENTIALS_SECRET}), "volume mesh7-credentials alone",
    ),
    "secret-projected": (
        _volume(projected={"sources": [{"secret": _SECRET}]}), "volume mesh7-credentials alone",
    ),
    "secret-for-a-driver": (
        _volume(csi={"driver": "d.example.com", "nodePublishSecretRef": _SECRET}),
        "volume mesh7-credentials alone",
    ),
    "secret-for-a-plugin": (
        _volume(flexVolume={"driver": "d/x", "secretRef": _SECRET}),
        "volume mesh7-credentials alone",
    ),
    "secret-as-variable": (_agent(env=_KEY), "take it out of env and envFrom"),
    "secret-as-variables": (
        _agent(envFrom=[{"secretRef": _SECRET}]), "take it out of env and envFrom",
    ),
    "secret-as-variable-of-an-init-container": (_first(env=_KEY), "take it out of env and envFrom"),
}  # fmt: skip
MOUNTS: dict[str, tuple[Attack, str]] = {
    "token": (_agent(volumeMounts=_TOKEN_MOUNT), "mount them in no other container"),
    "credentials": (_agent(volumeMounts=_CREDENTIALS_MOUNT), "mount them in no other container"),
    "token-in-an-init-container": (_first(volumeMounts=_TOKEN_MOUNT), "in no other container"),
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", [*THEFTS, *MOUNTS])
def test_what_is_the_sidecars_reaches_no_other_container(
    ground: Ground, name: str, role: str
) -> None:
    """Design 9: of a pod that is guarded otherwise."""
    attack, words = (THEFTS | MOUNTS)[name]
    shop = ground.shop()
    pod = backstops.guarded(shop)
    attack(pod)
    assert words in refusal(ground.attacker(role, shop), pod)


@pytest.mark.parametrize("name", THEFTS)
def test_nor_any_pod_that_nobody_guards(ground: Ground, name: str) -> None:
    """Issue 6: `on-request` leaves pods alone, but not with what is the sidecar's."""
    attack, words = THEFTS[name]
    shop = ground.enrol("on-request")
    pod = backstops.plain(shop)
    attack(pod)
    assert words in refusal(ground.tenant(shop, "edit"), pod)


def test_other_secrets_and_tokens_are_anybodys(ground: Ground) -> None:
    shop = ground.shop()
    pod = backstops.guarded(shop)
    token = {"serviceAccountToken": {"audience": "vault", "path": "t"}}
    _volume(projected={"sources": [token, {"secret": {"name": "mine"}}]})(pod)
    _first(envFrom=[{"secretRef": {"name": "mine"}}], securityContext={"runAsUser": 1})(pod)
    assert refusal(ground.attacker("edit", shop), pod) == ""


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("audiences", [["mesh7.dev"], ["https://other", "mesh7.dev"]])
def test_nobody_mints_a_sidecars_token(ground: Ground, role: str, audiences: list[str]) -> None:
    """Design 9: the stock `edit` role may create tokens of any account."""
    shop = ground.shop()
    attacker = ground.attacker(role, shop)
    asked = [f"--audience={one}" for one in audiences]
    words = said(attacker, "create", "token", "default", "-n", shop, *asked)
    assert "tokens of audience mesh7.dev are made for sidecars" in words
    assert said(attacker, "create", "token", "default", "-n", shop) == ""
    assert said(attacker, "create", "token", "default", "-n", shop, "--audience=vault") == ""


@pytest.mark.parametrize("groups", [[], ["system:nodes"]])
def test_nobody_mints_one_by_a_name_or_a_group_alone(ground: Ground, groups: list[str]) -> None:
    """Both are what the API server says of a node; also in namespaces that are not enrolled."""
    other = ground.cluster.new_namespace("other")
    user = "mallory" if groups else "system:node:forged"
    ground.bind(other, user, "edit")
    mallory = ground.cluster.kubectl_of(user, groups)
    asked = ["create", "token", "default", "-n", other, "--audience=mesh7.dev"]
    assert "made for sidecars" in said(mallory, *asked)


def test_a_node_asks_for_the_tokens_of_its_pods(ground: Ground) -> None:
    """What kubelets do for volume `mesh7-token`."""
    shop = ground.enrol()
    pod = ground.run(shop)
    bound = ["--bound-object-kind=Pod", f"--bound-object-name={pod}"]
    uid = ground.cluster.kubectl.json("get", "pod", pod, "-n", shop)["metadata"]["uid"]
    bound.append(f"--bound-object-uid={uid}")
    asked = ["create", "token", "default", "-n", shop, "--audience=mesh7.dev", *bound]
    assert said(ground.kubelet, *asked) == ""


def _secure(**fields: object) -> Attack:
    return lambda pod: pod["spec"]["containers"][0]["securityContext"].update(fields)


def _adds(*capabilities: str) -> Attack:
    return _secure(capabilities={"drop": ["ALL"], "add": list(capabilities)})


FENCED: dict[str, tuple[Attack, str]] = {
    "privileged": (
        _secure(privileged=True, allowPrivilegeEscalation=True), "no container is privileged",
    ),
    **{
        f"adds-{one}": (_adds(one), "no container adds a capability at level Enforced")
        for one in ("NET_RAW", "NET_ADMIN", "SYS_PTRACE", "SYS_ADMIN", "BPF", "ALL", "sys_ptrace",
                    "CAP_SYS_PTRACE")
    },
    "keeps-net-raw": (_secure(capabilities={"drop": ["CHOWN"]}), "each container drops NET_RAW"),
    "says-nothing": (_agent(securityContext={}), "each container drops NET_RAW"),
    "an-init-container": (_first(), "each container drops NET_RAW"),
    "seccomp-unconfined": (_secure(seccompProfile={"type": "Unconfined"}), "is less fenced than"),
    "seccomp-unconfined-by-the-pod": (
        lambda pod: pod["spec"].update(securityContext={"seccompProfile": {"type": "Unconfined"}}),
        "is less fenced than",
    ),
    "selinux-of-no-container": (_secure(seLinuxOptions={"type": "spc_t"}), "is less fenced than"),
    "host-path": (_volume(hostPath={"path": "/var/lib/kubelet"}), "nothing of the node is mounted"),
}  # fmt: skip
KEPT_IN: dict[str, tuple[Attack, str]] = {
    "adds-any": (_adds("CHOWN"), "no container adds a capability at level Enforced"),
    "root": (_secure(runAsUser=0, runAsNonRoot=False), "no container is root"),
    "whoever-the-image-says": (_secure(runAsUser=None), "no container is root"),
    "may-be-root": (_secure(runAsNonRoot=None), "no container is root"),
    "escalates": (_secure(allowPrivilegeEscalation=True), "no container gains privileges"),
    "escalates-silently": (
        _secure(allowPrivilegeEscalation=None), "no container gains privileges",
    ),
}  # fmt: skip


@pytest.mark.promise("K13")
@pytest.mark.parametrize("level", ["Guarded", "Enforced"])
@pytest.mark.parametrize("name", FENCED)
def test_what_reads_the_pods_network_is_refused_at_guarded(
    ground: Ground, name: str, level: str
) -> None:
    """Design 9; and what is refused at Guarded is so at Enforced, but not at Cooperative."""
    attack, words = FENCED[name]
    shop = ground.shop(level)
    pod = backstops.guarded(shop, level=level)
    attack(pod)
    assert words in refusal(ground.attacker("edit", shop), pod)
    cooperative = ground.shop()
    free = backstops.guarded(cooperative)
    attack(free)
    assert refusal(ground.attacker("edit", cooperative), free) == ""


@pytest.mark.promise("K13")
def test_an_unmasked_proc_is_refused_at_guarded(ground: Ground) -> None:
    """Attack: the API server asks for a user namespace with it, which no injected pod may have."""
    shop = ground.shop("Guarded")
    pod = backstops.guarded(shop, level="Guarded")
    pod["spec"]["hostUsers"] = False
    _secure(procMount="Unmasked")(pod)
    assert "is less fenced than" in refusal(ground.attacker("edit", shop), pod)


@pytest.mark.promise("K13")
@pytest.mark.parametrize("name", KEPT_IN)
def test_what_undoes_the_rules_is_refused_at_enforced(ground: Ground, name: str) -> None:
    """Design 9: rules go by who sends, so nobody may become the sidecar."""
    attack, words = KEPT_IN[name]
    shop = ground.shop("Enforced")
    pod = backstops.guarded(shop, level="Enforced")
    attack(pod)
    assert words in refusal(ground.attacker("edit", shop), pod)
    guarded = ground.shop("Guarded")
    free = backstops.guarded(guarded, level="Guarded")
    attack(free)
    assert refusal(ground.attacker("edit", guarded), free) == ""


@pytest.mark.parametrize("level", ["Cooperative", "Guarded", "Enforced"])
def test_nobody_runs_as_the_sidecars_user(ground: Ground, level: str) -> None:
    shop = ground.shop(level)
    pod = backstops.guarded(shop, level=level)
    _secure(runAsUser=backstops.SETTINGS.user)(pod)
    assert "is who the sidecar runs as" in refusal(ground.attacker("edit", shop), pod)


@pytest.mark.promise("K13")
def test_enforced_comes_with_the_enforcer_alone(ground: Ground) -> None:
    """First of all, of the release's image, with its command and no more rights."""
    shop = ground.shop("Enforced")
    attacker = ground.attacker("edit", shop)
    refused = {}
    for name, fields in {
        "image": {"image": "mine:1"},
        "command": {"command": ["true"]},
        "args": {"args": ["x"]},
        "user": {"env": [{"name": "MESH7_USER", "value": "1000"}]},
        "stays": {"restartPolicy": "Always"},
        "hidden": {"terminationMessagePath": "/opt/mesh7/enforce.py"},
    }.items():
        pod = backstops.guarded(shop, level="Enforced")
        pod["spec"]["initContainers"][0].update(fields)
        refused[name] = refusal(attacker, pod)
    without = backstops.guarded(shop, level="Enforced")
    del without["spec"]["initContainers"][0]
    late = backstops.guarded(shop, level="Enforced")
    late["spec"]["initContainers"].reverse()
    refused |= {"without": refusal(attacker, without), "late": refusal(attacker, late)}
    assert {name: "container `mesh7-enforce` is" in text for name, text in refused.items()} == (
        dict.fromkeys(refused, True)
    )
    cooperative = ground.shop()
    more = backstops.guarded(cooperative)
    enforcer = backstops.guarded(shop, level="Enforced")["spec"]["initContainers"][0]
    more["spec"]["initContainers"].insert(0, enforcer)
    assert "nowhere else" in refusal(ground.attacker("edit", cooperative), more)


def test_fifty_containers_with_two_hundred_variables_are_judged(ground: Ground) -> None:
    """CEL has a budget; what is beyond it would be refused."""
    shop = ground.shop("Enforced")
    pod = backstops.plain(shop)
    one = pod["spec"]["containers"][0]
    one["env"] = [{"name": f"V{number}", "value": "x" * 40} for number in range(200)]
    one["volumeMounts"] = [{"name": f"v{at}", "mountPath": f"/m{at}"} for at in range(20)]
    pod["spec"]["volumes"] = [
        {"name": f"v{at}", "projected": {"sources": [{"secret": {"name": "s"}}] * 5}}
        for at in range(20)
    ]
    pod["spec"]["containers"] = [{**one, "name": f"c{number}"} for number in range(50)]
    made = backstops.injected(pod, "Enforced")
    assert refusal(ground.attacker("edit", shop), made) == ""
    made["spec"]["containers"][49]["env"][-1] = {"name": "K", "valueFrom": _KEY[0]["valueFrom"]}
    assert "take it out of env" in refusal(ground.attacker("edit", shop), made)
    assert len(yaml.safe_dump(made)) > 400_000
