"""Names below `Shared/`: every folder has exactly one, whatever it is called, and none leads out of its account."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_folder import folder_in_memory
from mic_mail.imap.mailbox_names import resolve
from mic_mail.imap.mailbox_names.acl_rights import OWNER, NoPermission, allowed_flags, reads_only, with_legacy_rights
from mic_mail.imap.mailbox_names.resolve import Place
from mic_mail.policy.unit_mail.delegation import RIGHTS
from mic_mail.services.authentication.shared_mailboxes import SharedMailbox, shared_name
from mic_mail.storage.canonical_name import canonical
from mic_mail.storage.errors import NameNotAllowed, NoSuchFolder
from mic_mail.storage.maildir.folder_names import encode_directory
from mic_mail.storage.types import ALL_FLAGS, DELETED, SEEN, AccountRef
from session_harness import REF, Talk, open_store
from unit.imap.random_commands import COMMANDS

UNIT, OTHER = AccountRef(8, "mic.gov.vn/cntt"), AccountRef(9, "else.vn/cntt")
BOXES = {
    box.name: box
    for box in (
        SharedMailbox("cntt", "cntt@mic.gov.vn", UNIT, RIGHTS, 1 << 30),
        SharedMailbox("cntt@else.vn", "cntt@else.vn", OTHER, "lr", 1 << 30),
    )
}
levels = st.sampled_from(
    ["INBOX", "Sent", "cntt", "cntt~", "cntt~~", "Shared", "..", ".", "a.b", "&", "~", "cntt@else.vn", "ptth"]
)
names = st.lists(levels, min_size=1, max_size=4).map("/".join)


@given(names)
def test_what_the_own_account_has_is_found_under_the_name_it_is_shown_by(name: str) -> None:
    """`find` undoes `own_name`, and no own folder is shown where a unit's is."""
    told = resolve.own_name(name, BOXES)
    assert resolve.find(told, BOXES) == Place(name)
    assert resolve.find(told, {}) in (Place(name), Place(told))


@given(names, st.sampled_from(list(BOXES.values())))
def test_what_a_unit_has_is_found_under_the_name_it_is_shown_by(name: str, box: SharedMailbox) -> None:
    """`find` undoes `name_in_box`."""
    assert resolve.find(resolve.name_in_box(box, name), BOXES) == Place(name, box)


@given(names)
def test_no_folder_has_two_names(name: str) -> None:
    """Whatever a name leads to is shown under that name, but for the one spelling that is refused."""
    try:
        place = resolve.find(name, BOXES)
    except NoSuchFolder:
        assert name in {"Shared/cntt/INBOX", "Shared/cntt@else.vn/INBOX"}
        return
    assert resolve.client_name(place, BOXES) == name


@pytest.mark.parametrize("name", ["Shared/cntt/", "Shared/cntt/INBOX", "Shared/cntt/inbox", "Shared/cntt@else.vn/"])
def test_other_spellings_of_an_inbox_are_nobodys(name: str) -> None:
    """Not the unit's INBOX, and not the own account's either: SELECT, DELETE, SUBSCRIBE know one name of each folder."""
    with pytest.raises(NoSuchFolder):
        resolve.find(name, BOXES)


@given(names)
def test_nothing_personal_is_made_below_shared(name: str) -> None:
    """A new name leads into a unit's account, or does not begin with Shared."""
    try:
        place = resolve.find_new(name, BOXES)
    except (NameNotAllowed, NoSuchFolder):
        assert name.partition("/")[0] == "Shared"
    else:
        assert place.box is not None or name.partition("/")[0] != "Shared"


@given(st.text(st.sampled_from("./~&\\ABx@-"), min_size=1, max_size=20))
def test_no_name_leads_out_of_its_maildir(rest: str) -> None:
    """The directory of whatever stands behind a unit's name is one entry of its Maildir."""
    try:
        place = resolve.find(f"Shared/cntt/{rest}", BOXES)
        directory = encode_directory(canonical(place.name, max_octets=700, max_depth=20))
    except (NameNotAllowed, NoSuchFolder):
        return
    assert place.box == BOXES["cntt"]
    assert "/" not in directory
    assert directory not in {".", ".."}


def test_units_of_two_domains_have_two_names() -> None:
    """The local part is enough at the server's own domain only."""
    assert shared_name("cntt@mic.gov.vn", "mic.gov.vn") == "cntt"
    assert shared_name("cntt@else.vn", "mic.gov.vn") == "cntt@else.vn"


@pytest.mark.parametrize(
    ("rights", "letters", "error"), [("lr", "s", NoPermission), ("r", "s", NoSuchFolder), ("lrs", "rs", None)]
)
def test_need(rights: str, letters: str, error: type[Exception] | None) -> None:
    """RFC 4314 §6: who cannot see a mailbox is not told that it is there."""
    place = Place("INBOX", SharedMailbox("x", "x@mic.gov.vn", UNIT, rights, 1))
    if error is None:
        place.need(letters)
    else:
        with pytest.raises(error):
            place.need(letters)


def test_letters() -> None:
    """RFC 4314 §2.1.1, §4, §5.2."""
    assert allowed_flags("s") == SEEN
    assert allowed_flags("t") == DELETED
    assert allowed_flags("lrswt") == ALL_FLAGS
    assert allowed_flags("w") == ALL_FLAGS & ~(SEEN | DELETED)
    assert reads_only("lrpkx")
    assert not any(reads_only(letter) for letter in "iswte")
    assert with_legacy_rights("lrk") == b"lrkc"
    assert with_legacy_rights("lrt") == b"lrtd"
    assert with_legacy_rights("lrs") == b"lrs"
    assert with_legacy_rights(OWNER) == b"lrswipkxteacd"


def _shared(line: bytes, half: int) -> bytes:
    """The command, its folders moved below Shared where `half` says so."""
    for number, name in enumerate((b"INBOX", b"Viec", b"Trash", b"Khong-co")):
        if half >> number & 1:
            line = line.replace(b" " + name, b" Shared/cntt" + (b"" if name == b"INBOX" else b"/" + name))
    return line


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 15), COMMANDS), min_size=5, max_size=30), st.lists(st.sampled_from(RIGHTS)))
def test_any_commands_in_two_accounts(script: list[tuple[int, bytes]], letters: list[str]) -> None:
    """Every command is answered and none finds a bug, whatever rights there are and whichever account a name leads to."""
    rights = "".join(letter for letter in RIGHTS if letter in letters)
    with folder_in_memory() as folder:
        store = open_store(folder)
        box = SharedMailbox("cntt", "cntt@mic.gov.vn", UNIT, rights or "l", 1 << 30)
        for ref in (REF, UNIT):
            account = store.account(ref)
            account.create("Viec")
        ctx = Talk(store, boxes=[box]).sign_in()
        for number, (half, line) in enumerate(script):
            tag = b"x%d" % number
            answer = ctx.say(tag + b" " + _shared(line, half) + b"\r\n")
            assert b"\r\n" + tag + b" " in b"\r\n" + answer, (line, answer)
            if ctx.over:
                break
        assert [note for note in ctx.notes if note.event == "imap_bug"] == []
        store.close()
