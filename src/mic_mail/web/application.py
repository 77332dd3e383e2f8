"""The pages and their forms: signing in, the own mailbox, a new password, signing out.

In: HTTP requests that `middleware` let through. Out: pages and redirects: a form that changed something is answered by a
redirect, so that going back or reloading repeats nothing. Hashing, the directory and mailboxes are used in executors. The
pages share sessions and rendering in `page_context`.

    /                 sign in
    /sign-in   POST   -> /mailbox or /password
    /mailbox          state, space, age of the password, what comes next
    /password  POST   a new one -> /mailbox
    /sign-out  POST   -> /signed-out
    /app-passwords    passwords of single devices: list, add, revoke (`app_passwords`)
    /code             the second step of signing in, with a second factor (`second_factor`)
    /second-factor    set one, or remove it
    /forgot           what to do, and that this page resets nothing (Reg. 15.2)
    /dav/             the address book, for programs (`carddav`)
    /mail/, /.well-known/autoconfig/, /autodiscover/   mail programs set themselves up (`autosetup`)
    /metrics /health  for monitoring, from its networks alone (`monitoring`)
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from mic_mail.auth.password_hash import WeakPassword
from mic_mail.errors import MicMailError, Refused, Text, Trouble
from mic_mail.i18n import messages, pages
from mic_mail.log.error_fields import described, where
from mic_mail.policy.lifecycle import FactsUnreadable, MailboxState
from mic_mail.policy.naming.transliteration import one_line
from mic_mail.services.authentication.delegated_mailboxes import delegated_mailboxes_of, measured
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.own_password import own_state
from mic_mail.services.authentication.refusals import Refusal, RefusalKind
from mic_mail.web import cookies, forms
from mic_mail.web.app_passwords import AppPasswordPages
from mic_mail.web.autosetup import mobileconfig
from mic_mail.web.autosetup.app import AutoSetup
from mic_mail.web.autosetup.servers import servers
from mic_mail.web.carddav.app import AddressBooks
from mic_mail.web.forms import BadForm, FormRefused
from mic_mail.web.http import peer_of
from mic_mail.web.middleware import KEPT_FOR_EVER, Guard
from mic_mail.web.monitoring import Monitor
from mic_mail.web.page_context import CODE, MAILBOX, PASSWORD, PageContext, Visit, WebServices, first_page, redirect
from mic_mail.web.request_body import ResponseReady
from mic_mail.web.second_factor import SecondFactorPages
from mic_mail.web.templating import ICON, ICON_PATH, STYLE, STYLE_PATH
from mic_mail.web.view_models import STATUS, delegated_mailbox_row, program_settings, state_text


class Application:
    """The pages of one process; belongs to its loop."""

    def __init__(self, services: WebServices) -> None:
        self._context = context = PageContext(services)
        self.sessions = context.sessions
        self._books = AddressBooks(services.runtime, services.access, services.key)
        self._apps = AppPasswordPages(context)
        self._factors = SecondFactorPages(context)
        self._changing: set[int] = set()
        """The mailboxes whose password is being changed."""
        routes = [
            Route("/", self.show_sign_in),
            Route("/sign-in", self.show_sign_in),
            Route("/sign-in", self.sign_in, methods=["POST"]),
            Route("/sign-out", self.sign_out, methods=["POST"]),
            Route("/signed-out", self.show_signed_out),
            Route(MAILBOX, self.show_mailbox),
            Route("/mailbox/apple.mobileconfig", self.apple_profile),
            Route(PASSWORD, self.show_change),
            Route(PASSWORD, self.change, methods=["POST"]),
            *self._apps.routes(),
            *self._factors.routes(),
            Route("/forgot", self.show_forgot),
            Route("/.well-known/change-password", self.to_change),  # W3C: password managers open this path
            Route("/robots.txt", _robots),
            Route(ICON_PATH, _icon),
            Route(STYLE_PATH, _style),
            *self._books.routes(),
        ]
        handlers = {
            ResponseReady: _answered,
            BadForm: self._bad_form,
            HTTPException: self._http_error,
            Exception: self._inner_error,
        }
        inner = Starlette(routes=routes, exception_handlers=handlers)
        inner.router.redirect_slashes = False
        self._guard = Guard(
            inner,
            now=services.runtime.clock.now,
            failed=self._failed,
            refuse=context.refuse,
            files=(STYLE_PATH, ICON_PATH),
        )
        self.configure(services)

    @property
    def app(self) -> ASGIApp:
        return self._guard

    def configure(self, services: WebServices) -> None:
        """Apply the settings that a reload may change; sessions go on."""
        config = services.runtime.config()
        self._context.configure(services)
        self._books.configure(services.book, is_open=config.web.carddav)
        page = self._context.address
        own = page.partition("//")[2].partition("/")[0]
        loopback = all(address in ("127.0.0.1", "::1") for address in config.listen.addresses)
        names = [config.server.hostname, own.partition(":")[0], *config.web.more_names]
        monitor = Monitor(config, services.runtime.executors)
        setup = AutoSetup(config, services.runtime.clock, lambda: services.access.snapshot.domains, page)
        self._guard.configure(
            page,
            [*names, *(("localhost", "127.0.0.1", "[::1]") if loopback else ())],
            lambda scope: monitor.aside(scope) or setup.aside(scope),
        )

    # ------------------------------------------------------------ signing in and out

    async def show_sign_in(self, request: Request) -> Response:
        if await self._context.find_visit(request) is not None:
            return redirect(MAILBOX)
        return self._context.sign_in_page(request)

    async def sign_in(self, request: Request) -> Response:
        fields = await forms.read(request)
        secret = cookies.get(request, cookies.FORM)
        if not self._context.is_own_form(request, fields, secret, "sign-in"):
            return self._context.sign_in_page(request, pages.FORM_EXPIRED, status=403)
        user, password = fields.get("address", ""), fields.get("password", "")
        if not user.strip() or not password:
            return self._context.sign_in_page(request, pages.FIELDS_MISSING, user=user, status=422)
        answer = await self._context.services.page_access.enter(user, password, peer_of(request))
        if isinstance(answer, Refusal):
            # The address is shown again: most people who are refused here have mistyped the password.
            wrong, status = answer.kind is RefusalKind.WRONG_CREDENTIALS, STATUS.get(answer.kind, 403)
            return self._context.sign_in_page(request, answer.text, user=user, status=status, is_wrong=wrong)
        half = self._context.services.page_access.asks_for_code(answer)
        path = CODE if half else first_page(answer)
        response = self._context.begin_session(path, answer, cookies.get(request, cookies.SESSION), half=half)
        cookies.drop(response, cookies.FORM)
        return response

    async def sign_out(self, request: Request) -> Response:
        fields = await forms.read(request)
        token = cookies.get(request, cookies.SESSION)
        if not self._context.is_own_form(request, fields, token, "sign-out"):
            return self._context.sign_in_page(request, pages.FORM_EXPIRED, status=403)
        session = self._context.sessions.find(token)
        if session is not None:
            self._context.sessions.end(token)
            self._context.event("web_signed_out", request, mailbox=session.signed_in.address)
        response = redirect("/signed-out")
        cookies.drop(response, cookies.SESSION)
        return response

    async def show_signed_out(self, request: Request) -> Response:
        title, path = pages.SIGN_OUT, "/signed-out"
        return self._context.page("message", request, text=pages.SIGNED_OUT, title=title, path=path, is_error=False)

    # ------------------------------------------------------------ the person's mailbox

    async def show_mailbox(self, request: Request) -> Response:
        visit = await self._context.open_visit(request)
        services, address = self._context.services, visit.signed_in.address
        runtime, config = services.runtime, services.runtime.config()
        snapshot = services.access.snapshot
        entry = snapshot.entries[visit.signed_in.mailbox_id]
        last_use = services.access.last_use(entry)
        state = own_state(snapshot, entry, visit.signed_in.decision, used=last_use, config=config, now=runtime.clock.now())
        news, visit.session.news = visit.session.news, None
        try:
            used = (await runtime.executors.io(lambda: services.store.account(visit.signed_in.account).quota())).octets
        except (MicMailError, OSError):  # the mailbox cannot be opened now; all else can be shown
            used = None
        kept = await runtime.executors.io(measured, delegated_mailboxes_of(services.access, entry.mailbox_id), services.store)
        return self._context.page(
            "mailbox", request, news=news, state=state_text(state, used, config), address=address, path=MAILBOX,
            apps=self._apps.count(visit), kept=[delegated_mailbox_row(each) for each in kept],
            programs=program_settings(servers(config)), factor=self._factors.standing(visit),
            sign_out=self._context.tokens.mint(visit.token, "sign-out"),
        )  # fmt: skip

    async def apple_profile(self, request: Request) -> Response:
        """Send the own account for Apple's programs, signed where the certificate's key can sign.

        Where the hash executor is full it asks to come back later, since a device warns of an unsigned profile.
        """
        visit = await self._context.open_visit(request)
        services, config, address = self._context.services, self._context.services.runtime.config(), visit.signed_in.address
        entry = services.access.snapshot.entries[visit.signed_in.mailbox_id]
        name = one_line(entry.display_name or entry.owner.name) or address
        profile = mobileconfig.profile(servers(config), address, name, address.rpartition("@")[2])
        try:
            sign = partial(mobileconfig.signed, profile, config.certificate, config.key)
            profile = await services.runtime.executors.hash(sign, address)
        except (OSError, ValueError):  # it goes unsigned
            pass
        except Trouble:
            return self._context.error_page(request, 503, messages.UNAVAILABLE, MAILBOX)
        headers = {"content-disposition": f'attachment; filename="{mobileconfig.NAME}"'}
        return Response(profile, media_type=mobileconfig.MEDIA_TYPE, headers=headers)

    # ------------------------------------------------------------ changing the password

    async def show_change(self, request: Request) -> Response:
        return self._change_page(await self._context.visit(request))

    def _change_page(self, visit: Visit, error: Text | None = None, *, at: str = "", status: int = 200) -> Response:
        reason = visit.signed_in.decision.reason(MailboxState.PASSWORD_DUE)
        auth = self._context.services.runtime.config().auth
        rules = (
            pages.rule_length(auth.password_length),
            pages.RULE_NAMES,
            pages.RULE_COMMON,
            pages.rule_reuse(auth.password_reuse),
        )
        return self._context.page(
            "password", visit.request, status, error=error, at=at, address=visit.signed_in.address, path=PASSWORD,
            due=None if reason is None else pages.due(reason.clause), apps=self._apps.count(visit), rules=rules,
            shortest=auth.password_length, token=self._context.tokens.mint(visit.token, "password"),
            sign_out=self._context.tokens.mint(visit.token, "sign-out"),
        )  # fmt: skip

    async def change(self, request: Request) -> Response:
        fields = await forms.read(request)
        visit = await self._context.visit(request)
        try:
            return await self._change(visit, fields)
        except FormRefused as refused:
            return self._change_page(visit, refused.text, at=refused.at, status=refused.status)

    async def _change(self, visit: Visit, fields: Mapping[str, str]) -> Response:
        self._context.require_own_form(visit.request, fields, visit.token, "password")
        present, new, again = (fields.get(name, "") for name in ("present", "new", "again"))
        if not (present and new and again):
            raise FormRefused(422, pages.FIELDS_MISSING)
        confirmed = await self._context.confirm(visit, present)
        if new != again:
            raise FormRefused(422, pages.NOT_THE_SAME, "again")
        confirmed = replace(confirmed, factor=visit.signed_in.factor)
        return await self._give(visit, confirmed, new, ends_apps="apps" in fields)

    async def _give(self, visit: Visit, confirmed: SignedIn, new: str, *, ends_apps: bool) -> Response:
        """Store the new password and go on under a new session.

        One change at a time of a mailbox, in turn with all others: judging a new password takes longer than checking one.
        """
        services = self._context.services
        if confirmed.mailbox_id in self._changing:
            raise FormRefused(409, pages.BEING_CHANGED)
        self._changing.add(confirmed.mailbox_id)
        try:
            made = await services.runtime.executors.hash(
                partial(
                    services.own_password.change,
                    confirmed.mailbox_id,
                    confirmed.credential_version,
                    new,
                    ends_apps=ends_apps,
                ),
                confirmed.address,
            )
        except WeakPassword as weak:
            self._context.event("web_password_refused", visit.request, mailbox=confirmed.address, reason=weak.text)
            raise FormRefused.of(weak, at="new") from weak
        except Refused as refused:
            raise FormRefused.of(refused) from refused
        except Trouble as trouble:
            self._context.event("web_password_failed", visit.request, mailbox=confirmed.address, error=described(trouble))
            raise FormRefused.of(trouble) from trouble
        finally:
            self._changing.discard(confirmed.mailbox_id)
        self._context.event("web_password_changed", visit.request, mailbox=confirmed.address, version=made.version)
        await services.directory_changed()
        with_new = await self._signed_in_anew(confirmed, made.version)
        return self._context.begin_session(MAILBOX, with_new, visit.token, news=pages.CHANGED)

    async def _signed_in_anew(self, before: SignedIn, version: int) -> SignedIn:
        try:
            await self._context.services.access.refresh()
            decision = self._context.services.access.decide(before.mailbox_id) or before.decision
        except (FactsUnreadable, Trouble):  # the next request sees the current state
            decision = before.decision
        return replace(before, decision=decision, credential_version=version)

    async def to_change(self, request: Request) -> Response:
        return redirect(PASSWORD)

    # ------------------------------------------------------------ pages without sign-in, and errors

    async def show_forgot(self, request: Request) -> Response:
        return self._context.page("forgot", request, path="/forgot")

    async def _http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        response = self._context.refuse(request.scope, error.status_code)
        response.headers.update(error.headers or {})
        return response

    async def _bad_form(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, BadForm)
        return self._context.error_page(request, error.status, error.text)

    async def _inner_error(self, request: Request, error: Exception) -> Response:
        """Return the error page; Starlette raises the exception again, and the guard logs it."""
        return self._context.refuse(request.scope, 500)

    def _failed(self, error: Exception, path: str) -> None:
        self._context.services.runtime.log.event(
            "web_request_failed", path=path, error=type(error).__name__, where=where(error)
        )


async def _answered(request: Request, error: Exception) -> Response:
    assert isinstance(error, ResponseReady)
    return error.response


async def _style(request: Request) -> Response:
    return Response(STYLE, media_type="text/css", headers={"cache-control": KEPT_FOR_EVER})


async def _icon(request: Request) -> Response:
    return Response(ICON, media_type="image/svg+xml", headers={"cache-control": "public, max-age=86400"})


async def _robots(request: Request) -> Response:
    return Response("User-agent: *\nDisallow: /\n", media_type="text/plain")
