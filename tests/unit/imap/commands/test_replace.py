"""REPLACE in a session (RFC 8508): what it may cost, and what a client that goes away leaves behind."""

import re
from pathlib import Path

from mic_mail.storage.local_mailstore import LocalMailStore
from session_harness import REF, Talk

OLD, NEW = b"Subject: old\r\n\r\n" + b"o" * 400 + b"\r\n", b"Subject: new\r\n\r\n" + b"n" * 400 + b"\r\n"


def with_draft(store: LocalMailStore) -> Talk:
    ctx = Talk(store).sign_in()
    ctx.say(b"p APPEND Drafts {%d+}\r\n%b\r\n" % (len(OLD), OLD))
    ctx.say(b"q SELECT Drafts\r\n")
    return ctx


def test_a_full_mailbox_takes_a_draft_of_the_same_size(store: LocalMailStore) -> None:
    """Asked before the octets come, and again when they have come (RFC 8508 §3.4); APPEND is refused."""
    ctx = with_draft(store)
    ctx.host.quota = len(OLD)
    assert b"a NO [OVERQUOTA]" in ctx.say(b"a APPEND Drafts {%d}\r\n" % len(NEW))
    assert b"b NO [OVERQUOTA]" in ctx.say(b"b REPLACE 1 Drafts {%d}\r\n" % (len(NEW) + 1))
    assert b"c NO [OVERQUOTA]" in ctx.say(b"c REPLACE 1 Drafts {%d+}\r\n%bx\r\n" % (len(NEW) + 1, NEW))
    assert ctx.say(b"d REPLACE 1 Drafts {%d}\r\n" % len(NEW)) == b"+ OK\r\n"
    assert b"d OK" in ctx.say(NEW + b"\r\n")
    assert NEW in ctx.say(b"e FETCH 1 BODY.PEEK[]\r\n")
    assert b"* QUOTA" in ctx.say(b'f GETQUOTA ""\r\n')
    assert ctx.account.quota().octets == len(NEW)


def test_a_connection_lost_in_the_middle_changes_nothing(store: LocalMailStore, tmp_path: Path) -> None:
    """The old message stays, nothing of the new one is left."""
    ctx = with_draft(store)
    ctx.say(b"a REPLACE 1 Drafts {400000}\r\n")
    ctx.say(b"x" * 300000)
    assert list((tmp_path / REF.home / "Maildir/tmp").iterdir())
    ctx.session.close()
    clear_away = ctx.session.pending_cleanup()
    assert clear_away is not None
    clear_away()
    assert not list((tmp_path / REF.home / "Maildir/tmp").iterdir())
    assert OLD in Talk(store).sign_in().say(b"a EXAMINE Drafts\r\nb FETCH 1 BODY.PEEK[]\r\n")


def test_numbers_mean_the_same_until_the_last_octet(store: LocalMailStore) -> None:
    """What is replaced is settled when the command begins: another session's EXPUNGE in between moves nothing."""
    ctx = with_draft(store)
    ctx.say(b"a APPEND Drafts {%d+}\r\n%b\r\n" % (len(OLD), OLD.replace(b"old", b"two")))
    ctx.say(b"b NOOP\r\nc REPLACE 2 Drafts {%d}\r\n" % len(NEW))
    other = Talk(store).sign_in()
    assert b"* 1 EXPUNGE" in other.say(b"a SELECT Drafts\r\nb STORE 1 +FLAGS.SILENT (\\Deleted)\r\nc EXPUNGE\r\n")
    answer = ctx.say(NEW + b"\r\n")
    assert b"* 2 EXPUNGE\r\n* 1 EXPUNGE\r\n" in answer
    assert b"c OK" in answer
    assert NEW in ctx.say(b"d FETCH 1:* BODY.PEEK[]\r\n")
    assert ctx.account.folder("Drafts").messages == 1


def test_what_is_gone_is_told_before_the_refusal(store: LocalMailStore) -> None:
    """Also where the change feed has said nothing yet."""
    ctx = with_draft(store)
    Talk(store).sign_in().say(b"a SELECT Drafts\r\nb STORE 1 +FLAGS.SILENT (\\Deleted)\r\nc CLOSE\r\n")
    answer = ctx.say(b"d REPLACE 1 Drafts {%d+}\r\n%b\r\n" % (len(NEW), NEW))
    assert re.match(rb"\* 1 EXPUNGE\r\n.*d NO \[EXPUNGEISSUED\] ", answer, re.DOTALL)
    assert ctx.account.folder("Drafts").messages == 0


def test_private_annotations_are_the_persons(store: LocalMailStore) -> None:
    """Two people in one mailbox (RFC 5464 §3.2): each has /private entries of their own, /shared ones are both's."""
    one, two = Talk(store).sign_in(), Talk(store)
    two.actor = "ttlan@mic.gov.vn"
    two.sign_in()
    one.say(b"b SETMETADATA INBOX (/private/comment mine /shared/comment ours)\r\n")
    asked = b"c GETMETADATA INBOX (/private/comment /shared/comment)\r\n"
    assert two.say(asked).startswith(b'* METADATA "INBOX" (/private/comment NIL /shared/comment "ours")\r\n')
    two.say(b'd SETMETADATA "" (/private/comment theirs)\r\ne SETMETADATA INBOX (/private/comment theirs)\r\n')
    assert one.say(asked).startswith(b'* METADATA "INBOX" (/private/comment "mine" /shared/comment "ours")\r\n')
    assert one.say(b'f GETMETADATA "" /private/comment\r\n').startswith(b'* METADATA "" (/private/comment NIL)\r\n')
