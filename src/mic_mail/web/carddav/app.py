"""The address book over HTTP: the resources, their access control, and the methods on them.

In: requests that `middleware` let through. Out: answers. Everything is read-only: a method that would write gets 403.
Answers that hold many cards are made in an executor, and the requests for them are parsed there.

    /.well-known/carddav          -> /dav/ (RFC 6764 §5)
    /dav/                         who am I
    /dav/principals/ADDRESS/      the own principal: where the address books are; those of others do not exist
    /dav/addressbooks/            the home of all address books
    /dav/addressbooks/ministry/   everybody
    /dav/addressbooks/unit/       the own unit
    .../person-17.vcf             a card
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote, urlsplit
from weakref import WeakValueDictionary

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from mic_mail.addressbook.vcard import Version, vcard
from mic_mail.errors import Text, Trouble
from mic_mail.process.runtime import Runtime
from mic_mail.services.authentication.identity import Peer, SignedIn
from mic_mail.services.authentication.refusals import RefusalKind
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.mailboxes.address_book import AddressBookCache
from mic_mail.web.carddav import properties, queries
from mic_mail.web.carddav.basic_auth import Callers
from mic_mail.web.carddav.collection import AddressBookCollection, Collection
from mic_mail.web.carddav.properties import HOME, PRINCIPALS, ROOT, Properties, principal_path
from mic_mail.web.carddav.requests import (
    PROPFIND_OCTETS,
    AddressQuery,
    Multiget,
    RequestedProperties,
    Sync,
    propfind,
    report,
)
from mic_mail.web.carddav.xml import BODY_OCTETS, DAV, BadXml, Name, PreconditionFailed
from mic_mail.web.http import caller_of, peer_of
from mic_mail.web.request_body import BodyRefused, ResponseReady, Sliced, read_body

READS = ("OPTIONS", "GET", "HEAD", "PROPFIND", "REPORT")
WRITES = ("PUT", "DELETE", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "POST", "PATCH", "ACL", "MKCALENDAR")
METHODS = READS + WRITES
CLASSES = "1, 3, addressbook"
XML = "application/xml; charset=utf-8"
REALM = 'Basic realm="Danh ba", charset="UTF-8"'
BOOKS = ("ministry", "unit")
STATUS = {
    RefusalKind.WRONG_CREDENTIALS: 401,
    RefusalKind.RECLAIMED: 401,
    RefusalKind.NOT_HERE: 401,
    RefusalKind.TOO_MANY: 429,
    RefusalKind.UNAVAILABLE: 503,
}
"""HTTP status of a refused sign-in.

A program that gets 401 asks for another password; a refusal that no password can lift is 403.
"""
RETRY_SECONDS = "60"
LONGEST_HREF = 1_000
ANSWER_LETTERS = 64 << 20
"""Characters of the longest answer: all the cards of 40,000 people."""
LONG_ANSWERS = 2
"""Long answers made at the same time.

One of 30,000 people takes a second of a core, and the pages need executors too.
"""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a client that has signed in."""

    request: Request
    address: str
    collection: AddressBookCollection
    body: bytes
    peer: Peer

    def book(self, name: str) -> Collection | None:
        """Return an address book by its name in the path."""
        match name:
            case "ministry":
                return self.collection.whole
            case "unit":
                return self.collection.of_unit(self.address)
            case _:
                return None

    def title(self, name: str) -> str:
        return self.collection.book.ministry.name if name == "ministry" else self.collection.unit_name(self.address)


