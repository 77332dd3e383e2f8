"""A block of the directory: some two thousand entries side by side, and filters over them.

In: entries. Out: sets of them, as the bits of a number. Pure, and immutable except for the columns of operational
attributes, which are made on demand. A filter is evaluated for all entries together, in three values (RFC 4511 §4.5.1.7):
the entries of which it is true, and those for which it is undefined.
"""

from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace

from mic_mail.addressbook.cards import Card, Ministry
from mic_mail.addressbook.ldap_entries import LdapEntry
from mic_mail.addressbook.ldap_entries import entry as entry_of
from mic_mail.ldap import schema
from mic_mail.ldap.attribute_index import AttributeColumn, AttributeSearch
from mic_mail.ldap.dn import BadName, normal, same
from mic_mail.ldap.filters import And, Comparison, Filter, Matches, Not, Or, Present, Substrings
from mic_mail.ldap.schema import Syntax

Truth = tuple[int, int]
"""The entries of which a filter is true, and those for which it is undefined."""
Evaluation = Generator[None, None, Truth]
SUBSCHEMA = "cn=subschema"
_ENTRIES_AT_ONCE = 100


class EntryBlock:
    """Entries below one name. Those above the cards are stored, those of cards are made on demand."""

    __slots__ = ("_above", "_all", "_columns", "_entries", "_ministry", "cards", "parents", "size")

    def __init__(
        self, entries: Iterable[LdapEntry], above: Iterable[str], ministry: Ministry, cards: tuple[Card, ...] = (),
        parents: frozenset[int] = frozenset(),
    ) -> None:  # fmt: skip
        """Index the entries.

        `above`: the parts of the name that all of them stand below. `entries` are stored unless they are those of
        `cards`. `parents`: the entries that have others below.
        """
        self.cards = cards
        self.parents = parents
        self._above = frozenset(above)
        self._ministry = ministry
        self._entries: list[LdapEntry] = []
        columns: dict[str, dict[str, list[int]]] = {}
        self.size = 0
        for number, entry in enumerate(entries):
            if not cards:
                self._entries.append(entry)
            for name, values in entry.attributes.items():
                column = columns.setdefault(name, {})
                for value in values:
                    column.setdefault(value, []).append(number)
            self.size = number + 1
        self._all = (1 << self.size) - 1
        self._columns = {name: _all_at_once(_column_of(name, holders, self.size)) for name, holders in columns.items()}

    def entry(self, number: int) -> LdapEntry:
        return entry_of(self.cards[number], self._ministry) if self.cards else self._entries[number]

    def operational(self, number: int) -> dict[str, tuple[str, ...]]:
        """Return the attributes that are sent only on request."""
        entry = self.entry(number)
        unique = {"entryUUID": (str(self._ministry.uuid(self.cards[number])),)} if self.cards else {}
        return {
            "structuralObjectClass": (_structural(entry.attributes["objectClass"]),),
            **unique,
            "entryDN": (entry.dn,),
            "subschemaSubentry": (SUBSCHEMA,),
            "hasSubordinates": ("TRUE" if number in self.parents else "FALSE",),
        }

    def search(self, wanted: Filter) -> AttributeSearch:
        true, _ = yield from self._evaluate(wanted)
        return true

    def _evaluate(self, wanted: Filter) -> Evaluation:
        match wanted:
            case And(parts):
                true, maybe = self._all, self._all
                for part in parts:
                    t, u = yield from self._evaluate(part)
                    true, maybe = true & t, maybe & (t | u)
                return true, maybe & ~true
            case Or(parts):
                true = undefined = 0
                for part in parts:
                    t, u = yield from self._evaluate(part)
                    true, undefined = true | t, undefined | u
                return true, undefined & ~true
            case Not(part):
                t, u = yield from self._evaluate(part)
                return self._all & ~(t | u), u
            case Present(attribute):
                return (yield from self._present(attribute))
            case Matches():
                return (yield from self._match(wanted))
            case Comparison() | Substrings():
                yield
                return (yield from self._item(wanted))

    def _undefined(self) -> Truth:
        return 0, self._all

    def _present(self, description: str) -> Evaluation:
        if description.lower() in ("name", "2.5.4.41"):
            return (yield from self._evaluate(Or(tuple(Present(name) for name in schema.NAME_TYPES))))
        attribute = schema.attribute(description)
        if attribute is None:
            return self._undefined()
        column = yield from self._column(attribute)
        return column.present, 0

    def _item(self, item: Comparison | Substrings) -> Evaluation:
        if item.attribute.lower() in ("name", "2.5.4.41"):
            alike = tuple(replace(item, attribute=name) for name in schema.NAME_TYPES)
            return (yield from self._evaluate(Or(alike)))
        attribute = schema.attribute(item.attribute)
        if attribute is None:
            return self._undefined()
        column = yield from self._column(attribute)
        try:
            found = yield from _look(column, attribute.syntax, item)
        except (BadName, UnicodeDecodeError):
            return self._undefined()
        return (0, self._all) if found is None else (found, 0)

    def _match(self, wanted: Matches) -> Evaluation:
        """Evaluate an extensible match: by a rule, of one attribute or of all that the rule is for.

        `:dn:` includes names.
        """
        syntaxes = schema.RULES.get(wanted.rule.lower()) if wanted.rule is not None else None
        if wanted.rule is not None and syntaxes is None:
            return self._undefined()
        if wanted.attribute is not None:
            one = schema.attribute(wanted.attribute)
            chosen = [one] if one is not None and (syntaxes is None or one.syntax in syntaxes) else []
        else:
            chosen = [one for one in schema.ATTRIBUTES if syntaxes and one.syntax in syntaxes and not one.operational]
        if not chosen:
            return self._undefined()
        true, undefined = yield from self._evaluate(Or(tuple(Comparison("=", one.name, wanted.value) for one in chosen)))
        if wanted.names and not undefined and self._is_above(tuple(one.name for one in chosen), wanted.value):
            return self._all, 0
        return true, undefined & ~true

    def _is_above(self, attributes: tuple[str, ...], value: bytes) -> bool:
        """Return whether a value stands in the names of all entries here.

        A value in an entry's own name alone is an attribute as well.
        """
        return not self._above.isdisjoint({f"{name.lower()}={same(value.decode())}" for name in attributes})

    def _column(self, attribute: schema.Attribute) -> Generator[None, None, AttributeColumn]:
        name = attribute.name
        found = self._columns.get(name)
        if found is None:
            holders: dict[str, list[int]] = {}
            if attribute.operational:
                for number in range(self.size):
                    for value in self.operational(number).get(name, ()):
                        holders.setdefault(value, []).append(number)
                    if number % _ENTRIES_AT_ONCE == 0:
                        yield
            found = self._columns[name] = yield from _column_of(name, holders, self.size)
        return found

    def holds(self, number: int, attribute: schema.Attribute, value: bytes) -> Generator[None, None, bool | None]:
        """Return whether an entry has a value (Compare); None: it has no such attribute."""
        column = yield from self._column(attribute)
        if not column.present >> number & 1:
            return None
        true, _ = yield from self._item(Comparison("=", attribute.name, value))
        return bool(true >> number & 1)


