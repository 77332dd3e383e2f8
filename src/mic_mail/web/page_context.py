"""The context of the pages: services, sessions, form tokens, the visit of a person, rendering.

In: requests. Out: the visit that a request belongs to, or the page for a client that is not signed in; rendered pages; log
events. It knows no page but the form for signing in and error messages. A session is checked again with each request
(`PageAccess.recheck`): a suspension, a reset or a new password ends it with the next one. Announced downtime stands on
every page (Reg. 10.3).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from mic_mail.config.model import Config
from mic_mail.errors import Text
from mic_mail.i18n import pages
from mic_mail.i18n.language import Language
from mic_mail.process.runtime import Runtime
from mic_mail.services.authentication.app_passwords import AppPasswords
from mic_mail.services.authentication.identity import Peer, SignedIn
from mic_mail.services.authentication.own_password import OwnPassword
from mic_mail.services.authentication.refusals import Refusal, RefusalKind
from mic_mail.services.authentication.second_factors import SecondFactors
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.authentication.web_sign_in import PageAccess
from mic_mail.services.mailboxes.address_book import AddressBookCache
from mic_mail.services.operations.downtimes import announcements
from mic_mail.storage.mailstore import MailStore
from mic_mail.web import cookies, forms
from mic_mail.web.carddav.collection import AddressBookCollection
from mic_mail.web.forms import FormRefused, Tokens
from mic_mail.web.http import caller_of, peer_of
from mic_mail.web.request_body import ResponseReady
from mic_mail.web.sessions import TRIES, Session, SessionLifetime, Sessions, new_token
from mic_mail.web.templating import Pages
from mic_mail.web.view_models import STATUS

YEAR = 365 * 86_400
MAILBOX, PASSWORD, CODE, FACTOR = "/mailbox", "/password", "/code", "/second-factor"
ERRORS = {404: pages.NOT_FOUND, 405: pages.NOT_THAT_WAY, 411: pages.UNREADABLE, 421: pages.NOT_THIS_HOST, 431: pages.TOO_LARGE}


@dataclass(frozen=True, slots=True)
class WebServices:
    """The services that the pages use."""

    runtime: Runtime
    access: SignInService
    page_access: PageAccess
    own_password: OwnPassword
    app_passwords: AppPasswords
    second_factors: SecondFactors
    store: MailStore
    book: AddressBookCache[AddressBookCollection]
    key: bytes = field(repr=False)
    """Key of the form tokens; a restarted web process has the same."""
    directory_changed: Callable[[], Awaitable[None]]
    """Notifies the other processes, so that sessions with the old password end at once."""
    measure_lag: Callable[[], None] = lambda: None
    """Called where input arrives (`process.loop_lag`)."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a signed-in person."""

    request: Request
    token: str = field(repr=False)
    session: Session
    signed_in: SignedIn
    peer: Peer


def first_page(signed_in: SignedIn) -> str:
    """Return the path of the first page of a person who has just signed in."""
    return PASSWORD if signed_in.decision.password_change_due else MAILBOX


def redirect(path: str) -> Response:
    """Redirect with 303 See Other, so that the form is not sent again (RFC 9110 §15.4.4)."""
    return RedirectResponse(path, 303)


