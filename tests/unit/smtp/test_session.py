"""The conversation as a state machine: order of commands, limits, and what each step asks of the shell."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addresses import parsed
from mic_mail.services.transport.envelope import Accepted, Cause, Recipient, Refusal, Role
from mic_mail.smtp import actions
from mic_mail.smtp.actions import Close
from mic_mail.smtp.grammar import NO_MAIL_PARAMETERS
from mic_mail.smtp.replies import Reply
from mic_mail.smtp.session import OK, VERBS, Limits, ListenerProfile, Session

LIMITS = Limits(message_octets=30_000_000, attachment_octets=20 << 20, recipients=3, errors=6, messages=2)
TRACE = "0123456789ABCDEF"
POSTMASTER = parsed("postmaster@mic.gov.vn")


def listener(role: Role = Role.MX, **changes: object) -> ListenerProfile:
    return replace(ListenerProfile("mail.mic.gov.vn", "support@mic.gov.vn", role, LIMITS), **changes)


class Shell:
    """Carries out what the session asks, without a network: every recipient exists, every message is accepted."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def says(self, line: bytes) -> bytes:
        answer = self.session.receive(line)
        while not isinstance(answer, Reply):
            match answer:
                case Close():
                    said = b"" if answer.before is None else answer.before.encode(self.session.voice)
                    return b"! " + said + answer.reply.encode(self.session.voice)
                case actions.AskSender():
                    answer = self.session.sender_answered(answer, TRACE, None)
                case actions.AskRecipient():
                    address = answer.address or POSTMASTER
                    if address.local_part == "full":
                        answer = self.session.recipient_answered(Refusal(Cause.OVER_QUOTA, TRACE, {"address": str(address)}))
                    elif address.local_part == "nobody":
                        refusal = Refusal(Cause.NO_SUCH_MAILBOX, TRACE, {"address": str(address)})
                        answer = self.session.recipient_answered(refusal)
                    else:
                        answer = self.session.recipient_answered(Recipient(address, (1,)))
                case actions.ReadMessage():
                    answer = self.session.message_ended(Accepted(TRACE, 10))
                case actions.ReadChunk(octets=octets, last=last, refusal=refusal):
                    if refusal is not None:
                        answer = self.session.chunk_refused(refusal)
                    elif last:
                        answer = self.session.message_ended(Accepted(TRACE, octets))
                    else:
                        answer = self.session.chunk_ended(octets)
                case actions.StartTls():
                    self.session.tls_started()
                    return b"TLS"
                case actions.Authenticate(mechanism=mechanism):
                    answer = (
                        self.session.signed_in("dvbe@mic.gov.vn")
                        if mechanism == "PLAIN"
                        else self.session.sign_in_refused(Reply(535, "5.7.8", OK.text))
                    )
        return answer.encode(self.session.voice)

    def codes(self, *lines: bytes) -> list[str]:
        return [self.says(line)[:3].decode() for line in lines]


@pytest.fixture
def mx() -> Shell:
    return Shell(Session(listener()))


def submission(*, tls: bool = True) -> Shell:
    session = Session(listener(Role.SUBMISSION), tls=tls)
    session.tls_offered = True
    session.mechanisms = ("PLAIN", "LOGIN") if tls else ()
    return Shell(session)


