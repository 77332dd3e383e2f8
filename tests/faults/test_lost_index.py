"""An index is lost after a kill: what a mailbox has it does not get again, and what was answered last is not forgotten."""

import os
import signal
from collections.abc import Callable

import pytest

from addresses import parsed
from faults.wire import Imap
from harness import MailServer, ProcessServer, files_in
from mic_mail.mime.imap_structure import answers_of
from mic_mail.queue.spool import SpoolEnvelope, SpoolTarget
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.types import AccountRef
from population import PASSWORD
from waiting import wait_for

DVBE = "dvbe@mic.gov.vn"
MESSAGE = b"Return-Path: <a@a.example>\r\nSubject: x\r\n\r\nx\r\n"


@pytest.mark.parametrize("then", ["stays", "moved", "expunged"])
def test_a_delivery_that_the_index_forgot_is_not_repeated(serve: Callable[..., MailServer], then: str) -> None:
    """Delivered to one of two, killed, index deleted: recovery delivers to the other one only; whatever its reader did."""
    server = serve()
    mailboxes = [server.issue(local) for local in ("dvbe", "ttlan")]
    context = server.running.context
    targets = tuple(SpoolTarget(mailbox.mailbox_id, parsed(mailbox.address)) for mailbox in mailboxes)
    draft = context.spool.draft("TRACE")
    draft.write(MESSAGE)
    entry = draft.commit(
        SpoolEnvelope(trace_id="TRACE", sender=parsed("a@a.example"), targets=targets, accepted_at_us=server.clock.now_us())
    )
    first, second = (context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home)) for mailbox in mailboxes)
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
    assert server.call(context.mailflow.recover()) == 1
    server.call(context.mailflow.settle())
    assert first.folder("INBOX").messages + first.folder("Archive").messages == (then != "expunged")
    assert second.folder("INBOX").messages == 1
    assert not files_in(server.config.spool_dir)
    assert first.repair(check=True).clean


@pytest.mark.slow
def test_flags_that_a_killed_worker_stored_last_survive_the_index(serve_processes: Callable[..., ProcessServer]) -> None:
    """STORE is answered, its worker is killed before names follow, the index is lost later: the flag is there."""
    server = serve_processes({"process": {"workers": 1}, "auth": {"cleartext": True}})
    server.population.issue("dvbe")
    server.start()
    client = Imap(server.ports["imap"], DVBE, PASSWORD)
    client.command(b"APPEND INBOX {%d+}\r\n%s" % (len(MESSAGE), MESSAGE))
    client.command(b"SELECT INBOX")
    client.command(b"STORE 1 +FLAGS (\\Flagged)")
    [worker] = server.workers()
    os.kill(worker, signal.SIGKILL)
    server.wait_for(lambda state: state["ready"] and worker not in [one["pid"] for one in state["processes"]])
    cur = server.config.mail_root / "mic.gov.vn/dvbe/Maildir/cur"
    wait_for(lambda: next(cur.iterdir()).name.endswith(":2,F"), "its name does not follow")
    server.kill()
    for path in server.config.mail_root.rglob("index.sqlite*"):
        path.unlink()
    server.start()
    client = Imap(server.ports["imap"], DVBE, PASSWORD)
    client.command(b"SELECT INBOX")
    assert b"\\Flagged" in client.command(b"FETCH 1 FLAGS")[0][0]