class AddressBooks:
    """CardDAV in one process; belongs to its loop."""

    def __init__(self, runtime: Runtime, access: SignInService, key: bytes) -> None:
        self._runtime = runtime
        self._access = access
        self._callers = Callers(key, runtime.clock.monotonic)
        self._at_length = asyncio.Semaphore(LONG_ANSWERS)
        self._own: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._unsent: Counter[str] = Counter()
        """Octets of answers that are being sent, by mailbox."""
        self._book: AddressBookCache[AddressBookCollection]
        self._is_open = False

    def configure(self, book: AddressBookCache[AddressBookCollection], *, is_open: bool) -> None:
        """Take the address books of a new configuration, and whether they are served."""
        self._book = book
        self._is_open = is_open

    def routes(self) -> list[Route]:
        """Return the routes, each with every method that a WebDAV client has."""
        methods = list(METHODS)
        return [
            Route("/.well-known/carddav", self.to_start, methods=methods),
            Route("/dav", self.handle, methods=methods),
            Route("/dav/{path:path}", self.handle, methods=methods),
        ]

    async def to_start(self, request: Request) -> Response:
        """Redirect from the well-known path to the root (RFC 6764 §5)."""
        if not self._is_open:
            raise HTTPException(404)
        return RedirectResponse(ROOT, 301)

    async def handle(self, request: Request) -> Response:
        """Return the answer to any request below /dav/."""
        if not self._is_open:
            raise HTTPException(404)
        peer = peer_of(request, "carddav")
        try:
            signed_in = await self._who(request, peer)
            if request.method in WRITES:
                return _condition(403, (DAV, "need-privileges"))
            body = await read_body(request, BODY_OCTETS if request.method == "REPORT" else PROPFIND_OCTETS)
            visit = Visit(request, signed_in.address, await self._book.current(), body, peer)
            return await self._answer(visit)
        except BodyRefused as refused:
            return Response(status_code=refused.status)
        except BadXml:
            return Response("That is no WebDAV.", 400, media_type="text/plain")
        except PreconditionFailed as failed:
            return _condition(403, failed.condition)
        except Trouble as trouble:
            return Response(trouble.text.vi, 503, {"retry-after": RETRY_SECONDS}, media_type="text/plain")

    async def _who(self, request: Request, peer: Peer) -> SignedIn:
        header = request.headers.get("authorization", "")
        answer = await self._callers.find(header, self._access, peer) if header else None
        if isinstance(answer, SignedIn):
            caller_of(request).signed_in()
            return answer
        if answer is None:
            raise ResponseReady(_refused(401, Text("Đề nghị đăng nhập.", "Please sign in.")))
        raise ResponseReady(_refused(STATUS.get(answer.kind, 403), answer.text))

    async def _answer(self, visit: Visit) -> Response:
        parts = [part for part in visit.request.path_params.get("path", "").split("/") if part]
        method = visit.request.method
        if method == "OPTIONS":
            return Response(status_code=200, headers={"dav": CLASSES, "allow": ", ".join(READS)})
        if method == "PROPFIND":
            return await self._propfind(visit, parts)
        if len(parts) not in (2, 3) or parts[0] != "addressbooks" or (collection := visit.book(parts[1])) is None:
            known = _single(visit, parts) is not None
            return Response(status_code=405 if known else 404, headers={"allow": ", ".join(READS)} if known else {})
        if method == "REPORT":
            return await self._report(visit, parts, collection)
        response = _get(visit, parts, collection)
        if response.status_code == 200:
            self._log_access(visit, 1)
        return response

    def _log_access(self, visit: Visit, cards: int) -> None:
        """Log how many cards were sent; never which (Reg. 8.2)."""
        self._runtime.log.event(
            "directory_searched", mailbox=visit.address, searches=1, entries=cards, door="carddav", peer=visit.peer.address,
            session=visit.peer.session_id,
        )  # fmt: skip

    @asynccontextmanager
    async def at_length(self, address: str) -> AsyncIterator[None]:
        """Reserve the making of a long answer: one at a time for each mailbox, LONG_ANSWERS in all.

        A client that asks for a hundred does not make the others wait. A mailbox with more than ANSWER_LETTERS octets of
        unread answers gets 503.
        """
        own = self._own.setdefault(address, asyncio.Lock())
        async with own, self._at_length:
            if self._unsent[address] > ANSWER_LETTERS:
                raise ResponseReady(Response(status_code=503, headers={"retry-after": RETRY_SECONDS}))
            yield

    def _on_its_way(self, address: str, response: Response) -> None:
        """Count an answer's octets until it is sent."""
        if isinstance(response, Sliced):
            octets = len(response.body)
            self._unsent[address] += octets
            response.over = lambda: self._sent(address, octets)

    def _sent(self, address: str, octets: int) -> None:
        self._unsent[address] -= octets
        if not self._unsent[address]:
            del self._unsent[address]

    # ------------------------------------------------------------ PROPFIND

    async def _propfind(self, visit: Visit, parts: list[str]) -> Response:
        depth = visit.request.headers.get("depth", "infinity").strip().lower()
        if depth not in ("0", "1"):
            return _condition(403, (DAV, "propfind-finite-depth"))
        wanted = propfind(visit.body)
        here = _single(visit, parts)
        if here is None:
            return await self._propfind_card(visit, parts, wanted)
        path, own = here
        answers = [properties.found(path, own, wanted)]
        if depth == "1":
            answers += [properties.found(*below, wanted) for below in _below(visit, parts)]
            if len(parts) == 2 and parts[0] == "addressbooks" and (collection := visit.book(parts[1])) is not None:
                async with self.at_length(visit.address):
                    answers += await self._runtime.executors.io(list, _found(visit, path, collection, collection.cards, wanted))
                    response = await self._runtime.executors.io(_multistatus, answers)
                    self._on_its_way(visit.address, response)
                self._log_access(visit, len(collection))
                return response
        return _multistatus(answers)

    async def _propfind_card(self, visit: Visit, parts: list[str], wanted: RequestedProperties) -> Response:
        collection = visit.book(parts[1]) if len(parts) == 3 and parts[0] == "addressbooks" else None
        key = _key(parts[-1]) if parts else ""
        if collection is None or key not in collection.cards:
            return Response(status_code=404)
        self._log_access(visit, 1)
        return _multistatus(_found(visit, f"{HOME}{parts[1]}/", collection, [key], wanted))

    # ------------------------------------------------------------ REPORT

    async def _report(self, visit: Visit, parts: list[str], collection: Collection) -> Response:
        path = f"{HOME}{parts[1]}/"
        if len(parts) == 3 and _key(parts[2]) not in collection.cards:
            return Response(status_code=404)
        async with self.at_length(visit.address):
            response, cards = await self._runtime.executors.io(self._reported, visit, path, collection)
            self._on_its_way(visit.address, response)
        self._log_access(visit, cards)
        return response

    def _reported(self, visit: Visit, path: str, collection: Collection) -> tuple[Response, int]:
        """Return the answer to a report, and how many cards it holds."""
        match report(visit.body):
            case Multiget(wanted, hrefs):
                keys = [_key_of_href(href, path) for href in hrefs]
                there = [key for key in dict.fromkeys(keys) if key in collection.cards]
                answers = list(_found(visit, path, collection, there, wanted))
                gone = [href for href, key in zip(hrefs, keys, strict=True) if key not in collection.cards]
                answers += map(properties.missing, dict.fromkeys(gone))
                return _multistatus(answers), len(there)
            case AddressQuery(wanted, asked_for, most):
                fits = queries.question(asked_for, collection.ministry)
                matching = (key for key, card in collection.cards.items() if fits(card))
                keys = list(matching if most is None else islice(matching, most + 1))
                too_many = most is not None and len(keys) > most
                answers = list(_found(visit, path, collection, keys[:most] if too_many else keys, wanted))
                return _multistatus([*answers, properties.cut_off(path)] if too_many else answers), len(answers)
            case Sync(wanted, token, most):
                changed, gone = collection.since(token)
                if most is not None and len(changed) + len(gone) > most:  # RFC 6578 §3.6: a part of it cannot be sent
                    return _condition(507, (DAV, "number-of-matches-within-limits")), 0
                answers = list(_found(visit, path, collection, changed, wanted))
                answers += [properties.missing(f"{path}{key}.vcf") for key in gone]
                return _multistatus(answers, collection.token), len(changed)