def test_a_message_from_greeting_to_end(mx: Shell) -> None:
    """RFC 5321 appendix D.1."""
    said = mx.codes(b"EHLO a.example", b"MAIL FROM:<a@a.example>", b"RCPT TO:<dvbe@mic.gov.vn>", b"DATA", b"QUIT")
    assert said == ["250", "250", "250", "250", "! 2"]


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([b"MAIL FROM:<a@b>"], "503"),
        ([b"EHLO x", b"RCPT TO:<a@b>"], "503"),
        ([b"EHLO x", b"DATA"], "503"),
        ([b"EHLO x", b"MAIL FROM:<a@b>", b"MAIL FROM:<a@b>"], "503"),
        ([b"EHLO x", b"MAIL FROM:<a@b>", b"DATA"], "503"),
        ([b"EHLO x", b"MAIL FROM:<a@b>", b"RCPT TO:<nobody@b>", b"DATA"], "554"),
        ([b"EHLO x", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"DATA now"], "501"),
        ([b"EHLO x", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"RSET", b"DATA"], "503"),
        ([b"EHLO x", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"EHLO x", b"DATA"], "503"),
        ([b"EHLO x", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"BDAT 1", b"DATA"], "503"),
        ([b"EHLO x", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"BDAT 1", b"RCPT TO:<a@b>"], "503"),
        ([b"EHLO x", b"BDAT 1 LAST"], "503"),
        ([b"EHLO x", b"MAIL FROM:<a@b>", b"BDAT 1", b"RCPT TO:<a@b>"], "503"),
        ([b"EHLO x", b"MAIL FROM:<a@b>", b"RCPT TO:<nobody@b>", b"BDAT 1", b"RCPT TO:<a@b>", b"DATA"], "503"),
        ([b"EHLO x", b"MAIL FROM:<a@b>", b"BDAT 1", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"DATA"], "250"),
        ([b"EHLO x", b"STARTTLS"], "454"),
        ([b"EHLO x", b"AUTH PLAIN"], "502"),
        ([b"EHLO x", b"AUTH"], "502"),
        ([b"EHLO"], "501"),
        ([b"EHLO x", b"RSET now"], "501"),
        ([b"WIZ"], "500"),
        ([b""], "500"),
        ([b"EHLO x", b"EXPN staff"], "502"),
        ([b"EHLO x", b"VRFY dvbe"], "252"),
        ([b"EHLO x", b"NOOP whatever"], "250"),
        ([b"HELP"], "214"),
        ([b"EHLO x", b"MAIL FROM:<a@b> BODY=BINARYMIME"], "501"),
        ([b"EHLO x", b"MAIL FROM:<a@b> X=1"], "555"),
        ([b"NOOP " + b"x" * 600], "500"),
        ([b"EHLO x", b"MAIL FROM:<a@b> ENVID=" + b"a" * 2000], "500"),
    ],
)
def test_what_is_out_of_place_is_refused(mx: Shell, lines: list[bytes], code: str) -> None:
    """RFC 5321 §4.1.4 and §4.2: the last command of each row gets this code."""
    assert mx.codes(*lines)[-1] == code


def test_verbs_in_any_case(mx: Shell) -> None:
    """RFC 5321 §2.4: verbs and keywords are not case-sensitive."""
    assert mx.codes(b"ehlo x", b"mail from:<a@b>", b"rCpT tO:<a@b>", b"data") == ["250"] * 4


