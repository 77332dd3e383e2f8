"""`mic-mail log` tells a sentence, in both languages, for all that the program can write into its logs."""

import ast
import re
from enum import StrEnum
from string import Formatter

import pytest

from mic_mail.cli.act_names import ACTS, DETAILS, REFUSED
from mic_mail.cli.log_codes import OF_ACTS, OF_EVENTS, SUBJECTS, in_words
from mic_mail.cli.log_messages import EVENTS, message_for
from mic_mail.config.listeners import DOORS
from mic_mail.errors import BadInput, MicMailError, Text
from mic_mail.filters import rspamd
from mic_mail.i18n.notices.catalogue import CATALOGUE, NAMES
from mic_mail.log.error_fields import failure
from mic_mail.log.maillog import plain
from mic_mail.mime.dsn_mdn import DsnAction
from mic_mail.policy import due_notices, facts, incidents, reclamation, requests
from mic_mail.policy.authorization import roles
from mic_mail.policy.credentials import anomalies, app_passwords
from mic_mail.policy.secrecy.degrees import MarkingPlace
from mic_mail.policy.suspension import QueuedMail
from mic_mail.policy.unit_mail import delegation
from mic_mail.process.protection import Protection
from mic_mail.quarantine.quarantine import Reason
from mic_mail.services.authentication.refusals import RefusalKind
from mic_mail.services.mailboxes.reclamation import Finished
from mic_mail.services.transport.envelope import Cause
from mic_mail.services.transport.inbound import origin_rules, rspamd_check
from mic_mail.services.unit_mail import document_handoff, openings, unanswered
from mic_mail.storage import errors
from mic_mail.storage.types import LEFT_TO_PEOPLE
from mic_mail.textextract.result import Unread
from source_names import act_codes, act_members, event_codes, program, recorded_acts, written_events

NO_CODES = {
    # names, addresses, places
    "actor", "addresses", "collector", "domain", "file", "files", "folder", "from_domain", "holder", "login", "mailbox",
    "network", "officer", "path", "peer", "place", "reader", "readers", "recipient", "recipients", "selector", "sender",
    "server", "smarthost", "spf_domain", "target", "to", "zone", "certificate", "needs_restart", "taken_over",
    # numbers, instants, references
    "accepted_at", "app_passwords", "attempts", "changes", "count", "digest", "ends_at", "entries", "exit_code", "failures",
    "found", "head", "lessons", "lived_seconds", "mailbox_id", "marked", "message_id", "messages", "months", "ms", "next_try",
    "notices", "now", "number", "octets", "order", "pid", "ref", "refused", "report", "request", "required", "restart_in",
    "restarts", "score", "searches", "second_factors", "seconds", "session", "since", "size", "trace", "tries", "uid", "uids",
    "until", "uses", "without_mailbox", "workers", "years", "clause",
    # results of protocols, names of algorithms, what another program calls itself
    "algorithm", "arc", "commands", "dkim", "dmarc", "iprev", "malware", "mode", "name", "os", "reply", "spf",
    "status", "version",
    # sentences of both languages, or what the system, a library or a person has said
    "error", "mistakes", "what", "why",
    # yes or no
    "settled", "suspended",
}  # fmt: skip
"""Members of events that are shown as they stand."""

OF_PEOPLE = {
    "alias", "algorithm", "archive", "asked_by", "begins", "chosen", "clause", "day", "document", "domain", "file", "first",
    "folder", "from", "hold", "imported", "incident", "last", "login", "mailboxes", "messages", "name", "named_by", "number",
    "of_sender", "person", "planned_on", "position", "reason", "recipients", "request", "rights", "selector", "sender", "since",
    "source", "system", "target", "to", "to_domain", "trace", "unit", "units", "until",
}  # fmt: skip
"""Details of acts that are shown as they stand: names, numbers, days, and what somebody wrote."""

IN_JSON_ALONE = {
    "already", "answer", "digest", "dry_run", "expunged", "failover", "format", "found", "handover", "head", "hide", "keys",
    "lifted_by", "message_ids", "moved", "now", "octets", "off", "only_held", "passed_on", "provisional", "replace",
    "same_person", "sha256", "show", "skipped", "subjects", "sums", "trouble", "withdraw", "worked",
}  # fmt: skip
"""Details of acts that a sentence leaves out."""


