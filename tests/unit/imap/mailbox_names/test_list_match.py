"""LIST, LSUB and XLIST over a small tree: the examples of RFC 5258 §5 and RFC 9051 §6.3.9; patterns against a plain matcher."""

import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.imap.command_table import GRAMMAR
from mic_mail.imap.mailbox_names.list_match import (
    Folder,
    ListedFolder,
    NameTree,
    Pattern,
    list_folders,
    lsub_folders,
    xlist_folders,
)
from mic_mail.imap.parser.command import Command
from mic_mail.imap.parser.mailbox import List
from mic_mail.imap.parser.reader import Limits, Reader


@dataclass(frozen=True)
class Box:
    """A folder as the store tells it."""

    name: str
    special_use: str | None = None
    selectable: bool = True


def boxes(*names: str) -> list[Folder]:
    """Folders without special use."""
    return [Box(name) for name in names]


def ask(line: str, folders: list[Folder], subscribed: tuple[str, ...] = ()) -> list[str]:
    """The answer to a command line, as `name (attributes) childinfo`."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(b"a " + line.encode() + b"\r\n")
    command = reader.next()
    assert isinstance(command, Command)
    query = command.arguments
    assert isinstance(query, List)
    match command.name:
        case "LSUB":
            lines = lsub_folders(query, folders, subscribed)
        case "XLIST":
            lines = xlist_folders(query, folders)
        case _:
            lines = list_folders(query, folders, subscribed)
    return [shown(line) for line in lines]


def shown(line: ListedFolder) -> str:
    """One line for comparing."""
    info = f" CHILDINFO {' '.join(line.child_info)}" if line.child_info else ""
    return f"{line.name} ({' '.join(line.attributes)}){info}"


FRUIT = boxes("INBOX", "Fruit", "Fruit/Apple", "Fruit/Banana", "Tofu", "Vegetable", "Vegetable/Broccoli", "Vegetable/Corn")
FRUIT_SUBSCRIBED = ("INBOX", "Fruit/Banana", "Fruit/Peach", "Vegetable", "Vegetable/Broccoli")
FOO = boxes("Foo", "Foo/Bar", "Foo/Baz", "Moo")
NO, YES = "\\HasNoChildren", "\\HasChildren"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('LIST "" "*"',
         [f"INBOX ({NO})", f"Fruit ({YES})", f"Fruit/Apple ({NO})", f"Fruit/Banana ({NO})", f"Tofu ({NO})",
          f"Vegetable ({YES})", f"Vegetable/Broccoli ({NO})", f"Vegetable/Corn ({NO})"]),
        ('LIST "" "%"', [f"INBOX ({NO})", f"Fruit ({YES})", f"Tofu ({NO})", f"Vegetable ({YES})"]),
        ('LIST "" "%/%"',
         [f"Fruit/Apple ({NO})", f"Fruit/Banana ({NO})", f"Vegetable/Broccoli ({NO})", f"Vegetable/Corn ({NO})"]),
        ('LIST "Fruit/" "A*"', [f"Fruit/Apple ({NO})"]),
        ('LIST "" "inbox"', [f"INBOX ({NO})"]),
        ('LIST "" "tofu"', []),  # only INBOX is the same in any case of letters
        ('LIST "" "Nothing"', []),
        ('LIST "" ""', [" (\\Noselect)"]),  # RFC 9051 §6.3.9: the delimiter and the root
        ('LIST "Fruit/" ""', [" (\\Noselect)"]),  # a name without a root
        ('LIST "Fruit/Apple" ""', [" (\\Noselect)"]),
        ('LIST "/usr/staff" ""', ["/ (\\Noselect)"]),
        ('LIST () "" ""', []),  # the extended form has no such case
        ('LIST "" ("INBOX" "T*")', [f"INBOX ({NO})", f"Tofu ({NO})"]),
        # RFC 5258 §5, example 2: \NonExistent for a subscribed name that is gone
        ('LIST (SUBSCRIBED) "" "*"',
         [f"INBOX ({NO} \\Subscribed)", f"Fruit/Banana ({NO} \\Subscribed)", f"Fruit/Peach (\\NonExistent {NO} \\Subscribed)",
          f"Vegetable ({YES} \\Subscribed)", f"Vegetable/Broccoli ({NO} \\Subscribed)"]),
        # example 3
        ('LIST () "" "%" RETURN (CHILDREN)', [f"INBOX ({NO})", f"Fruit ({YES})", f"Tofu ({NO})", f"Vegetable ({YES})"]),
        ('LIST "" "Vegetable*" RETURN (SUBSCRIBED)',
         [f"Vegetable ({YES} \\Subscribed)", f"Vegetable/Broccoli ({NO} \\Subscribed)", f"Vegetable/Corn ({NO})"]),
        # example 7's rule: with SUBSCRIBED a name that is not subscribed is not shown
        ('LIST (SUBSCRIBED) "" "%"', [f"INBOX ({NO} \\Subscribed)", f"Vegetable ({YES} \\Subscribed)"]),
        ('LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"',
         [f"INBOX ({NO} \\Subscribed)", f"Fruit ({YES}) CHILDINFO SUBSCRIBED",
          f"Vegetable ({YES} \\Subscribed) CHILDINFO SUBSCRIBED"]),
        # §3.5: a parent is not shown for children that are shown themselves
        ('LIST (SUBSCRIBED RECURSIVEMATCH) "" "Fruit*"',
         [f"Fruit/Banana ({NO} \\Subscribed)", f"Fruit/Peach (\\NonExistent {NO} \\Subscribed)"]),
        ('LIST (REMOTE) "" "T%"', [f"Tofu ({NO})"]),
    ],
)  # fmt: skip
def test_list(line: str, expected: list[str]) -> None:
    """LIST shows exactly what RFC 9051 §6.3.9 and RFC 5258 say."""
    assert ask(line, FRUIT, FRUIT_SUBSCRIBED) == expected


def test_recursivematch_examples() -> None:
    """RFC 5258 §5, examples 8 to 11."""
    line = 'LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"'
    assert ask(line, FOO, ("Foo/Baz",)) == [f"Foo ({YES}) CHILDINFO SUBSCRIBED"]
    assert ask(line, FOO, ("Moo",)) == [f"Moo ({NO} \\Subscribed)"]
    assert ask(line, FOO, ("Foo", "Foo/Baz")) == [f"Foo ({YES} \\Subscribed) CHILDINFO SUBSCRIBED"]
    assert ask(line, boxes("Moo"), ("Foo/Baz/Deep",)) == [f"Foo (\\NonExistent {NO}) CHILDINFO SUBSCRIBED"]
    assert ask('LIST (SUBSCRIBED RECURSIVEMATCH) "" "foo2/bar2"', FOO, ("foo2/bar2/x",)) == [
        f"foo2/bar2 (\\NonExistent {NO}) CHILDINFO SUBSCRIBED"
    ]


def test_parents_that_nobody_made() -> None:
    """RFC 9051 §6.3.9.5: a parent that does not exist is shown with `%`, so that a client can walk down to its children."""
    folders = boxes("INBOX", "a/b/c")
    assert ask('LIST "" "%"', folders) == [f"INBOX ({NO})", f"a (\\Noselect {YES})"]
    assert ask('LIST "" "a/%" RETURN (CHILDREN)', folders) == [f"a/b (\\NonExistent {YES})"]
    told = [Box("INBOX"), Box("a", selectable=False), Box("a/b")]  # the store may tell of them itself
    assert ask('LIST "" "*"', list(told)) == [f"INBOX ({NO})", f"a (\\Noselect {YES})", f"a/b ({NO})"]


USES: list[Folder] = [Box("INBOX"), Box("Sent", "\\Sent"), Box("Spam", "\\Junk"), Box("x")]


def test_special_use() -> None:
    """RFC 6154 §2: as selection and in every form of LIST; LSUB has them for Outlook 2013, XLIST under their old names."""
    assert ask('LIST (SPECIAL-USE) "" "*"', USES) == [f"Sent ({NO} \\Sent)", f"Spam ({NO} \\Junk)"]
    assert ask('LIST (SPECIAL-USE SUBSCRIBED) "" "*"', USES, ("Sent", "x")) == [f"Sent ({NO} \\Sent \\Subscribed)"]
    assert ask('LIST "" "*" RETURN (SPECIAL-USE)', USES) == [
        f"INBOX ({NO})", f"Sent ({NO} \\Sent)", f"Spam ({NO} \\Junk)", f"x ({NO})",
    ]  # fmt: skip
    assert ask('LSUB "" "*"', USES, ("Sent", "x")) == ["Sent (\\Sent)", "x ()"]
    assert ask('XLIST "" "*"', USES) == [
        f"INBOX ({NO} \\Inbox)", f"Sent ({NO} \\Sent)", f"Spam ({NO} \\Spam)", f"x ({NO})",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('LSUB "" "*"', ["INBOX ()", "Fruit/Banana ()", "Fruit/Peach (\\Noselect)", "Vegetable ()", "Vegetable/Broccoli ()"]),
        ('LSUB "" "%"', ["INBOX ()", "Fruit (\\Noselect)", "Vegetable ()"]),  # RFC 3501 §6.3.9: foo with \Noselect
        ('LSUB "" "#*"', []),
        ('LSUB "" ""', [" (\\Noselect)"]),
    ],
)
def test_lsub(line: str, expected: list[str]) -> None:
    """LSUB shows subscribed names, gone or not, and for `%` the parents of those further down."""
    assert ask(line, FRUIT, FRUIT_SUBSCRIBED) == expected


def test_the_folder_comes_along_for_status() -> None:
    """LIST-STATUS (RFC 5819) asks only folders that can be opened."""
    query = List("", ("*",), extended=True)
    lines = list_folders(query, [Box("a/b"), Box("x", selectable=False)], ())
    assert [(line.name, line.folder is not None) for line in lines] == [("a", False), ("a/b", True), ("x", False)]


PATTERN = st.text(st.sampled_from("ab/*%"), max_size=8)


@given(pattern=PATTERN, name=st.text(st.sampled_from("ab/"), max_size=8))
def test_patterns_match_as_a_plain_expression_does(pattern: str, name: str) -> None:
    """The bounded matcher and a backtracking expression agree on every small case."""
    plain = "".join(".*" if sign == "*" else "[^/]*" if sign == "%" else re.escape(sign) for sign in pattern)
    assert Pattern(pattern).matches(name) == bool(re.fullmatch(plain, name, re.DOTALL))


def test_patterns_never_run_back() -> None:
    """A pattern of a thousand wildcards on a long name ends; an expression that runs back would not."""
    pattern = Pattern("*a%" * 1000 + "b")
    assert not pattern.matches("a" * 4000)
    assert Pattern("%a*" * 300).matches("a" * 700)


def test_order_is_by_level() -> None:
    """`a b` does not come between `a` and `a/c`."""
    tree = NameTree(boxes("a b", "a/c", "a", "INBOX"), ())
    assert tree.ordered(tree.existing) == ["INBOX", "a", "a/c", "a b"]
