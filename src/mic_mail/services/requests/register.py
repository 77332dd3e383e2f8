"""The register as the Centre uses it: pending requests, deadlines, and steps of the request itself.

In: requests on record and the present calendar. Out: each with its deadline; a next state, or a refusal with its
clause. Blocking. `approve` carries out approvals.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.errors import BadInput, Text
from mic_mail.policy import requests as policy
from mic_mail.policy.requests import CLAUSE, Filing, Request, RequestKind, RequestRefused, RequestState
from mic_mail.services.use_cases import UseCases


@dataclass(frozen=True, slots=True)
class Due:
    """A request with its deadline by the present calendar."""

    request: Request
    at: datetime
    overdue: bool


class Register(UseCases):
    def __init__(self, directory: Directory, config: Config, clock: Clock) -> None:
        super().__init__(directory, config, clock)
        self._requests = directory.requests
        self._calendar = directory.years.working_days()
        self._closes = config.office.closes
        self._target = config.request.target_days

    def file(self, filing: Filing, by: str) -> Due:
        return self.due(self._requests.add(filing, by, self._clock.now()))

    def deadline(self, filing: Filing) -> datetime:
        """Return the deadline of Reg. 7.3.b, or by the Centre's own target."""
        return policy.deadline(filing, self._calendar, self._closes, self._target)

    def due(self, request: Request) -> Due:
        at = self.deadline(request.filing)
        return Due(request, at, policy.overdue(request, at, self._clock.now()))

    def all(self, requests: Iterable[Request] | None = None) -> list[Due]:
        """Return every request, or those given, with their deadlines."""
        return [self.due(request) for request in (self._requests.all() if requests is None else requests)]

    def overdue(self) -> Sequence[Due]:
        """Return the pending requests past their deadline, the oldest deadline first."""
        late = [due for due in self.all(self._requests.pending()) if due.overdue]
        return sorted(late, key=lambda due: (due.at, due.request.request_id))

    def agree(self, request: Request, handler: str, note: str) -> Request:
        """Approve a request that is carried out by hand; repeating it changes nothing."""
        if request.state is RequestState.APPROVED:
            return request
        if request.kind is RequestKind.CORRECTION:
            number = request.request_id
            raise RequestRefused(
                Text(
                    "Yêu cầu đính chính không nêu giá trị đúng, nên chấp thuận không làm thay đổi gì.",
                    "This correction gives no right value, so its approval would change nothing.",
                ),
                clause="14.3",
                remedy=Text(
                    f"Sửa danh bạ bằng mic-mail person change hoặc unit change, rồi mic-mail request done {number} --result …",
                    f"Change it with mic-mail person change or unit change, then mic-mail request done {number} --result ...",
                ),
            )
        return self._step(request, RequestState.APPROVED, handler, note)

    def done(self, request: Request, handler: str, result: str) -> Request:
        """Record that a request was carried out by hand."""
        if request.state is RequestState.DONE:
            return request
        if not policy.acts(request.filing):
            _needs(result, Text("kết quả", "The result"), "--result")
        return self._step(request, RequestState.DONE, handler, result)

    def refuse(self, request: Request, handler: str, reason: str) -> Request:
        _needs(reason, Text("lý do", "The reason"), "--reason")
        return self._step(request, RequestState.REFUSED, handler, reason)

    def withdraw(self, request: Request, handler: str, reason: str) -> Request:
        """Withdraw a request on behalf of its asker."""
        return self._step(request, RequestState.WITHDRAWN, handler, reason)

    def _step(self, request: Request, to: RequestState, handler: str, result: str) -> Request:
        policy.check_step(request, to)
        return self._requests.step(request, to, handler, self._clock.now(), result=result)


def still_pending(request: Request) -> None:
    """Refuse to approve a request that was refused or withdrawn."""
    if request.state in {RequestState.REFUSED, RequestState.WITHDRAWN}:
        name = request.state.label
        raise RequestRefused(
            Text(
                f"Yêu cầu số {request.request_id} {name.vi}; đề nghị lập yêu cầu mới.",
                f"Request {request.request_id} is {name.en}; enter a new one.",
            ),
            clause=CLAUSE,
        )


def _needs(text: str, what: Text, option: str) -> None:
    if not text.strip():
        raise BadInput(
            Text(f"Phải nêu {what.vi}.", f"{what.en} is missing."),
            clause=CLAUSE,
            remedy=Text(f"Thêm {option}.", f"Add {option}."),
        )