def _storage_errors() -> set[str]:
    """What can keep a message from a mailbox for a time."""
    return {
        each.__name__ for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.Unavailable)
    } | {"OverQuota", "Frozen"}


def _first_fields(made: str, at: int = 0) -> set[str]:
    found = program().first_fields(made, at)
    assert found, f"the program makes no {made}"
    return found


def _event_codes() -> dict[str, set[str]]:
    """What members of events can hold beside the words that stand in a call."""
    return {
        "action": {*DsnAction, "tell", "change", "suspend", "junk"},
        "door": set(DOORS),
        "duty": {
            *_first_fields("Job"),
            *("replies", "openings", "passed_on"),
            *(unanswered.DUTY, openings.DUTY, document_handoff.DUTY),
        },
        "in_force": set(Protection(True, True, 4, True).in_force),
        "kind": set(LEFT_TO_PEOPLE),
        "missing": set(Protection().missing),
        "notice": {*CATALOGUE, *due_notices.NoticeKind},
        "of": {"worker0", *_first_fields("SupervisedChild", at=1)},
        "process": {"worker12", *_first_fields("SupervisedChild", at=1)},
        "reason": {*Cause, *RefusalKind, *Reason, *reclamation.Obstacle, Finished.NOT_IN_ARCHIVE, *_storage_errors()},
        "reasons": {f"{unread}/pdf" for unread in Unread},
        "result": set(rspamd.TrainingResult),
        "rule": {
            *anomalies.AnomalyRule,
            *(f"rspamd-{act}" for act in rspamd_check.InboundAction if act is not rspamd_check.InboundAction.PASS),
            *(each.__name__.replace("_", "-") for each in origin_rules.RULES),
        },
        "spam": {*rspamd.RspamdAction, "true", "false"},
        "where": set(MarkingPlace),
    }


ACT_CODES: dict[str, set[str]] = {
    "cause": set(facts.SuspensionCause),
    "channel": set(requests.RequestChannel),
    "doors": set(app_passwords.AppPasswordScope),
    "kind": {*requests.RequestKind, *incidents.IncidentKind},
    "kinds": set(requests.RequestKind),
    "part": set(delegation.Part),
    "queued": set(QueuedMail),
    "role": set(roles.OfficerRole),
    "severity": set(incidents.IncidentSeverity),
}


def test_every_event_has_a_sentence() -> None:
    """One that is added later and has none fails here; so does a sentence that nothing writes any more."""
    assert len(written_events()) > 150
    assert written_events() - EVENTS.keys() == set()
    assert EVENTS.keys() - written_events() == set()


def test_every_act_has_a_name() -> None:
    """The same for the record; what was refused has the name of what was asked for."""
    names = recorded_acts()
    assert len(names) > 120
    bare = {name for name in names if not (name.endswith(REFUSED) and name.removesuffix(REFUSED) in names)}
    assert bare - ACTS.keys() == set()
    assert ACTS.keys() - bare == set()


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_an_event_is_told_without_its_name(name: str) -> None:
    """Whatever fields it has: no name of the program, no placeholder; both languages tell of the same fields."""
    fields = {each: "x" for side in EVENTS[name] for _, each, _, _ in Formatter().parse(side) if each}
    for given in ({}, fields, {**fields, "octets": 3_000_000, "pieces": ["a", "b"]}):
        text = message_for({"at": "2026-11-24T09:00:00Z", "n": 1, "event": name, **given})
        for side in (text.vi, text.en):
            assert name not in side
            assert not re.search(r"[{}]", side)
    assert text.en.isascii()
    assert len({frozenset(each for _, each, _, _ in Formatter().parse(side) if each) for side in EVENTS[name]}) == 1


def test_every_member_of_an_event_holds_codes_with_words_or_none() -> None:
    """A member that a new sentence tells of is named here before it is told: a code, or shown as it stands."""
    members = {each for side, _ in EVENTS.values() for _, each, _, _ in Formatter().parse(side) if each}
    assert members - OF_EVENTS.keys() - NO_CODES == set()
    assert NO_CODES - members == set()
    assert OF_EVENTS.keys() - members == set()


