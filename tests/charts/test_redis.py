"""The embedded Redis: a real server takes what the chart says, and lets in nobody but us."""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hiredis
import pytest

from mesh7_operator.authority import certificates
from mesh7_operator.cluster import furniture
from tests.charts import rendered
from tests.peers import redis_servers


def _container(name: str = "default") -> dict[str, Any]:
    (container,) = rendered.pods(name)["mesh7-redis"]["containers"]
    found: dict[str, Any] = container
    return found


def _flags() -> dict[str, str]:
    flags = _container()["args"]
    return dict(zip(flags[::2], flags[1::2], strict=True))


def _options(users: Path) -> list[str]:
    """The flags that the chart renders, as lines of a configuration; TLS is left out.

    The server of the tests speaks none (e2e/stories has one that does).
    """
    pairs = {flag: value for flag, value in _flags().items() if not flag.startswith("--tls-")}
    assert pairs.pop("--port") == "0"
    assert pairs["--aclfile"] == "/etc/mesh7/redis/users.acl"
    pairs["--aclfile"] = str(users)
    return [f'{flag.removeprefix("--")} "{value}"' for flag, value in pairs.items()]


@pytest.mark.parametrize("program", redis_servers.programs())
def test_it_starts_so_and_knows_nobody_but_the_operator(program: str, tmp_path: Path) -> None:
    users = tmp_path / "users.acl"
    users.write_text(furniture.redis_users("secret"))
    folder = tmp_path / "server"
    path = redis_servers.programs()[program]
    with (
        redis_servers.running(path, folder, _options(users)) as server,
        redis_servers.Link(server.port) as link,
    ):
        assert "NOAUTH" in str(link.ask("PING"))
        assert link.ask("AUTH", "mesh7-operator", "secret") == b"OK"
        assert link.ask("ACL", "USERS") == [b"default", b"mesh7-operator"]
        assert isinstance(link.ask("CONFIG", "GET", "*"), hiredis.ReplyError)
        assert "WRONGPASS" in str(link.ask("AUTH", "default", ""))


def test_it_is_asked_over_tls_alone() -> None:
    """docs/administrator/redis.md; else no pod could be Guarded with it."""
    flags = _flags()
    assert {flag: value for flag, value in flags.items() if "port" in flag or "tls" in flag} == {
        "--port": "0",
        "--tls-port": "6379",
        "--tls-cert-file": "/etc/mesh7/certificate/tls.crt",
        "--tls-key-file": "/etc/mesh7/certificate/tls.key",
        "--tls-auth-clients": "no",
    }
    settings = rendered.of_kind("ConfigMap")["mesh7-settings"]["data"]
    assert settings["MESH7_REDIS"].startswith("rediss://")
    assert settings["MESH7_SIDECAR_REDIS"].startswith("rediss://")


def test_another_certificate_ends_the_server_that_began_with_the_one_before(
    tmp_path: Path,
) -> None:
    """docs/administrator/redis.md: it takes up none by itself; the kubelet starts it anew."""
    mounted, noted = tmp_path / "mounted.crt", tmp_path / "noted.crt"
    places = {"/etc/mesh7/certificate/tls.crt": mounted, "/run/mesh7/tls.crt": noted}

    def run(words: list[str]) -> subprocess.CompletedProcess[str]:
        for place, path in places.items():
            words = [word.replace(place, str(path)) for word in words]
        return subprocess.run(
            words, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]}
        )

    def start() -> subprocess.CompletedProcess[str]:
        *shell, program = _container()["command"]
        assert program == "valkey-server"
        return run([*shell, "echo", *_container()["args"]])

    def is_alive() -> bool:
        return run(_container()["livenessProbe"]["exec"]["command"]).returncode == 0

    assert start().returncode != 0
    now = datetime(2026, 11, 21, tzinfo=UTC)
    authority = certificates.new_authority(now, timedelta(days=1))
    mounted.write_text(certificates.issue(authority, ["a"], now, timedelta(days=1)).certificate)
    told = " ".join(_container()["args"]).replace("/etc/mesh7/certificate/tls.crt", str(mounted))
    assert start().stdout == f"{told}\n"
    assert is_alive()
    mounted.write_text(certificates.issue(authority, ["a"], now, timedelta(days=1)).certificate)
    assert not is_alive()
    start()
    assert is_alive()


@pytest.mark.parametrize("name", ["default", "external"])
def test_nobody_but_the_server_mounts_its_key(name: str) -> None:
    found = {
        of: sorted(item["key"] for item in volume["secret"]["items"])
        for of, pod in rendered.pods(name).items()
        for volume in pod["volumes"]
        if volume.get("secret", {}).get("secretName") == "mesh7-redis-certificate"
    }
    assert found == {"mesh7-redis": ["tls.crt", "tls.key"], "mesh7-exchange": ["ca.crt"]}


def test_it_goes_where_the_other_programs_may_go() -> None:
    """docs/reference/helm-values.md: a node that is tainted for all is for it, too."""
    pod = rendered.pods("external")["mesh7-redis"]
    assert pod["priorityClassName"] == "system-cluster-critical"
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert pod["tolerations"] == [{"key": "control", "operator": "Exists"}]
    assert not {"priorityClassName", "nodeSelector", "tolerations", "affinity"} & set(
        rendered.pods()["mesh7-redis"]
    )


def test_nobody_counts_beside_it() -> None:
    """Two would each have a part of the counts."""
    deployment = rendered.of_kind("Deployment")["mesh7-redis"]
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    (container,) = rendered.pods()["mesh7-redis"]["containers"]
    assert container["args"][container["args"].index("--maxmemory-policy") + 1] == "noeviction"
