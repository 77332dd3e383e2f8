"""The pages and their forms: signing in, the own mailbox, a new password, signing out.

In: HTTP requests that `middleware` let through. Out: pages and redirects: a form that changed something is answered by a
redirect, so that going back or reloading repeats nothing. Hashing, the directory and mailboxes are used in executors. A
session is checked again with each request (`PageAccess.recheck`): a suspension, a reset or a new password ends it with
the next one. Announced downtime stands on every page (Reg. 10.3).

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

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from mic_mail.auth.password_hash import WeakPassword
from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import Superseded
from mic_mail.errors import MicMailError, Refused, Text, Trouble
from mic_mail.i18n import messages, pages
from mic_mail.i18n.language import Language
from mic_mail.log.error_fields import described, where
from mic_mail.log.maillog import MailLog
from mic_mail.policy.lifecycle import FactsUnreadable, State
from mic_mail.policy.naming.transliteration import one_line
from mic_mail.process.executors import Executors
from mic_mail.services.authentication.app_passwords import AppPasswords
from mic_mail.services.authentication.delegated_mailboxes import kept_by, measured
from mic_mail.services.authentication.identity import Peer, SignedIn
from mic_mail.services.authentication.own_password import OwnPassword, own_state
from mic_mail.services.authentication.refusals import Refusal, RefusalKind
from mic_mail.services.authentication.second_factors import SecondFactors
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.authentication.web_sign_in import PageAccess
from mic_mail.services.mailboxes.address_book import AddressBookCache
from mic_mail.services.operations.downtimes import announcements
from mic_mail.storage.mailstore import MailStore
from mic_mail.web import cookies, forms
from mic_mail.web.app_passwords import AppPasswordPages
from mic_mail.web.autosetup import mobileconfig
from mic_mail.web.autosetup.app import AutoSetup
from mic_mail.web.autosetup.servers import servers
from mic_mail.web.carddav.app import AddressBooks
from mic_mail.web.carddav.collection import AddressBookCollection
from mic_mail.web.forms import BadForm, Tokens
from mic_mail.web.http import caller_of, peer_of
from mic_mail.web.middleware import KEPT_FOR_EVER, Guard
from mic_mail.web.monitoring import Monitor
from mic_mail.web.second_factor import CODE, FACTOR, SecondFactorPages
from mic_mail.web.sessions import TRIES, Patience, Session, Sessions, new_token
from mic_mail.web.templating import ICON, STYLE, STYLE_PATH, Pages
from mic_mail.web.view_models import STATUS, delegated_mailbox_row, program_settings, state_text

YEAR = 365 * 86_400

ERRORS = {404: pages.NOT_FOUND, 405: pages.NOT_THAT_WAY, 411: pages.UNREADABLE, 421: pages.NOT_THIS_HOST, 431: pages.TOO_LARGE}

DoneElsewhere = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class WebServices:
    """The services that the pages use."""

    config: Config
    access: SignInService
    page_access: PageAccess
    own_password: OwnPassword
    app_passwords: AppPasswords
    second_factors: SecondFactors
    store: MailStore
    lanes: Executors
    clock: Clock
    log: MailLog
    book: AddressBookCache[AddressBookCollection]
    key: bytes = field(repr=False)
    """Key of the form tokens; a restarted web process has the same."""
    directory_changed: DoneElsewhere
    """Notifies the other processes, so that sessions with the old password end at once."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a signed-in person."""

    request: Request
    token: str = field(repr=False)
    session: Session
    signed_in: SignedIn
    peer: Peer


