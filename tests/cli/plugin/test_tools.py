"""`kubectl mesh7 tools`: what sidecars report, and what people accept of it."""

import json

import pytest

from mesh7_cli import plugin, plugin_completing
from mesh7_cli.plugin_commands import tools
from tests.cli.plugin import test_pages, worlds
from tests.cli.plugin.worlds import Fake, Object

OLD, NEW, OTHER = (f"sha256:{letter * 64}" for letter in "abc")


def _source(
    mode: str = "Enforce", *, name: str = "notes", accepted: dict[str, str] | None = None
) -> Object:
    written = [{"tool": tool, "digest": one} for tool, one in (accepted or {}).items()]
    found = worlds.named(
        "ToolSource",
        name,
        "shop",
        spec={"mcp": {"url": "http://notes"}, "pinning": {"mode": mode, "accepted": written}},
        status={
            "observedGeneration": 3,
            "toolCount": 3,
            "conditions": [{"type": "Ready", "status": "True"}],
            "tools": [
                {"name": "gone", "drift": "Removed"},
                {"name": "read", "digest": NEW, "drift": "Changed"},
                {"name": "list", "digest": OTHER},
                {"name": "write", "digest": OTHER, "drift": "Added"},
            ],
        },
    )
    found["metadata"] |= {"generation": 3, "resourceVersion": "77"}
    return found


_KNOWN = {"read": OLD, "list": OTHER}


def _run(*words: str) -> int:
    return plugin.exit_code(["tools", *words, "-n", "shop"])


