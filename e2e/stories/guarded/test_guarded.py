import json
import urllib.parse

import pytest

from e2e.cluster.kubectl import KubectlError
from e2e.stories.ground import Line, Story, is_text, is_withheld
from mesh7_core import names
from tests.peers.phoenix import Phoenix

_STRICT = {"capabilities": {"drop": ["ALL"]}}
_NO_VOLUME = {"name": "nothing", "emptyDir": {}}
# As in docs/administrator/network.md.
_DNS = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
_NAME_SERVERS = [
    {
        "namespaceSelector": {"matchLabels": {names.NAMESPACE_NAME_LABEL: "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    },
    {"ipBlock": {"cidr": "169.254.20.10/32"}},
]
_NEVER_V4 = ["100.100.100.200/32", "168.63.129.16/32", "169.254.0.0/16"]
_NEVER_V6 = ["fd00:ec2::254/128", "fe80::/10"]
_ANYWHERE = [
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": _NEVER_V4}},
    {"ipBlock": {"cidr": "::/0", "except": _NEVER_V6}},
]


@pytest.fixture
def guarded(story: Story) -> Story:
    """The same namespace, at the level Guarded, with tools and credentials."""
    story.raise_level("Guarded")
    story.apply("tools", "source", "policy", "credential")
    story.ready("pod/tools")
    return story


@pytest.mark.promise("K13")
def test_a_guarded_pod_has_its_level_and_the_sidecar_alone_the_credentials(guarded: Story) -> None:
    """Issue 6: credentials only in the sidecar, with the Redis for trials too: it speaks TLS."""
    story = guarded
    story.apply("crm")
    _agent(story, "agent")
    story.ready("pod/agent")
    pod = story.pod("agent")
    assert pod["metadata"]["annotations"]["mesh7.dev/enforcement"] == "Guarded"
    story.await_said("agent", "files.read", is_text("water the plants"), "it may read")
    story.await_said("agent", "files.delete", is_withheld, "it may not delete")
    assert story.done("tools", "delete") == []
    containers = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    mounting = {
        one["name"]
        for one in containers
        for mount in one["volumeMounts"]
        if mount["name"] == "mesh7-credentials"
    }
    assert mounting == {"mesh7"}
    search = "echo a-key-of-the-crm > /tmp/mark; grep -rls a-key-of-the-crm / --exclude-dir=sys "
    search += "--exclude-dir=proc; cat /proc/*/environ | grep a-key-of-the-crm; true"
    found = story.run("agent", "sh", "-c", search).splitlines()
    assert found == ["/tmp/mark"]  # noqa: S108 - in a container of its own
    sidecar = next(one for one in pod["status"]["initContainerStatuses"] if one["name"] == "mesh7")
    assert sidecar["restartCount"] == 0


@pytest.mark.promise("K13")
def test_the_network_policy_says_where_guarded_pods_may_go(
    guarded: Story, backend: Phoenix
) -> None:
    """docs/administrator/network.md: names, the release's own, sources and the collector."""
    story = guarded
    story.until(lambda: _port_open(story) is None, "only what is inside is open")
    story.apply("crm")
    story.until(lambda: _port_open(story) == 8443, "the source outside opens its port")
    policy = _policy(story)
    assert {
        key: value
        for key, value in policy["metadata"]["annotations"].items()
        if key.startswith("mesh7.dev/")
    } == {
        "mesh7.dev/egress": "open",
        "mesh7.dev/egress-open-to": "outside hosts: crm.example.com:8443",
        "mesh7.dev/egress-namespaces": story.namespace,
    }
    release = {"matchLabels": {names.NAMESPACE_NAME_LABEL: names.RELEASE_NAMESPACE}}
    collector = urllib.parse.urlsplit(backend.address)
    assert policy["spec"] == {
        "podSelector": {"matchLabels": {"mesh7.dev/injected": "true"}},
        "policyTypes": ["Egress"],
        "egress": [
            {"to": _NAME_SERVERS, "ports": _DNS},
            _to_program(release, "mesh7-exchange", 8443),
            _to_program(release, "mesh7-redis", 6379),
            {
                "to": [
                    {
                        "namespaceSelector": {
                            "matchLabels": {names.NAMESPACE_NAME_LABEL: story.namespace}
                        }
                    }
                ]
            },
            {
                "to": [{"ipBlock": {"cidr": f"{collector.hostname}/32"}}],
                "ports": [{"port": collector.port, "protocol": "TCP"}],
            },
            {"to": _ANYWHERE, "ports": [{"port": 8443, "protocol": "TCP"}]},
        ],
    }


@pytest.mark.promise("K13")
def test_what_would_get_round_it_is_refused(guarded: Story) -> None:
    """docs/reference/injection.md; nobody in the pod but the sidecar reads its traffic."""
    keeping = {"capabilities": {"drop": ["CHOWN"]}}
    adding = {"capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE"]}}
    host = {"name": "node", "hostPath": {"path": "/var/lib/kubelet"}}
    with pytest.raises(KubectlError, match="must-drop-net-raw"):
        _agent(guarded, "raw", security=keeping)
    with pytest.raises(KubectlError, match="capability"):
        _agent(guarded, "tracing", security=adding)
    with pytest.raises(KubectlError, match="privileged"):
        _agent(guarded, "privileged", security={**_STRICT, "privileged": True})
    with pytest.raises(KubectlError, match="host-path"):
        _agent(guarded, "node", volume=host)
    assert guarded.pods("app=agent") == []


@pytest.mark.promise("K13")
def test_a_key_is_never_sent_over_plain_http(guarded: Story) -> None:
    """docs/administrator/network.md: such a source is left out, and new pods are refused."""
    story = guarded
    _agent(story, "before")
    story.ready("pod/before")
    story.apply("shop", "plain")
    story.ready("pod/shop")
    story.until(
        lambda: ("False", "PlainCredential") in _conditions(story, "plain"),
        "the source is refused",
    )
    with pytest.raises(KubectlError, match="plain-credentials"):
        _agent(story, "after")
    asked = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}")
    answer = story.run("before", *asked, "http://127.0.0.1:7007/http/plain/items")
    assert answer == "404"
    assert story.done("shop", "GET /items") == []
    story.await_said("before", "files.read", is_text("water the plants"), "the others work on")
    story.delete("toolsource", "plain")
    _agent(story, "after")
    story.ready("pod/after")


def _agent(story: Story, name: str, *, security: Line = _STRICT, volume: Line = _NO_VOLUME) -> None:
    story.apply("agent", NAME=name, SECURITY=json.dumps(security), VOLUME=json.dumps(volume))


def _policy(story: Story) -> Line:
    return story.kubectl.json("get", "networkpolicy", "mesh7-guarded", "-n", story.namespace)


def _port_open(story: Story) -> int | None:
    """That at which any address is reached."""
    rules = _policy(story)["spec"]["egress"]
    found = [rule["ports"][0]["port"] for rule in rules if rule["to"] == _ANYWHERE]
    return found[0] if found else None


def _to_program(release: Line, name: str, port: int) -> Line:
    pods = {"matchLabels": {"app.kubernetes.io/name": name}}
    return {
        "to": [{"namespaceSelector": release, "podSelector": pods}],
        "ports": [{"port": port, "protocol": "TCP"}],
    }


def _conditions(story: Story, source: str) -> list[tuple[str, str]]:
    found = story.kubectl.json("get", "toolsource", source, "-n", story.namespace)
    conditions = found.get("status", {}).get("conditions", ())
    return [(one["status"], one["reason"]) for one in conditions if one["type"] == "Accepted"]
