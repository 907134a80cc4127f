"""`kubectl mesh7 check` with the embedded Redis: one of the programs, where it was chosen."""

from mesh7_cli.checks import catalogue, findings, gathering
from mesh7_cli.checks.findings import Grade
from tests.cli.plugin import worlds
from tests.cli.plugin.worlds import Near, Object


def _of_programs(objects: list[Object]) -> Grade:
    facts = gathering.after(Near(objects), worlds.RELEASE, worlds.now)
    found = {one.check.name: one.finding.grade for one in findings.answers(catalogue.AFTER, facts)}
    return found["programs"]


def test_an_embedded_redis_that_never_starts_is_fatal() -> None:
    """A defect on a real node: its image was wrong, and `check` said that nothing is broken."""
    world = worlds.installed()
    [redis] = [
        one
        for one in world
        if (one["kind"], one["metadata"]["name"]) == ("Deployment", "mesh7-redis")
    ]
    assert _of_programs(world) is Grade.OK
    redis["status"] = {"unavailableReplicas": 1}
    assert _of_programs(world) is Grade.FATAL
    assert _of_programs([one for one in world if one is not redis]) is Grade.OK
