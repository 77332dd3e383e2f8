"""What a search finds, against a naive reading of the standards: every entry by itself, every filter in three values."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldap_client import BASE, CNTT, MINISTRY, small_book, written
from mic_mail.addressbook.cards import Book, Card, CardKind, UnitName
from mic_mail.addressbook.ldap_entries import all_entries
from mic_mail.ldap.attribute_index import bits, members
from mic_mail.ldap.dit import Position, Tree
from mic_mail.ldap.filters import And, Comparison, Filter, Matches, Not, Or, Present, Substrings
from mic_mail.mime.text_folding import SearchValue, fold, words

TREE = Tree(small_book())


def found(tree: Tree, wanted: Filter, base: str = BASE, scope: int = 2, behind: Position | None = None) -> set[str]:
    start = tree.find(base)
    assert start is not None
    batches = tree.search(start, scope, wanted, behind)
    return {one.entry.dn.partition(",ou=")[0] for batch in batches for one in batch}


def by_text(wanted: str, **where: object) -> set[str]:
    from mic_mail.ldap import filters
    from mic_mail.ldap.ber import BerReader

    return found(TREE, filters.read(BerReader(written(wanted))), **where)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("(cn=Đỗ Văn Bê)", {"uid=dvbe"}),
        ("(cn=do van be)", {"uid=dvbe"}),  # without diacritics: with and without
        ("(cn=ĐỖ   VĂN BÊ)", {"uid=dvbe"}),
        ("(cn=đô văn bê)", set()),  # with any: only what has them
        ("(cn=*bê)", {"uid=dvbe", "uid=person-3:none"}),
        ("(cn=do*)", {"uid=dvbe", "uid=dtpho@khac.gov.vn"}),
        ("(cn=*pho*)", {"uid=dtpho@khac.gov.vn"}),
        ("(commonName=d*v*b*e)", {"uid=dvbe"}),
        ("(cn=d*be*e)", set()),
        ("(2.5.4.4=do)", {"uid=dvbe", "uid=dtpho@khac.gov.vn"}),
        ("(|(mail=ttlan*)(givenName=bê))", {"uid=ttlan", "uid=dvbe", "uid=person-3:none"}),
        ("(&(ou=trung tam thong tin)(objectClass=inetOrgPerson))", {"uid=dvbe", "uid=dtpho@khac.gov.vn"}),
        ("(&(objectClass=person)(!(mail=*)))", {"uid=person-3:none"}),
        ("(&(objectClass=2.16.840.1.113730.3.2.2)(sn>=le)(sn<=le))", {"uid=person-3:none"}),
        ("(member=ou=CNTT, ou=units,dc=mic,dc=gov,dc=vn)", {"uid=nhom.cchc"}),
        ("(nonsense=x)", set()),
        ("(!(nonsense=x))", set()),  # undefined is not false (RFC 4511 §4.5.1.7)
        ("(|(nonsense=x)(uid=dvbe))", {"uid=dvbe"}),
        ("(&(!(nonsense=x))(uid=dvbe))", set()),
        ("(cn;lang-vi=do van be)", set()),
        ("(name=bê)", {"uid=dvbe", "uid=person-3:none"}),
        ("(cn~=do van bề)", {"uid=dvbe"}),
        ("(cn:caseIgnoreMatch:=le be)", {"uid=person-3:none"}),
        ("(cn:1.2.3.4:=le be)", set()),
        ("(uid:dn:2.5.13.2:=dvbe)", {"uid=dvbe"}),
        ("(&(ou:dn:=units)(mail=*))", {"ou=CNTT"}),
        ("(departmentNumber=*)", {"uid=dvbe", "uid=ttlan", "uid=person-3:none", "uid=dtpho@khac.gov.vn"}),
        ("(telephoneNumber=*)", set()),
        (f"(entryDN=UID=dvbe,OU=people,{BASE})", {"uid=dvbe"}),
        ("(&(objectClass=groupOfNames)(hasSubordinates=FALSE))", {"uid=nhom.cchc"}),
    ],
)
def test_what_is_found(wanted: str, expected: set[str]) -> None:
    """Diacritics as in SEARCH of IMAP; attributes by any of their names; undefined is neither true nor false."""
    assert by_text(wanted) == expected


def test_scopes() -> None:
    """RFC 4511 §4.5.1.2, from the top, a branch and a leaf."""
    every = Present("objectClass")
    people = f"ou=people,{BASE}"
    assert len(found(TREE, every)) == TREE.size
    assert len(found(TREE, every, scope=0)) == 1
    assert found(TREE, every, scope=1) == {
        f"{branch},{BASE}".partition(",ou=")[0] for branch in ("ou=people", "ou=units", "ou=groups")
    }
    assert len(found(TREE, every, people, 1)) == 4
    assert len(found(TREE, every, people, 2)) == 5
    assert found(TREE, every, f"uid=dvbe,{people}", 0) == found(TREE, every, f"uid=dvbe,{people}", 2) == {"uid=dvbe"}
    assert found(TREE, every, f"uid=dvbe,{people}", 1) == set()


def test_the_nearest_name_that_there_is() -> None:
    """matchedDN tells how far a name leads."""
    assert TREE.nearest(f"uid=x,ou=people,{BASE}") == f"ou=people,{BASE}"
    assert TREE.nearest(f"a=b,uid=dvbe,ou=people,{BASE}") == f"uid=dvbe,ou=people,{BASE}"
    assert TREE.nearest("dc=example,dc=com") == ""
    assert TREE.find("dc=vn") is None


# ------------------------------------------------------------------ against a naive reading

letters = st.text(st.sampled_from("aàáâăbBcdđĐeêéoơ \u0301\u00ad,"), max_size=6)
tidy = st.text(st.sampled_from("aàáâăbBcdđĐeêéoơ"), min_size=1, max_size=4)
cards = st.builds(
    Card,
    st.sampled_from(CardKind),
    st.integers(1, 40),
    st.lists(tidy, min_size=1, max_size=3).map(" ".join),
    st.builds(UnitName, st.sampled_from(["A", "B"]), tidy),
    st.one_of(st.just(""), tidy),
    st.lists(st.sampled_from(["a@mic.gov.vn", "b.d@mic.gov.vn"]), max_size=1).map(tuple),
)


def own_symbol(card: Card) -> object:
    """No two units have one symbol."""
    return card.unit.symbol if card.kind is CardKind.UNIT else card.key


def own_address(card: Card) -> object:
    """Nor any two cards an address."""
    return card.addresses or card.key


books = st.lists(cards, max_size=8, unique_by=(lambda card: card.key, own_symbol, own_address)).map(
    lambda several: Book.of(MINISTRY, several)
)
attributes = st.sampled_from(["cn", "SN", "givenname", "mail", "title", "ou", "nonsense", "telephoneNumber"])
values = letters.map(str.encode)
items = st.one_of(
    st.builds(Present, attributes),
    st.builds(Comparison, st.sampled_from(["=", "~=", ">=", "<="]), attributes, values),
    st.builds(Comparison, st.just("="), attributes, st.just(b"\xff")),
    st.builds(Substrings, attributes, st.none() | values, st.lists(values, max_size=2).map(tuple), st.none() | values),
    st.builds(Matches, st.sampled_from([None, "caseIgnoreMatch", "1.2.3"]), attributes, values, st.just(False)),
)
filters_ = st.recursive(
    items,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


def plainly(values_: list[str], test: Callable[[str, str], bool], asked: str) -> bool:
    """Some value passes: all without diacritics where the question has none."""
    text = " ".join(words(asked))
    strip = fold if fold(text) == text else (lambda word: word)
    return any(test(strip(" ".join(words(value))), text) for value in values_)


def naive(wanted: Filter, entry: dict[str, list[str]]) -> bool | None:
    """One entry, one filter; None: undefined."""
    match wanted:
        case And(parts):
            results = [naive(part, entry) for part in parts]
            return False if False in results else None if None in results else True
        case Or(parts):
            results = [naive(part, entry) for part in parts]
            return True if True in results else None if None in results else False
        case Not(part):
            inner = naive(part, entry)
            return None if inner is None else not inner
    if wanted.attribute.lower() == "nonsense":  # type: ignore[union-attr]
        return None
    held = entry.get(wanted.attribute.lower(), [])  # type: ignore[union-attr]
    if isinstance(wanted, Present):
        return bool(held)
    if isinstance(wanted, Substrings):
        return naive_substrings(wanted, held)
    if isinstance(wanted, Matches) and wanted.rule == "1.2.3":
        return None
    try:
        asked = wanted.value.decode()  # type: ignore[union-attr]
    except UnicodeDecodeError:
        return None
    folded = fold(" ".join(words(asked)))
    match wanted:
        case Comparison("=") | Matches():
            return plainly(held, str.__eq__, asked)
        case Comparison("~="):
            return any(fold(" ".join(words(value))) == folded for value in held)
        case Comparison(">="):
            return any(fold(" ".join(words(value))) >= folded for value in held)
        case _:
            return any(fold(" ".join(words(value))) <= folded for value in held)


def naive_substrings(wanted: Substrings, held: list[str]) -> bool:
    first = SearchValue.of((wanted.initial or b"").decode()).text.lstrip()
    last = SearchValue.of((wanted.final or b"").decode()).text.rstrip()
    inner = [SearchValue.of(piece.decode()).text for piece in wanted.between]
    pieces = [first, *inner, last]
    strip = fold if all(fold(piece) == piece for piece in pieces) else (lambda word: word)

    def fits(line: str) -> bool:
        if not (line.startswith(first) and line.endswith(last)):
            return False
        at = len(first)
        for piece in inner:
            place = line.find(piece, at)
            if place < 0:
                return False
            at = place + len(piece)
        return at <= len(line) - len(last)

    return any(fits(strip(" ".join(words(value)))) for value in held)


@given(books, filters_)
def test_a_search_finds_what_a_naive_one_finds(book: Book, wanted: Filter) -> None:
    """Whatever is in the book and whatever is asked."""
    expected = set()
    for entry in all_entries(book):
        if naive(wanted, {name.lower(): list(held) for name, held in entry.attributes.items()}):
            expected.add(entry.dn.partition(",ou=")[0])
    assert found(Tree(book), wanted) == expected


@given(books, books, filters_)
def test_a_tree_that_follows_another_finds_the_same(before: Book, book: Book, wanted: Filter) -> None:
    """Whatever it takes over."""
    assert found(Tree(book, Tree(before)), wanted) == found(Tree(book), wanted)


def test_what_has_not_changed_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new person makes one stretch anew; what stands behind a place is the same in either tree."""
    monkeypatch.setattr("mic_mail.ldap.dit.BLOCK_NUMBERS", 2)
    book = small_book()
    first = Tree(book)
    second = Tree(Book.of(MINISTRY, [*book.cards, Card(CardKind.PERSON, 5, "Lê Mới", CNTT)]), first)
    old, new = first._blocks, second._blocks
    assert {key for key in new if new[key] is not old.get(key)} == {(-1, 0), (0, 2)}
    assert found(second, Present("cn")) - found(first, Present("cn")) == {"uid=person-5:none"}
    for tree in (first, second):
        start = tree.find(BASE)
        assert start is not None
        ordered = [one for batch in tree.search(start, 2, Present("objectClass")) for one in batch]
        for at, one in enumerate(ordered):
            behind = [each for batch in tree.search(start, 2, Present("objectClass"), one.place) for each in batch]
            assert [each.entry.dn for each in behind] == [each.entry.dn for each in ordered[at + 1 :]]


@given(st.sets(st.integers(0, 200)))
def test_sets_of_entries_come_back(entries: set[int]) -> None:
    """In order."""
    assert list(members(bits(entries, 201))) == sorted(entries)
