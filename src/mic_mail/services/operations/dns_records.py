"""The DNS records that the server's mail domains need. Pure.

In: the configuration, the domains, the public key of the served certificate. Out: `ExpectedRecord`, one for each record, with
the reason. dns_check.py compares them with the DNS.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mic_mail.config.model import Config
from mic_mail.config.schema import smarthost_place
from mic_mail.errors import Text
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.mime.dkim import strings_of
from mic_mail.smtpclient.dkim_keys import Key, KeyState

PREFERENCE = 10
TTL_SECONDS = 3600

OWN_ADDRESS = "<address of this server>"
"""The placeholder for the server's address, since it does not know its public one."""
REVERSED = "<address>"
"""The placeholder for the address in the name of its PTR record."""
SENDERS_OF = "<senders of "
"""The beginning of a placeholder that ends with the name of a relay and `>`."""


class Need(LabelledEnum):
    """The importance of a record."""

    REQUIRED = "required", "bắt buộc", "required"
    """Without the record mail is lost, refused or suspected."""
    RECOMMENDED = "recommended", "nên có", "recommended"


class RecordKind(StrEnum):
    """The purpose of a record; each has its own check."""

    HOST = "host"
    REVERSE = "reverse"
    MX = "mx"
    SPF = "spf"
    DMARC = "dmarc"
    DKIM = "dkim"
    TLS_REPORTS = "tls-reports"
    DANE = "dane"
    SERVICE = "service"
    ALIAS = "alias"


@dataclass(frozen=True, slots=True)
class ExpectedRecord:
    kind: RecordKind
    name: str
    type: str
    value: str
    """As in a zone file; unknown parts are placeholders in angle brackets."""
    need: Need
    why: Text
    key: Key | None = None

    def line(self) -> str:
        """Return the record as in a zone file; a comment where it has a placeholder."""
        line = f"{self.name}. {TTL_SECONDS} IN {self.type} {self.value}"
        return f"; {line}" if "<" in line else line


_WHY = {
    RecordKind.HOST: Text("tên của máy chủ này (RFC 5321 §4.1.1.1)", "the name of this server (RFC 5321 section 4.1.1.1)"),
    RecordKind.REVERSE: Text(
        "nhiều nơi từ chối thư từ địa chỉ không có tên ngược (RFC 1912 §2.1)",
        "many refuse mail from an address without a name (RFC 1912 section 2.1)",
    ),
    RecordKind.MX: Text(
        "nơi nhận thư của tên miền (RFC 5321 §5.1)", "where mail for the domain is delivered (RFC 5321 section 5.1)"
    ),
    RecordKind.SPF: Text("máy nào được gửi thư của tên miền (RFC 7208)", "who may send mail of the domain (RFC 7208)"),
    RecordKind.DMARC: Text("xử lý thư mạo danh tên miền (RFC 7489)", "what receivers do with forged mail (RFC 7489)"),
    RecordKind.DKIM: Text(
        "khóa kiểm tra chữ ký trên thư gửi đi (RFC 6376)", "the public key of signatures on outgoing mail (RFC 6376)"
    ),
    RecordKind.TLS_REPORTS: Text("nơi nhận báo cáo về TLS (RFC 8460)", "where TLS reports are sent (RFC 8460)"),
    RecordKind.DANE: Text(
        "khóa của chứng thư số, nơi có DNSSEC (RFC 7672)", "the certificate's key, for zones with DNSSEC (RFC 7672)"
    ),
    RecordKind.ALIAS: Text(
        "Thunderbird, Outlook tự tìm cấu hình; chứng thư số phải có cả tên này",
        "Thunderbird and Outlook find their settings; the certificate must contain this name too",
    ),
    RecordKind.SERVICE: Text(
        "phần mềm thư và điện thoại tự cấu hình (RFC 6186, 8314, 6764)",
        "mail programs and phones find the server (RFC 6186, 8314, 6764)",
    ),
}

