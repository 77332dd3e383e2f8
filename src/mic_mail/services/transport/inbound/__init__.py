"""Checks of mail from other servers, between its last octet and durable acceptance."""
