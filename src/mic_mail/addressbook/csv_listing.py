"""The book as one table, for spreadsheets and for address books that import CSV.

In: a book, the language of the headings. Out: a `documents.document.Table`; `documents.csv_writer` writes it so that no field
runs as a formula. The English headings are those that Outlook and Thunderbird recognise.
"""

from mic_mail.addressbook.cards import Book, Card, CardKind, PersonName
from mic_mail.documents.document import Column, Table
from mic_mail.errors import Text
from mic_mail.i18n.language import Language, in_language

HEADINGS = (
    Text("Họ và tên", "E-mail Display Name"),
    Text("Họ", "Last Name"),
    Text("Đệm", "Middle Name"),
    Text("Tên", "First Name"),
    Text("Chức vụ", "Job Title"),
    Text("Ký hiệu đơn vị", "Office Location"),
    Text("Đơn vị", "Department"),
    Text("Cơ quan", "Company"),
    Text("Địa chỉ thư điện tử", "E-mail Address"),
    Text("Loại", "Kind"),
)


def table(book: Book, language: Language) -> Table:
    """Return a table with a row for each card, in the order of a printed directory."""
    columns = [Column(in_language(heading, language)) for heading in HEADINGS]
    rows = [_row(card, book.ministry.name, language) for card in book.for_people()]
    return Table(in_language(Text("Danh bạ điện tử", "Directory"), language), columns, rows)


def _row(card: Card, ministry: str, language: Language) -> tuple[str, ...]:
    family = middle = given = ""
    if card.kind is CardKind.PERSON:
        person = PersonName.of(card.name)
        family, middle, given = person.family, person.middle, person.given
    kind = in_language(card.kind.label, language)
    return (
        card.name, family, middle, given, card.position, card.unit.symbol, card.unit.name, ministry,
        card.addresses[0] if card.addresses else "", kind,
    )  # fmt: skip
