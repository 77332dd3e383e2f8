"""The one table of what is measured: works, their rows, and what is asked of ours beside each peer.

`make bench` does all of them, in this order; `make bench-check` those with a row that is `checked`. A row's peers are the
servers of its work that are installed.
"""

from __future__ import annotations

import delivery
import mailboxes
import outbound
import resting
import sessions
from servers import CYRUS, DOVECOT, IN_DATABASE, MIC_MAIL, POSTFIX, SLAPD
from work import IMAP_SERVERS, ON_BOTH_GROUNDS, SMTP_SERVERS, Row, Work


def _small(octets: int, sessions_at_once: int, times: dict[str, float], *, checked: bool) -> Work:
    text = f"{octets // 1024} KiB, {sessions_at_once} session{'s' * (sessions_at_once > 1)}"
    return Work(
        f"small-{octets // 1024}k-{sessions_at_once}",
        "delivery",
        delivery.small(octets, sessions_at_once),
        (Row(text, "per_s", "messages/s", times, checked=checked), Row(f"{text}: CPU of the server for each", "cpu_ms", "ms")),
        SMTP_SERVERS,
    )


def _attachment(name: str, kind: str, shown: str, *, checked: bool = False) -> Work:
    row = Row(f"one attachment of 20 MB: {shown}", "s", "s", {DOVECOT: 0.85}, checked=checked)
    return Work(f"attachment-{name}", "large", delivery.attachment(kind), (row,), SMTP_SERVERS, warm_ups=1)


def _at_rest(name: str, when: str, most_mib: float, servers: tuple[str, ...]) -> Work:
    rows = (
        Row(f"{when}: of a core", "core", "%", most=0.5),
        Row(f"{when}: wake-ups a second", "wake_ups", "", most=10),
        Row(f"{when}: memory of all processes (Pss)", "pss_mib", "MiB", most=most_mib),
    )
    return Work(name, "rest", resting.at_rest, rows, servers, resting.prepare, most_runs=1)


def _imap(figure: str, text: str, times: dict[str, float] | None = None, *, checked: bool = False) -> Row:
    return Row(text, figure, "ms", times or {}, checked=checked)


def _late(name: str, text: str, figures_of: delivery.Turn, **how: object) -> Work:
    rows = tuple(Row(f"{text}: later than {bound} ms", f"over_{bound}_ms", "%") for bound in (5, 20, 50))
    return Work(name, "lag", figures_of, rows, most_runs=1, **how)


