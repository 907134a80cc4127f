"""Origins and the addresses that may be dialled."""

import ipaddress

import pytest

from mesh7_core import errors
from mesh7_sidecar.net.origin import EVERYWHERE, IN_CLUSTER, PRIVATE, AddressRule, Origin, origin_of


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://example.com", "example.com"),
        ("http://EXAMPLE.com:80/a?b", "example.com"),
        ("https://example.com/", "example.com"),
        ("https://example.com:80", "example.com:80"),
        ("http://[::1]:7", "[::1]:7"),
        ("http://bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_an_origin_names_its_host_as_http_does(url: str, authority: str) -> None:
    assert origin_of(url).authority == authority


def test_an_origin_has_a_default_port() -> None:
    assert origin_of("https://a.b/c") == Origin(scheme="https", host="a.b", port=443)


@pytest.mark.parametrize(
    "url", ["", "example.com", "ftp://a", "http://", "http://u:p@a", "http://a:99999", "http://[x]"]
)
def test_what_is_not_a_url_is_refused(url: str) -> None:
    with pytest.raises(errors.SettingsError):
        origin_of(url)


@pytest.mark.promise("S7")
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.1", "169.254.169.254", "169.254.170.2", "224.0.0.1",
        "255.255.255.255", "100.100.100.200", "192.0.0.192", "::", "::1", "fe80::1", "fe80::1%eth0",
        "ff02::1", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::", "::127.0.0.1", "nonsense",
    ],
)  # fmt: skip
def test_addresses_of_the_machine_itself_are_refused_in_a_cluster(address: str) -> None:
    """D48: however they are wrapped."""
    assert not IN_CLUSTER.permits(address)
    assert EVERYWHERE.permits(address)


@pytest.mark.promise("S7")
@pytest.mark.parametrize("address", ["10.1.2.3", "100.64.0.1", "93.184.216.34", "2606:2800::1"])
def test_services_and_the_world_are_permitted_in_a_cluster(address: str) -> None:
    assert IN_CLUSTER.permits(address)


@pytest.mark.promise("S7")
def test_private_ranges_can_be_refused_but_for_exceptions() -> None:
    rule = AddressRule(
        refused=IN_CLUSTER.refused + PRIVATE,
        excepted=(ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("::1/128")),
    )

    assert not rule.permits("10.2.0.1")
    assert not rule.permits("64:ff9b::a02:1")
    assert rule.permits("10.1.0.1")
    assert rule.permits("::1")
