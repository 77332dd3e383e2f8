"""An index is lost between a delivery and the end of its spool entry: what a mailbox has it does not get again."""

from collections.abc import Callable

import pytest

from harness import MailServer
from mic_mail.mime.render import answers_of
from mic_mail.outbound.spool import Slip, Target
from mic_mail.storage.types import AccountRef, Delivery

MESSAGE = b"Return-Path: <a@a.example>\r\nSubject: x\r\n\r\nx\r\n"


@pytest.mark.parametrize("then", ["stays", "moved", "expunged"])
def test_a_delivery_that_the_index_forgot_is_not_repeated(serve: Callable[..., MailServer], then: str) -> None:
    """Delivered to one of two, killed, index deleted: recovery delivers to the other one only; whatever its reader did."""
    server = serve()
    mailboxes = [server.issue(local) for local in ("dvbe", "ttlan")]
    rooms = server.running.rooms
    targets = tuple(Target(mailbox.mailbox_id, mailbox.address) for mailbox in mailboxes)
    draft = rooms.spool.draft("TRACE")
    draft.write(MESSAGE)
    entry = draft.commit(Slip("TRACE", "a@a.example", targets, server.clock.now_us()))
    first, second = (rooms.store.account(AccountRef(mailbox.mailbox_id, mailbox.home)) for mailbox in mailboxes)
    staged = first.stage_link(entry.path)
    inbox = first.folder("INBOX").folder_id
    [published] = first.publish(inbox, [Delivery(staged, answers_of(MESSAGE), origin=entry.origin(mailboxes[0].mailbox_id))])
    if then == "moved":
        first.move(inbox, [published.uid], first.folder("Archive").folder_id)
    elif then == "expunged":
        first.remove(inbox, [published.uid])
    entry.release()
    for path in server.config.mail_root.rglob("index.sqlite*"):
        path.unlink()
    assert server.call(rooms.mailflow.recover()) == 1
    server.call(rooms.mailflow.settle())
    assert first.folder("INBOX").messages + first.folder("Archive").messages == (then != "expunged")
    assert second.folder("INBOX").messages == 1
    assert not [path for path in server.config.spool_dir.rglob("*") if path.is_file()]
    assert first.repair(check=True).clean
