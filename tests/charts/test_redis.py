"""The embedded Redis: a real server takes what the chart says, and lets in nobody but us."""

from pathlib import Path

import hiredis
import pytest

from mesh7_operator.cluster import furniture
from tests.charts import rendered
from tests.peers import redis_servers


def _options(users: Path) -> list[str]:
    """The flags that the chart renders, as lines of a configuration."""
    (container,) = rendered.pods()["mesh7-redis"]["containers"]
    flags = container["args"]
    pairs = dict(zip(flags[::2], flags[1::2], strict=True))
    assert pairs.pop("--port") == "6379"
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


def test_nobody_counts_beside_it() -> None:
    """Two would each have a part of the counts."""
    deployment = rendered.of_kind("Deployment")["mesh7-redis"]
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    (container,) = rendered.pods()["mesh7-redis"]["containers"]
    assert container["args"][container["args"].index("--maxmemory-policy") + 1] == "noeviction"