_SERVICES = {
    "_submissions._tcp": "submissions",
    "_submission._tcp": "submission",
    "_imaps._tcp": "imaps",
    "_imap._tcp": "imap",
    "_pop3s._tcp": "pop3s",
    "_pop3._tcp": "pop3",
    "_carddavs._tcp": "https",
    "_autodiscover._tcp": "https",
    "_ldap._tcp": "ldap",
}


def expected_records(
    config: Config, domains: Sequence[str], key_digest: bytes | None, keys: Sequence[Key] = ()
) -> list[ExpectedRecord]:
    """Return every record that the domains need.

    `key_digest`: SHA-256 of the certificate's SubjectPublicKeyInfo, None where it is not readable here. `keys`: the DKIM
    keys that have to be published.
    """
    host = config.server.hostname
    found = [
        _record(RecordKind.HOST, host, "A", OWN_ADDRESS),
        _record(RecordKind.REVERSE, f"{REVERSED}.in-addr.arpa", "PTR", f"{host}."),
    ]
    if key_digest is not None:
        found.append(_record(RecordKind.DANE, f"_25._tcp.{host}", "TLSA", f"3 1 1 {key_digest.hex()}", Need.RECOMMENDED))
    for domain in domains:
        found += _of_domain(config, domain, host)
    return found + [_of_key(key) for key in keys]


def _of_key(key: Key) -> ExpectedRecord:
    """Return a key's record; it is only recommended for an announced key, which signs nothing yet."""
    need = Need.RECOMMENDED if key.state is KeyState.ANNOUNCED else Need.REQUIRED
    return ExpectedRecord(RecordKind.DKIM, key.name, "TXT", strings_of(key.record), need, _WHY[RecordKind.DKIM], key)


def _of_domain(config: Config, domain: str, host: str) -> Iterator[ExpectedRecord]:
    yield _record(RecordKind.MX, domain, "MX", f"{PREFERENCE} {host}.")
    yield _senders(config, domain)
    yield _record(RecordKind.DMARC, f"_dmarc.{domain}", "TXT", f'"v=DMARC1; p=quarantine; rua=mailto:{config.support}"')
    yield _record(
        RecordKind.TLS_REPORTS, f"_smtp._tls.{domain}", "TXT", f'"v=TLSRPTv1; rua=mailto:{config.support}"', Need.RECOMMENDED
    )
    if "https" in config.listen.doors:
        for label in ("autoconfig", "autodiscover"):
            yield _record(RecordKind.ALIAS, f"{label}.{domain}", "CNAME", f"{host}.", Need.RECOMMENDED)
    for label, listener in _SERVICES.items():
        is_open = listener in config.listen.doors and (label != "_carddavs._tcp" or config.web.carddav)
        value = f"0 1 {getattr(config.listen, listener)} {host}." if is_open else "0 0 0 ."
        yield _record(RecordKind.SERVICE, f"{label}.{domain}", "SRV", value, Need.RECOMMENDED)


def _senders(config: Config, domain: str) -> ExpectedRecord:
    """Return the SPF record; with a smarthost receivers see its addresses, often others than its name has."""
    if not config.sending.smarthost:
        return _record(RecordKind.SPF, domain, "TXT", '"v=spf1 mx -all"')
    relay, _ = smarthost_place(config.sending.smarthost)
    why = Text(
        f"máy nào được gửi thư của tên miền (RFC 7208); thêm cả {relay}: hỏi nơi quản lý máy đó (include: hoặc ip4:)",
        f"who may send mail of the domain (RFC 7208); {relay} too: ask its operator what to add (include: or ip4:)",
    )
    return ExpectedRecord(RecordKind.SPF, domain, "TXT", f'"v=spf1 mx {SENDERS_OF}{relay}> -all"', Need.REQUIRED, why)


def _record(kind: RecordKind, name: str, type_: str, value: str, need: Need = Need.REQUIRED) -> ExpectedRecord:
    return ExpectedRecord(kind, name, type_, value, need, _WHY[kind])
