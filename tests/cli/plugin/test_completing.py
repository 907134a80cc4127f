"""`kubectl_complete-mesh7`: cobra's protocol, as kubectl 1.26 and newer speaks it."""

import pytest

from mesh7_cli import plugin, plugin_completing
from tests.cli.plugin import worlds
from tests.cli.plugin.worlds import Fake

NO_FILES, FILES = 4, 0


@pytest.mark.parametrize(
    ("words", "found", "directive"),
    [
        ([""], [f"{name}\t{text}" for name, text in plugin.COMMANDS.items()], NO_FILES),
        (["st"], [f"status\t{plugin.COMMANDS['status']}"], NO_FILES),
        (["status", "-o", ""], ["table", "wide", "json", "yaml", "name"], NO_FILES),
        (["status", "-o", "w"], ["wide"], NO_FILES),
        (["status", "--output=y"], ["--output=yaml"], NO_FILES),
        (["inject", "--level", "G"], ["Guarded"], NO_FILES),
        (["inject", "-f", ""], [], FILES),
        (["inject", "--settings", ""], [], FILES),
        (["--kubeconfig", ""], [], FILES),
        (["status", "--no"], ["--no-headers\tLeave the tables' heads away."], NO_FILES),
        (["status", "nonsense", "--outp"], ["--output\tForm of the output."], NO_FILES),
    ],
)
def test_words_are_completed(words: list[str], found: list[str], directive: int) -> None:
    """docs/reference/kubectl-mesh7.md."""
    assert plugin_completing.complete(words) == (found, directive)


def test_namespaces_come_from_the_cluster_with_the_flags_so_far(kubectl: Fake) -> None:
    """docs/reference/kubectl-mesh7.md."""
    kubectl.tell([worlds.namespace("shop"), worlds.namespace("show"), worlds.namespace("other")])
    words = ["--context", "x", "status", "-n", "sho"]
    assert plugin_completing.complete(words) == (["shop", "show"], NO_FILES)
    assert kubectl.calls() == [
        ["--context=x", "--request-timeout=2s", "get", "namespaces", "--output=name"]
    ]


def test_a_cluster_that_is_away_completes_nothing_and_complains_of_nothing(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever presses TAB has not said anything yet."""
    kubectl.tell([], stderr="Unable to connect to the server")
    with pytest.raises(SystemExit, match="0"):
        plugin_completing.main(["status", "-n", ""])
    assert capsys.readouterr() == (":4\n", "")
