"""The check of right passwords that others know: leaked, or tried at many mailboxes (Reg. 7.2.c).

By `auth.leaked_action` an event alone follows (`sign_in_anomalies` sends the notices), a fact that the password has to be
changed, or a suspension, in force before the sign-in is answered. The list is searched once for each verified password;
a SCRAM proof reveals no password and is not checked. Wrong passwords are sent to the other processes, of all servers that
have the same mailboxes, as marks under a key of theirs. Never stores a password or a mark.
"""

import hashlib
import hmac
import json
from collections.abc import Callable
from functools import partial
from typing import Final

from mic_mail.auth.breached_passwords import BadList, is_leaked
from mic_mail.auth.password_hash import VerifiedCache
from mic_mail.auth.password_spray import SprayCounter
from mic_mail.directory.records import Superseded
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import MicMailError, Text, Trouble
from mic_mail.log.error_fields import described
from mic_mail.policy.credentials.verifiers import Credential
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.process.runtime import Runtime
from mic_mail.services.abuse.auto_suspend import AutoSuspend
from mic_mail.services.notifications.lifecycle_notices import SERVER

LEAKED: Final = "leaked"
SPRAYED: Final = "sprayed"
WHY: Final = {LEAKED: "mật khẩu có trong danh sách bị lộ", SPRAYED: "mật khẩu đang bị dò trên nhiều hộp thư"}
TRIGGERS: Final = {LEAKED: "leaked-password", SPRAYED: "sprayed-password"}
_WORD: Final = "spray"
_MARK_OCTETS: Final = 16


class NotRecorded(Trouble):
    """The consequence of a known password could not be recorded: sign-in by it is refused meanwhile."""

    def __init__(self) -> None:
        super().__init__(
            Text(
                "Chưa ghi nhận được biện pháp xử lý mật khẩu bị lộ.",
                "The action for the breached password could not be recorded.",
            )
        )


class BreachedPasswordCheck:
    """The check of one process."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        key: bytes,
        directory: Directory,
        suspending: AutoSuspend,
        changed: Callable[[], object],
        tell: Callable[[bytes], None],
    ) -> None:
        """`key` is the same in all processes that broadcast to each other.

        `changed` hints to them that the directory has changed; `tell` sends to their `on_message`.
        """
        self._runtime = runtime
        self._key = hmac.digest(key, b"exposure", "sha256")
        self._directory = directory
        self._suspending = suspending
        self._changed = changed
        self._tell = tell
        self._sprays = SprayCounter()
        self._clean = VerifiedCache(self._key)
        self._is_logged = False

    def apply_reload(self) -> None:
        """Check every password once more, as the list may be another one."""
        self._clean = VerifiedCache(self._key)

    # ------------------------------------------------------------ wrong passwords

    def wrong(self, address: str, password: str) -> None:
        """Record a wrong password here and in the other processes."""
        mark, where = self._mark(password), self._mark(address)
        self._sprays.wrong(mark, where, self._runtime.clock.monotonic())
        self._tell(json.dumps([_WORD, where.hex(), "", mark.hex()]).encode())

    def on_message(self, message: bytes) -> None:
        """Record another process's message; an invalid one is ignored."""
        try:
            what, where, _, mark = map(str, json.loads(message))
            if what == _WORD:
                self._sprays.wrong(bytes.fromhex(mark), bytes.fromhex(where), self._runtime.clock.monotonic())
        except (ValueError, TypeError):
            return

    def _mark(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256)[:_MARK_OCTETS]

    # ------------------------------------------------------------ right passwords

    async def check(self, entry: Entry, credential: Credential, password: str) -> bool:
        """Act on a right password that others know; return whether the mailbox's decision may have changed."""
        how = self._tried_elsewhere(entry, password) or await self._leaked(entry, credential.version, password)
        return how is not None and await self._act(entry, how)

    def _tried_elsewhere(self, entry: Entry, password: str) -> str | None:
        if self._sprays.is_empty:
            return None
        anomaly, now = self._runtime.config().anomaly, self._runtime.clock.monotonic()
        count = self._sprays.count(self._mark(password), self._mark(entry.address), now, anomaly.window)
        return SPRAYED if count >= anomaly.sprayed else None

    async def _leaked(self, entry: Entry, version: int, password: str) -> str | None:
        auth, clean = self._runtime.config().auth, self._clean  # a reload meanwhile replaces both
        if auth.leaked_passwords is None:
            return None
        digest, now = clean.digest(entry.address, version, password), self._runtime.clock.monotonic()
        if clean.holds(digest, now):
            return None
        try:
            found = await self._runtime.executors.io(is_leaked, auth.leaked_passwords, password)
            self._is_logged = False
        except BadList as error:  # a missing list refuses nobody; it is logged once
            if not self._is_logged:
                self._runtime.log.event("leaked_passwords_unreadable", error=described(error))
            self._is_logged = True
            return None
        except MicMailError:  # the executor is full: next time
            return None
        if found and auth.leaked_action != "tell":
            return LEAKED
        clean.add(digest, now + auth.cache_seconds)
        return LEAKED if found else None

    async def _act(self, entry: Entry, how: str) -> bool:
        action = self._runtime.config().auth.leaked_action
        self._runtime.log.event(
            "password_exposed", mailbox=entry.address, clause="7.2.c", detail=how, action=action, seq=entry.last_seq
        )
        if action == "suspend":
            if not await self._suspending.suspend(entry.mailbox_id, TRIGGERS[how], WHY[how]):
                raise NotRecorded
        elif action == "change":
            await self._demand(entry, how)
        return action != "tell"

    async def _demand(self, entry: Entry, how: str) -> None:
        """Record that the password has to be changed; if another fact comes between, the next sign-in does."""
        fact = Draft(
            FactKind.PASSWORD_EXPOSED, self._runtime.clock.steady_now(), SERVER, WHY[how], None, {"trigger": TRIGGERS[how]}
        )
        try:
            await self._runtime.executors.io(partial(self._directory.append_fact, entry.mailbox_id, fact, after=entry.last_seq))
            await self._runtime.executors.io(self._changed)
        except Superseded:
            return
        except MicMailError as error:
            self._runtime.log.event("password_change_not_demanded", mailbox=entry.address, error=described(error))
            raise NotRecorded from error