class PageContext:
    """The context of the pages of one process; belongs to its loop."""

    def __init__(self, services: WebServices) -> None:
        self.sessions = Sessions(_patience(services.runtime.config()), services.runtime.clock.monotonic)
        self.tokens = Tokens(services.key)
        self.configure(services)

    def configure(self, services: WebServices) -> None:
        """Apply the settings that a reload may change; sessions go on."""
        self.services = services
        self.sessions.patience = _patience(services.runtime.config())
        config = services.runtime.config()
        self._pages = Pages(config)
        self.address = config.password_page or f"https://{config.server.hostname}/"
        """The URL of the first page, under the name by which people know it."""

    # ------------------------------------------------------------ visits

    async def visit(self, request: Request) -> Visit:
        """Return the visit of a signed-in person; `ResponseReady` for everybody else."""
        visit = await self.find_visit(request)
        if visit is None:
            raise ResponseReady(self.ended(request))
        return visit

    async def open_visit(self, request: Request) -> Visit:
        """Return the visit of a person whose mailbox is open; `ResponseReady` with a redirect where something is due."""
        visit = await self.visit(request)
        if visit.signed_in.decision.password_change_due:
            raise ResponseReady(redirect(PASSWORD))
        if self.must_enrol(visit):
            raise ResponseReady(redirect(FACTOR))
        return visit

    async def find_visit(self, request: Request) -> Visit | None:
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
            return redirect(CODE)
        had_one = bool(cookies.get(request, cookies.SESSION))
        response = self.sign_in_page(request, pages.SESSION_ENDED if had_one else None, status=403 if had_one else 200)
        if had_one:
            cookies.drop(response, cookies.SESSION)
        return response

    def begin_session(self, path: str, signed_in: SignedIn, instead_of: str, **more: Any) -> Response:
        """Redirect to `path` under a new session, in the place of another one; `more` as in `Sessions.begin`."""
        response = redirect(path)
        cookies.put(response, cookies.SESSION, self.sessions.begin(signed_in, instead_of=instead_of, **more))
        return response

    def has_factor(self, visit: Visit) -> bool:
        """Return whether the mailbox has a second factor."""
        entry = self.services.access.snapshot.entries[visit.signed_in.mailbox_id]
        return self.services.page_access.factor_of(entry) is not None

    def must_enrol(self, visit: Visit) -> bool:
        """Return whether a second factor has to be set before anything else is open."""
        return self.services.runtime.config().auth.second_factor == "everyone" and not self.has_factor(visit)

    def count_try(self, visit: Visit) -> None:
        """Count a try of a secret; a session that has had too many ends."""
        visit.session.tries += 1
        if visit.session.tries > TRIES:
            self.sessions.end(visit.token)
            raise ResponseReady(self.sign_in_page(visit.request, pages.TOO_MANY_TRIES, status=429))

    async def confirm(self, visit: Visit, present: str) -> SignedIn:
        """Return the sign-in by the present password.

        Raises `FormRefused` where it is refused, and `ResponseReady` after too many tries.
        """
        self.count_try(visit)
        answer = await self.services.page_access.confirm(visit.signed_in, present, visit.peer)
        if isinstance(answer, Refusal):
            is_wrong = answer.kind is RefusalKind.WRONG_CREDENTIALS
            text, at = (pages.PRESENT_IS_WRONG, "present") if is_wrong else (answer.text, "")
            raise FormRefused(STATUS.get(answer.kind, 403), text, at)
        return answer

    def is_own_form(self, request: Request, fields: Mapping[str, str], secret: str, purpose: str) -> bool:
        """Return whether a form of this host was sent, with its token for this purpose."""
        return forms.is_from_here(request) and self.tokens.fits(fields.get("token", ""), secret, purpose)

    def require_own_form(self, request: Request, fields: Mapping[str, str], secret: str, purpose: str) -> None:
        """Raise `FormRefused` for a form that is not ours or has expired."""
        if not self.is_own_form(request, fields, secret, purpose):
            raise FormRefused(403, pages.FORM_EXPIRED)

    # ------------------------------------------------------------ rendering and logging

    def sign_in_page(
        self, request: Request, error: Text | None = None, *, user: str = "", status: int = 200, is_wrong: bool = False
    ) -> Response:
        secret = cookies.get(request, cookies.FORM) or new_token()
        response = self.page(
            "sign-in", request, status, error=error, user=user, token=self.tokens.mint(secret, "sign-in"), path="/",
            is_wrong=is_wrong, domain=self.services.runtime.config().server.domain,
        )  # fmt: skip
        cookies.put(response, cookies.FORM, secret)
        return response

    def page(self, name: str, request: Request, status: int = 200, **values: object) -> Response:
        asked = request.query_params.get("lang")
        chosen = asked if asked in set(Language) else cookies.get(request, cookies.LANGUAGE)
        language = Language(chosen) if chosen in set(Language) else Language.VI
        downtimes = announcements(self.services.access.snapshot.downtimes, self.services.runtime.clock.now())
        response = self._pages.page(name, language, status, downtimes=downtimes, **values)
        if asked in set(Language):
            cookies.put(response, cookies.LANGUAGE, language, max_age=YEAR)
        return response

    def error_page(self, request: Request, status: int, text: Text, path: str = "/", home: str = "/") -> Response:
        """Return a page with a message about an error; `path` is the page to go back to, `home` where to sign in."""
        return self.page("message", request, status, text=text, title=pages.ERROR, path=path, home=home, is_error=True)

    def refuse(self, scope: Scope, status: int) -> Response:
        request = Request(scope)
        text = ERRORS.get(status) or pages.failed(caller_of(request).peer.session_id)
        return self.error_page(request, status, text, home=self.address if status == 421 else "/")

    def event(self, name: str, request: Request, **what: Text | str | int | None) -> None:
        peer = caller_of(request).peer
        self.services.runtime.log.event(name, **what, peer=peer.address, session=peer.session_id)


def _patience(config: Config) -> SessionLifetime:
    return SessionLifetime(config.web.idle_seconds, config.web.session_seconds)
