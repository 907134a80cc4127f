"""Where a Redis is, as people write it (docs/administrator/redis.md, The URL)."""

import pytest

from mesh7_core.errors import SettingsError
from mesh7_core.ledger.redis_url import RedisServer, parse_url
from tests.core.ledger.redis_parts import SECRET

_PATTERN = "redis://[USER@]HOST[:PORT][/DATABASE], or rediss:// for TLS"
_NO_PORT = "is no number from 1 to 65535"
_NOTHING_MORE = "nothing may follow the database number"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://localhost", RedisServer(host="localhost")),
        ("redis://localhost/", RedisServer(host="localhost")),
        ("redis://10.0.0.1:7000/3", RedisServer(host="10.0.0.1", port=7000, database=3)),
        ("rediss://shop@redis.internal", RedisServer(host="redis.internal", user="shop",
                                                     is_tls=True)),
        ("redis://a%40b@host", RedisServer(host="host", user="a@b")),
        ("redis://[::1]:7000", RedisServer(host="::1", port=7000)),
    ],
)  # fmt: skip
def test_a_url_means_a_server_and_a_user(text: str, expected: RedisServer) -> None:
    assert parse_url(text) == expected


def test_password_and_authorities_come_from_elsewhere_and_the_password_is_not_shown() -> None:
    found = parse_url("rediss://shop@host", password=SECRET, ca_file="ca.pem")
    assert (found.password, found.ca_file) == (SECRET, "ca.pem")
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://host", f"--redis: unknown scheme `http`, write {_PATTERN}"),
        ("host:6379", f"--redis: the scheme is missing, write {_PATTERN}"),
        ("", f"--redis: the scheme is missing, write {_PATTERN}"),
        ("redis://", f"--redis: the URL names no host, write {_PATTERN}"),
        ("redis://user@", f"--redis: the URL names no host, write {_PATTERN}"),
        ("redis://[::1", f"--redis: this is no URL, write {_PATTERN}"),
        ("redis://host:0", f"--redis: the port of `host` {_NO_PORT}; write {_PATTERN}"),
        ("redis://host:http", f"--redis: the port of `host` {_NO_PORT}; write {_PATTERN}"),
        ("redis://host/first", f"--redis: `first` is no database number, write {_PATTERN}"),
        ("redis://host/1?x=1", f"--redis: {_NOTHING_MORE}, write {_PATTERN}"),
    ],
)  # fmt: skip
def test_what_is_no_such_url_is_refused_with_advice(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_url(text)
    assert refused.value.message == message


@pytest.mark.parametrize("text", [f"redis://u:{SECRET}@h", f"redis://:{SECRET}@h:99999/x?y"])
def test_a_password_in_the_url_is_refused_and_not_repeated(text: str) -> None:
    """Everybody on the machine could read it in the list of processes."""
    with pytest.raises(SettingsError, match="--redis-password-file") as refused:
        parse_url(text)
    assert SECRET not in refused.value.message


def test_authorities_without_tls_are_refused() -> None:
    with pytest.raises(SettingsError, match="only rediss:// speaks TLS"):
        parse_url("redis://host", ca_file="ca.pem")