def test_every_detail_of_an_act_is_told_or_left_to_json() -> None:
    """The same of acts."""
    assert act_members() - DETAILS.keys() == IN_JSON_ALONE
    assert DETAILS.keys() - OF_ACTS.keys() == OF_PEOPLE


def test_every_code_that_the_source_can_write_has_words() -> None:
    """A value that is written in the source, or one of an enumeration: in events, in acts, and as the subject of an act."""
    for tables, of_the_source, of_kinds in (
        (OF_EVENTS, event_codes(OF_EVENTS), _event_codes()),
        (OF_ACTS, act_codes(OF_ACTS), ACT_CODES),
    ):
        for member, words in tables.items():
            written = {str(code) for code in of_the_source[member] | of_kinds.get(member, set())}
            assert {code for code in written if in_words(words, code) is None} == set(), member
    assert {str(code) for words in SUBJECTS.values() for code in words} == {*requests.RequestKind, *incidents.IncidentKind}


def _our_words(*called: str) -> dict[str, str]:
    """The texts, without what is filled in, that our errors and results of these names are made with, and where."""
    return {
        part.value.strip(" :"): str(place)
        for name in called
        for place in program().called(name)
        for given in (*place.call.args, *(keyword.value for keyword in place.call.keywords))
        for branch in ((given.body, given.orelse) if isinstance(given, ast.IfExp) else (given,))
        for part in (branch.values if isinstance(branch, ast.JoinedStr) else (branch,))
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.strip(" :")
    }


def test_why_the_origin_of_a_message_is_doubtful_is_told_in_words() -> None:
    """The log holds the English reason that Authentication-Results has; a reader sees it in the own language."""
    words = _our_words("NoAuthor", "_Permanent", "_TooManyAddresses", "BadRecord", "SpfResult", "_Outcome", "DmarcResult")
    words |= _our_words("DigestedMessage", "_Unusable")
    assert len(words) > 30
    untold = {text: place for text, place in words.items() if in_words(OF_EVENTS["reason"], text) is None}
    assert untold == {}
    for reason, vi in (
        ("the DNS did not answer", "máy chủ tên miền không trả lời"),
        ("invalid SPF record: invalid mechanism: foo", "bản ghi SPF sai: cơ chế (mechanism) sai hoặc không có: foo"),
        ("invalid SPF record: duplicate modifier: exp", "bản ghi SPF sai: thành phần sửa đổi (modifier) ghi hai lần: exp"),
    ):
        text = message_for({"event": "message_judged", "reason": reason})
        assert (vi in text.vi, reason in text.en) == (True, True)


def test_an_error_about_another_server_is_told_in_both_languages() -> None:
    """Our own sentence is a `Text`; a bare string is what the other server, the system or a library has said."""
    errors_of_peers = (
        "PeerTrouble", "BadReply", "SignInFailed", "NotAuthentic", "NotAPolicy", "NoPassword", "NotScanned", "NotScored",
        "failure", "Unwilling", "Result",
    )  # fmt: skip
    assert all(program().called(name) for name in errors_of_peers)
    assert {text: place for text, place in _our_words(*errors_of_peers).items() if " " in text} == {}


def test_every_notice_has_a_name() -> None:
    """For the log and the list of notices."""
    assert NAMES.keys() == CATALOGUE.keys()


@pytest.mark.parametrize("reason", [*Cause, *RefusalKind])
def test_why_is_told_in_words(reason: StrEnum) -> None:
    """Each cause for which a message or a sign-in is refused has words of its own in both languages."""
    words = in_words(OF_EVENTS["reason"], reason.value)
    assert words is not None
    for event in ("message_refused", "sign_in_refused"):
        text = message_for({"event": event, "reason": reason.value})
        assert words.vi in text.vi
        assert words.en in text.en


