"""The capabilities offered to a connection: one table, one function, a fixed order.

In: the connection's state and what this server and account allow. Out: the names in the order of TABLE. A capability that is
hidden from an account (because its client breaks on it) is neither listed nor turned on by ENABLE, nor is any that needs it.
Pure.

Standard: RFC 9051 §6.1.1, and the RFC of each row.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache

from mic_mail.imap.parser.command_rules import ConnectionState


@dataclass(frozen=True, slots=True)
class Offer:
    """The conditions beside the connection state."""

    starttls: bool = False
    """STARTTLS would work: there is a certificate, and TLS is not active yet."""
    login: bool = False
    """LOGIN may be used now: TLS is active, or clear text is allowed."""
    mechanisms: tuple[str, ...] = ()
    """SASL mechanisms that may be used now."""
    rev2: bool = True
    append_limit: int | None = None
    """Octets of the largest message that APPEND accepts (RFC 7889)."""
    compress: bool = True
    """False where compression is disabled or already active: it is not offered twice (RFC 4978 §3)."""
    hidden: frozenset[str] = frozenset()
    """Names in capitals that are not offered to this account."""


@dataclass(frozen=True, slots=True)
class Row:
    """One capability.

    `when` is a condition beside the state. `needs` lists the capabilities without which this one makes no sense.
    """

    name: str
    states: ConnectionState
    when: Callable[[Offer], bool] | None = None
    needs: tuple[str, ...] = ()


_STRANGER = ConnectionState.NOT_AUTHENTICATED
_SIGNED_IN = ConnectionState.AUTHENTICATED | ConnectionState.SELECTED
_ALWAYS = _STRANGER | _SIGNED_IN

TABLE: tuple[Row, ...] = (
    Row("IMAP4REV1", _ALWAYS),
    Row("IMAP4REV2", _ALWAYS, lambda offer: offer.rev2),
    Row("STARTTLS", _STRANGER, lambda offer: offer.starttls),
    Row("LOGINDISABLED", _STRANGER, lambda offer: not offer.login),
    Row("SASL-IR", _STRANGER),  # RFC 4959
    Row("LITERAL+", _ALWAYS),  # RFC 7888
    Row("ID", _ALWAYS),  # RFC 2971
    Row("ENABLE", _ALWAYS),  # RFC 5161
    Row("IDLE", _ALWAYS),  # RFC 2177
    Row("NAMESPACE", _SIGNED_IN),  # RFC 2342
    Row("CHILDREN", _SIGNED_IN),  # RFC 3348
    Row("LIST-EXTENDED", _SIGNED_IN),  # RFC 5258
    Row("LIST-STATUS", _SIGNED_IN, needs=("LIST-EXTENDED",)),  # RFC 5819
    Row("SPECIAL-USE", _SIGNED_IN),  # RFC 6154
    Row("CREATE-SPECIAL-USE", _SIGNED_IN, needs=("SPECIAL-USE",)),  # RFC 6154
    Row("XLIST", _SIGNED_IN),  # Outlook 2013 and 2016 look for it
    Row("STATUS=SIZE", _SIGNED_IN),  # RFC 8438
    Row("UNSELECT", _SIGNED_IN),  # RFC 3691
    Row("UIDPLUS", _SIGNED_IN),  # RFC 4315
    Row("MOVE", _SIGNED_IN),  # RFC 6851
    Row("MULTIAPPEND", _SIGNED_IN),  # RFC 3502
    Row("APPENDLIMIT", _SIGNED_IN, lambda offer: offer.append_limit is not None),  # RFC 7889
    Row("CONDSTORE", _SIGNED_IN),  # RFC 7162
    Row("QRESYNC", _SIGNED_IN, needs=("CONDSTORE", "ENABLE")),  # RFC 7162
    Row("ESEARCH", _SIGNED_IN),  # RFC 4731
    Row("SEARCHRES", _SIGNED_IN, needs=("ESEARCH",)),  # RFC 5182
    Row("PARTIAL", _SIGNED_IN, needs=("ESEARCH",)),  # RFC 9394
    Row("CONTEXT=SEARCH", _SIGNED_IN, needs=("ESEARCH",)),  # RFC 5267
    Row("SORT", _SIGNED_IN),  # RFC 5256
    Row("SORT=DISPLAY", _SIGNED_IN, needs=("SORT",)),  # RFC 5957
    Row("ESORT", _SIGNED_IN, needs=("SORT",)),  # RFC 5267
    Row("CONTEXT=SORT", _SIGNED_IN, needs=("ESORT",)),  # RFC 5267
    Row("THREAD=ORDEREDSUBJECT", _SIGNED_IN),  # RFC 5256
    Row("THREAD=REFERENCES", _SIGNED_IN),  # RFC 5256
    Row("THREAD=REFS", _SIGNED_IN),  # draft-ietf-morg-inthread, as in Dovecot
    Row("MULTISEARCH", _SIGNED_IN),  # RFC 7377
    Row("SEARCH=FUZZY", _SIGNED_IN),  # RFC 6203
    Row("WITHIN", _SIGNED_IN),  # RFC 5032
    Row("SAVEDATE", _SIGNED_IN),  # RFC 8514
    Row("OBJECTID", _SIGNED_IN),  # RFC 8474
    Row("PREVIEW", _SIGNED_IN),  # RFC 8970
    Row("BINARY", _SIGNED_IN),  # RFC 3516
    Row("UTF8=ACCEPT", _SIGNED_IN, needs=("ENABLE",)),  # RFC 6855
    Row("QUOTA", _SIGNED_IN),  # RFC 9208, and RFC 2087 for old clients
    Row("QUOTA=RES-STORAGE", _SIGNED_IN, needs=("QUOTA",)),
    Row("QUOTA=RES-MESSAGE", _SIGNED_IN, needs=("QUOTA",)),
    Row("REPLACE", _SIGNED_IN),  # RFC 8508
    Row("METADATA", _SIGNED_IN),  # RFC 5464
    Row("LIST-METADATA", _SIGNED_IN, needs=("LIST-EXTENDED", "METADATA")),  # RFC 9590
    Row("ACL", _SIGNED_IN),  # RFC 4314
    Row("RIGHTS=KXTE", _SIGNED_IN, needs=("ACL",)),  # RFC 4314 §5.1.1
    Row("LIST-MYRIGHTS", _SIGNED_IN, needs=("LIST-EXTENDED", "ACL")),  # RFC 8440
    Row("INPROGRESS", _SIGNED_IN),  # RFC 9585
    Row("NOTIFY", _SIGNED_IN),  # RFC 5465
    Row("UNAUTHENTICATE", _SIGNED_IN),  # RFC 8437
    Row("UIDONLY", _SIGNED_IN, needs=("ENABLE",)),  # RFC 9586
    Row("UIDBATCHES", _SIGNED_IN),  # RFC 10022
    Row("COMPRESS=DEFLATE", _SIGNED_IN, lambda offer: offer.compress),  # RFC 4978
)

_SPELLINGS = {"IMAP4REV1": "IMAP4rev1", "IMAP4REV2": "IMAP4rev2", "RIGHTS=KXTE": "RIGHTS=kxte"}
_BY_NAME = {row.name: row for row in TABLE}

HIDEABLE = tuple([row.name for row in TABLE if row.states & _SIGNED_IN and row.name != "IMAP4REV1"])
"""Capabilities that can be hidden from a mailbox: those listed after sign-in, except IMAP4rev1."""

ENABLEABLE = ("CONDSTORE", "QRESYNC", "UTF8=ACCEPT", "IMAP4REV2", "UIDONLY")
"""Capabilities that ENABLE can turn on, in capitals as the parser gives them."""


@lru_cache(maxsize=256)  # few accounts hide any, so most offers are equal; three connections in four ask three times
def capabilities(state: ConnectionState, offer: Offer) -> tuple[bytes, ...]:
    """Return the capabilities to list now."""
    names = []
    for row in TABLE:
        if not row.states & state or not _offered(row, offer.hidden) or (row.when is not None and not row.when(offer)):
            continue
        name = _SPELLINGS.get(row.name, row.name)
        names.append(f"{name}={offer.append_limit}" if row.name == "APPENDLIMIT" else name)
    if state is ConnectionState.NOT_AUTHENTICATED:
        names += [f"AUTH={mechanism}" for mechanism in offer.mechanisms]
    return tuple([name.encode("ascii") for name in names])


def enable(asked: Collection[str], hidden: frozenset[str]) -> tuple[str, ...]:
    """Return what an ENABLE turns on, spelled for the ENABLED response.

    Unknown and hidden names are ignored (RFC 5161 §3.1).
    """
    return tuple([_SPELLINGS.get(name, name) for name in ENABLEABLE if name in asked and _offered(_BY_NAME[name], hidden)])


def _offered(row: Row, hidden: frozenset[str]) -> bool:
    return row.name not in hidden and all(_offered(_BY_NAME[name], hidden) for name in row.needs)
