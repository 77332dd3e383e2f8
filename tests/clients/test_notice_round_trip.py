"""Every notice that the server writes passes the server's own doors: SMTP in, IMAP out and in again, octet for octet."""

import imaplib
import smtplib

from harness import MailServer
from mic_mail.i18n.notices.catalogue import CATALOGUE
from population import PASSWORD


def test_every_notice_passes(mail_server: MailServer) -> None:
    """Taken by SMTP as it is, fetched as it was taken, appended again, with an envelope that mail programs can show."""
    notices = mail_server.running.context.usage.notices
    written = [notices.compose("Đỗ Văn Bê", "dvbe@mic.gov.vn", row.sample()) for row in CATALOGUE.values()]
    with smtplib.SMTP(mail_server.host, mail_server.ports["smtp"]) as client:
        for octets in written:
            client.sendmail("", ["dvbe@mic.gov.vn"], octets)
    with imaplib.IMAP4_SSL(mail_server.host, mail_server.ports["imaps"], ssl_context=mail_server.tls()) as client:
        client.authenticate("PLAIN", lambda _: f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode())
        assert client.select("INBOX")[1] == [str(len(written)).encode()]
        for number, octets in enumerate(written, start=1):
            told = client.fetch(str(number), "(BODY.PEEK[] ENVELOPE)")[1]
            (fetched,) = (each[1] for each in told if isinstance(each, tuple))
            assert fetched.endswith(octets.partition(b"\r\n")[2]), "but for the trace lines in front"
            assert client.append("Archive", "", "", octets)[0] == "OK"
        structure = client.fetch("1", "(BODYSTRUCTURE)")[1][0]
        assert isinstance(structure, bytes)
        assert b'("text" "plain" ("charset" "utf-8")' in structure.lower()
