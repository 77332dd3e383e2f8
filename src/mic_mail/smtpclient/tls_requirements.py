"""Required and actual TLS authentication levels of a connection. Plain values.

dane             TLS with a key in validated TLSA records (RFC 7672)
sts              TLS with a certificate for the host's name, which the domain's policy lists (RFC 8461)
name             TLS with a certificate for the host's name, known from the configuration or validated MX records
opportunistic    TLS without authentication (RFC 7435)
none             plain text
"""

import ssl
from dataclasses import dataclass
from enum import StrEnum

from mic_mail.errors import Text
from mic_mail.net.dns import Tlsa
from mic_mail.smtpclient.smarthost import Smarthost


class TlsLevel(StrEnum):
    """The method by which the remote server is authenticated."""

    DANE = "dane"
    STS = "sts"
    NAME = "name"
    OPPORTUNISTIC = "opportunistic"
    NONE = "none"


CHECKED_BY_NAME = frozenset({TlsLevel.STS, TlsLevel.NAME})


@dataclass(frozen=True, slots=True)
class TlsRequirements:
    """The requirements of a message on a connection; equal requirements may share a connection."""

    host: str
    """The host, for logs and reports; with verification by name the certificate has to hold it.

    It may also be an address literal.
    """
    by: TlsLevel = TlsLevel.OPPORTUNISTIC
    strict: bool = False
    """True if nothing less is acceptable; else the failure is logged and the message goes."""
    tlsa: tuple[Tlsa, ...] = ()
    known_as: tuple[str, ...] = ()
    """With DANE: the name for SNI, and others allowed in a certificate under one of these keys."""
    extension: str = ""
    """An ESMTP extension that has to be offered under TLS."""
    objection: Text | None = None
    """The objection of the domain's policy to this host, if it is only logged (RFC 8461 §5, `testing`)."""
    smarthost: Smarthost | None = None
    """The smarthost that these requirements are for, with port and credentials."""

    def asked_for(self, address: str) -> str:
        """Return the name for SNI; for an address literal the address, which is not sent (RFC 6066 §3)."""
        if self.known_as:
            return self.known_as[0]
        return address if self.host.startswith("[") else self.host


@dataclass(frozen=True, slots=True)
class Secured:
    """The actual security of a connection."""

    by: TlsLevel = TlsLevel.NONE
    version: str = ""
    cipher: str = ""
    objection: Text | None = None
    """The objection of the domain's policy that is only logged."""

    @property
    def protocol(self) -> str | None:
        """TLS version and cipher for the log: `TLSv1.3 TLS_AES_256_GCM_SHA384`; None without TLS."""
        return f"{self.version} {self.cipher}" if self.by is not TlsLevel.NONE else None

    @classmethod
    def of(cls, session: ssl.SSLObject, by: TlsLevel) -> "Secured":
        cipher = session.cipher()
        return cls(by, session.version() or "", cipher[0] if cipher is not None else "")


IN_THE_OPEN = Secured()
