"""The capabilities offered to a connection: one table, one function, a fixed order.

In: the connection's state and what this server and account allow. Out: the names in the order of TABLE. A capability that is
hidden from an account (because its client breaks on it) is neither listed nor turned on by ENABLE, nor is any that needs it;
commands that `command_table` assigns to it are unknown. Pure.

Standard: RFC 9051 §6.1.1, and the RFC of each row.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from mic_mail.imap.connection_state import ANY_STATE, SIGNED_IN, ConnectionState


class OfferConditions(NamedTuple):
    """The conditions beside the connection state; each sign-in asks twice with equal ones."""

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
class Capability:
    """One capability.

    `when` is a condition beside the state. `needs` lists the capabilities without which this one makes no sense.
    """

    name: str
    states: ConnectionState
    when: Callable[[OfferConditions], bool] | None = None
    needs: tuple[str, ...] = ()


_ANONYMOUS = ConnectionState.NOT_AUTHENTICATED

TABLE: tuple[Capability, ...] = (
    Capability("IMAP4REV1", ANY_STATE),
    Capability("IMAP4REV2", ANY_STATE, lambda offer: offer.rev2),
    Capability("STARTTLS", _ANONYMOUS, lambda offer: offer.starttls),
    Capability("LOGINDISABLED", _ANONYMOUS, lambda offer: not offer.login),
    Capability("SASL-IR", _ANONYMOUS),  # RFC 4959
    Capability("LITERAL+", ANY_STATE),  # RFC 7888
    Capability("ID", ANY_STATE),  # RFC 2971
    Capability("ENABLE", ANY_STATE),  # RFC 5161
    Capability("IDLE", ANY_STATE),  # RFC 2177
    Capability("NAMESPACE", SIGNED_IN),  # RFC 2342
    Capability("CHILDREN", SIGNED_IN),  # RFC 3348
    Capability("LIST-EXTENDED", SIGNED_IN),  # RFC 5258
    Capability("LIST-STATUS", SIGNED_IN, needs=("LIST-EXTENDED",)),  # RFC 5819
    Capability("SPECIAL-USE", SIGNED_IN),  # RFC 6154
    Capability("CREATE-SPECIAL-USE", SIGNED_IN, needs=("SPECIAL-USE",)),  # RFC 6154
    Capability("XLIST", SIGNED_IN),  # Outlook 2013 and 2016 look for it
    Capability("STATUS=SIZE", SIGNED_IN),  # RFC 8438
    Capability("UNSELECT", SIGNED_IN),  # RFC 3691
    Capability("UIDPLUS", SIGNED_IN),  # RFC 4315
    Capability("MOVE", SIGNED_IN),  # RFC 6851
    Capability("MULTIAPPEND", SIGNED_IN),  # RFC 3502
    Capability("APPENDLIMIT", SIGNED_IN, lambda offer: offer.append_limit is not None),  # RFC 7889
    Capability("CONDSTORE", SIGNED_IN),  # RFC 7162
    Capability("QRESYNC", SIGNED_IN, needs=("CONDSTORE", "ENABLE")),  # RFC 7162
    Capability("ESEARCH", SIGNED_IN),  # RFC 4731
    Capability("SEARCHRES", SIGNED_IN, needs=("ESEARCH",)),  # RFC 5182
    Capability("PARTIAL", SIGNED_IN, needs=("ESEARCH",)),  # RFC 9394
    Capability("CONTEXT=SEARCH", SIGNED_IN, needs=("ESEARCH",)),  # RFC 5267
    Capability("SORT", SIGNED_IN),  # RFC 5256
    Capability("SORT=DISPLAY", SIGNED_IN, needs=("SORT",)),  # RFC 5957
    Capability("ESORT", SIGNED_IN, needs=("SORT",)),  # RFC 5267
    Capability("CONTEXT=SORT", SIGNED_IN, needs=("ESORT",)),  # RFC 5267
    Capability("THREAD=ORDEREDSUBJECT", SIGNED_IN),  # RFC 5256
    Capability("THREAD=REFERENCES", SIGNED_IN),  # RFC 5256
    Capability("THREAD=REFS", SIGNED_IN),  # draft-ietf-morg-inthread, as in Dovecot
    Capability("MULTISEARCH", SIGNED_IN),  # RFC 7377
    Capability("SEARCH=FUZZY", SIGNED_IN),  # RFC 6203
    Capability("WITHIN", SIGNED_IN),  # RFC 5032
    Capability("SAVEDATE", SIGNED_IN),  # RFC 8514
    Capability("OBJECTID", SIGNED_IN),  # RFC 8474
    Capability("PREVIEW", SIGNED_IN),  # RFC 8970
    Capability("BINARY", SIGNED_IN),  # RFC 3516
    Capability("UTF8=ACCEPT", SIGNED_IN, needs=("ENABLE",)),  # RFC 6855
    Capability("QUOTA", SIGNED_IN),  # RFC 9208, and RFC 2087 for old clients
    Capability("QUOTA=RES-STORAGE", SIGNED_IN, needs=("QUOTA",)),
    Capability("QUOTA=RES-MESSAGE", SIGNED_IN, needs=("QUOTA",)),
    Capability("REPLACE", SIGNED_IN),  # RFC 8508
    Capability("METADATA", SIGNED_IN),  # RFC 5464
    Capability("LIST-METADATA", SIGNED_IN, needs=("LIST-EXTENDED", "METADATA")),  # RFC 9590
    Capability("ACL", SIGNED_IN),  # RFC 4314
    Capability("RIGHTS=KXTE", SIGNED_IN, needs=("ACL",)),  # RFC 4314 §5.1.1
    Capability("LIST-MYRIGHTS", SIGNED_IN, needs=("LIST-EXTENDED", "ACL")),  # RFC 8440
    Capability("INPROGRESS", SIGNED_IN),  # RFC 9585
    Capability("NOTIFY", SIGNED_IN),  # RFC 5465
    Capability("UNAUTHENTICATE", SIGNED_IN),  # RFC 8437
    Capability("UIDONLY", SIGNED_IN, needs=("ENABLE",)),  # RFC 9586
    Capability("UIDBATCHES", SIGNED_IN),  # RFC 10022
    Capability("COMPRESS=DEFLATE", SIGNED_IN, lambda offer: offer.compress),  # RFC 4978
)

_SPELLINGS = {"IMAP4REV1": "IMAP4rev1", "IMAP4REV2": "IMAP4rev2", "RIGHTS=KXTE": "RIGHTS=kxte"}
_BY_NAME = {row.name: row for row in TABLE}

HIDEABLE = tuple([row.name for row in TABLE if row.states & SIGNED_IN and row.name != "IMAP4REV1"])
"""Capabilities that can be hidden from a mailbox: those listed after sign-in, except IMAP4rev1."""

ENABLEABLE = ("CONDSTORE", "QRESYNC", "UTF8=ACCEPT", "IMAP4REV2", "UIDONLY")
"""Capabilities that ENABLE can turn on, in capitals as the parser gives them."""


@lru_cache(maxsize=256)  # few accounts hide any, so most offers are equal; three connections in four ask three times
def capabilities(state: ConnectionState, offer: OfferConditions) -> tuple[bytes, ...]:
    """Return the capabilities to list now."""
    names = []
    for row in TABLE:
        if not row.states & state or not is_offered(row.name, offer.hidden) or (row.when is not None and not row.when(offer)):
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
    return tuple([_SPELLINGS.get(name, name) for name in ENABLEABLE if name in asked and is_offered(name, hidden)])


def is_offered(name: str, hidden: frozenset[str]) -> bool:
    """Return whether neither a capability nor any that it needs is hidden."""
    return name not in hidden and all(is_offered(needed, hidden) for needed in _BY_NAME[name].needs)
