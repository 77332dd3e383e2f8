"""The address rules of units, groups and people (Reg. 5.1-5.4), with suggestions for namesakes.

In: names, symbols, and a callable that says whether an address is taken. Out: local parts, addresses in order of preference.
The rules bind only mailboxes issued from now on (Reg. 5.5); an imported address is kept as it is and never reaches this module.

The person chooses (Reg. 5.4.b): this module orders the suggestions and checks the choice.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice, permutations

from mic_mail.errors import Refused, Text
from mic_mail.mailbox_address import MailboxAddress, NotAnAddress
from mic_mail.policy.calendar import local_day
from mic_mail.policy.facts import Fact, FactKind
from mic_mail.policy.naming.transliteration import plain, words

MAX_LOCAL_PART = 64  # RFC 5321 §4.5.3.1.1
_LOCAL_PART = re.compile(r"(?!.*\.\.)[a-z0-9]+(?:[._-]+[a-z0-9]+)*")  # no two dots together: RFC 5321 §4.1.2, Dot-string
_ILLEGAL = re.compile(r"[^a-z0-9]")

MAX_ORDERS = 5_000
"""The most orders of a name that are tried; a name of eight words has more than anybody reads."""

RESERVED = frozenset(
    "abuse admin administrator hostmaster mailer-daemon noreply postmaster root security support webmaster".split()
)
"""Local parts that belong to functions (RFC 2142, RFC 5321 §4.5.1, Reg. 6.2).

