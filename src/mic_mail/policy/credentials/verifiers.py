"""The verifiers of passwords, as they are made, stored and used to verify a sign-in."""

from dataclasses import dataclass, field

Costs = tuple[str, int | None]
"""The argon2 parameters as a hash begins with them, and the iterations of SCRAM keys, if any."""


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """The SCRAM-SHA-256 verifiers (RFC 5802 §3, RFC 7677): no password, but enough to pose as the server."""

    salt: bytes = field(repr=False)
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credential:
    """A mailbox's verifiers.

    `version` grows with every change, so that caches of verified passwords expire.
    """

    version: int
    argon2: str = field(repr=False)
    scram: ScramKeys | None = field(default=None, repr=False)

    @property
    def costs(self) -> Costs:
        """Return the cost parameters of a verification: nothing secret."""
        return self.argon2.rsplit("$", 2)[0], self.scram.iterations if self.scram is not None else None


@dataclass(frozen=True, slots=True)
class AppCredential:
    """The verifiers of an app password; `number` is that of the fact that added it, 0 before that.

    The facts say whether it is usable.
    """

    number: int
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    scram: ScramKeys = field(repr=False)