WORKS: tuple[Work, ...] = (
    _at_rest("rest-started", "as started", 160, (MIC_MAIL, DOVECOT, POSTFIX, CYRUS)),
    Work(
        "command-line",
        "rest",
        resting.list_mailboxes,
        (Row("`mailbox list`, beside the running server (`doveadm mailbox list`): CPU", "cpu_s", "s", most=0.25),),
        (MIC_MAIL, DOVECOT),
        warm_ups=1,
    ),
    _small(4096, 1, {}, checked=False),
    _small(4096, 10, {POSTFIX: 8, DOVECOT: 4}, checked=True),
    _small(4096, 50, {POSTFIX: 9, DOVECOT: 7.5}, checked=True),
    _small(102_400, 10, {POSTFIX: 5, DOVECOT: 2.5}, checked=True),
    _small(102_400, 50, {POSTFIX: 5, DOVECOT: 2.5}, checked=False),
    _attachment("binary", "application/octet-stream", "octet-stream"),
    _attachment("text", "text/plain", "text/plain"),
    _attachment("pdf", "application/pdf", "PDF, scanned", checked=True),
    Work(
        "large",
        "large",
        delivery.large,
        (
            Row("one message of 27 MiB, a text in base64", "s", "s", {DOVECOT: 0.9}, checked=True),
            Row("the same: growth of anonymous memory", "grown_mib", "MiB", most=16),
        ),
        SMTP_SERVERS,
    ),
    Work(
        "large-at-once",
        "large",
        delivery.large_at_once,
        (Row("50 of them at once", "s", "s"), Row("the same: growth of anonymous memory", "grown_mib", "MiB", most=200)),
        SMTP_SERVERS,
        most_runs=1,
    ),
    Work(
        "append",
        "imap",
        mailboxes.append_letters,
        (Row("APPEND of 37 KB one by one", "per_s", "messages/s", {DOVECOT: 1.2}, checked=True),),
        IMAP_SERVERS,
        mailboxes.prepare_appends,
        warm_ups=1,
    ),
    Work(
        "single",
        "imap",
        mailboxes.single,
        (
            _imap("noop", "NOOP", {DOVECOT: 1}, checked=True),
            _imap("store", "STORE of one message", {DOVECOT: 0.8}, checked=True),
            _imap("fetch", "FETCH of one body of 37 KB", {DOVECOT: 0.8}, checked=True),
        ),
        IMAP_SERVERS,
        mailboxes.prepare_office,
        warm_ups=1,
    ),
    Work(
        "office",
        "imap",
        mailboxes.steps,
        (
            _imap("select", "10,000 messages: SELECT", {DOVECOT: 1, CYRUS: 2}, checked=True),
            _imap("headers", "header fields as Thunderbird asks for them", {DOVECOT: 2.5, CYRUS: 10}, checked=True),
            _imap("envelopes", "ENVELOPE BODYSTRUCTURE FLAGS", {DOVECOT: 4, CYRUS: 3}, checked=True),
            _imap("flags", "UID FETCH FLAGS"),
            _imap("sizes", "UID FLAGS INTERNALDATE RFC822.SIZE"),
            _imap("unseen", "SEARCH UNSEEN SINCE"),
            _imap("sort_subject", "SORT SUBJECT", {DOVECOT: 1}),
            _imap("sort_date", "SORT DATE", {DOVECOT: 1}),
            _imap("sort_unseen", "SORT (REVERSE DATE) UNSEEN", {DOVECOT: 1}),
            _imap("threads", "THREAD REFERENCES", {DOVECOT: 1}),
            _imap("threads_unseen", "THREAD REFERENCES UNSEEN", {DOVECOT: 1}),
            _imap("bodies", "all bodies, in clear", {DOVECOT: 0.8}),
        ),
        IMAP_SERVERS,
        mailboxes.prepare_office,
        warm_ups=1,
    ),
    Work(
        "search",
        "search",
        mailboxes.searches,
        (
            _imap("subject", "SUBJECT invoice", {DOVECOT: 3}),
            _imap("subject_accents", "SUBJECT hóa", {DOVECOT: 3}),
            _imap("from", "FROM Nguyễn", {DOVECOT: 3}),
            _imap("body", "BODY đơn", {DOVECOT: 80}, checked=True),
            _imap("phrase", "TEXT hóa đơn", {DOVECOT: 80}),
            _imap("substring", "TEXT nvoic", {DOVECOT: 80}),
            _imap("absent", "BODY zxqwvabsent (in no message)", {DOVECOT: 80}),
        ),
        IMAP_SERVERS,
        mailboxes.prepare_office,
        warm_ups=1,
    ),
    Work(
        "huge",
        "search",
        mailboxes.search_huge,
        (
            Row("twenty texts of 27 MiB: TEXT quyết định", "text", "ms", most=50),
            Row("twenty texts of 27 MiB: BODY zxqwvabsent", "absent", "ms", most=50),
        ),
        IMAP_SERVERS,
        mailboxes.prepare_huge,
        warm_ups=1,
        most_runs=1,
    ),
    Work(
        "many",
        "many",
        mailboxes.many,
        (
            Row("SELECT", "select", "ms", most=50),
            Row("SEARCH SUBJECT", "subject", "ms", most=50),
            Row("STORE 1:* +FLAGS.SILENT (\\Flagged)", "store", "s", most=1),
            Row("EXPUNGE of 100,000", "expunge", "s", most=5),
            Row("NOOP of another client meanwhile, p99", "noop_p99", "ms", most=20),
        ),
        IMAP_SERVERS,
        mailboxes.prepare_many,
        most_runs=1,
    ),
    Work(
        "sign-in",
        "sessions",
        sessions.sign_in,
        (
            Row("sign-in and LOGOUT, password known, 10 at once", "per_s", "sign-ins/s", {CYRUS: 2}, checked=True),
            Row("the same: CPU of the server for each", "cpu_ms", "ms"),
        ),
        IMAP_SERVERS,
        warm_ups=1,
    ),
    Work(
        "imaptest-20",
        "sessions",
        sessions.mixed(20),
        (
            Row("imaptest, 20 clients", "per_s", "commands/s", {CYRUS: 1.3}, checked=True),
            Row("the same: errors", "errors", "", most=0),
        ),
        IMAP_SERVERS,
        warm_ups=1,
        program="imaptest",
    ),
    Work(
        "imaptest-100",
        "sessions",
        sessions.mixed(100),
        (
            Row("imaptest, 100 clients", "per_s", "commands/s", {CYRUS: 1.3}),
            Row("the same: errors", "errors", "", most=0),
        ),
        IMAP_SERVERS,
        program="imaptest",
    ),
    Work(
        "idle",
        "sessions",
        sessions.idle_sessions,
        (
            Row("1,000 sessions in IDLE over TLS, 100 accounts: memory of each (Pss)", "pss_kib", "KiB", most=45),
            Row("delivery to EXISTS, p50", "p50_ms", "ms", most=4),
            Row("delivery to EXISTS, p99", "p99_ms", "ms", most=12),
            Row("notifications missed", "missed", ""),
        ),
        IMAP_SERVERS,
        most_runs=1,
    ),
    Work(
        "queue",
        "queue",
        outbound.turn,
        (
            Row("messages a second, between a tenth and nine tenths", "per_s", "messages/s", {POSTFIX: 2}),
            Row("until everything for the living has arrived", "seconds", "s"),
            Row("CPU of the server, its start included", "cpu_s", "s"),
            Row("memory of all processes (Pss), at most", "pss_mib", "MiB"),
        ),
        (MIC_MAIL, POSTFIX),
        outbound.prepare,
    ),
    Work(
        "database-cost",
        "database",
        delivery.cost_in_database,
        (
            Row("a delivery of 4 KiB: CPU of PostgreSQL", "cpu_us", "us", most=350),
            Row("the same: its write-ahead log", "log_kb", "KB", most=8),
        ),
        (IN_DATABASE,),
    ),
    Work(
        "database-small",
        "database",
        delivery.small(4096, 10),
        (
            Row("4 KiB, 10 sessions", "per_s", "messages/s"),
            Row("4 KiB, 10 sessions: CPU of the server for each, with its database", "cpu_ms", "ms"),
        ),
        ON_BOTH_GROUNDS,
    ),
    Work(
        "database-append",
        "database",
        mailboxes.append_letters,
        (Row("APPEND of 37 KB one by one", "per_s", "messages/s"),),
        ON_BOTH_GROUNDS,
        mailboxes.prepare_appends,
        warm_ups=1,
    ),
    Work(
        "database-single",
        "database",
        mailboxes.single,
        (
            _imap("noop", "NOOP"),
            _imap("store", "STORE of one message"),
            _imap("fetch", "FETCH of one body of 37 KB"),
        ),
        ON_BOTH_GROUNDS,
        mailboxes.prepare_office,
        warm_ups=1,
    ),
    Work(
        "database-office",
        "database",
        mailboxes.steps,
        (
            _imap("select", "10,000 messages: SELECT"),
            _imap("headers", "header fields as Thunderbird asks for them"),
            _imap("envelopes", "ENVELOPE BODYSTRUCTURE FLAGS"),
            _imap("flags", "UID FETCH FLAGS"),
            _imap("unseen", "SEARCH UNSEEN SINCE"),
            _imap("sort_subject", "SORT SUBJECT"),
            _imap("threads", "THREAD REFERENCES"),
            _imap("bodies", "all bodies, in clear"),
        ),
        ON_BOTH_GROUNDS,
        mailboxes.prepare_office,
        warm_ups=1,
    ),
    Work(
        "database-search",
        "database",
        mailboxes.searches,
        (
            _imap("subject", "SUBJECT invoice"),
            _imap("phrase", "TEXT hóa đơn"),
            _imap("absent", "BODY zxqwvabsent (in no message)"),
        ),
        ON_BOTH_GROUNDS,
        mailboxes.prepare_office,
        warm_ups=1,
        most_runs=1,
    ),
    _late("lag-small", "4 KiB, 50 sessions", delivery.lag(delivery.small(4096, 50))),
    _late("lag-large", "27 MiB, 50 at once", delivery.lag(delivery.large_at_once)),
    _late(
        "lag-readers", "8 mail programs that read 2,000 messages whole", delivery.lag(delivery.read_together),
        prepare=delivery.prepare_readers,
    ),
    _at_rest("rest-loaded", "after all of the above", 300, (MIC_MAIL, DOVECOT)),
)  # fmt: skip
"""Fifteen of the rows are checked."""