def test_tools_are_listed_with_how_they_stand(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/kubectl-mesh7.md: the laptop's words; those that pinning hides come last."""
    kubectl.tell([_source(accepted=_KNOWN)])
    assert _run() == 0
    assert capsys.readouterr().out.splitlines() == [
        "TOOL         DEFINITION  DIGEST",
        f"notes.list   accepted    {OTHER}",
        f"notes.read   changed     (hidden) {NEW}",
        f"notes.write  new         (hidden) {OTHER}",
        "",
        "2 tools hidden until accepted – look with `kubectl mesh7 tools accept --dry-run NAME`",
    ]


def test_programs_read_what_they_read_of_a_laptop(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/commands.md: `definitions`."""
    kubectl.tell([_source(accepted=_KNOWN), _source(name="other")])
    assert _run("--source", "notes", "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)["definitions"]
    assert found[1] == {
        "name": "notes.read", "state": "changed", "isServed": False, "digest": NEW,
        "expected": OLD,
    }  # fmt: skip
    assert [one["name"] for one in found] == ["notes.list", "notes.read", "notes.write"]


def test_a_source_that_nobody_pins_has_no_column_for_it(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """A column of dashes would say nothing."""
    kubectl.tell([_source("Ignore")])
    assert _run() == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["TOOL", "DIGEST"]


def test_what_is_not_known_is_told(kubectl: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first report nothing is listed, and it is said why."""
    source = _source()
    source["status"] = {
        "observedGeneration": 2,
        "conditions": [
            {"type": "Ready", "status": "Unknown", "reason": "NoSidecar", "message": "none yet"}
        ],
    }
    kubectl.tell([source])
    assert _run() == 0
    out, err = capsys.readouterr()
    assert out == "no source lists a tool – see `kubectl get toolsources`\n"
    assert err.splitlines() == [
        "mesh7: source `notes` was edited just now; its tools are those of before",
        "mesh7: source `notes`: none yet (NoSidecar)",
    ]


@pytest.mark.promise("M11")
def test_accepting_keeps_what_was_accepted_and_binds_to_what_was_read(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever changed the source meanwhile is not overwritten: the resource version travels."""
    kubectl.tell([_source(accepted=_KNOWN)])
    assert _run("accept", "notes.read") == 0
    assert capsys.readouterr().out == (
        f"notes.read  changed\n  before  {OLD}\n  now     {NEW}\n\n"
        "wrote toolsource/notes\n1 tool accepted\n"
    )
    accepted = [{"tool": "read", "digest": NEW}, {"tool": "list", "digest": OTHER}]
    assert kubectl.patches() == [
        {
            "metadata": {"resourceVersion": "77"},
            "spec": {"pinning": {"accepted": accepted}},
        }
    ]


def test_a_dry_run_writes_nothing_and_asks_whether_one_may(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/reference/kubectl-mesh7.md: --dry-run."""
    kubectl.tell([_source(accepted=_KNOWN)])
    assert _run("accept", "--all", "notes", "--dry-run=server") == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"-read: {OLD}" in lines
    assert f"+write: {OTHER}" in lines
    assert lines[-1] == "2 tools would be accepted – run it without --dry-run to do so"
    assert "--dry-run=server" in kubectl.calls()[-1]


@pytest.mark.parametrize("words", [["--dry-run"], ["--dry-run=client"], ["--dry-run", "client"]])
def test_a_dry_run_of_accept_is_spelled_as_everywhere_else(
    kubectl: Fake, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """Defect C: it was a switch here and none, client or server elsewhere; alone it is `client`."""
    kubectl.tell([_source()])
    assert _run("accept", *words, "notes.read") == 0
    assert "1 tool would be accepted" in capsys.readouterr().out
    assert not any("patch" in one for one in kubectl.calls())
    assert _run("accept", "--dry-run=none", "notes.read") == 0
    assert "wrote toolsource/notes" in capsys.readouterr().out


def test_who_may_not_accept_is_told_so_and_nothing_is_said_to_be_written(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verb `accept` (admission policy mesh7-accepted)."""
    kubectl.tell([_source()], denied=["patch"])
    assert _run("accept", "notes.read") == 1
    out, err = capsys.readouterr()
    assert "wrote" not in out
    assert err.startswith("error: the API server refuses: ")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["accept"], 2, "name tools as `<source>.<tool>`"),
        (["accept", "notes.gone"], 1, "no source lists a tool `notes.gone`"),
        (["accept", "--all", "none"], 1, "source `none` lists no tool – see `kubectl mesh7 "),
        (["--source", "notes", "accept", "notes.read"], 2, "write options after `accept`"),
    ],
)
def test_what_cannot_be_accepted_is_named(
    kubectl: Fake, capsys: pytest.CaptureFixture[str], words: list[str], code: int, told: str
) -> None:
    """All names are looked up before anything is written."""
    kubectl.tell([_source()])
    assert _run(*words) == code
    assert told in capsys.readouterr().err
    assert kubectl.patches() == []


def test_accepting_what_nobody_pins_warns(
    kubectl: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list that is held against nothing looks like safety."""
    kubectl.tell([_source("Ignore")])
    assert _run("accept", "notes.read") == 0
    assert "pinning of `notes` is `Ignore`" in capsys.readouterr().err


def test_a_hostile_name_moves_no_cursor(kubectl: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    """Attack X22: names of tools come from servers that nobody vouches for."""
    source = _source()
    source["status"]["tools"] = [{"name": "a\x1b[2Jb\u202e", "digest": NEW, "drift": "Added"}]
    kubectl.tell([source])
    assert _run() == 0
    assert _run("accept", "--all", "notes", "--dry-run") == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out


@pytest.mark.promise("C5")
def test_the_usage_of_accept_names_exactly_its_flags() -> None:
    """Promise C5, of the one command that stands below another."""
    usage = test_pages.section(test_pages.PAGE, "kubectl mesh7 tools accept").split("```")[1]
    written = {"--all", "--dry-run"}
    assert {word.strip("[].") for word in usage.split() if "--" in word} == written
    assert test_pages.flags_of(tools.accept) == written


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["tools", "accept", "-n", "shop", ""], ["notes.read\tchanged", "notes.write\tnew"]),
        (["-n", "shop", "tools", "accept", "notes.w"], ["notes.write\tnew"]),
        (["tools", "-n", "shop", "--source", ""], ["notes"]),
        (["tools", "accept", "--namespace=shop", "--all", "n"], ["notes"]),
    ],
)
def test_names_are_completed(kubectl: Fake, words: list[str], found: list[str]) -> None:
    """docs/reference/kubectl-mesh7.md: names of tools; those that accepting would change."""
    kubectl.tell([_source(accepted=_KNOWN)])
    assert plugin_completing.complete(words)[0] == found


def test_flags_before_the_command_count_for_accept(kubectl: Fake) -> None:
    """docs/reference/kubectl-mesh7.md: kubectl's flags stand before or after the command."""
    kubectl.tell([_source()])
    assert plugin.exit_code(["-n", "shop", "--context=x", "tools", "accept", "notes.read"]) == 0
    assert all("--context=x" in call for call in kubectl.calls())
    assert "--namespace=shop" in kubectl.calls()[-1]
