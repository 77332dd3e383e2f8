"""The pages of the second factor: the code after the password, enrolment, removal.

In: requests. Out: pages. A person who has shown only the password reaches the code's page and nothing else. Enrolment
takes the present password and a code of the new device; removal takes the present password and a code. The secret is
shown until it is confirmed, recovery codes once. The QR code is drawn here, into the page: no other server is asked, and
no script runs.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mic_mail.auth import totp
from mic_mail.errors import BadInput, Refused, Text, Trouble
from mic_mail.i18n import messages, pages
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import Fact
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.refusals import Refusal
from mic_mail.web import forms
from mic_mail.web.forms import FormRefused
from mic_mail.web.page_context import CODE, FACTOR, MAILBOX, PASSWORD, PageContext, Visit, first_page, redirect
from mic_mail.web.request_body import ResponseReady
from mic_mail.web.view_models import STATUS

BEGIN, CONFIRM, REMOVE = f"{FACTOR}/begin", f"{FACTOR}/confirm", f"{FACTOR}/remove"


class SecondFactorPages:
    """The routes of one application."""

    def __init__(self, context: PageContext) -> None:
        self._context = context

    def routes(self) -> list[Route]:
        return [
            Route(CODE, self.show_code),
            Route(CODE, self.enter_code, methods=["POST"]),
            Route(FACTOR, self.show),
            Route(BEGIN, self.begin, methods=["POST"]),
            Route(CONFIRM, self.confirm, methods=["POST"]),
            Route(REMOVE, self.remove, methods=["POST"]),
        ]

    @property
    def _setting(self) -> str:
        return self._context.services.runtime.config().auth.second_factor

    def standing(self, visit: Visit) -> bool | None:
        """Return whether the mailbox has a second factor; None where the server offers none."""
        return None if self._setting == "off" else self._context.has_factor(visit)

    # ------------------------------------------------------------ the second step of signing in

    async def _half(self, request: Request) -> Visit:
        visit = await self._context.half_visit(request)
        if visit is None:
            raise ResponseReady(self._context.ended(request))
        if not visit.session.half:
            raise ResponseReady(redirect(MAILBOX))
        if not self._context.services.page_access.asks_for_code(visit.signed_in):  # removed since: no code would be right
            self._context.sessions.end(visit.token)
            raise ResponseReady(self._context.ended(request))
        return visit

    async def show_code(self, request: Request) -> Response:
        return self._code_page(await self._half(request))

    def _code_page(self, visit: Visit, error: Text | None = None, status: int = 200) -> Response:
        tokens = self._context.tokens
        return self._context.page(
            "code", visit.request, status, error=error, address=visit.signed_in.address, path=CODE,
            token=tokens.mint(visit.token, CODE), sign_out=tokens.mint(visit.token, "sign-out"),
        )  # fmt: skip

    async def enter_code(self, request: Request) -> Response:
        fields = await forms.read(request)
        visit, context = await self._half(request), self._context
        if not context.is_own_form(request, fields, visit.token, CODE):
            return self._code_page(visit, pages.FORM_EXPIRED, 403)
        if not fields.get("code", "").strip():
            return self._code_page(visit, pages.FIELDS_MISSING, 422)
        context.count_try(visit)
        answer = await context.services.page_access.enter_code(visit.signed_in, fields["code"], visit.peer)
        if isinstance(answer, Refusal):
            return self._code_page(visit, answer.text, STATUS.get(answer.kind, 403))
        return context.begin_session(first_page(answer), answer, visit.token)

    # ------------------------------------------------------------ setting and removing

    async def _visit(self, request: Request) -> Visit:
        if self._setting == "off":
            raise ResponseReady(self._context.refuse(request.scope, 404))
        visit = await self._context.visit(request)
        if visit.signed_in.decision.password_change_due:
            raise ResponseReady(redirect(PASSWORD))
        return visit

    async def show(self, request: Request) -> Response:
        return await self._page(await self._visit(request))

    async def _page(self, visit: Visit, error: Text | None = None, *, at: str = "", status: int = 200) -> Response:
        context, services, session = self._context, self._context.services, visit.session
        address = visit.signed_in.address
        try:
            factor = await services.runtime.executors.io(services.second_factors.of, visit.signed_in.mailbox_id)
        except Trouble:
            return context.error_page(visit.request, 503, messages.UNAVAILABLE, FACTOR)
        uri = typed = drawn = ""
        secret = context.sessions.enrolment_of(session)
        if factor is None and secret is not None:
            uri = totp.uri(secret, address, services.runtime.config().server.hostname)
            typed, drawn = totp.typed(secret), await services.runtime.executors.cpu(_qr, uri)
        recovery, session.recovery = session.recovery, ()
        news, session.news = session.news, None
        mint = context.tokens.mint
        return context.page(
            "second-factor", visit.request, status, error=error, at=at, news=news, factor=factor, uri=uri, typed=typed,
            drawn=drawn, recovery=recovery, is_needed=context.must_enrol(visit), address=address, path=FACTOR,
            only_apps=services.runtime.config().auth.app_passwords_only and services.runtime.config().auth.app_passwords > 0,
            begin=mint(visit.token, BEGIN), confirm=mint(visit.token, CONFIRM), remove=mint(visit.token, REMOVE),
            sign_out=mint(visit.token, "sign-out"),
        )  # fmt: skip

    async def _submitted(
        self, request: Request, purpose: str, act: Callable[[Visit, Mapping[str, str]], Awaitable[Response]]
    ) -> Response:
        """Carry out a form of the page; where it is refused, show the page again with the reason."""
        fields = await forms.read(request)
        visit = await self._visit(request)
        try:
            self._context.require_own_form(request, fields, visit.token, purpose)
            return await act(visit, fields)
        except FormRefused as refused:
            return await self._page(visit, refused.text, at=refused.at, status=refused.status)

    async def _prove(self, visit: Visit, fields: Mapping[str, str]) -> None:
        """Raise `FormRefused` unless the form has the present password."""
        if not (present := fields.get("present", "")):
            raise FormRefused(422, pages.FIELDS_MISSING)
        await self._context.confirm(visit, present)

    async def begin(self, request: Request) -> Response:
        return await self._submitted(request, BEGIN, self._begin)

    async def _begin(self, visit: Visit, fields: Mapping[str, str]) -> Response:
        await self._prove(visit, fields)
        self._context.sessions.begin_enrolment(visit.session, totp.make_secret())
        return redirect(FACTOR)

    async def confirm(self, request: Request) -> Response:
        return await self._submitted(request, CONFIRM, self._confirm)

    async def _confirm(self, visit: Visit, fields: Mapping[str, str]) -> Response:
        context, services = self._context, self._context.services
        secret, signed_in = context.sessions.enrolment_of(visit.session), visit.signed_in
        if secret is None:
            raise FormRefused(409, pages.ENROLMENT_OVER)
        context.count_try(visit)
        code, origin = fields.get("code", ""), ActContext(signed_in.actor)
        try:
            enrolled = await services.runtime.executors.io(
                services.second_factors.enrol, signed_in.mailbox_id, signed_in.credential_version, secret, code, origin
            )
        except (BadInput, Refused, Trouble) as error:
            raise FormRefused.of(error, at="code") from error
        services.access.verifier.second_factor_set_from(signed_in.address, visit.peer.address)
        context.event("second_factor_set", visit.request, mailbox=signed_in.address)
        await self._announce()
        after = _after(signed_in, enrolled.fact, factor=enrolled.fact.seq)
        return context.begin_session(FACTOR, after, visit.token, news=pages.FACTOR_SET, recovery=enrolled.recovery)

    async def remove(self, request: Request) -> Response:
        return await self._submitted(request, REMOVE, self._remove)

    async def _remove(self, visit: Visit, fields: Mapping[str, str]) -> Response:
        context, services, signed_in = self._context, self._context.services, visit.signed_in
        await self._prove(visit, fields)
        answer = await services.page_access.check_code(signed_in, fields.get("code", ""), visit.peer)
        if isinstance(answer, Refusal):
            context.event("second_factor_refused", visit.request, mailbox=signed_in.address, reason=answer.detail)
            raise FormRefused(STATUS.get(answer.kind, 403), answer.text, "code")
        try:
            origin = ActContext(signed_in.actor)
            removed = await services.runtime.executors.io(
                lambda: services.second_factors.remove(signed_in.mailbox_id, origin, ends_apps=False)
            )
        except Refused as refused:
            raise FormRefused(409, refused.text) from refused
        except Trouble as trouble:
            raise FormRefused.of(trouble) from trouble
        context.event("second_factor_removed", visit.request, mailbox=signed_in.address)
        await self._announce()
        visit.session.signed_in = _after(visit.session.signed_in, removed, factor=None)
        visit.session.news = pages.FACTOR_REMOVED
        return redirect(FACTOR)

    async def _announce(self) -> None:
        """Announce the change to the other processes, and refresh this one."""
        services = self._context.services
        await services.directory_changed()
        try:
            await services.access.refresh()
        except Trouble:  # the poll sees it within two seconds
            return


def _after(signed_in: SignedIn, change: Fact, *, factor: int | None) -> SignedIn:
    """Return the sign-in for the session in which the factor was changed; only that session goes on."""
    return replace(signed_in, factor=factor, factor_change=change.seq)


def _qr(uri: str) -> str:
    """Return the QR code as SVG to embed in a page; the text of `uri` does not occur in it."""
    import segno  # only the enrolment needs it, not every web process

    return segno.make(uri, error="m", micro=False).svg_inline(scale=4, border=4, dark="#000", light="#fff")