They are never given to a person, and are not suggested for a group.
"""

Taken = Callable[[str], bool]
"""A callable that returns whether a local part is in use, was in use, or is reserved."""


class AddressRefused(Refused):
    """The address breaks a rule of Reg. 5."""


@dataclass(frozen=True, slots=True)
class AddressSettings:
    """The configured readings of Reg. 5."""

    unit_collapse: bool = True
    """`address.unit.collapse`: a run of illegal characters becomes one `_`, edges are stripped."""
    unit_keep: str = "-"
    """`address.unit.keep`: characters of a symbol that stay."""
    permute_letters: bool = False
    """`address.namesake.permute = letters`: after whole blocks, single letters are permuted too."""
    shortest: int = 2
    """`address.shortest`: the least length of a personal local part."""
    reserved: frozenset[str] = RESERVED
    """`address.reserved`: the local parts of functions."""


DEFAULTS = AddressSettings()


def personal_local_part(full_name: str, *, given_words: int = 1) -> str:
    """Return the initials of family and middle names, then the given name (Reg. 5.3): Đỗ Văn Bê, dvbe."""
    initials, given = _blocks(full_name, given_words)
    return "".join(initials) + given


def unit_local_part(symbol: str, settings: AddressSettings = DEFAULTS) -> str:
    """Return the registered symbol as a local part (Reg. 5.1): PTTH&TTĐT, ptth_ttdt.

    Each character that an address cannot hold becomes `_`. `AddressRefused` if nothing is left.
    """
    mapped = "".join(c if c in settings.unit_keep else _ILLEGAL.sub("_", c) for c in plain(symbol.strip()))
    if settings.unit_collapse:
        mapped = re.sub("__+", "_", mapped).strip("_")
    if not re.search("[a-z0-9]", mapped):
        raise AddressRefused(
            Text(f"Ký hiệu “{symbol}” không tạo được địa chỉ.", "No address can be formed from this symbol."), clause="5.1"
        )
    check_form(symbol if len(symbol) > MAX_LOCAL_PART else mapped)  # no registered symbol is that long, nor is the column
    return mapped


def group_suggestions(name: str, settings: AddressSettings = DEFAULTS) -> list[str]:
    """Return the local parts suggested for a group, the one easiest to remember first: doanthanhnien, dtn.

    The Centre chooses (Reg. 5.2). Reserved names are never suggested, whatever the group's name; the Centre can only type one.
    """
    found = words(name)
    forms = ("".join(found), "".join(word[0] for word in found))
    return [local for local in forms if settings.shortest <= len(local) <= MAX_LOCAL_PART and local not in settings.reserved]


def suggestions(
    full_name: str, unit_local: str, taken: Taken, *, settings: AddressSettings = DEFAULTS, given_words: int = 1, limit: int = 6
) -> list[str]:
    """Return the free local parts for a person, best first (Reg. 5.4).

    The plain form alone if it is free; otherwise other orders of the name, then the form with the unit.
    """

    def usable(local: str) -> bool:
        return settings.shortest <= len(local) <= MAX_LOCAL_PART and local not in settings.reserved and not taken(local)

    initials, given = _blocks(full_name, given_words)
    plain_form = "".join(initials) + given
    if usable(plain_form):
        return [plain_form]
    orders = list(islice(filter(usable, _orders(initials, given, settings)), limit - 1))
    # hovaten.tendonvi; if that is taken too, another order of the name before the dot, never a number after it.
    bases = (plain_form, *_orders(initials, given, settings))
    with_unit = islice(filter(usable, (f"{base}.{unit_local}" for base in bases)), 1)
    return [*orders, *with_unit]


def check_choice(local: str, full_name: str, unit_local: str, *, settings: AddressSettings = DEFAULTS) -> None:
    """Refuse a personal local part that is not an arrangement of the person's own name.

    Reg. 5.3, 5.4.b.
    """
    check_form(local)
    name, dot, suffix = local.partition(".")
    if not is_of_name(name, full_name) or (dot and suffix != unit_local):
        raise AddressRefused(
            Text(f"“{local}” không được tạo từ họ tên của cá nhân.", "This local part is not formed from the person's name."),
            clause="5.4.b",
        )
    if len(local) < settings.shortest:
        raise _not_for_people(local)
    must_be_a_persons(local, settings.reserved)


def must_be_a_persons(local: str, reserved: Collection[str]) -> None:
    """Refuse a local part that belongs to a function: mail sent there is not for one person.

    RFC 2142, Reg. 6.2.
    """
    if local in reserved:
        raise _not_for_people(local)


def _not_for_people(local: str) -> AddressRefused:
    return AddressRefused(
        Text(f"“{local}” không được cấp cho cá nhân.", "This local part is reserved and not given to people."), clause="5.3"
    )


def is_of_name(local: str, full_name: str) -> bool:
    """Return whether a local part, its unit suffix ignored, rearranges the letters of the name.

    Reg. 5.3, 5.4.b.
    """
    name, given = local.partition(".")[0], range(1, len(words(full_name)) + 1)
    return any(sorted(name) == sorted(personal_local_part(full_name, given_words=count)) for count in given)


def is_bound(facts: Iterable[Fact], issued_on: date | None) -> bool:
    """Return whether the rules of Reg. 5 bind a mailbox (Reg. 5.5).

    They bind only a mailbox issued on or after `issued_on`, the day of the regulation. `issued_on` None: the regulation is
    older than every record here. An imported mailbox counts from the creation day that its old system reported; if that is
    unknown, the address is kept.
    """
    birth = next((fact for fact in facts if fact.kind in {FactKind.ISSUED, FactKind.IMPORTED}), None)
    if birth is None:
        return False
    if birth.kind is FactKind.ISSUED:
        day = local_day(birth.effective_at)
    else:
        made = birth.text("created_on")
        if made is None:
            return False
        day = date.fromisoformat(made)
    return issued_on is None or issued_on <= day


def check_form(local: str) -> None:
    """Refuse a text that cannot be the local part of a new address."""
    if len(local) > MAX_LOCAL_PART:
        raise AddressRefused(
            Text(
                f"Phần tên địa chỉ dài {len(local)} ký tự, tối đa {MAX_LOCAL_PART}.",
                f"The local part has {len(local)} characters; at most {MAX_LOCAL_PART}.",
            ),
            clause="5",
        )
    if not _LOCAL_PART.fullmatch(local):
        raise AddressRefused(
            Text(
                f"“{local}” không phải là phần tên địa chỉ hợp lệ (a-z, 0-9, dấu chấm, gạch ngang, gạch dưới ở giữa).",
                "Not a valid local part: a-z, 0-9, and dots, hyphens, underscores between them.",
            ),
            clause="5",
        )


def candidates(address: str, separator: str) -> tuple[str, ...]:
    """Return the addresses under which a mailbox may be found, best first.

    First as written, then without its detail (dvbe+detail@).
    """
    whole = address.lower()
    if not separator or separator not in whole:
        return (whole,)
    try:
        written = MailboxAddress.parse(whole)
    except NotAnAddress:
        return (whole,)
    base, sign, _detail = written.local_part.partition(separator)
    return (str(written), str(MailboxAddress(base, written.domain))) if sign and base else (str(written),)


def _blocks(full_name: str, given_words: int) -> tuple[list[str], str]:
    found = words(full_name)
    given = max(1, min(given_words, len(found)))
    return [word[0] for word in found[:-given]], "".join(found[-given:])


def _orders(initials: list[str], given: str, settings: AddressSettings) -> Iterator[str]:
    """Yield the other orders of a name, each once, without the plain one: bedv, vdbe, ... for d, v, be."""
    seen = {"".join(initials) + given}
    first = given + "".join(initials)
    swapped = ("".join(order) + given for order in permutations(initials))
    others = ("".join(order) for order in permutations([*initials, given]))
    letters = ("".join(order) for order in permutations([*initials, *given])) if settings.permute_letters else iter(())
    for order in islice(chain((first,), swapped, others, letters), MAX_ORDERS):
        if order not in seen:
            seen.add(order)
            yield order