def _single(visit: Visit, parts: list[str]) -> tuple[str, Properties] | None:
    """Return the collection or principal at a path, if there is one that this person may see."""
    address = visit.address
    match parts:
        case []:
            return ROOT, properties.of_root(address)
        case ["principals"]:
            return PRINCIPALS, properties.of_root(address)
        case ["principals", name] if name == address:
            return principal_path(address), properties.of_principal(address)
        case ["addressbooks"]:
            return HOME, properties.of_home(address)
        case ["addressbooks", name] if (collection := visit.book(name)) is not None:
            return f"{HOME}{name}/", properties.of_book(address, visit.title(name), collection)
        case _:
            return None


def _below(visit: Visit, parts: list[str]) -> Iterator[tuple[str, Properties]]:
    """Return the resources in a collection, without cards."""
    inner: list[list[str]] = []
    match parts:
        case []:
            inner = [["principals"], ["addressbooks"]]
        case ["principals"]:
            inner = [["principals", visit.address]]
        case ["addressbooks"]:
            inner = [["addressbooks", name] for name in BOOKS]
    return filter(None, (_single(visit, path) for path in inner))


def _found(visit: Visit, path: str, collection: Collection, keys: Iterable[str], wanted: RequestedProperties) -> Iterator[str]:
    """Return the answers of cards; raise `ResponseReady` (507) where they exceed ANSWER_LETTERS."""
    letters = 0
    for key in keys:
        card = collection.cards[key]
        own = properties.of_card(visit.address, card, collection.etags[key], collection.ministry, wanted)
        answer = properties.found(f"{path}{key}.vcf", own, wanted)
        letters += len(answer)
        if letters > ANSWER_LETTERS:
            raise ResponseReady(_condition(507, (DAV, "number-of-matches-within-limits")))
        yield answer


