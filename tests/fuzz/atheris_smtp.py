"""Fuzz target: the SMTP grammar, the command lines, the decoders of DATA and BDAT, and the header of the PROXY protocol.

    python tests/fuzz/atheris_smtp.py [-max_total_time=600] [CORPUS_DIR]

The only documented rejection is `grammar.ArgumentFault`. Besides: an accepted address holds no control character and reads back
as itself; the dot decoder gives for any split what it gives for the whole; a session answers every line with a well-formed
reply; a header of the PROXY protocol names the same for any split, and is refused by `BadHeader` alone.
"""

import sys

import atheris

with atheris.instrument_imports(include=["mic_mail.smtp", "mic_mail.net.proxy_protocol"]):
    from mic_mail.mailbox_address import MailboxAddress
    from mic_mail.net.proxy_protocol import MOST_OCTETS, SIGNATURE, BadHeader, read_header
    from mic_mail.services.transport.envelope import Accepted, Recipient, Role
    from mic_mail.smtp import actions
    from mic_mail.smtp.actions import Close
    from mic_mail.smtp.data import ChunkDecoder, DotDecoder
    from mic_mail.smtp.grammar import ArgumentFault, parse_bdat, parse_helo, parse_mail, parse_rcpt
    from mic_mail.smtp.line_buffer import LineBuffer, LineFault
    from mic_mail.smtp.replies import Reply
    from mic_mail.smtp.session import Limits, ListenerProfile, Session

DOOR = ListenerProfile("mail.example", "support@example", Role.MX, Limits(1 << 20, 1 << 20, errors=1 << 30), binarymime=True)


def fuzz_grammar(octets: bytes) -> None:
    for parse in (parse_bdat, parse_helo):
        try:
            parse(octets)
        except ArgumentFault:
            pass
    for utf8 in (False, True):
        try:
            path, _ = parse_rcpt(b"TO:" + octets, smtputf8=utf8)
        except ArgumentFault:
            continue
        assert all(char >= " " and char != "\x7f" for char in str(path))
    try:
        path, parameters = parse_mail(b"FROM:" + octets)
    except ArgumentFault:
        return
    again, _ = parse_mail(f"FROM:<{path}> SMTPUTF8".encode())
    assert again == path, (path, again)
    assert parameters.size is None or parameters.size >= 0


def fuzz_decoders(data: "atheris.FuzzedDataProvider") -> None:
    repair = data.ConsumeBool()
    cuts = sorted(data.ConsumeIntListInRange(4, 0, 300))
    wire = data.ConsumeBytes(300) + b"\r\n.\r\n"
    results = []
    for pieces in ([wire], [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]):
        decoder, message, rest = DotDecoder(repair_lf=repair), b"", b""
        chunks, chunked = ChunkDecoder(repair_lf=repair), b""
        for piece in pieces:
            if decoder.ended:
                rest += piece
            else:
                message += decoder.feed(piece)
            chunked += chunks.feed(piece)
        chunked += chunks.close()
        results.append((message, decoder.rest + rest, chunked))
    assert results[0] == results[1], (wire, cuts)


def fuzz_session(octets: bytes) -> None:
    lines, session = LineBuffer(12_288), Session(DOOR)
    lines.feed(b"EHLO x\r\n" + octets)
    while (line := lines.next_line()) is not None:
        if isinstance(line, LineFault):
            return
        answer = session.receive(line)
        while not isinstance(answer, Reply):
            match answer:
                case Close():
                    return
                case actions.AskSender():
                    answer = session.sender_answered(answer, "ID", None)
                case actions.AskRecipient():
                    answer = session.recipient_answered(Recipient(answer.address or MailboxAddress("postmaster", "x"), (1,)))
                case actions.ReadMessage():
                    answer = session.message_ended(Accepted("ID", 1))
                case actions.ReadChunk(octets=size, refusal=refusal):
                    lines.take(size)
                    answer = session.chunk_refused(refusal) if refusal else session.message_ended(Accepted("ID", size))
                case _:
                    return
        said = answer.encode(session.voice)
        assert said.endswith(b"\r\n")
        assert all(len(part) <= 510 and part[:3].isdigit() for part in said.split(b"\r\n")[:-1])


def read_client(octets: bytes, most: int) -> object:
    """What the header at the beginning names, and its length; or why there is none; None where more has to come."""
    reading, at = read_header(), 0
    wanted = next(reading)
    try:
        while at < len(octets):
            assert 0 < wanted < MOST_OCTETS
            piece = octets[at : at + min(wanted, most)]
            at += len(piece)
            wanted = reading.send(piece)
    except StopIteration as complete:
        return complete.value, at
    except BadHeader as error:
        return error.reason
    return None


def fuzz_proxy_header(data: "atheris.FuzzedDataProvider") -> None:
    beginning = data.PickValueInList([b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ", SIGNATURE, SIGNATURE + b"\x21\x11\0\x0c"])
    octets = beginning + data.ConsumeBytes(200)
    assert read_client(octets, 1) == read_client(octets, 1 << 16)


def fuzz(octets: bytes) -> None:
    data = atheris.FuzzedDataProvider(octets)
    kind = data.ConsumeIntInRange(0, 3)
    if kind == 0:
        fuzz_grammar(data.ConsumeBytes(600))
    elif kind == 1:
        fuzz_decoders(data)
    elif kind == 2:
        fuzz_proxy_header(data)
    else:
        fuzz_session(data.ConsumeBytes(2000))


if __name__ == "__main__":
    atheris.Setup(sys.argv, fuzz)
    atheris.Fuzz()
