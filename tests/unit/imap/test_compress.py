"""A compressed connection obeys as many commands as its client has sent octets for (RFC 4978)."""

import random
import zlib

from mic_mail.imap.compress import ADVANCE_A_SECOND, MOST_ADVANCE, TEXT_FOR_OCTET, Credit, Deflate

COMMANDS = [
    "NOOP", "IDLE", "CHECK", "SELECT INBOX", "UID FETCH {n}:* (FLAGS)",
    "UID FETCH {n} (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)",
    "UID STORE {n} +FLAGS.SILENT (\\Seen)", "UID SEARCH UNSEEN SINCE 1-Nov-2026", "STATUS Sent (MESSAGES UNSEEN UIDNEXT)",
    "UID FETCH {n} BODY.PEEK[HEADER.FIELDS (FROM TO CC SUBJECT DATE MESSAGE-ID REFERENCES CONTENT-TYPE)]",
]  # fmt: skip


def test_no_client_is_ended_for_what_it_says() -> None:
    """Ten thousand commands at once, those of synchronisation, each flushed by itself or a hundred together."""
    rng = random.Random(4978)
    for together in (1, 10, 100):
        credit, client = Credit(0.0), zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        for first in range(0, 10_000, together):
            lines = [
                f"A{number:05d} {rng.choice(COMMANDS).format(n=rng.randrange(90_000))}\r\n".encode()
                for number in range(first, first + together)
            ]
            credit.earn(len(client.compress(b"".join(lines)) + client.flush(zlib.Z_SYNC_FLUSH)))
            assert all(credit.spend(len(line), 0.0) for line in lines), (together, first)


def test_who_asks_the_same_at_length_now_and_then_is_not_ended() -> None:
    """A query of 5,000 octets each minute, for which a few octets come: for a year."""
    credit, query = Credit(0.0), b"A UID SEARCH " + b"OR FROM a@example.com " * 220 + b"ALL\r\n"
    client = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    for minute in range(500_000):
        if minute < 100:
            came = len(client.compress(query) + client.flush(zlib.Z_SYNC_FLUSH))
        credit.earn(came)
        assert credit.spend(len(query), minute * 60.0)
    assert came * TEXT_FOR_OCTET < len(query), "or it would need no advance"


def test_the_advance_comes_back_and_grows_no_further() -> None:
    """So much at once, and again when its time has gone by; a clock that stands gives nothing."""
    credit = Credit(0.0)
    assert credit.spend(MOST_ADVANCE, 0.0)
    assert not credit.spend(1, 0.0)
    assert credit.spend(ADVANCE_A_SECOND - 1, 1.0)
    assert not credit.spend(1 + ADVANCE_A_SECOND, 1.0)
    assert credit.spend(MOST_ADVANCE, 1e6)
    assert not credit.spend(1, 1e6)


def test_what_was_taken_is_what_came() -> None:
    """However it is cut, and however far it is inflated at a time: no octet is paid for twice, and none is free."""
    rng = random.Random(1951)
    for _ in range(200):
        client, deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS), Deflate()
        octets = b"".join(
            client.compress(b"NOOP\r\n" * rng.randrange(60_000)) + client.flush(zlib.Z_SYNC_FLUSH)
            for _ in range(rng.randrange(1, 4))
        )
        taken = at = 0
        while at < len(octets) or deflate.has_more:
            piece = octets[at : at + rng.randrange(1, 400)]
            at += len(piece)
            deflate.inflate(piece)
            taken += deflate.taken
        assert taken == len(octets)