def _structural(classes: tuple[str, ...]) -> str:
    """Return the structural object class (RFC 4512 §2.4.2)."""
    return classes[-1] if classes[-1] == "inetOrgPerson" else classes[1]


def _column_of(name: str, holders: Mapping[str, Iterable[int]], size: int) -> Generator[None, None, AttributeColumn]:
    """Return a column of normalised values; each value is normalised once, however many entries have it."""
    attribute = schema.attribute(name)
    assert attribute is not None, name
    joined: dict[str, list[int]] = {}
    for place, (value, numbers) in enumerate(holders.items()):
        found = ",".join(normal(value)) if attribute.syntax is Syntax.DN else same(value)
        joined.setdefault(found, []).extend(numbers)
        if place % _ENTRIES_AT_ONCE == 0:
            yield
    return AttributeColumn(joined, size)


def _all_at_once(making: Generator[None, None, AttributeColumn]) -> AttributeColumn:
    """Run a generator to its end, where nothing else waits."""
    while True:
        try:
            next(making)
        except StopIteration as made:
            column: AttributeColumn = made.value
            return column


def _look(column: AttributeColumn, syntax: Syntax, item: Comparison | Substrings) -> Generator[None, None, int | None]:
    """Return the entries of a column for one item; None: the attribute has no rule for such a match."""
    text = syntax in (Syntax.TEXT, Syntax.IA5)
    match item:
        case Substrings(_, initial, between, final):
            if not text:
                return None
            inner = [piece.decode() for piece in between]
            return (yield from column.containing((initial or b"").decode(), inner, (final or b"").decode()))
        case Comparison(">=" | "<=" as operator, _, value):
            return (yield from column.ordered(value.decode(), at_least=operator == ">=")) if text else None
        case Comparison(operator, _, value):
            asked = value.decode()
            if syntax is Syntax.DN:
                asked = ",".join(normal(asked))
            elif syntax is Syntax.OID:
                asked = schema.class_named(asked)
            return (yield from column.equal(asked, approximately=text and operator == "~="))
