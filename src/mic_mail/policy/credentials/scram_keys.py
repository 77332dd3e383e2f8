"""The SCRAM keys of a password, as they are made, stored and used to verify a sign-in."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """The SCRAM-SHA-256 verifiers (RFC 5802 §3, RFC 7677): no password, but enough to pose as the server."""

    salt: bytes = field(repr=False)
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)
