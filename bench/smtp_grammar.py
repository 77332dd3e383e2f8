"""What it costs to read a command line and to answer it, without a network.

python bench/smtp_grammar.py
"""

from time import process_time
from timeit import timeit

from mic_mail.mailbox_address import MailboxAddress
from mic_mail.services.transport.envelope import Recipient, Role
from mic_mail.smtp.actions import AskRecipient, AskSender
from mic_mail.smtp.grammar import parse_mail, parse_rcpt
from mic_mail.smtp.session import Limits, ListenerProfile, Session

RUNS = 100_000


def microseconds(call: object) -> float:
    return timeit(call, timer=process_time, number=RUNS) / RUNS * 1e6  # type: ignore[arg-type]


def envelope(session: Session) -> None:
    asked = session.receive(b"MAIL FROM:<sender@example.org>")
    assert isinstance(asked, AskSender)
    session.sender_answered(asked, "0123456789ABCDEF", None)
    asked = session.receive(b"RCPT TO:<dvbe@mic.gov.vn>")
    assert isinstance(asked, AskRecipient)
    session.recipient_answered(Recipient(MailboxAddress.parse("dvbe@mic.gov.vn"), (1,)))
    session.receive(b"DATA")
    session.receive(b"RSET")


def main() -> None:
    plain, full = b"FROM:<sender@example.org>", b"FROM:<sender@example.org> SIZE=4096 BODY=8BITMIME RET=HDRS ENVID=QQ314159"
    print(f"MAIL, address only         {microseconds(lambda: parse_mail(plain)):6.2f} us")
    print(f"MAIL, four parameters      {microseconds(lambda: parse_mail(full)):6.2f} us")
    print(f"RCPT, address only         {microseconds(lambda: parse_rcpt(b'TO:<dvbe@mic.gov.vn>', smtputf8=False)):6.2f} us")
    session = Session(ListenerProfile("mail.example", "support@example", Role.MX, Limits(1 << 25, 20 << 20)))
    session.receive(b"EHLO client.example")
    print(f"MAIL, RCPT, DATA, RSET     {microseconds(lambda: envelope(session)):6.2f} us")


if __name__ == "__main__":
    main()
