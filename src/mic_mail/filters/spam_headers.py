"""Spam header fields: ours, in a form that mail programs understand, and the removal of foreign ones.

    X-Spam-Status: Yes, score=7.50 required=15.00 action=add_header
        tests=[BAYES_SPAM=5.10, FROM_NO_DN=0.00]

The form is SpamAssassin's, which Thunderbird uses if told to trust that program's fields: `Yes` is spam, `No` is ham. A
message that was not scored gets neither. Pure.
"""

import re

from mic_mail.filters.rspamd import Scored

NAME = "X-Spam-Status"
FOREIGN = (b"x-spam-status", b"x-spam-flag", b"x-spam-level", b"x-spam-score", b"x-spam")
"""Fields that mail programs and their filters use; from outside they cannot be trusted."""
MOST_TESTS = 60
LINE_CHARS = 78
_FIELD = re.compile(
    rb"^(?:%b)[ \t]*+(?:\r?\n[ \t]++)*+:[^\n]*+(?:\n[ \t][^\n]*+)*+\n?" % b"|".join(re.escape(name) for name in FOREIGN),
    re.IGNORECASE | re.MULTILINE,
)


def scored_field(scored: Scored, *, spam: bool) -> bytes:
    """Return the field for a scored message, with its CRLF."""
    action = scored.action.replace(" ", "_")
    head = f"{NAME}: {'Yes' if spam else 'No'}, score={scored.score:.2f} required={scored.required:.2f} action={action}"
    lines, line = [head], "\ttests=["
    tests = [f"{symbol.name}={symbol.score:.2f}" for symbol in scored.symbols[:MOST_TESTS]]
    for number, test in enumerate(tests):
        word = test + ("]" if number == len(tests) - 1 else ",")
        if len(line) + len(word) > LINE_CHARS and line.strip():
            lines.append(line.rstrip())
            line = "\t"
        line += word + " "
    lines.append(line.rstrip() if tests else "\ttests=[]")
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def unscored_field(why: str) -> bytes:
    """Return the field for a message that passes without a score."""
    return f"{NAME}: Unknown, {why}\r\n".encode("ascii", "replace")


def without_foreign(header: bytes) -> bytes:
    """Return `header` without these fields, also with blanks before the colon; the rest unchanged."""
    return _FIELD.sub(b"", header) if b"x-spam" in header.lower() else header
