"""The answer to a unit's mail with the form: each row with its result (Reg. 6.2).

In: the outcomes on record of one mail. Out: a notice, with deadlines by the present calendar. Blocking, reads only.
"""

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.directory.requests import Outcomes
from mic_mail.errors import Text
from mic_mail.i18n.notices import requests as texts
from mic_mail.i18n.notices.notice import NoticeText
from mic_mail.policy.requests import RequestKind, deadline_clause
from mic_mail.services.requests.intake import WHOLE_FILE
from mic_mail.services.requests.register import Register


def answer_to(key: str, directory: Directory, config: Config, clock: Clock) -> NoticeText:
    """Return the answer to a mail that was read; `key`: its EMAILID."""
    outcomes = directory.requests.outcomes(key) or ()
    whole = next((each for each in outcomes if each["row"] == WHOLE_FILE), None)
    if whole is not None:
        return texts.request_form_unreadable(_text(whole["refused"]))
    return _of_rows(outcomes, directory, Register(directory, config, clock))


def _of_rows(outcomes: Outcomes, directory: Directory, register: Register) -> NoticeText:
    lines, opened = list[Text](), 0
    for each in outcomes:
        row = int(str(each["row"]))
        if each["request"] is None:
            clause = each["clause"]
            lines.append(texts.refused_row(row, _text(each["refused"]), None if clause is None else str(clause)))
            continue
        request = directory.requests.get(int(str(each["request"])))
        kind, opened = request.kind.label, opened + 1
        if request.kind is RequestKind.INCIDENT:
            lines.append(texts.recorded_row(row, request.request_id, request.result or ""))
            continue
        about = Text(f"{kind.vi}: {request.filing.subject.vi}", kind.en)
        due = register.deadline(request.filing)
        lines.append(texts.opened_row(row, request.request_id, about, due, deadline_clause(request.kind)))
    return texts.requests_answered(opened, len(outcomes) - opened, texts.listed(*lines))


def _text(texts: object) -> Text:
    assert isinstance(texts, dict)
    return Text(str(texts["vi"]), str(texts["en"]))