ADDRESS_BOOK = Work(
    "address-book",
    "book",
    None,
    (
        Row("a search, one client without a pause, p50", "one_ms", "ms"),
        Row("a search, ten that type names, p50", "ten_ms", "ms"),
        Row("entries found", "entries", ""),
        Row("memory of the process that answers", "rss_mib", "MiB"),
    ),
    (MIC_MAIL, SLAPD),
)
"""Done by `directory.py`."""
SOAK = Work(
    "soak",
    "soak",
    None,
    (
        Row("messages acknowledged, by SMTP, submission and APPEND", "messages", ""),
        Row("of them missing, changed or there twice", "wrong", "", most=0),
        Row("refusals and errors that an honest client met", "troubles", "", most=0),
        Row("processes, sessions, deliveries and jobs that failed", "failed", "", most=0),
        Row("memory of all processes (Pss) at the end", "pss_mib", "MiB"),
        Row("memory, last third by the second, in percent", "growth", "%", most=105),
        Row("sign-in, p50", "sign_in_p50_s", "s"),
        Row("sign-in, p99", "sign_in_p99_s", "s"),
        Row("delivery, p99", "delivery_p99_s", "s"),
    ),
)
"""Done by `soak.py`."""
WEEK = Work(
    "week",
    "week",
    None,
    (
        Row("processes, deliveries and jobs that failed, processes started again, messages missing", "failed", "", most=0),
        Row("anchors of the log and marks of the clock left out", "undone", "", most=0),
        Row("memory of all processes (Pss) at the end", "pss_mib", "MiB"),
        Row("memory, at the end by after the first day, in percent", "growth", "%", most=105),
        Row("descriptors, more than in the first third", "descriptors", "", most=0),
        Row("CPU of the server in the week", "cpu_s", "s"),
    ),
)
"""Done by `week.py`."""
