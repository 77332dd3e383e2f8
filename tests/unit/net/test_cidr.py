"""Which address is in a list of networks."""

import pytest

from mic_mail.net.cidr import Networks

OFFICE = Networks(["10.1.0.0/16", "192.0.2.7", "fe80::/10", "2001:db8::1/64"])


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.7", "fe80::1%eth0", "2001:db8::ffff"])
def test_in_one(address: str) -> None:
    """As a socket of either family writes it."""
    assert address in OFFICE
    assert address in OFFICE  # remembered


@pytest.mark.parametrize("address", ["10.2.0.1", "192.0.2.8", "::1", "", "/run/socket", "10.1.2", "10.1.2.3/32"])
def test_in_none(address: str) -> None:
    """Nor is what no address is."""
    assert address not in OFFICE
    assert "10.1.2.3" not in Networks([])