def _get(visit: Visit, parts: list[str], collection: Collection) -> Response:
    """Return a card as it is; an address book cannot be fetched as a whole."""
    if len(parts) != 3:
        return Response(status_code=405, headers={"allow": ", ".join(READS)})
    card = collection.cards.get(_key(parts[2]))
    if card is None:
        return Response(status_code=404)
    tag = collection.etags[card.key]
    headers = {"etag": tag, "vary": "accept", "content-type": properties.VCARD}
    if _is_among(tag, visit.request.headers.getlist("if-none-match")):
        return Response(status_code=304, headers=headers)
    version = Version.V4 if "version=4.0" in visit.request.headers.get("accept", "").replace('"', "") else Version.V3
    return Response(vcard(card, collection.ministry, version), headers=headers)


def _is_among(tag: str, fields: Iterable[str]) -> bool:
    """Return whether If-None-Match names an entity tag, weakly or not, or any (RFC 9110 §13.1.2)."""
    listed = [one.strip().removeprefix("W/") for field in fields for one in field.split(",")]
    return tag in listed or "*" in listed


def _key(name: str) -> str:
    """Return the key in the last part of a card's path."""
    return name.removesuffix(".vcf") if name.endswith(".vcf") else ""


def _key_of_href(href: str, path: str) -> str:
    """Return the key of a card of this address book; empty for any other href (RFC 6352 §8.7).

    An href that is no URI gives an empty key too: parsing one beyond ASCII can take time quadratic in its length.
    """
    if len(href) > LONGEST_HREF or not href.isascii():
        return ""
    try:
        place = unquote(urlsplit(href).path)
    except ValueError:
        return ""
    return _key(place.removeprefix(path)) if place.startswith(path) else ""


def _multistatus(answers: Iterable[str], token: str | None = None) -> Response:
    return Sliced(properties.multistatus(answers, token), 207, {"dav": CLASSES}, media_type=XML)


def _condition(status: int, condition: Name) -> Response:
    return Response(properties.failed(condition), status, media_type=XML)


def _refused(status: int, text: Text) -> Response:
    headers = {"www-authenticate": REALM} if status == 401 else {"retry-after": RETRY_SECONDS} if status in (429, 503) else {}
    return Response(text.vi, status, headers, media_type="text/plain")