def test_extensions_are_announced_where_they_hold() -> None:
    """STARTTLS before TLS, AUTH on submission only and after TLS, BINARYMIME only where it is honoured, the real limits."""
    mx = Session(listener(binarymime=True))
    mx.tls_offered = True
    said = Shell(mx).says(b"EHLO x").decode()
    for word in ("SIZE 30000000", "PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "BINARYMIME", "DSN"):
        assert f"250-{word}\r\n" in said
    assert "250-STARTTLS\r\n" in said
    assert "250 LIMITS MAILMAX=2 RCPTMAX=3\r\n" in said
    assert "AUTH" not in said
    said = submission().says(b"EHLO x").decode()
    assert "250-AUTH PLAIN LOGIN\r\n" in said
    assert "STARTTLS" not in said
    assert "BINARYMIME" not in said
    assert "AUTH" not in submission(tls=False).says(b"EHLO x").decode()


def test_helo_announces_nothing(mx: Shell) -> None:
    """RFC 5321 §4.1.1.1."""
    assert mx.says(b"HELO x") == b"250 mail.mic.gov.vn\r\n"
    assert mx.session.protocol_of(NO_MAIL_PARAMETERS) == "SMTP"


def test_too_many_recipients_keep_those_accepted(mx: Shell) -> None:
    """RFC 5321 §4.5.3.1.10: 452, not 5xx, and the message still goes to the others."""
    mx.codes(b"EHLO x", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"RCPT TO:<b@b>", b"RCPT TO:<c@b>")
    assert mx.says(b"RCPT TO:<d@b>").startswith(b"452-4.5.3 ")
    assert mx.codes(b"DATA") == ["250"]


def test_recipients_beyond_the_limit_are_no_errors_until_there_are_twice_as_many() -> None:
    """A client that pipelines a long list loses neither its connection nor those accepted; one that never ends does."""
    mx = Shell(Session(listener(limits=replace(LIMITS, recipients=50))))
    mx.codes(b"EHLO x", b"MAIL FROM:<a@b>")
    assert mx.codes(*[b"RCPT TO:<a@b>"] * 100) == ["250"] * 50 + ["452"] * 50
    assert mx.codes(b"DATA", b"MAIL FROM:<a@b>") == ["250"] * 2
    assert mx.codes(*[b"RCPT TO:<a@b>"] * 106)[-6:] == ["452"] * 5 + ["! 4"]


def test_errors_add_up_and_end_the_connection() -> None:
    """At the limit 421 4.7.0; unknown recipients count (harvesting), full mailboxes do not."""
    mx = Shell(Session(listener(limits=replace(LIMITS, recipients=30))))
    mx.codes(b"EHLO x", b"MAIL FROM:<a@b>")
    assert mx.codes(*[b"RCPT TO:<full@b>"] * 20) == ["452"] * 20
    assert mx.codes(*[b"RCPT TO:<nobody@b>"] * 5) == ["550"] * 5
    assert mx.says(b"RCPT TO:<nobody@b>").startswith(b"! 421 4.7.0 ")


@pytest.mark.parametrize("how", ["DATA", "BDAT"])
def test_a_message_that_is_refused_for_good_hears_so_at_the_limit_too(mx: Shell, how: str) -> None:
    """With 421 alone it would be sent again, and again; and no connection ends without one (RFC 5321 §3.8)."""
    mx.codes(b"EHLO x", *[b"EXPN x"] * 5, b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>")
    if how == "BDAT":
        answer = mx.says(b"BDAT 30000001")
        assert answer.startswith(b"! 552-5.3.4 ")
        assert b"\r\n421 4.7.0 Too many errors" in answer
        return
    ended = mx.session.message_ended(Refusal(Cause.BARE_LINE_END, TRACE))
    assert isinstance(ended, Close)
    assert ended.before is not None
    assert (ended.before.code, ended.reply.code) == (550, 421)


JUNK = [
    [b"NOOP"],
    [b"HELP"],
    [b"VRFY dvbe"],
    [b"RSET"],
    [b"EHLO x"],
    [b"HELO x"],
    [b"MAIL FROM:<a@b>", b"RSET"],
    [b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"BDAT 0", b"BDAT 0", b"RSET"],
]


@pytest.mark.parametrize("lines", JUNK)
def test_commands_that_bring_no_message_are_limited(lines: list[bytes]) -> None:
    """Beyond the limit each counts as an error, so that no connection talks for ever and brings nothing."""
    shell = Shell(Session(listener(limits=replace(LIMITS, junk_commands=10))))
    shell.says(b"EHLO x")
    said = [code for _ in range(32) for code in shell.codes(*lines)]
    assert said[9] in {"250", "214", "252"}
    assert "! 4" in said[: 2 * (10 + LIMITS.errors)]


def test_a_message_makes_good_for_the_commands_before_it() -> None:
    """Whoever brings messages may say as much between them, as connections that are kept open do."""
    shell = Shell(Session(listener(limits=replace(LIMITS, junk_commands=10, messages=100))))
    shell.says(b"EHLO x")
    message = [b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"DATA"]
    for _ in range(50):
        assert set(shell.codes(b"RSET", b"NOOP", b"EHLO x", *[b"NOOP"] * 5, *message)) == {"250"}


def test_a_refused_command_counts_once(mx: Shell) -> None:
    """What is an error already is not junk besides."""
    assert mx.codes(*[b"EXPN x"] * 6) == ["502"] * 5 + ["! 4"]


def test_refused_recipients_of_one_message_are_limited(mx: Shell) -> None:
    """Temporary refusals are no errors, but nobody asks for ever (RFC 9422: RCPTMAX counts commands)."""
    mx.codes(b"EHLO x", b"MAIL FROM:<a@b>")
    said = mx.codes(*[b"RCPT TO:<full@b>"] * 20)
    assert said[:3] == ["452"] * 3
    assert "! 4" in said


def test_a_refused_sign_in_counts_more() -> None:
    """Two wrong passwords reach a limit of six errors."""
    shell = submission()
    shell.says(b"EHLO x")
    assert shell.codes(b"AUTH LOGIN", b"AUTH LOGIN") == ["535", "! 4"]


def test_messages_of_one_connection_are_limited(mx: Shell) -> None:
    """421 at the MAIL beyond the announced MAILMAX (RFC 9422)."""
    mx.says(b"EHLO x")
    for _ in range(2):
        assert mx.codes(b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"DATA") == ["250"] * 3
    assert mx.says(b"MAIL FROM:<a@b>").startswith(b"! 421 ")


def test_tls_forgets_what_was_said_before() -> None:
    """RFC 3207 §4.2: EHLO again, and no transaction survives."""
    session = Session(listener())
    session.tls_offered = True
    shell = Shell(session)
    assert shell.codes(b"EHLO x", b"MAIL FROM:<a@b>") == ["250", "250"]
    assert shell.says(b"STARTTLS") == b"TLS"
    assert session.protocol_of(NO_MAIL_PARAMETERS) == "SMTP"
    assert shell.codes(b"RCPT TO:<a@b>", b"MAIL FROM:<a@b>", b"STARTTLS") == ["503", "503", "503"]


def test_submission_wants_a_sign_in_first() -> None:
    """RFC 6409 §4.3: 530; without TLS the reply says what to do first; no sign-in twice or inside a transaction."""
    clear = submission(tls=False)
    clear.says(b"EHLO x")
    assert clear.says(b"MAIL FROM:<a@b>").startswith(b"530-5.7.0 De nghi bat SSL/TLS")
    assert clear.says(b"AUTH PLAIN").startswith(b"538-5.7.11 ")
    shell = submission()
    assert shell.codes(b"AUTH PLAIN", b"EHLO x", b"MAIL FROM:<a@b>", b"AUTH CRAM-MD5") == ["503", "250", "530", "504"]
    assert shell.codes(b"AUTH plain =", b"AUTH PLAIN =", b"MAIL FROM:<a@b>") == ["235", "503", "250"]
    assert shell.session.protocol_of(NO_MAIL_PARAMETERS) == "ESMTPSA"


def test_the_user_name_may_come_with_the_auth_command() -> None:
    """Outlook and .NET: `auth login <name>`; the octets reach the exchange as they came."""
    shell = submission()
    shell.says(b"EHLO x")
    assert shell.session.receive(b"auth login ZHZiZQ==") == actions.Authenticate("LOGIN", b"ZHZiZQ==")


def test_chunks(mx: Shell) -> None:
    """RFC 3030: chunks one after the other, then LAST; the next message can follow."""
    mx.codes(b"EHLO x", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>")
    assert mx.says(b"BDAT 10") == b"250 2.0.0 10 octets received.\r\n"
    assert mx.codes(b"BDAT 0 LAST", b"MAIL FROM:<a@b>") == ["250", "250"]


def test_after_a_refused_chunk_the_rest_of_the_message_is_refused(mx: Shell) -> None:
    """RFC 3030 §2: pipelined chunks behind a refused one are read, refused, and never become a message."""
    mx.codes(b"EHLO x", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>")
    assert mx.says(b"BDAT 60000000").startswith(b"552-5.3.4 ")
    assert mx.codes(b"BDAT 10", b"BDAT 0 LAST") == ["503", "503"]
    assert mx.codes(b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"BDAT 1 LAST") == ["250"] * 3


def test_chunk_sizes_that_cannot_be_read_end_the_connection(mx: Shell) -> None:
    """Nobody can tell where the next command would begin."""
    mx.codes(b"EHLO x", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>")
    assert mx.says(b"BDAT ten LAST").startswith(b"! 501 ")


@pytest.mark.parametrize("before", [[], [b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>"]])
def test_a_chunk_far_beyond_the_limit_is_not_waited_for(mx: Shell, before: list[bytes]) -> None:
    """Nobody reads ten gigabytes only to throw them away: the connection ends at the command that announces them."""
    mx.codes(b"EHLO x", *before)
    assert mx.says(b"BDAT 60000001 LAST").startswith(b"! 552-5.3.4 ")


@pytest.mark.parametrize(
    "line",
    [b"GET / HTTP/1.1", b"POST /mail HTTP/1.1", b"CONNECT mail.mic.gov.vn:25 HTTP/1.1", b"Host: mail.mic.gov.vn", b"host: x"],
)
def test_a_browser_is_sent_away_at_once(mx: Shell, line: bytes) -> None:
    """What speaks HTTP is no client of mail: a page that makes a browser post to this port reaches no command of its body."""
    assert mx.says(line).startswith(b"! 521 5.5.2 ")


def test_binary_messages_come_in_chunks_only() -> None:
    """RFC 3030 §3: DATA after BODY=BINARYMIME is 503."""
    shell = Shell(Session(listener(binarymime=True)))
    assert shell.codes(b"EHLO x", b"MAIL FROM:<a@b> BODY=BINARYMIME", b"RCPT TO:<a@b>", b"DATA", b"BDAT 1 LAST") == [
        "250", "250", "250", "503", "250",
    ]  # fmt: skip


def test_refusals_are_in_vietnamese_for_who_takes_it(mx: Shell) -> None:
    """RFC 6531 §3.7.4: UTF-8 in replies only in a transaction with SMTPUTF8; always the clause, the help desk, the id."""
    mx.codes(b"EHLO x", b"MAIL FROM:<a@b> SMTPUTF8")
    said = mx.says(b"RCPT TO:<full@mic.gov.vn>").decode()
    assert "Hộp thư full@mic.gov.vn đã hết dung lượng (điểm b khoản 3 Điều 8 Quy chế)" in said
    assert f"Liên hệ support@mic.gov.vn, mã {TRACE}" in said
    mx.codes(b"RSET", b"MAIL FROM:<a@b>")
    said = mx.says(b"RCPT TO:<full@mic.gov.vn>").decode("ascii")
    assert "(Reg. 8.3.b)" in said
    assert f"Contact support@mic.gov.vn, reference {TRACE}" in said


def test_the_with_word_of_the_trace_header() -> None:
    """RFC 3848 and RFC 6531 §4.3."""
    session = Session(listener(Role.SUBMISSION), tls=True)
    session.mechanisms = ("PLAIN",)
    shell = Shell(session)
    shell.codes(b"EHLO x", b"AUTH PLAIN =", b"MAIL FROM:<a@b> SMTPUTF8")
    assert session.transaction is not None
    assert session.protocol_of(session.transaction.parameters) == "UTF8SMTPSA"


WORDS = st.sampled_from(
    [b"EHLO x", b"HELO x", b"MAIL FROM:<a@b>", b"MAIL FROM:<> SMTPUTF8", b"RCPT TO:<a@b>", b"RCPT TO:<nobody@b>", b"DATA",
     b"RSET", b"BDAT 5", b"BDAT 5 LAST", b"BDAT x", b"STARTTLS", b"AUTH PLAIN =", b"AUTH LOGIN", b"NOOP", b"VRFY x", b"x", b""]
)  # fmt: skip


@given(st.lists(WORDS, max_size=40), st.booleans())
def test_any_order_of_commands_is_answered(lines: list[bytes], submitted: bool) -> None:
    """One well-formed reply to each command; a message is accepted only after MAIL and an accepted RCPT of its own."""
    shell = submission() if submitted else Shell(Session(listener()))
    recipients = 0
    for line in lines:
        said = shell.says(line)
        if said.startswith(b"!"):
            return
        assert said == b"TLS" or all(part[:3].isdigit() and part[3:4] in b" -" for part in said.splitlines())
        recipients = recipients + said.startswith(b"250 2.1.5") if not said.startswith(b"250 2.1.0") else 0
        if said.startswith(b"250 2.6.0"):
            assert recipients > 0
            recipients = 0


def test_every_verb_has_a_row_that_can_be_read() -> None:
    """The table is the documentation: upper case, a check where one is needed, an act or an answer, a bounded line."""
    for name, verb in VERBS.items():
        assert name.isupper()
        assert verb.check is None or callable(verb.check)
        assert callable(verb.act) or isinstance(verb.act, Reply | actions.Action)
        assert 510 <= verb.max_octets <= 12_288
