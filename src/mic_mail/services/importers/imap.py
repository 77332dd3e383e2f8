"""An IMAP account as a source: fetched over TLS, folder by folder, in batches that fit in memory.

A message's key is its folder, UIDVALIDITY and UID; its octets are as the server gives them. Nothing changes there:
folders are opened by EXAMINE, bodies fetched by PEEK. While one batch is published the next is fetched. A broken
connection is made again three times; then the run ends, and the next one goes on where it stopped.
"""

import asyncio
import contextlib
import re
import ssl
import tempfile
import threading
from array import array
from collections.abc import Callable, Container, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import IO, Any, TypeVar

from mic_mail.errors import MicMailError, Text, in_ascii
from mic_mail.i18n.os_errors import reason as system_reason
from mic_mail.mime.dates import parse_date
from mic_mail.services.importers.imap_connection import Lost, NotNow, Overlong, Wire, connect
from mic_mail.services.importers.imap_folders import list_folders
from mic_mail.services.importers.imap_responses import fetched, flags, number, sequence
from mic_mail.services.importers.source import (
    CHUNK_OCTETS,
    Chunks,
    FolderClosed,
    Skip,
    Source,
    SourceFailed,
    SourceFolder,
    SourceMessage,
    SourceWrong,
)

T = TypeVar("T")

SECONDS = 120.0
"""Seconds that a server may be silent."""
LISTED_TOGETHER = 1_000
FETCHED_TOGETHER = 100
FETCHED_OCTETS = 4 << 20
"""By the sizes that the server gives; larger messages come in slices of this size."""
MOST_OCTETS = 2 << 30
"""The limit of one message, whatever the server says; large ones are held on our disk."""
_PAUSES = (1.0, 5.0, 15.0)
_LISTED = "(UID FLAGS INTERNALDATE RFC822.SIZE)"
_LATER = ("[UNAVAILABLE]", "[INUSE]", "[LIMIT]", "[SERVERBUG]")
"""The response codes of a refused sign-in that may be tried again (RFC 5530)."""
_LIES_TIMES, _LIES_OCTETS = 2, 16 << 20
"""The excess over its stated size that a message may have."""
_WORD = re.compile(rb"[^ \t]+")


@dataclass(frozen=True, slots=True)
class SourceServer:
    """The server of an account, and how to sign in to it."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    """None: without TLS."""
    user: str
    secret: str
    token: bool = False
    """The secret is an OAuth token."""
    admin: str | None = None
    """The administrator who signs in, in the user's name."""

    def __repr__(self) -> str:
        return f"Server({self.host}:{self.port}, {self.user})"


@dataclass(frozen=True, slots=True)
class _Listed:
    """A message as the server lists it."""

    uid: int
    flags: frozenset[str]
    received_at_us: int | None
    size: int


