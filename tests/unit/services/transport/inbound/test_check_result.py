"""What several checks say of one message, joined."""

import pytest

from mic_mail.services.transport.envelope import JUNK, Cause, CheckResult, Refusal

PASSED = CheckResult(rule="unsettled", fields=b"A: 1\r\n", log_fields={"a": 1})
NOTHING = CheckResult(fields=b"B: 2\r\n", log_fields={"b": 2})
JUNKED = CheckResult(verdict=JUNK, rule="dmarc")
HELD = CheckResult(held_for="spam", finding="reject", rule="rspamd-quarantine")
REFUSED = CheckResult(refusal=Refusal(Cause.SPAM, "T"), rule="rspamd-refuse")


@pytest.mark.parametrize(
    ("checks", "rule"),
    [
        ((PASSED, NOTHING), "unsettled"),
        ((NOTHING, PASSED), "unsettled"),
        ((PASSED, JUNKED), "dmarc"),
        ((PASSED, REFUSED), "rspamd-refuse"),
        ((JUNKED, HELD), "rspamd-quarantine"),
        ((JUNKED, REFUSED), "rspamd-refuse"),
        ((JUNKED, PASSED), "dmarc"),
        ((JUNKED, CheckResult(verdict=JUNK, rule="list")), "dmarc"),
        ((JUNKED, NOTHING), "dmarc"),
    ],
)
def test_the_rule_is_that_of_what_happens(checks: tuple[CheckResult, CheckResult], rule: str) -> None:
    """The log names what decided, not whoever spoke first."""
    first, later = checks
    assert first.and_then(later).rule == rule


def test_all_of_it_is_kept() -> None:
    both = PASSED.and_then(NOTHING).and_then(REFUSED)
    assert (both.fields, both.log_fields) == (b"A: 1\r\nB: 2\r\n", {"a": 1, "b": 2})
    assert both.refusal is REFUSED.refusal
