"""The filters of addressbook-query (RFC 6352 §8.6, §10.5): XML in, a predicate over cards out. Pure.

Texts compare as in the mail search and in LDAP: without case, and without diacritics where the query has none. Both
collations that RFC 6352 requires are mapped to this one, which finds what they find, and more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mic_mail.addressbook.cards import Card, CardKind, Ministry, PersonName
from mic_mail.mime.text_folding import SearchValue, fold, words
from mic_mail.web.carddav.xml import CARD, BadXml, Element, PreconditionFailed

COLLATIONS = ("default", "i;unicode-casemap", "i;ascii-casemap")
MAX_PARTS = 32
"""Tests in a whole filter; programs send up to half a dozen. Each is applied to every card."""
Question = Callable[[Card], bool]


@dataclass(frozen=True, slots=True)
class _Match:
    """One text-match."""

    query: SearchValue
    how: str
    negated: bool

    def holds(self, value: str) -> bool:
        text = " ".join(words(value))
        if self.query.folded:
            text = fold(text)
        asked = self.query.text.strip(" ") if self.how != "contains" else self.query.text
        return self._compared(text, asked) is not self.negated

    def _compared(self, text: str, asked: str) -> bool:
        match self.how:
            case "equals":
                return text == asked
            case "starts-with":
                return text.startswith(asked)
            case "ends-with":
                return text.endswith(asked)
            case _:
                return asked in f" {text} "


def question(element: Element | None, ministry: Ministry) -> Question:
    """Return the predicate of a filter; without a filter, or without parts, every card matches."""
    parts = list(element.all((CARD, "prop-filter"))) if element is not None else []
    if sum(max(1, len(part.children)) for part in parts) > MAX_PARTS:
        raise PreconditionFailed(CARD, "supported-filter")  # RFC 6352 §8.6
    tests = [_of_property(part, ministry) for part in parts]
    if not tests:
        return lambda card: True
    every = _joined(element)
    return lambda card: every(test(card) for test in tests)


def _joined(element: Element | None) -> Callable[[Iterator[bool]], bool]:
    """Return how `test` joins the parts: all of them, or any, which is the default."""
    return all if element is not None and element.attributes.get("test") == "allof" else any


def _of_property(element: Element, ministry: Ministry) -> Question:
    name = element.attributes.get("name", "").upper()
    if not name:
        raise BadXml
    if element.child((CARD, "is-not-defined")) is not None:
        return lambda card: not values(card, name, ministry)
    matches = [_match(one) for one in element.all((CARD, "text-match"))]
    parameters = [_of_parameter(one, name) for one in element.all((CARD, "param-filter"))]
    if not matches and not parameters:
        return lambda card: bool(values(card, name, ministry))
    every = _joined(element)

    def asked(card: Card) -> bool:
        # A negated match is about all values: "no address of that kind", not "some other address".
        found = values(card, name, ministry)
        each = [
            (all if match.negated else any)(match.holds(value) for value in found) if found else match.negated
            for match in matches
        ]
        return every(iter([*each, *(bool(found) and held for held in parameters)]))

    return asked


def _match(element: Element) -> _Match:
    if element.attributes.get("collation", "default") not in COLLATIONS:
        raise PreconditionFailed(CARD, "supported-collation")
    how = element.attributes.get("match-type", "contains")
    return _Match(SearchValue.of(element.text), how, element.attributes.get("negate-condition") == "yes")


def _of_parameter(element: Element, name: str) -> bool:
    """Return whether the property's parameters match: only addresses have one here, TYPE=WORK,INTERNET."""
    wanted = element.attributes.get("name", "").upper()
    there = name == "EMAIL" and wanted == "TYPE"
    if element.child((CARD, "is-not-defined")) is not None:
        return not there
    match = element.child((CARD, "text-match"))
    if match is None or not there:
        return there
    test = _match(match)
    return (all if test.negated else any)(test.holds(kind) for kind in ("work", "internet"))


def values(card: Card, name: str, ministry: Ministry) -> tuple[str, ...]:
    """Return a card's values of one vCard property."""
    match name:
        case "FN":
            return (card.name,)
        case "N":
            if card.kind is not CardKind.PERSON:
                return (card.name,)
            person = PersonName.of(card.name)
            return (f"{person.family};{person.given};{person.middle};;",)
        case "EMAIL":
            return card.addresses
        case "ORG":
            return (f"{ministry.name};{card.unit.name}",)
        case "TITLE":
            return (card.position,) if card.position else ()
        case "UID":
            return (str(ministry.uuid(card)),)
        case _:
            return ()