@pytest.mark.parametrize(
    ("fields", "vi", "en"),
    [
        ({"event": "notice_sent", "notice": "reclaim_coming"}, "“hộp thư sắp bị thu hồi”", '"reclaim ahead"'),
        ({"event": "notices_sent", "notice": "maintenance:12"}, "“tạm ngừng dịch vụ”", '"downtime"'),
        ({"event": "visit_failed", "visit": "usage"}, "“tính dung lượng hộp thư”", '"add up the usage of mailboxes"'),
        ({"event": "process_confined", "of": "worker3", "in_force": ["landlock 4"]}, "phục vụ 3", "worker 3"),
        ({"event": "message_not_inspected", "reasons": ["damaged/zip"]}, "tệp hỏng (zip)", "damaged (zip)"),
        ({"event": "clock_stepped", "seconds": -90.5}, "-90,5 giây", "-90.5 seconds"),
        ({"event": "password_exposed", "clause": "7.2.c"}, "điểm c khoản 2 Điều 7 Quy chế", "Reg. 7.2.c"),
        ({"act": "request_add", "subject": "issue"}, "ghi yêu cầu cấp mới", "enter a request issue"),
        ({"act": "log_search", "subject": "*", "reason": "x"}, "tìm trong nhật ký; lý do", "search the log; reason"),
        ({"act": "mailbox_suspend", "cause": "a"}, "nguyên nhân: không sử dụng (7.2.a)", "cause: disuse (7.2.a)"),
        ({"act": "app_password_add", "doors": ["imap", "submission"]}, "chỉ dùng cho: IMAP, gửi thư", "for: IMAP, sending"),
    ],
)
def test_codes_are_told_in_words(fields: dict[str, object], vi: str, en: str) -> None:
    """Alone, in lists, and with what they are codes of."""
    text = message_for(fields)
    assert vi in text.vi
    assert en in text.en


def test_what_somebody_wrote_is_no_code() -> None:
    """The reason of an act stays as it was typed."""
    assert "lý do: spam" in message_for({"act": "mailbox_hold", "reason": "spam"}).vi


def test_a_sentence_is_told_in_the_language_of_its_reader() -> None:
    """An error that says what is wrong in both languages, and what stands in the way of a change."""
    text = Text("Có hộp thư.", "There is a mailbox.")
    for event, fields in (("directory_change_hindered", {"why": text}), ("duty_failed", failure(BadInput(text)))):
        shown = message_for({"event": event, **{key: plain(key, value) for key, value in fields.items()}})
        assert (text.vi in shown.vi, text.en in shown.en, "Có" in shown.en) == (True, True, False)
    assert failure(MicMailError("no more")) == {"error": "no more"}


def test_yes_and_no_are_words() -> None:
    """A name that happens to be a code is no reason, and stays."""
    text = message_for({"event": "junk_reported", "login": "a", "messages": 1, "folder": "spam", "spam": True})
    assert "thư mục spam (thư rác: có)" in text.vi
    assert "folder spam (spam: yes)" in text.en


@pytest.mark.parametrize("name", [name + end for name in sorted(ACTS) for end in ("", REFUSED)])
def test_an_act_is_told_without_its_name(name: str) -> None:
    """Who, what, to whom; why, by which document and the like behind it, under names of this language."""
    details = dict.fromkeys(DETAILS, "z")
    text = message_for(
        {"at": "2026-11-24T09:00:00Z", "act": name, "actor": "mai", "subject": "dvbe@mic.gov.vn", "prev": "0", **details}
    )
    for side in (text.vi, text.en):
        assert "mai" in side
        assert "dvbe@mic.gov.vn" in side
        assert not re.search(r"\w_\w|=", side), side
    assert "lý do: z; văn bản: z" in text.vi
    assert ("bị từ chối" in text.vi) == (name.endswith(REFUSED))


def test_what_nobody_foresaw_is_shown_whole() -> None:
    """A log of a later version, or a line that somebody put in: its name and its fields."""
    text = message_for({"event": "unheard_of", "mailbox": "a@b.vn", "count": 3})
    assert text.vi == "unheard_of: mailbox=a@b.vn, count=3"


def test_no_event_takes_one_side_of_an_error() -> None:
    """`str(error)` is English alone: what goes wrong is written by `log.failures`, which knows both languages."""
    found = [
        str(place)
        for called in ("event", "_log_event", "_log_result")
        for place in program().called(called)
        for keyword in place.call.keywords
        if keyword.arg == "error" and ast.unparse(keyword.value).startswith(("str(", "repr(", "f'", '"', "'"))
    ]
    assert not found
