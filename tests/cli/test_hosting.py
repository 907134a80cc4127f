"""Flags of `mesh7 run` and `mesh7 stdio`, read into settings or refused in one line."""

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mesh7_cli import hosting, main
from mesh7_core import errors
from mesh7_core.ledger import protocol
from mesh7_sidecar import settings

SECRET = "hunter2"  # noqa: S105 - a test's own
URL = "rediss://mesh7@redis.example:6380"


@pytest.fixture(autouse=True)
def _without_our_own_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESH7_REDIS_URL", raising=False)
    monkeypatch.delenv("MESH7_REDIS_PASSWORD", raising=False)
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def read(*arguments: str) -> settings.Settings:
    """The settings that a command with the common flags would start a gateway with."""

    @click.command()
    @hosting.gateway_options
    def command(**given: object) -> settings.Settings:
        return hosting.read_settings(directory=Path("/policies"), **given)  # type: ignore[arg-type]

    found = command.main(list(arguments), standalone_mode=False)
    assert isinstance(found, settings.Settings)
    return found


@pytest.mark.promise("C2")
def test_without_flags_a_gateway_holds_calls_and_keeps_its_ledger_itself() -> None:
    """docs/reference/commands.md, run: the defaults."""
    found = read()
    assert (found.hold_s, found.caps) == (50.0, protocol.Caps(per_pod=20, per_namespace=200))
    assert (found.redis, found.replicas, found.approvers) == (None, 1, None)
    assert found.allow_scripted_approval is False


@pytest.mark.promise("C2")
def test_every_flag_finds_its_setting(tmp_path: Path) -> None:
    """docs/reference/commands.md, run."""
    (tmp_path / "password").write_text(f"{SECRET}\n")
    (tmp_path / "ca.pem").write_text("-----BEGIN")
    found = read(
        "--hold", "4s", "--approval-caps", "3,9", "--allow-scripted-approval",
        "--approvers", "root", "--redis", URL, "--redis-password-file", f"{tmp_path}/password",
        "--redis-ca", f"{tmp_path}/ca.pem", "--replicas", "3",
    )  # fmt: skip
    assert (found.hold_s, found.caps) == (4.0, protocol.Caps(per_pod=3, per_namespace=9))
    assert found.redis == settings.RedisSettings(url=URL, password=SECRET, ca=tmp_path / "ca.pem")
    assert (found.replicas, found.approvers) == (3, "root")
    assert found.allow_scripted_approval is True


@pytest.mark.promise("C2")
def test_redis_may_come_from_the_environment_and_its_password_goes_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The password is shown in no repr, and no `${NAME}` of a manifest can name it."""
    monkeypatch.setenv("MESH7_REDIS_URL", URL)
    monkeypatch.setenv("MESH7_REDIS_PASSWORD", SECRET)
    found = read()
    assert found.redis == settings.RedisSettings(url=URL, password=SECRET)
    assert found.replicas == 0
    assert SECRET not in repr(found)
    assert "MESH7_REDIS_PASSWORD" not in found.environment


@pytest.mark.promise("C4")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hold", "50"], "`50` is no duration"),
        (["--hold", "-1s"], "is no duration"),
        (["--approval-caps", "20"], "write two numbers such as `20,200`"),
        (["--approval-caps", "200,20"], "the first not above the second"),
        (["--approval-caps", "0,5"], "from 1 to 100000"),
        (["--approval-caps", "5,99999999999"], "from 1 to 100000"),
        (["--approvers", "no-such-group-here"], "there is no group `no-such-group-here`"),
        (["--replicas", "0"], "not in the range x>=1"),
    ],
)
def test_a_flag_that_cannot_be_understood_is_a_usage_error(
    arguments: list[str], message: str
) -> None:
    """What is wrong, and what would be right."""
    with pytest.raises(click.UsageError) as caught:
        read(*arguments)
    assert message in caught.value.format_message()


@pytest.mark.promise("C4")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--redis", "redis://u:secret@h:1"], "the URL holds a password"),
        (["--redis", "http://h"], "unknown scheme `http`"),
        (["--redis", "redis://"], "names no host"),
        (["--redis", "redis://h:1", "--redis-ca", "f"], "only rediss:// speaks TLS"),
        (["--redis-password-file", "f"], "--redis-password-file means nothing without --redis"),
        (["--redis-ca", "f"], "--redis-ca means nothing without --redis"),
        (["--redis", URL, "--redis-ca", "/nowhere/ca"], "`/nowhere/ca` cannot be read"),
        (["--redis", URL, "--redis-password-file", "/nowhere/p"], "`/nowhere/p` cannot be read"),
    ],
)
def test_flags_that_cannot_work_are_refused_and_never_show_a_password(
    arguments: list[str], message: str
) -> None:
    """What, where, what to do; a password in a URL is not repeated."""
    with pytest.raises(errors.SettingsError) as caught:
        read(*arguments)
    assert message in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.promise("C4")
@pytest.mark.parametrize("content", ["", "\n", "one\ntwo\n"])
def test_a_password_file_has_one_line(tmp_path: Path, content: str) -> None:
    """An empty password would be sent as none."""
    (tmp_path / "password").write_text(content)
    with pytest.raises(errors.SettingsError, match="must hold one line"):
        read("--redis", URL, "--redis-password-file", f"{tmp_path}/password")


@pytest.mark.promise("C5")
@pytest.mark.parametrize("name", ["run", "stdio"])
def test_both_hosts_of_a_gateway_have_the_same_flags(name: str) -> None:
    """docs/reference/commands.md, stdio: all flags of run about the gateway itself."""
    shown = CliRunner().invoke(main.program.commands[name], ["--help"]).output
    for flag in ("--hold", "--approval-caps", "--approvers", "--redis", "--replicas", "--agent"):
        assert flag in shown


@pytest.mark.promise("C2")
def test_traces_go_where_the_usual_variables_say_and_a_share_of_calls_is_traced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """docs/user/tracing.md; what a collector is told to trust us by is no manifest's business."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization={SECRET}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", f"authorization={SECRET}")
    found = read("--trace-share", "0.5")

    assert found.telemetry.traces is not None
    assert found.telemetry.traces.url == "http://127.0.0.1:4318/v1/traces"
    assert found.telemetry.traces.headers == {"authorization": SECRET}
    assert found.telemetry.resource["service.name"] == "mesh7-gateway"
    assert found.trace_share == 0.5
    assert SECRET not in repr(found)
    assert SECRET not in found.environment.values()


@pytest.mark.promise("C2")
@pytest.mark.parametrize("share", ["-0.1", "1.1", "some"])
def test_a_share_is_from_0_to_1(share: str) -> None:
    """docs/reference/commands.md, run."""
    with pytest.raises(click.BadParameter, match=r"range|valid float"):
        read("--trace-share", share)


def test_nothing_is_sent_unless_somebody_says_where_to() -> None:
    found = read()

    assert (found.telemetry.traces, found.trace_share) == (None, 0.01)
