"""`make run` as the README has it: wait until it serves, send one letter, read it, stop it by Ctrl-C. Needs no library."""

import imaplib
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time

HOST, SMTPS, IMAPS, PASSWORD = "127.0.0.1", 2465, 2993, "demo-mic-2026"  # as the README says
SENDER, READER = "dvbe@mic.gov.vn", "ttlan@mic.gov.vn"
LETTER = f"From: {SENDER}\r\nTo: {READER}\r\nSubject: try-run\r\n\r\nKính gửi.\r\n".encode()
SECONDS = 120


def until_it_serves(server: "subprocess.Popen[bytes]") -> None:
    limit = time.monotonic() + SECONDS
    for port in (SMTPS, IMAPS):
        while True:
            try:
                socket.create_connection((HOST, port), 5).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > limit:
                    sys.exit("`make run` does not serve")
                time.sleep(0.2)


def letters(context: ssl.SSLContext) -> int:
    """How many of them READER has."""
    with imaplib.IMAP4_SSL(HOST, IMAPS, ssl_context=context, timeout=30) as client:
        client.login(READER, PASSWORD)
        client.select(readonly=True)
        return len(client.search(None, "SUBJECT", "try-run")[1][0].split())


def main() -> None:
    server = subprocess.Popen(["/usr/bin/make", "run"], stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        until_it_serves(server)
        context = ssl.create_default_context(cafile="demo-data/tls/cert.pem")
        with smtplib.SMTP_SSL(HOST, SMTPS, context=context, timeout=30) as client:
            client.login(SENDER, PASSWORD)
            client.sendmail(SENDER, [READER], LETTER, ["BODY=8BITMIME"])
        if (found := letters(context)) != 1:
            sys.exit(f"{found} letters have come in place of one")
    finally:
        os.killpg(server.pid, signal.SIGINT)
        server.wait(60)
    sys.stdout.write("make run: served, took a letter, gave it to its reader, stopped\n")


main()
