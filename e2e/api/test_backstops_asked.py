"""The same attacks while the injector is asked: it puts right what policies would refuse."""

import secrets
from collections.abc import Iterator

import pytest
import yaml

from e2e.api import backstops, installed
from e2e.api.backstops import Ground, Object, refusal
from e2e.api.forgeries import FORGERIES
from e2e.api.installed import Files
from e2e.cluster import api_server as api_servers
from e2e.cluster.api_server import Settings
from e2e.cluster.fixtures import need
from e2e.cluster.kubectl import Kubectl, KubectlError
from e2e.cluster.waiting import until
from mesh7_core import names
from mesh7_core.injection import settings

pytestmark = pytest.mark.promise("K15")
ROLES = ("edit", "admin")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Policies and webhooks of one chart, and an injector with its settings."""
    need("api")
    folder = tmp_path_factory.mktemp("asked")
    with api_servers.raised(f"asked-{secrets.token_hex(3)}", Settings()) as server:
        cluster = server.cluster
        installed.install(cluster)
        files = Files(folder)
        found = backstops.chart()
        (folder / settings.KEY).write_text(_settings(found))
        (folder / "ca.crt").write_bytes(files.authority.certificate)
        cluster.apply(yaml.safe_dump(backstops.DEBUGGER))
        cluster.apply(yaml.safe_dump_all(backstops.rendered()))
        kubeconfig = installed.account(cluster, "mesh7-injector", folder)
        flags = [f"--authorities-file={folder / 'ca.crt'}"]
        with installed.injecting(kubeconfig, files, "asked", *flags) as injector:
            cluster.apply(
                installed.admission(
                    kinds=installed.WEBHOOKS,
                    url=injector.url,
                    authority=files.authority.certificate,
                )
            )
            ground = Ground(
                cluster=cluster,
                keys=(files.trust_key,),
                authorities=files.authority.certificate.decode(),
            )
            _await_guarded(ground)
            yield ground


def _settings(chart: list[Object]) -> str:
    (text,) = (
        one["data"][settings.KEY]
        for one in chart
        if one["kind"] == "ConfigMap" and one["metadata"]["name"] == names.INJECTION_CONFIG_MAP
    )
    return str(text)


def _await_guarded(ground: Ground) -> None:
    """Both are in force: what is unguarded is made guarded, and let pass."""
    shop = ground.shop()
    admin = ground.cluster.kubectl
    until(lambda: "mesh7" in str(_stored(admin, backstops.plain(shop))), "asked", timeout_s=60)
    enforced = backstops.plain(shop)
    enforced["spec"]["hostNetwork"] = True
    until(lambda: "host-network" in refusal(admin, enforced), "it refuses", timeout_s=60)


def _stored(kubectl: Kubectl, pod: Object) -> Object | None:
    """The pod as it would be stored; None = it is refused."""
    try:
        return kubectl.json("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod))
    except KubectlError:
        return None


@pytest.mark.parametrize("role", ROLES)
def test_a_tenants_pod_is_guarded_and_let_pass(asked: Ground, role: str) -> None:
    """Injector and policies agree on what a guarded pod is."""
    shop = asked.shop()
    attacker = asked.attacker(role, shop)
    assert refusal(attacker, backstops.plain(shop)) == ""
    stored = _stored(attacker, backstops.plain(shop))
    assert stored is not None
    assert backstops.sidecar(stored)["image"] == backstops.IMAGE


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_refused_or_undone(asked: Ground, name: str, role: str) -> None:
    """Design 9: forged marks are overwritten; what comes out is what would have anyway."""
    shop = asked.shop()
    attacker = asked.attacker(role, shop)
    forge, _ = FORGERIES[name]
    pod = backstops.guarded(shop)
    forge(pod)
    stored = _stored(attacker, pod)
    if stored is None:
        return
    genuine = _stored(attacker, backstops.plain(shop))
    assert genuine is not None
    assert _guard(stored) == _guard(genuine)


@pytest.mark.promise("K6")
def test_a_hand_made_sidecar_comes_past_no_injector(asked: Ground) -> None:
    """Attack: in an `on-request` namespace, without saying that it wants to be guarded."""
    shop = asked.enrol("on-request", "Enforced")
    tenant = asked.tenant(shop, "edit")
    pod = backstops.guarded(shop, level="Enforced")
    assert "does not ask to be guarded" in refusal(tenant, pod)
    FORGERIES["own-authority"][0](pod)
    pod["metadata"]["annotations"][names.INJECT] = "true"
    assert "mine" not in str(_stored(tenant, pod))


def test_a_tenants_mirror_pod_is_guarded_as_any_other(asked: Ground) -> None:
    """Attack: the injector skipped whoever wrote the annotation."""
    shop = asked.shop()
    pod = backstops.plain(shop)
    pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "x"
    stored = _stored(asked.attacker("edit", shop), pod)
    assert stored is None or backstops.sidecar(stored)["image"] == backstops.IMAGE


def _guard(pod: Object) -> Object:
    """All of it that is ours."""
    sidecar = dict(backstops.sidecar(pod))
    # The account's own token, by a name that is drawn for each pod.
    sidecar["volumeMounts"] = [
        one for one in sidecar["volumeMounts"] if one["name"].startswith("mesh7-")
    ]
    volumes = [one for one in pod["spec"]["volumes"] if one["name"].startswith("mesh7-")]
    about = pod["metadata"]
    return {
        "sidecar": sidecar,
        "volumes": sorted(volumes, key=lambda one: str(one["name"])),
        "label": about["labels"][names.INJECTED_LABEL],
        "level": about["annotations"][names.ENFORCEMENT],
        "shared": pod["spec"].get("shareProcessNamespace"),
    }
