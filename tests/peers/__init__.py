"""Mail servers of others, as real programs on loopback: Postfix, Exim, OpenSMTPD. See `peers.base`."""