class ImapSource(Source):
    """One account of an IMAP server."""

    def __init__(
        self,
        server: SourceServer,
        work: Path,
        *,
        seconds: float = SECONDS,
        pauses: Sequence[float] = _PAUSES,
        begun: Callable[["ImapSource"], None] = lambda source: None,
    ) -> None:
        """Sign in.

        `work`: a folder for messages that are too large for memory; `begun`: called before anything is sent to the server,
        for a caller that may close the source from another thread.
        """
        self.identity = f"imap://{server.user}@{server.host.lower()}:{server.port}"
        self._server = server
        self._work = work
        self._seconds = seconds
        self._pauses = pauses
        self._wire: Wire | None = None
        self._examined: str | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="imap-source", daemon=True)
        self._thread.start()
        self._closing = threading.Lock()
        try:
            begun(self)
            self._call(self._first())
        except BaseException:
            self.close()
            raise

    def folders(self) -> Sequence[SourceFolder]:
        return self._call(self._again(list_folders))

    def messages(self, folder: SourceFolder, known: Container[str]) -> Iterator[SourceMessage]:
        """Yield messages in ascending order of UID."""
        name = str(folder.place)
        validity, uids = self._call(self._again(lambda wire: self._uids(wire, name)))
        for start in range(0, len(uids), LISTED_TOGETHER):
            some = uids[start : start + LISTED_TOGETHER]
            listed = self._call(self._again(partial(self._details, name=name, validity=validity, uids=some)))
            wanted: list[_Listed] = []
            for uid in some:
                key, each = _key(folder, validity, uid), listed.get(uid)
                if each is None:
                    yield SourceMessage(key, skip=Skip.GONE, name=f"UID {uid}", generation=validity)
                elif key is not None and key in known:
                    yield SourceMessage(key, None, each.flags, each.received_at_us, generation=validity)
                else:
                    wanted.append(each)
            yield from self._fetched(folder, name, validity, wanted)

    def _fetched(self, folder: SourceFolder, name: str, validity: int, wanted: list[_Listed]) -> Iterator[SourceMessage]:
        """Yield the contents; the next batch is fetched while the caller works on one."""
        batches = _batches(wanted)
        ahead: Future[dict[int, bytes | Chunks]] | None = None
        for place, batch in enumerate(batches):
            coming, ahead = ahead or self._submit(self._contents(name, validity, batch)), None
            try:
                contents = _result(coming)
            except Overlong:  # they are longer than the server said: one by one, in slices
                for each in batch:
                    sliced = self._call(self._sliced(name, validity, each))
                    yield _item(_key(folder, validity, each.uid), validity, each, sliced.get(each.uid))
                continue
            if place + 1 < len(batches) and batches[place + 1][0].size <= FETCHED_OCTETS >= batch[0].size:
                ahead = self._submit(self._contents(name, validity, batches[place + 1]))
            for each in batch:
                yield _item(_key(folder, validity, each.uid), validity, each, contents.get(each.uid))

    def close(self) -> None:
        """Log out if the server still answers; callers that wait meanwhile get `Lost`."""
        if not self._closing.acquire(blocking=False):
            return
        with contextlib.suppress(Exception):
            self._call(self._leave())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # ------------------------------------------------------------ the loop

    def _submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:  # it was closed by another thread
            work.close()
            raise _closed() from error

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return _result(self._submit(work))

    # ------------------------------------------------------------ the connection

    async def _connected(self) -> Wire:
        if self._wire is not None and self._wire.lost is None:
            return self._wire
        server = self._server
        self._examined = None
        try:
            wire = await connect(server.host, server.port, server.tls, self._seconds)
        except ssl.SSLCertVerificationError as error:
            raise _untrusted(server, error) from error
        except ssl.SSLError as error:
            why = error.reason or str(error)
            raise Lost(
                Text(
                    f"{server.host}:{server.port} không hỗ trợ TLS: {why}.",
                    f"{in_ascii(server.host)}: no TLS: {in_ascii(why)}.",
                )
            ) from error
        except UnicodeError as error:
            raise SourceWrong(
                Text(f"“{server.host}” không phải tên máy chủ.", f"{in_ascii(server.host)} is not a server name.")
            ) from error
        except (OSError, TimeoutError) as error:
            reason = system_reason(error) if isinstance(error, OSError) and error.errno else Text("không trả lời", "no answer")
            raise Lost(
                Text(
                    f"Không kết nối được {server.host}:{server.port}: {reason.vi}.",
                    f"Cannot connect to {in_ascii(server.host)}:{server.port}: {reason.en}.",
                )
            ) from error
        try:
            answer = await wire.sign_in(server.user, server.secret, token=server.token, admin=server.admin)
        except ValueError as error:
            wire.transport.abort()
            raise SourceWrong(
                Text("Tên hoặc mật khẩu có ký tự điều khiển.", "The name or the password contains control characters.")
            ) from error
        if not answer.is_ok:
            wire.transport.abort()
            if answer.text.upper().startswith(_LATER):
                raise NotNow(Text("Máy chủ nguồn tạm thời từ chối đăng nhập.", "The source server refuses sign-ins for now."))
            raise SourceWrong(
                Text(
                    f"Máy chủ nguồn từ chối đăng nhập của {server.user}: {answer.text}",
                    f"The source server refuses {in_ascii(server.user)}: {in_ascii(answer.text)}",
                )
            )
        self._wire = wire
        return wire

    async def _first(self) -> None:
        """Sign in; a wrong name is reported immediately, a busy server is tried again."""
        for pause in self._pauses:
            try:
                await self._connected()
            except NotNow:
                await asyncio.sleep(pause)
            else:
                return
        await self._connected()

    async def _again(self, work: Callable[[Wire], Coroutine[Any, Any, T]]) -> T:
        """Run `work`, on a new connection where one breaks."""
        for pause in self._pauses:
            try:
                return await work(await self._connected())
            except Lost:
                await asyncio.sleep(pause)
        return await work(await self._connected())

    async def _leave(self) -> None:
        at_work = asyncio.all_tasks() - {asyncio.current_task()}
        for each in at_work:  # the batch fetched ahead is no longer wanted
            each.cancel()
        await asyncio.gather(*at_work, return_exceptions=True)
        if self._wire is not None and self._wire.lost is None and not at_work:
            await asyncio.wait_for(self._wire.ask("LOGOUT"), 5)
        if self._wire is not None:
            self._wire.transport.abort()
            await asyncio.sleep(0)

    # ------------------------------------------------------------ messages

    async def _examine(self, wire: Wire, name: str) -> int:
        """Open the folder; return its UIDVALIDITY, 0 where the server gives none."""
        self._examined = None  # RFC 9051 §6.3.2: no folder is open where this is refused
        answer = await wire.examine(name)
        if not answer.is_ok:
            raise FolderClosed(
                Text(
                    f"Không mở được thư mục “{name}” của nguồn: {answer.text}",
                    f"The source does not open the folder {in_ascii(name)}: {in_ascii(answer.text)}",
                )
            )
        self._examined = name
        for parts in answer.untagged:
            _, found, rest = parts[0].upper().partition(b"[UIDVALIDITY ")
            if found:
                return number(rest.partition(b"]")[0])
        return 0

    async def _uids(self, wire: Wire, name: str) -> tuple[int, Sequence[int]]:
        validity = await self._examine(wire, name)
        answer = await wire.ask("SEARCH", "ALL", prefix="UID")
        _must_be_ok(answer.is_ok, answer.text)
        found = array("I")  # compact for millions of them
        for parts in answer.untagged:
            if parts[0][2:8].upper() == b"SEARCH":
                found.extend(number(word[0], 0xFFFFFFFF) for word in _WORD.finditer(parts[0], 8))
        answer.untagged.clear()
        found = array("I", sorted(found))
        return validity, array("I", (uid for uid, _ in groupby(found) if uid))

    async def _in_folder(self, wire: Wire, name: str, validity: int) -> None:
        """Open the folder again on a new connection."""
        if self._examined != name and await self._examine(wire, name) != validity:
            raise SourceFailed(
                Text(
                    "UIDVALIDITY của nguồn vừa đổi; đề nghị nhập lại.",
                    "UIDVALIDITY changed at the source; run the import again.",
                )
            )

    async def _details(self, wire: Wire, name: str, validity: int, uids: Sequence[int]) -> dict[int, _Listed]:
        await self._in_folder(wire, name, validity)
        answer = await wire.ask("FETCH", sequence(uids), _LISTED, prefix="UID")
        _must_be_ok(answer.is_ok, answer.text)
        asked = frozenset(uids)
        found: dict[int, _Listed] = {}
        for parts in answer.untagged:
            attributes = fetched(parts)
            if attributes is None or b"RFC822.SIZE" not in attributes or b"UID" not in attributes:
                continue  # another client sets flags there meanwhile
            uid, date = number(attributes[b"UID"]), attributes.get(b"INTERNALDATE")
            if uid not in asked:
                continue
            seconds = parse_date(date) if isinstance(date, bytes) else None
            received = None if seconds is None else seconds * 1_000_000
            found[uid] = _Listed(
                uid, flags(attributes.get(b"FLAGS")), received, number(attributes[b"RFC822.SIZE"], MOST_OCTETS)
            )
        return found

    async def _contents(self, name: str, validity: int, batch: Sequence[_Listed]) -> dict[int, bytes | Chunks]:
        if len(batch) == 1 and batch[0].size > FETCHED_OCTETS:
            return await self._sliced(name, validity, batch[0])
        return await self._again(lambda wire: self._small(wire, name, validity, batch))

    async def _sliced(self, name: str, validity: int, each: _Listed) -> dict[int, bytes | Chunks]:
        try:
            return await self._again(lambda wire: self._large(wire, name, validity, each))
        except OSError as error:
            why = system_reason(error)
            raise SourceFailed(
                Text(f"Không lưu tạm được thư lớn: {why.vi}.", f"A large message cannot be buffered: {why.en}.")
            ) from error

    async def _small(self, wire: Wire, name: str, validity: int, batch: Sequence[_Listed]) -> dict[int, bytes | Chunks]:
        await self._in_folder(wire, name, validity)
        uids, most = sequence([each.uid for each in batch]), _most(sum(each.size for each in batch))
        answer = await wire.ask("FETCH", uids, "(UID BODY.PEEK[])", prefix="UID", most=most)
        _must_be_ok(answer.is_ok, answer.text)
        found: dict[int, bytes | Chunks] = {}
        for parts in answer.untagged:
            attributes = fetched(parts)
            content = attributes.get(b"BODY[]") if attributes is not None else None
            if attributes is not None and isinstance(content, bytes):
                found[number(attributes.get(b"UID"))] = content
        return found

    async def _large(self, wire: Wire, name: str, validity: int, each: _Listed) -> dict[int, bytes | Chunks]:
        await self._in_folder(wire, name, validity)
        self._work.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=self._work)  # noqa: SIM115 - closed with its reader, at the latest at the end
        at = 0
        while True:
            wanted = f"(UID BODY.PEEK[]<{at}.{FETCHED_OCTETS}>)"
            answer = await wire.ask("FETCH", str(each.uid), wanted, prefix="UID", most=_most(FETCHED_OCTETS))
            _must_be_ok(answer.is_ok, answer.text)
            part = _slice(answer.untagged, each.uid)
            file.write(part)
            at += len(part)
            if len(part) < FETCHED_OCTETS:
                break
            if at > _most(each.size):
                raise SourceFailed(
                    Text("Máy chủ nguồn gửi một thư không có điểm kết thúc.", "The source server sends an endless message.")
                )
        return {each.uid: _reader(file)} if at else {}


