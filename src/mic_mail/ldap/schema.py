"""The attributes of this directory.

Names, matching, and the definitions that clients read (RFC 4512 §4.2).
In: attribute descriptions. Out: canonical names. Pure tables. An option (`cn;lang-vi`) makes a subtype (RFC 4512 §2.5.2)
of which there are no values here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Syntax(Enum):
    """The syntaxes, which determine how values compare."""

    TEXT = "1.3.6.1.4.1.1466.115.121.1.15"
    IA5 = "1.3.6.1.4.1.1466.115.121.1.26"
    DN = "1.3.6.1.4.1.1466.115.121.1.12"
    OID = "1.3.6.1.4.1.1466.115.121.1.38"
    UUID = "1.3.6.1.1.16.1"
    BOOLEAN = "1.3.6.1.4.1.1466.115.121.1.7"


_RULES = {
    Syntax.TEXT: "EQUALITY caseIgnoreMatch ORDERING caseIgnoreOrderingMatch SUBSTR caseIgnoreSubstringsMatch",
    Syntax.IA5: "EQUALITY caseIgnoreIA5Match SUBSTR caseIgnoreIA5SubstringsMatch",
    Syntax.DN: "EQUALITY distinguishedNameMatch",
    Syntax.OID: "EQUALITY objectIdentifierMatch",
    Syntax.UUID: "EQUALITY uuidMatch ORDERING uuidOrderingMatch",
    Syntax.BOOLEAN: "EQUALITY booleanMatch",
}
RULES: Mapping[str, frozenset[Syntax]] = {
    rule: syntaxes
    for names, syntaxes in (
        (("2.5.13.2", "caseignorematch", "2.5.13.3", "caseignoreorderingmatch"), frozenset({Syntax.TEXT, Syntax.IA5})),
        (("1.3.6.1.4.1.1466.109.114.2", "caseignoreia5match"), frozenset({Syntax.TEXT, Syntax.IA5})),
        (("2.5.13.1", "distinguishednamematch"), frozenset({Syntax.DN})),
        (("2.5.13.0", "objectidentifiermatch"), frozenset({Syntax.OID})),
        (("1.3.6.1.1.16.2", "uuidmatch"), frozenset({Syntax.UUID})),
    )
    for rule in names
}
"""The matching rules that an extensible match may name, each with its syntaxes."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A row of the table; the first name is the canonical one."""

    oid: str
    names: tuple[str, ...]
    syntax: Syntax = Syntax.TEXT
    operational: bool = False

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def definition(self) -> str:
        """The definition of the attribute (RFC 4512 §4.1.2)."""
        named = " ".join(f"'{name}'" for name in self.names)
        usage = " NO-USER-MODIFICATION USAGE directoryOperation" if self.operational else ""
        named = f"( {named} )" if len(self.names) > 1 else named
        return f"( {self.oid} NAME {named} {_RULES[self.syntax]} SYNTAX {self.syntax.value}{usage} )"


ATTRIBUTES = (
    Attribute("2.5.4.0", ("objectClass",), Syntax.OID),
    Attribute("2.5.4.3", ("cn", "commonName")),
    Attribute("2.5.4.4", ("sn", "surname")),
    Attribute("2.5.4.42", ("givenName", "gn")),
    Attribute("2.16.840.1.113730.3.1.241", ("displayName",)),
    Attribute("0.9.2342.19200300.100.1.3", ("mail", "rfc822Mailbox"), Syntax.IA5),
    Attribute("0.9.2342.19200300.100.1.1", ("uid", "userid")),
    Attribute("2.5.4.12", ("title",)),
    Attribute("2.5.4.11", ("ou", "organizationalUnitName")),
    Attribute("2.5.4.10", ("o", "organizationName")),
    Attribute("2.16.840.1.113730.3.1.2", ("departmentNumber",)),
    Attribute("2.5.4.13", ("description",)),
    Attribute("2.5.4.31", ("member",), Syntax.DN),
    Attribute("2.5.4.32", ("owner",), Syntax.DN),
    Attribute("0.9.2342.19200300.100.1.25", ("dc", "domainComponent"), Syntax.IA5),
    # These never have values here; programs ask for them, and `NOT` of them is true of everybody.
    Attribute("2.5.4.20", ("telephoneNumber",)),
    Attribute("0.9.2342.19200300.100.1.41", ("mobile", "mobileTelephoneNumber")),
    Attribute("2.5.21.9", ("structuralObjectClass",), Syntax.OID, operational=True),
    Attribute("1.3.6.1.1.16.4", ("entryUUID",), Syntax.UUID, operational=True),
    Attribute("1.3.6.1.1.20", ("entryDN",), Syntax.DN, operational=True),
    Attribute("2.5.18.10", ("subschemaSubentry",), Syntax.DN, operational=True),
    Attribute("2.5.18.9", ("hasSubordinates",), Syntax.BOOLEAN, operational=True),
)
_BY_NAME: Mapping[str, Attribute] = {
    name.lower(): attribute for attribute in ATTRIBUTES for name in (attribute.oid, *attribute.names)
}
NAME_TYPES = ("cn", "sn", "givenName", "ou", "o", "title")
"""The subtypes of `name` (2.5.4.41): a request for it includes all of them (RFC 4519 §2.18)."""

CLASSES = (
    "( 2.5.6.0 NAME 'top' ABSTRACT MUST objectClass )",
    "( 2.5.6.6 NAME 'person' SUP top STRUCTURAL MUST ( sn $ cn ) MAY telephoneNumber )",
    "( 2.5.6.7 NAME 'organizationalPerson' SUP person STRUCTURAL MAY ( title $ ou ) )",
    (
        "( 2.16.840.1.113730.3.2.2 NAME 'inetOrgPerson' SUP organizationalPerson STRUCTURAL "
        "MAY ( departmentNumber $ displayName $ givenName $ mail $ mobile $ o $ uid ) )"
    ),
    "( 2.5.6.5 NAME 'organizationalUnit' SUP top STRUCTURAL MUST ou MAY description )",
    "( 2.5.6.9 NAME 'groupOfNames' SUP top STRUCTURAL MUST ( member $ cn ) MAY ( owner $ ou $ o $ description ) )",
    "( 2.5.6.4 NAME 'organization' SUP top STRUCTURAL MUST o )",
    "( 1.3.6.1.4.1.1466.344 NAME 'dcObject' SUP top AUXILIARY MUST dc )",
    "( 1.3.6.1.4.1.1466.101.120.111 NAME 'extensibleObject' SUP top AUXILIARY )",
)


def attribute(description: str) -> Attribute | None:
    """Return the attribute of this name or OID, in any case; None: it has no values."""
    return _BY_NAME.get(description.lower())


_CLASS_OIDS: Mapping[str, str] = {row.split()[1]: row.split("'")[1] for row in CLASSES}


def class_named(text: str) -> str:
    """Return an object class by its name, also where a client gives the OID."""
    return _CLASS_OIDS.get(text, text)