class Application:
    """The pages of one process; belongs to its loop."""

    def __init__(self, services: WebServices) -> None:
        self.sessions = Sessions(_patience(services.config), services.clock.monotonic)
        self.tokens = Tokens(services.key)
        self._books = AddressBooks(services.access, services.key, lanes=services.lanes, clock=services.clock, log=services.log)
        self._apps = AppPasswordPages(self)
        self._factors = SecondFactorPages(self)
        self._changing: set[int] = set()
        """The mailboxes whose password is being changed."""
        routes = [
            Route("/", self.show_sign_in),
            Route("/sign-in", self.show_sign_in),
            Route("/sign-in", self.sign_in, methods=["POST"]),
            Route("/sign-out", self.sign_out, methods=["POST"]),
            Route("/signed-out", self.show_signed_out),
            Route("/mailbox", self.show_mailbox),
            Route("/mailbox/apple.mobileconfig", self.apple_profile),
            Route("/password", self.show_change),
            Route("/password", self.change, methods=["POST"]),
            *self._apps.routes(),
            *self._factors.routes(),
            Route("/forgot", self.show_forgot),
            Route("/.well-known/change-password", self.to_change),  # W3C: password managers open this path
            Route("/robots.txt", _robots),
            Route("/icon.svg", _icon),
            Route(STYLE_PATH, _style),
            *self._books.routes(),
        ]
        handlers = {HTTPException: self._http_error, BadForm: self._bad_form, Exception: self._inner_error}
        inner = Starlette(routes=routes, exception_handlers=handlers)
        inner.router.redirect_slashes = False
        self._guard = Guard(inner, now=services.clock.now, failed=self._failed, refuse=self.refuse)
        self.configure(services)

    @property
    def app(self) -> ASGIApp:
        return self._guard

    def configure(self, services: WebServices) -> None:
        """Apply the settings that a reload may change; sessions go on."""
        config = services.config
        self.services = services
        self._pages = Pages(config)
        self._books.configure(services.book, is_open=config.web.carddav)
        self.sessions.patience = _patience(config)
        page = config.password_page or f"https://{config.server.hostname}/"
        own = page.partition("//")[2].partition("/")[0]
        loopback = all(address in ("127.0.0.1", "::1") for address in config.listen.addresses)
        names = [config.server.hostname, own.partition(":")[0], *config.web.more_names]
        monitor = Monitor(config, services.lanes)
        setup = AutoSetup(config, services.clock, lambda: services.access.snapshot.domains, page)
        self._guard.configure(
            page,
            [*names, *(("localhost", "127.0.0.1", "[::1]") if loopback else ())],
            lambda scope: monitor.aside(scope) or setup.aside(scope),
        )

    # ------------------------------------------------------------ signing in and out

    async def show_sign_in(self, request: Request) -> Response:
        if await self.visit(request) is not None:
            return _to("/mailbox")
        return self._sign_in_page(request)

    def _sign_in_page(
        self, request: Request, error: Text | None = None, *, user: str = "", status: int = 200, is_wrong: bool = False
    ) -> Response:
        secret = cookies.get(request, cookies.FORM) or new_token()
        response = self.page(
            "sign-in", request, status, error=error, user=user, token=self.tokens.mint(secret, "sign-in"), path="/",
            is_wrong=is_wrong, domain=self.services.config.server.domain,
        )  # fmt: skip
        cookies.put(response, cookies.FORM, secret)
        return response

    async def sign_in(self, request: Request) -> Response:
        fields = await forms.read(request)
        secret = cookies.get(request, cookies.FORM)
        if not forms.is_from_here(request) or not self.tokens.fits(fields.get("token", ""), secret, "sign-in"):
            return self._sign_in_page(request, pages.FORM_EXPIRED, status=403)
        user, password = fields.get("address", ""), fields.get("password", "")
        if not user.strip() or not password:
            return self._sign_in_page(request, pages.FIELDS_MISSING, user=user, status=422)
        answer = await self.services.page_access.enter(user, password, peer_of(request))
        if isinstance(answer, Refusal):
            # The address is shown again: most people who are refused here have mistyped the password.
            wrong = answer.kind is RefusalKind.WRONG_CREDENTIALS
            return self._sign_in_page(request, answer.text, user=user, status=STATUS.get(answer.kind, 403), is_wrong=wrong)
        half = self.services.page_access.asks_for_code(answer)
        token = self.sessions.begin(answer, instead_of=cookies.get(request, cookies.SESSION), half=half)
        response = _to(CODE) if half else self.inside(answer)
        cookies.put(response, cookies.SESSION, token)
        cookies.drop(response, cookies.FORM)
        return response

    def inside(self, signed_in: SignedIn) -> Response:
        """Redirect a person who has just signed in to the first page."""
        return _to("/password" if signed_in.decision.password_change_due else "/mailbox")

    def under(self, response: Response, token: str) -> Response:
        """Continue the session under another token."""
        cookies.put(response, cookies.SESSION, token)
        return response

    async def sign_out(self, request: Request) -> Response:
        fields = await forms.read(request)
        token = cookies.get(request, cookies.SESSION)
        if not forms.is_from_here(request) or not self.tokens.fits(fields.get("token", ""), token, "sign-out"):
            return self._sign_in_page(request, pages.FORM_EXPIRED, status=403)
        session = self.sessions.find(token)
        if session is not None:
            self.sessions.end(token)
            self.event("web_signed_out", request, mailbox=session.signed_in.address)
        response = _to("/signed-out")
        cookies.drop(response, cookies.SESSION)
        return response

    async def show_signed_out(self, request: Request) -> Response:
        return self.page("message", request, text=pages.SIGNED_OUT, title=pages.SIGN_OUT, path="/signed-out", is_error=False)

    async def visit(self, request: Request) -> Visit | None:
        """Return the visit if there is a session and the mailbox's state still allows it."""
        visit = await self.half_visit(request)
        if visit is None or visit.session.half:
            return None
        if not self.services.page_access.has_required_factors(visit.signed_in):  # a second factor was set, or removed, since
            self.sessions.end(visit.token)
            return None
        caller_of(request).signed_in()
        return visit

    async def half_visit(self, request: Request) -> Visit | None:
        """Return the visit, also for a session that still lacks the code."""
        token = cookies.get(request, cookies.SESSION)
        session = self.sessions.find(token)
        if session is None:
            return None
        peer = peer_of(request)
        answer = self.services.page_access.recheck(session.signed_in, peer)
        if isinstance(answer, Refusal):
            self.sessions.end(token)
            return None
        session.signed_in = answer
        return Visit(request, token, session, answer, peer)

    def ended(self, request: Request) -> Response:
        """Return the page for a client that is not, or no longer, signed in."""
        session = self.sessions.find(cookies.get(request, cookies.SESSION))
        if session is not None and session.half:
            return _to(CODE)
        had_one = bool(cookies.get(request, cookies.SESSION))
        response = self._sign_in_page(request, pages.SESSION_ENDED if had_one else None, status=403 if had_one else 200)
        if had_one:
            cookies.drop(response, cookies.SESSION)
        return response

    def _must_go(self, visit: Visit) -> Response | None:
        """Return the redirect to a password or second factor that is due; None where the mailbox is open."""
        if visit.signed_in.decision.password_change_due:
            return _to("/password")
        return _to(FACTOR) if self._factors.must_enrol(visit) else None

    def must_enrol(self, visit: Visit) -> bool:
        """Return whether a second factor has to be set before anything else is open."""
        return self._factors.must_enrol(visit)

    # ------------------------------------------------------------ the person's mailbox

    async def show_mailbox(self, request: Request) -> Response:
        visit = await self.visit(request)
        if visit is None:
            return self.ended(request)
        if (elsewhere := self._must_go(visit)) is not None:
            return elsewhere
        services, address = self.services, visit.signed_in.address
        snapshot = services.access.snapshot
        entry = snapshot.entries[visit.signed_in.mailbox_id]
        last_use = services.access.last_use(entry)
        state = own_state(
            snapshot, entry, visit.signed_in.decision, used=last_use, config=services.config, now=services.clock.now()
        )
        news, visit.session.news = visit.session.news, None
        try:
            used = (await services.lanes.io(lambda: services.store.account(visit.signed_in.account).quota())).octets
        except (MicMailError, OSError):  # the mailbox cannot be opened now; all else can be shown
            used = None
        kept = await services.lanes.io(measured, kept_by(services.access, entry.mailbox_id), services.store)
        return self.page(
            "mailbox", request, news=news, state=state_text(state, used, services.config), address=address, path="/mailbox",
            apps=self._apps.count(visit), kept=[delegated_mailbox_row(each) for each in kept],
            programs=program_settings(servers(services.config)), factor=self._factors.standing(visit),
            sign_out=self.tokens.mint(visit.token, "sign-out"),
        )  # fmt: skip

    async def apple_profile(self, request: Request) -> Response:
        """Send the own account for Apple's programs, signed where the certificate's key can sign.

        Where the hash executor is full it asks to come back later, since a device warns of an unsigned profile.
        """
        visit = await self.visit(request)
        if visit is None:
            return self.ended(request)
        if (elsewhere := self._must_go(visit)) is not None:
            return elsewhere
        services, config, address = self.services, self.services.config, visit.signed_in.address
        entry = services.access.snapshot.entries[visit.signed_in.mailbox_id]
        name = one_line(entry.display_name or entry.owner.name) or address
        profile = mobileconfig.profile(servers(config), address, name, address.rpartition("@")[2])
        try:
            profile = await services.lanes.hash(partial(mobileconfig.signed, profile, config.certificate, config.key), address)
        except (OSError, ValueError):  # it goes unsigned
            pass
        except Trouble:
            return self.page(
                "message", request, 503, text=messages.unavailable(), title=pages.ERROR, path="/mailbox", is_error=True
            )
        headers = {"content-disposition": f'attachment; filename="{mobileconfig.NAME}"'}
        return Response(profile, media_type=mobileconfig.MEDIA_TYPE, headers=headers)

    # ------------------------------------------------------------ changing the password

    async def show_change(self, request: Request) -> Response:
        visit = await self.visit(request)
        return self.ended(request) if visit is None else self._change_page(visit)

    def _change_page(self, visit: Visit, error: Text | None = None, *, at: str = "", status: int = 200) -> Response:
        reason = visit.signed_in.decision.reason(State.PASSWORD_DUE)
        auth = self.services.config.auth
        rules = (
            pages.rule_length(auth.password_length),
            pages.RULE_NAMES,
            pages.RULE_COMMON,
            pages.rule_reuse(auth.password_reuse),
        )
        return self.page(
            "password", visit.request, status, error=error, at=at, address=visit.signed_in.address, path="/password",
            due=None if reason is None else pages.due(reason.clause), apps=self._apps.count(visit), rules=rules,
            shortest=auth.password_length, token=self.tokens.mint(visit.token, "password"),
            sign_out=self.tokens.mint(visit.token, "sign-out"),
        )  # fmt: skip

    async def change(self, request: Request) -> Response:
        fields = await forms.read(request)
        visit = await self.visit(request)
        if visit is None:
            return self.ended(request)
        if not forms.is_from_here(request) or not self.tokens.fits(fields.get("token", ""), visit.token, "password"):
            return self._change_page(visit, pages.FORM_EXPIRED, status=403)
        present, new, again = (fields.get(name, "") for name in ("present", "new", "again"))
        if not (present and new and again):
            return self._change_page(visit, pages.FIELDS_MISSING, status=422)
        if (tired := self.counted(visit)) is not None:
            return tired
        answer = await self.services.page_access.confirm(visit.signed_in, present, visit.peer)
        if isinstance(answer, Refusal):
            wrong = answer.kind is RefusalKind.WRONG_CREDENTIALS
            text = pages.PRESENT_IS_WRONG if wrong else answer.text
            return self._change_page(visit, text, at="present" if wrong else "", status=STATUS.get(answer.kind, 403))
        if new != again:
            return self._change_page(visit, pages.NOT_THE_SAME, at="again", status=422)
        answer = replace(answer, factor=visit.signed_in.factor)
        return await self._give(visit, answer, new, ends_apps="apps" in fields)

    def counted(self, visit: Visit) -> Response | None:
        """Count a try of the present password; return the answer if the session has had too many."""
        visit.session.tries += 1
        if visit.session.tries <= TRIES:
            return None
        self.sessions.end(visit.token)
        return self._sign_in_page(visit.request, pages.TOO_MANY_TRIES, status=429)

    async def _give(self, visit: Visit, confirmed: SignedIn, new: str, *, ends_apps: bool) -> Response:
        """Store the new password and go on under a new session.

        One change at a time of a mailbox, in turn with all others: judging a new password takes longer than checking one.
        """
        services = self.services
        if confirmed.mailbox_id in self._changing:
            return self._change_page(visit, pages.BEING_CHANGED, status=409)
        self._changing.add(confirmed.mailbox_id)
        try:
            made = await services.lanes.hash(
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
            self.event("web_password_refused", visit.request, mailbox=confirmed.address, reason=weak.text)
            return self._change_page(visit, weak.text, at="new", status=422)
        except Superseded as passed:
            return self._change_page(visit, passed.text, status=409)
        except Refused as refused:
            return self._change_page(visit, refused.text, status=403)
        except Trouble as trouble:
            self.event("web_password_failed", visit.request, mailbox=confirmed.address, error=described(trouble))
            return self._change_page(visit, messages.unavailable(), status=503)
        finally:
            self._changing.discard(confirmed.mailbox_id)
        self.event("web_password_changed", visit.request, mailbox=confirmed.address, version=made.version)
        await services.directory_changed()
        with_new = await self._signed_in_anew(confirmed, made.version)
        token = self.sessions.begin(with_new, instead_of=visit.token, news=pages.CHANGED)
        response = _to("/mailbox")
        cookies.put(response, cookies.SESSION, token)
        return response

    async def _signed_in_anew(self, before: SignedIn, version: int) -> SignedIn:
        try:
            await self.services.access.refresh()
            decision = self.services.access.decide(before.mailbox_id) or before.decision
        except (FactsUnreadable, Trouble):  # the next request sees the current state
            decision = before.decision
        return replace(before, decision=decision, credential_version=version)

    async def to_change(self, request: Request) -> Response:
        return _to("/password")

    # ------------------------------------------------------------ pages without sign-in, and errors

    async def show_forgot(self, request: Request) -> Response:
        return self.page("forgot", request, path="/forgot")

    async def _http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        response = self.refuse(request.scope, error.status_code)
        response.headers.update(error.headers or {})
        return response

    async def _bad_form(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, BadForm)
        return self.page("message", request, error.status, text=error.text, title=pages.ERROR, path="/", is_error=True)

    async def _inner_error(self, request: Request, error: Exception) -> Response:
        """Return the error page; Starlette raises the exception again, and the guard logs it."""
        return self.refuse(request.scope, 500)

    def refuse(self, scope: Scope, status: int) -> Response:
        request = Request(scope)
        text = ERRORS.get(status) or pages.failed(caller_of(request).session_id)
        return self.page("message", request, status, text=text, title=pages.ERROR, path="/", is_error=True)

    def _failed(self, error: Exception, path: str) -> None:
        self.services.log.event("web_request_failed", path=path, error=type(error).__name__, where=where(error))

    # ------------------------------------------------------------ rendering and logging

    def page(self, name: str, request: Request, status: int = 200, **values: object) -> Response:
        asked = request.query_params.get("lang")
        chosen = asked if asked in set(Language) else cookies.get(request, cookies.LANGUAGE)
        language = Language(chosen) if chosen in set(Language) else Language.VI
        downtimes = announcements(self.services.access.snapshot.downtimes, self.services.clock.now())
        response = self._pages.page(name, language, status, downtimes=downtimes, **values)
        if asked in set(Language):
            cookies.put(response, cookies.LANGUAGE, language, max_age=YEAR)
        return response

    def event(self, name: str, request: Request, **what: Text | str | int | None) -> None:
        caller = caller_of(request)
        self.services.log.event(name, **what, peer=caller.address, session=caller.session_id)


def _patience(config: Config) -> Patience:
    return Patience(config.web.idle_seconds, config.web.session_seconds)


def _to(path: str) -> Response:
    """Redirect with 303 See Other, so that the form is not sent again (RFC 9110 §15.4.4)."""
    return RedirectResponse(path, 303)


async def _style(request: Request) -> Response:
    return Response(STYLE, media_type="text/css", headers={"cache-control": KEPT_FOR_EVER})


async def _icon(request: Request) -> Response:
    return Response(ICON, media_type="image/svg+xml", headers={"cache-control": "public, max-age=86400"})


async def _robots(request: Request) -> Response:
    return Response("User-agent: *\nDisallow: /\n", media_type="text/plain")
