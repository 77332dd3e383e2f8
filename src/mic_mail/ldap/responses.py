"""Encode responses (RFC 4511 §4): values in, octets of whole messages out. Pure."""

from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from typing import Final

from mic_mail.ldap.ber import ENUMERATED, SEQUENCE, SET, integer, sequence, string, tlv
from mic_mail.ldap.requests import ANSWERS, EXTENDED

ENTRY: Final = 0x64
NOTICE_OF_DISCONNECTION = "1.3.6.1.4.1.1466.20036"
PAGED = "1.2.840.113556.1.4.319"


class Code(IntEnum):
    """Result codes (RFC 4511 appendix A; RFC 3909)."""

    SUCCESS = 0
    OPERATIONS_ERROR = 1
    PROTOCOL_ERROR = 2
    TIME_LIMIT = 3
    SIZE_LIMIT = 4
    COMPARE_FALSE = 5
    COMPARE_TRUE = 6
    AUTH_METHOD_NOT_SUPPORTED = 7
    STRONGER_AUTH_REQUIRED = 8
    ADMIN_LIMIT = 11
    UNAVAILABLE_CRITICAL_EXTENSION = 12
    CONFIDENTIALITY_REQUIRED = 13
    SASL_BIND_IN_PROGRESS = 14
    NO_SUCH_ATTRIBUTE = 16
    UNDEFINED_ATTRIBUTE_TYPE = 17
    NO_SUCH_OBJECT = 32
    INVALID_DN_SYNTAX = 34
    INVALID_CREDENTIALS = 49
    INSUFFICIENT_ACCESS = 50
    BUSY = 51
    UNAVAILABLE = 52
    UNWILLING = 53
    OTHER = 80
    CANCELED = 118
    NO_SUCH_OPERATION = 119


def message(number: int, operation: bytes, controls: bytes = b"") -> bytes:
    return sequence(integer(number), operation, controls)


def result(
    number: int, request: int, code: int, text: str = "", *, matched: str = "", more: bytes = b"", controls: bytes = b""
) -> bytes:
    """Return the final response to a request; `more` holds the fields of its kind."""
    content = integer(code, ENUMERATED) + string(matched) + string(text) + more
    return message(number, tlv(ANSWERS[request], content), controls)


def entry(number: int, dn: str, attributes: Iterable[tuple[str, tuple[str, ...]]]) -> bytes:
    listed = b"".join([_attribute(name, values) for name, values in attributes])
    return message(number, tlv(ENTRY, string(dn) + tlv(SEQUENCE, listed)))


@lru_cache(maxsize=4096)
def _attribute(name: str, values: tuple[str, ...]) -> bytes:
    """Return an attribute, cached: most are those of many entries (classes, units, positions)."""
    return sequence(string(name), tlv(SET, b"".join(map(string, values))))


def farewell(code: int, text: str) -> bytes:
    """Return the notice that the connection ends (RFC 4511 §4.4.1)."""
    return result(0, EXTENDED, code, text, more=string(NOTICE_OF_DISCONNECTION, 0x8A))


def page(cookie: bytes) -> bytes:
    """Return the control of a page's last response (RFC 2696 §2); the total number is not disclosed."""
    value = sequence(integer(0), string(cookie))
    return sequence(sequence(string(PAGED), string(value)), tag=0xA0)
