"""Outlook's Autodiscover: POX (version 1), and the JSON (version 2) that leads to it. Pure.

In: a program's request, the servers. Out: answers by [MS-OXDSCLI] and [MS-OXDISCO]. None of Exchange's protocols is
spoken here, so ActiveSync and the others are refused with the errors that make a program go on with IMAP. `<Encryption>`
overrides `<SSL>`: `SSL` is TLS from the first octet, `TLS` is STARTTLS; the wrong one makes Outlook hang at 993. There is
one server of a kind.
"""

from collections.abc import Iterator
from datetime import datetime
from xml.sax.saxutils import escape

from mic_mail.web.autosetup.servers import AdvertisedServer, Security, Servers
from mic_mail.web.carddav.xml import BadXml, Element, read

MEDIA_TYPE = "text/xml"
BODY_OCTETS = 16 << 10
_ASKED = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
_MOBILE = "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/requestschema/2006"
_ANSWER = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
_OUTLOOK = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
_ENCRYPTION = {Security.TLS: "SSL", Security.STARTTLS: "TLS"}
_TYPES = {"imap": "IMAP", "pop3": "POP3", "smtp": "SMTP"}
PROTOCOL = "AutodiscoverV1"
INVALID_REQUEST, NO_PROVIDER = 600, 601
"""Error codes of [MS-OXDSCLI] §2.2.4.1.1.2.3: the body is no request; nothing of the kind is offered."""


class NotAsked(Exception):
    """Raised for a body that is no request with an answer; `code` as above."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


def address_asked(body: bytes) -> str:
    """Return the address in a request."""
    try:
        root = read(body)
    except BadXml as error:
        raise NotAsked(INVALID_REQUEST) from error
    space, name = root.name
    if name != "Autodiscover" or space not in (_ASKED, _MOBILE):
        raise NotAsked(INVALID_REQUEST)
    request = root.child((space, "Request"))
    address = _text(request, space, "EMailAddress")
    if "@" not in address:
        raise NotAsked(INVALID_REQUEST)
    if space == _MOBILE or _text(request, space, "AcceptableResponseSchema") not in ("", _OUTLOOK):
        raise NotAsked(NO_PROVIDER)
    return address


def _text(request: Element | None, space: str, name: str) -> str:
    found = request.child((space, name)) if request is not None else None
    return found.text.strip() if found is not None else ""


def settings(servers: Servers, address: str) -> str:
    """Return the settings that Outlook asked for."""
    return "\n".join(_settings(servers, address)) + "\n"


def _settings(servers: Servers, address: str) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield f'<Autodiscover xmlns="{_ANSWER}">'
    yield f'  <Response xmlns="{_OUTLOOK}">'
    yield "    <User>"
    yield f"      <DisplayName>{escape(address)}</DisplayName>"
    yield "    </User>"
    yield "    <Account>"
    yield "      <AccountType>email</AccountType>"
    yield "      <Action>settings</Action>"
    for kind in ("imap", "pop3", "smtp"):
        server = servers.best(kind)
        if server is not None and (kind != "pop3" or servers.best("imap") is None):
            yield from _protocol(server, address)
    yield "    </Account>"
    yield "  </Response>"
    yield "</Autodiscover>"


def _protocol(server: AdvertisedServer, address: str) -> Iterator[str]:
    yield "      <Protocol>"
    yield f"        <Type>{_TYPES[server.kind]}</Type>"
    yield f"        <Server>{escape(server.host)}</Server>"
    yield f"        <Port>{server.port}</Port>"
    yield "        <DomainRequired>off</DomainRequired>"
    yield f"        <LoginName>{escape(address)}</LoginName>"
    yield "        <SPA>off</SPA>"
    yield "        <SSL>on</SSL>"
    yield f"        <Encryption>{_ENCRYPTION[server.security]}</Encryption>"
    yield "        <AuthRequired>on</AuthRequired>"
    if server.kind == "smtp":
        yield "        <UsePOPAuth>off</UsePOPAuth>"
        yield "        <SMTPLast>off</SMTPLast>"
    yield "      </Protocol>"


def error(code: int, now: datetime) -> str:
    """Return the answer that says why there are no settings."""
    message = "Invalid Request" if code == INVALID_REQUEST else "Provider is not available"
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<Autodiscover xmlns="{_ANSWER}">\n  <Response>\n'
        f'    <Error Time="{now:%H:%M:%S}.{now.microsecond // 1000:03}" Id="1">\n'
        f"      <ErrorCode>{code}</ErrorCode>\n      <Message>{message}</Message>\n      <DebugData />\n"
        "    </Error>\n  </Response>\n</Autodiscover>\n"
    )


def redirection(protocol: str, place: str) -> tuple[int, dict[str, str]]:
    """Return status and JSON of version 2 for a request that asks where a protocol is.

    `place` is the address of version 1.
    """
    if protocol.lower() == PROTOCOL.lower():
        return 200, {"Protocol": PROTOCOL, "Url": place}
    if not protocol:
        return 400, {"ErrorCode": "MandatoryParameterMissing", "ErrorMessage": "A valid value must be provided for Protocol"}
    known = f"The given protocol value is invalid. Supported values are '{PROTOCOL}'."
    return 400, {"ErrorCode": "InvalidProtocol", "ErrorMessage": known}
