"""How sure a connection has to be of whom it reaches, and how sure it is. Plain values.

dane             TLS with a key that validated TLSA records name (RFC 7672)
sts              TLS with a certificate for the host's name, which the domain's policy names (RFC 8461)
name             TLS with a certificate for the host's name, which the configuration or validated MX records name
opportunistic    TLS with whoever answers (RFC 7435)
none             in the open
"""

import ssl
from dataclasses import dataclass
from enum import StrEnum

from mic_mail.net.dns import Tlsa
from mic_mail.smtpclient.smarthost import Smarthost


class TlsLevel(StrEnum):
    """What the far end is known by."""

    DANE = "dane"
    STS = "sts"
    NAME = "name"
    OPPORTUNISTIC = "opportunistic"
    NONE = "none"


CHECKED_BY_NAME = frozenset({TlsLevel.STS, TlsLevel.NAME})


@dataclass(frozen=True, slots=True)
class TlsRequirements:
    """What a connection has to be like for a message; whoever has the same terms may use the same connection."""

    host: str
    """For logs and reports; by a name the certificate has to hold it. A domain that is an address literal stands here too."""
    by: TlsLevel = TlsLevel.OPPORTUNISTIC
    strict: bool = False
    """Nothing less will do; else it is said in the log and the message goes all the same."""
    tlsa: tuple[Tlsa, ...] = ()
    known_as: tuple[str, ...] = ()
    """By DANE: what is asked for (SNI), and what else a certificate may name that one of these keys vouches for."""
    extension: str = ""
    """What has to be offered under TLS as well."""
    objection: str = ""
    """What the domain's policy has against this host, where that is only said (RFC 8461 §5, `testing`)."""
    smarthost: Smarthost | None = None
    """The one that these terms are for: where it listens, and as whom we sign in."""

    def asked_for(self, address: str) -> str:
        """The name for SNI; of who has none its address, which is not asked for there (RFC 6066 §3)."""
        if self.known_as:
            return self.known_as[0]
        return address if self.host.startswith("[") else self.host


@dataclass(frozen=True, slots=True)
class Secured:
    """What a connection is like."""

    by: TlsLevel = TlsLevel.NONE
    version: str = ""
    cipher: str = ""
    objection: str = ""
    """What the domain's policy has against it that is only said."""

    @property
    def protocol(self) -> str | None:
        """For the log: `TLSv1.3 TLS_AES_256_GCM_SHA384`."""
        return f"{self.version} {self.cipher}" if self.by is not TlsLevel.NONE else None

    @classmethod
    def of(cls, session: ssl.SSLObject, by: TlsLevel) -> "Secured":
        cipher = session.cipher()
        return cls(by, session.version() or "", cipher[0] if cipher is not None else "")


IN_THE_OPEN = Secured()
