"""The page of app passwords: list, add, revoke.

In: requests of a signed-in person. Out: pages. Adding one asks for the present password, as a change does: a browser that
was left open must not be enough for permanent access. The new password is shown once, on the page behind the form, and
only its verifiers are stored.
"""

from collections.abc import Mapping
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mic_mail.errors import BadInput, Refused, Text, Trouble
from mic_mail.i18n import messages, pages
from mic_mail.log.error_fields import described
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.credentials.app_passwords import LONGEST_NAME, AppPasswordScope, living
from mic_mail.services.authentication.app_passwords import Listed
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.web import forms
from mic_mail.web.forms import FormRefused
from mic_mail.web.page_context import PageContext, Visit, redirect
from mic_mail.web.request_body import ResponseReady
from mic_mail.web.sessions import Secret
from mic_mail.web.view_models import AppPasswordRow, app_password_row

PATH, REVOKE = "/app-passwords", "/app-passwords/revoke"
MAIL = frozenset({AppPasswordScope.IMAP, AppPasswordScope.POP3, AppPasswordScope.SUBMISSION})
BOOK = frozenset({AppPasswordScope.LDAP, AppPasswordScope.CARDDAV})
SCOPES: Mapping[str, frozenset[AppPasswordScope]] = {"all": frozenset(), "mail": MAIL, "book": BOOK}
ENDED_SHOWN = 10


class AppPasswordPages:
    """The routes of one application."""

    def __init__(self, context: PageContext) -> None:
        self._context = context

    def routes(self) -> list[Route]:
        return [
            Route(PATH, self.show),
            Route(PATH, self.add, methods=["POST"]),
            Route(REVOKE, self.revoke, methods=["POST"]),
        ]

    def count(self, visit: Visit) -> int | None:
        """Return how many app passwords are active now; None where the server offers none."""
        services = self._context.services
        if not services.runtime.config().auth.app_passwords:
            return None
        entry = services.access.snapshot.entries[visit.signed_in.mailbox_id]
        return len(living(entry.facts, services.runtime.clock.now()))

    async def _visit(self, request: Request) -> Visit:
        if not self._context.services.runtime.config().auth.app_passwords:
            raise ResponseReady(self._context.refuse(request.scope, 404))
        return await self._context.open_visit(request)

    async def show(self, request: Request) -> Response:
        return await self._page(await self._visit(request))

    async def _refused(self, visit: Visit, refused: FormRefused, name: str = "") -> Response:
        return await self._page(visit, refused.text, at=refused.at, name=name, status=refused.status)

    async def _page(
        self, visit: Visit, error: Text | None = None, *, at: str = "", name: str = "", status: int = 200
    ) -> Response:
        context, services = self._context, self._context.services
        try:
            found: list[Listed] = await services.runtime.executors.io(services.app_passwords.listed, visit.signed_in.mailbox_id)
        except Trouble:
            return context.error_page(visit.request, 503, messages.UNAVAILABLE, PATH)
        now = services.runtime.clock.now()
        alive = [self._row(each, visit) for each in found if each.app.lives(now)]
        ended = [self._row(each, visit) for each in found if not each.app.lives(now)]
        secret, visit.session.secret = visit.session.secret, None
        news, visit.session.news = visit.session.news, None
        most = services.runtime.config().auth.app_passwords
        return context.page(
            "app-passwords", visit.request, status, error=error, at=at, called=name, secret=secret, news=news, alive=alive,
            ended=ended[::-1][:ENDED_SHOWN], longest=LONGEST_NAME, is_full=len(alive) >= most,
            address=visit.signed_in.address, path=PATH, token=context.tokens.mint(visit.token, PATH),
            sign_out=context.tokens.mint(visit.token, "sign-out"),
        )  # fmt: skip

    def _row(self, listed: Listed, visit: Visit) -> AppPasswordRow:
        return app_password_row(listed, self._context.tokens.mint(visit.token, f"{REVOKE} {listed.app.number}"))

    async def add(self, request: Request) -> Response:
        fields = await forms.read(request)
        visit = await self._visit(request)
        name, present, scope = (fields.get(field, "") for field in ("name", "present", "scope"))
        try:
            self._context.require_own_form(request, fields, visit.token, PATH)
            if not name.strip() or not present or scope not in SCOPES:
                raise FormRefused(422, pages.FIELDS_MISSING)
            return await self._make(visit, await self._context.confirm(visit, present), name, scope)
        except FormRefused as refused:
            return await self._refused(visit, refused, name)

    async def _make(self, visit: Visit, confirmed: SignedIn, name: str, scope: str) -> Response:
        context, services = self._context, self._context.services
        origin = ActContext(confirmed.actor)
        try:
            adding = partial(
                services.app_passwords.add,
                confirmed.mailbox_id,
                name,
                SCOPES[scope],
                origin,
                confirmed_version=confirmed.credential_version,
            )
            added = await services.runtime.executors.hash_ahead(adding, confirmed.address)
        except (BadInput, Refused) as error:
            raise FormRefused.of(error, at="name") from error
        except Trouble as trouble:
            context.event("web_app_password_failed", visit.request, mailbox=confirmed.address, error=described(trouble))
            raise FormRefused.of(trouble) from trouble
        context.event("app_password_added", visit.request, mailbox=confirmed.address, number=added.fact.seq, scope=scope)
        await services.directory_changed()
        visit.session.secret = Secret(added.name, added.password)
        return redirect(PATH)

    async def revoke(self, request: Request) -> Response:
        fields = await forms.read(request)
        visit = await self._visit(request)
        try:
            return await self._revoke(visit, fields)
        except FormRefused as refused:
            return await self._refused(visit, refused)

    async def _revoke(self, visit: Visit, fields: Mapping[str, str]) -> Response:
        context, services = self._context, self._context.services
        number, signed_in = fields.get("number", ""), visit.signed_in
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise FormRefused(403, pages.FORM_EXPIRED)
        context.require_own_form(visit.request, fields, visit.token, f"{REVOKE} {number}")
        try:
            ended = await services.runtime.executors.io(
                services.app_passwords.revoke, signed_in.mailbox_id, [int(number)], ActContext(signed_in.actor)
            )
        except (BadInput, Refused) as error:
            raise FormRefused(409, error.text) from error
        except Trouble as trouble:
            raise FormRefused.of(trouble) from trouble
        for app in ended:
            context.event("app_password_revoked", visit.request, mailbox=signed_in.address, number=app.number)
            visit.session.news = pages.APP_REVOKED
        await services.directory_changed()
        return redirect(PATH)
