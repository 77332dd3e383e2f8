"""What must hold of all answers, whatever the message: the grammar of RFC 9051 §9 and the fields that clients rely on."""

from messages.structures import Value, parse_value
from mic_mail.mime.imap_structure import Answers


def check_body(value: Value, *, extended: bool) -> None:
    """A body by the grammar of RFC 9051 §9, with every field that clients rely on."""
    assert isinstance(value, list)
    if isinstance(value[0], list):
        children = [child for child in value if isinstance(child, list)][
            : next(i for i, v in enumerate(value) if not isinstance(v, list))
        ]
        for child in children:
            check_body(child, extended=extended)
        rest = value[len(children) :]
        assert isinstance(rest[0], bytes)
        assert rest[0]
        assert len(rest) == (5 if extended else 1)
        if extended:
            check_extension(rest[1], rest[2:])
        return
    maintype, subtype, params, identifier, description, encoding, octets, *rest = value
    assert all(isinstance(field, bytes) and field for field in (maintype, subtype, encoding))
    check_parameters(params)
    for field in (identifier, description):
        assert field is None or isinstance(field, bytes)
    assert isinstance(octets, str)
    assert octets.isdigit()
    if maintype == b"text":
        lines, *rest = rest
        assert isinstance(lines, str)
        assert lines.isdigit()
    elif (maintype, subtype) == (b"message", b"rfc822"):
        envelope, body, lines, *rest = rest
        check_envelope(envelope)
        check_body(body, extended=extended)
        assert isinstance(lines, str)
        assert lines.isdigit()
    assert maintype != b"multipart"
    assert len(rest) == (4 if extended else 0)
    if extended:
        assert rest[0] is None or isinstance(rest[0], bytes)
        check_extension(None, rest[1:])


def check_parameters(value: Value) -> None:
    if value is not None:
        assert isinstance(value, list)
        assert value
        assert len(value) % 2 == 0
        assert all(isinstance(item, bytes) for item in value)


def check_extension(params: Value, rest: list[Value]) -> None:
    check_parameters(params)
    disposition, language, location = rest
    if disposition is not None:
        assert isinstance(disposition, list)
        kind, disposition_params = disposition
        assert isinstance(kind, bytes)
        check_parameters(disposition_params)
    assert language is None or (isinstance(language, list) and language and all(isinstance(tag, bytes) for tag in language))
    assert location is None or isinstance(location, bytes)


def check_envelope(value: Value) -> None:
    assert isinstance(value, list)
    assert len(value) == 10
    for field in (*value[:2], *value[8:]):
        assert field is None or isinstance(field, bytes)
    for addresses in value[2:8]:
        assert addresses is None or (isinstance(addresses, list) and addresses)
        for address in addresses or []:
            assert isinstance(address, list)
            assert len(address) == 4
            assert all(item is None or isinstance(item, bytes) for item in address)


def check(found: Answers) -> None:
    """All answers of a message, by the grammar and in 7-bit."""
    for answer in (found.envelope, found.bodystructure, found.body):
        assert answer.isascii()
        assert b"\0" not in answer
    check_envelope(parse_value(found.envelope))
    check_body(parse_value(found.bodystructure), extended=True)
    check_body(parse_value(found.body), extended=False)
    if found.envelope_utf8 is not None:
        assert found.envelope_utf8 != found.envelope
        found.envelope_utf8.decode("utf-8")
        check_envelope(parse_value(found.envelope_utf8))
    assert len(found.preview) <= 200