def _result(future: "Future[T]") -> T:
    try:
        return future.result()
    except CancelledError as error:
        raise _closed() from error


def _closed() -> Lost:
    return Lost(Text("Đã dừng.", "Stopped."))


def _most(stated: int) -> int:
    """Return the octets that a server may send where it stated `stated`."""
    return _LIES_TIMES * stated + _LIES_OCTETS


def _slice(untagged: Sequence[Sequence[bytes]], uid: int) -> bytes:
    for parts in untagged:
        attributes = fetched(parts)
        if attributes is not None and number(attributes.get(b"UID")) == uid:
            for attribute, value in attributes.items():
                if attribute.startswith(b"BODY[]<") and isinstance(value, bytes):
                    return value
    return b""


def _reader(file: IO[bytes]) -> Chunks:
    def parts() -> Iterator[bytes]:
        file.seek(0)
        while part := file.read(CHUNK_OCTETS):
            yield part

    return parts


def _key(folder: SourceFolder, validity: int, uid: int) -> str | None:
    """Return the message's key; None where UIDs do not last from one session to the next."""
    return f"{folder.name}\0{validity}\0{uid}" if validity else None


def _item(key: str | None, validity: int, each: _Listed, content: bytes | Chunks | None) -> SourceMessage:
    if content is None:
        return SourceMessage(key, skip=Skip.GONE, name=f"UID {each.uid}", generation=validity)
    return SourceMessage(key, content, each.flags, each.received_at_us, generation=validity)


def _batches(wanted: Sequence[_Listed]) -> list[list[_Listed]]:
    """Group messages into batches; a large one is alone."""
    found: list[list[_Listed]] = []
    octets = 0
    for each in wanted:
        if not found or octets + each.size > FETCHED_OCTETS or len(found[-1]) >= FETCHED_TOGETHER:
            found.append([])
            octets = 0
        found[-1].append(each)
        octets += each.size
    return found


def _must_be_ok(is_ok: bool, text: str) -> None:
    if not is_ok:
        raise SourceFailed(Text(f"Máy chủ nguồn từ chối: {text}", f"The source server refuses: {in_ascii(text)}"))


def _untrusted(server: SourceServer, error: ssl.SSLCertVerificationError) -> MicMailError:
    return SourceWrong(
        Text(
            f"Chứng thư số của {server.host} không được tin cậy: {error.verify_message}.",
            f"The certificate of {in_ascii(server.host)} is not trusted: {in_ascii(error.verify_message)}.",
        ),
        remedy=Text(
            "Nêu chứng thư số gốc của hệ thống cũ: --ca TỆP.", "Name the root certificate of the old system: --ca FILE."
        ),
    )
