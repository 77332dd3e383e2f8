"""Sign-in: identify the client and decide whether its mailbox may be used through this listener now.

In: the credentials (a SASL exchange or a user name and password) and the client (`identity.Peer`). Out: `SignedIn` or a
`Refusal` (`refusals`), logged. All listeners use it; the password page by way of `web_sign_in`. Rules:

- The state of a mailbox is disclosed only after the right password.
- An unknown user costs the same time and gets the same answer as a wrong password.
- No password travels in cleartext unless `auth.cleartext` allows it.
- Nothing here waits for a database: the snapshot answers; only a refusal first checks for a newer one.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Protocol

from mic_mail.auth import sasl
from mic_mail.auth.password_hash import Decoys
from mic_mail.auth.shared_throttle import SharedThrottle
from mic_mail.auth.throttle import ThrottleSettings, network
from mic_mail.auth.verifier import AppPasswordMatch, HashExecutors, PasswordAttempt, PasswordVerifier, VerifyResult, Wait
from mic_mail.config.model import Config
from mic_mail.directory.app_passwords import LastUse
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import AliasEntry, Entry, Snapshot
from mic_mail.errors import Trouble
from mic_mail.policy.credentials.verifiers import Credential, ScramKeys
from mic_mail.policy.lifecycle import Decision, FactsUnreadable, MailboxState
from mic_mail.policy.naming.addresses import candidates
from mic_mail.process.runtime import Runtime
from mic_mail.services.authentication.identity import Answered, Peer, SignedIn
from mic_mail.services.authentication.live_directory import LiveDirectory
from mic_mail.services.authentication.refusals import MAY_BE_STALE, Refusal, RefusalKind, Refusals
from mic_mail.services.authentication.second_factors import asked_factor
from mic_mail.services.authentication.sign_in_log import SignInLog
from mic_mail.services.mailboxes.credentials import hashing
from mic_mail.storage.types import AccountRef

MAX_USER_OCTETS = 320  # RFC 5321 §4.5.3.1: 64 + 1 + 255
_OF_THE_BOOK = frozenset({"ldap", "ldaps", "carddav"})
"""Listeners without mail: a phone that looks up names does not use the mailbox (Reg. 7.2.a)."""


class BreachChecker(Protocol):
    """The part of `abuse.breached_password_check` that is needed here."""

    def apply_reload(self) -> None: ...
    def on_message(self, message: bytes) -> None: ...
    def wrong(self, address: str, password: str) -> None: ...
    async def check(self, entry: Entry, credential: Credential, password: str) -> bool: ...


Admit = Callable[[Entry, Credential, str], Answered]
"""Decide on a client that has shown the mailbox's own password, to act under this address."""
Judge = Callable[[Decision, str], Refusal | None]
"""Return why the mailbox's state refuses a client that has shown its password; None: it does not."""
CLOCK = "clock"
"""The log's detail where the clock does not allow an answer."""


class SignInService(LiveDirectory):
    """The sign-in of one process; hashing and reading run in executors."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        directory: Directory,
        snapshot: Snapshot,
        decoy_key: bytes,
        digest_key: bytes,
        log_key: bytes,
        tell: Callable[[bytes], None],
    ) -> None:
        """`digest_key` marks passwords in memory and is the same in all processes of all servers that have these mailboxes.

        `log_key` is that of the log's marks (`sign_in_log`). `tell` sends to the `on_message` of the other processes.
        """
        super().__init__(runtime, directory, snapshot)
        self._decoy_key = decoy_key
        self._log_key = log_key
        self._throttle = SharedThrottle(tell)
        self.verifier = PasswordVerifier(
            digest_key,
            throttle=self._throttle,
            decoys=self._decoys(runtime.config()),
            cache_seconds=runtime.config().auth.cache_seconds,
            executors=HashExecutors(known=runtime.executors.hash_ahead, others=runtime.executors.hash),
            monotonic=runtime.clock.monotonic,
        )
        self.exposure: BreachChecker | None = None
        """The check for breached passwords; None: there is none."""
        self.apply_reload()

    def apply_reload(self) -> None:
        """Apply the configuration, at the start and at a reload, and let every open session be checked again.

        Counted wrong passwords stay counted, and right ones known, unless the new settings forget them sooner.
        """
        config = self._runtime.config()
        auth = config.auth
        self.refusals = Refusals(config, self._runtime.clock)
        self.signins = SignInLog(self._runtime.log, lambda: self._snapshot, key=self._log_key)
        if self.exposure is not None:
            self.exposure.apply_reload()
        self._throttle.configure(
            ThrottleSettings(
                per_pair=auth.failures_per_mailbox,
                per_mailbox=5 * auth.failures_per_mailbox,
                per_network=auth.failures_per_network,
                window_seconds=auth.failure_window,
                stale_seconds=max(auth.failure_window, config.anomaly.window),  # a repeated failure is no anomaly (0072)
            )
        )
        self.verifier.configure(decoys=self._decoys(config), cache_seconds=auth.cache_seconds)
        super().apply_reload()

    def _decoys(self, config: Config) -> Decoys:
        return Decoys(self._decoy_key, hashing(config), lambda: self._snapshot.costs)

    def on_message(self, message: bytes) -> None:
        """Apply another process's message on the passwords that were tried there."""
        self.verifier.on_message(message)
        if self.exposure is not None:
            self.exposure.on_message(message)

    def known_networks(self) -> list[tuple[str, str, float]]:
        """Return the networks from which mailboxes signed in: mailbox, network, seconds ago."""
        return self._throttle.known(self._runtime.clock.monotonic())

    def is_home(self, address: str) -> bool:
        """Return whether people have signed in from the network of an address."""
        return self._throttle.is_home(address)

    def remember(self, known: Iterable[tuple[str, str, float]]) -> None:
        """Restore the networks that were known before a restart."""
        now = self._runtime.clock.monotonic()
        for mailbox, net, ago in known:
            self._throttle.remember(mailbox, net, now - ago)

    def recheck(self, signed_in: SignedIn, peer: Peer) -> Answered:
        """Return whether an open session may go on, and with which decision.

        By the steady time: the session was admitted before the clock was set, and is not cut by a step that is not
        believed.
        """
        now = self._runtime.clock.steady_now()
        found = self.find_again(signed_in)
        if isinstance(found, Refusal):
            return self.signins.cut(found, signed_in, peer)
        answer = self._admit(*found, signed_in.actor, now, door=peer.protocol, app=signed_in.app_password)
        if isinstance(answer, Refusal):
            return self.signins.cut(answer, signed_in, peer)
        self._watches.renew(signed_in.mailbox_id, self._validity(found[0], answer.decision, now))
        return answer

    def recheck_shared(self, signed_in: SignedIn, mailbox_id: int, peer: Peer) -> str | Refusal:
        """Return the rights of an open session in another mailbox, or why it may no longer read it."""
        self.sharing.renew(signed_in.mailbox_id, mailbox_id)
        holding = self.sharing.holding(signed_in.mailbox_id, mailbox_id)
        if "r" in holding.rights:
            return holding.rights
        entry = self._snapshot.entries[mailbox_id]
        try:
            decision = self.decide(mailbox_id)
        except FactsUnreadable as trouble:
            return self.signins.cut(self.refusals.unavailable(str(trouble)), signed_in, peer)
        # A person who is still named is refused by the state of the mailbox: the refusal names the state, not the naming.
        state = self.refusals.of_shared(decision, entry.address) if holding.grants and decision is not None else None
        return self.signins.cut(state or self.refusals.grant_ended(entry.address), signed_in, peer)

    def check_send(self, signed_in: SignedIn, peer: Peer) -> Refusal | None:
        """Return why this session may not send now (Reg. 4.3, 6.4.c), or None.

        Submission asks at MAIL and at the end of the message. A state is named before a changed password: a restore, a
        reset and a new password end the session in any case.
        """
        try:
            decision = self.decide(signed_in.mailbox_id)
        except FactsUnreadable as trouble:
            return self.refusals.unavailable(str(trouble))
        if decision is not None and not decision.sends:
            address = signed_in.address
            refusal = self.refusals.of_state(decision, address) or self.refusals.of_sending(decision, address)
        else:
            found = self.find_again(signed_in)
            if isinstance(found, Refusal):
                refusal = found
            elif self._needs_app(found[0], signed_in.app_password):
                refusal = self.refusals.app_password_needed()
            else:
                return None
        self.signins.refused("sending_refused", refusal, signed_in.address, peer)
        return refusal

    def check_send_as(self, signed_in: SignedIn, address: str, separator: str) -> Refusal | None:
        """Return the state that forbids writing as `address`, where nothing else does (Reg. 12.3)."""
        found = (self._snapshot.resolve(known) for known in candidates(address, separator))
        entry = next(filter(None, found), None)
        if entry is None or not self.sharing.holding(signed_in.mailbox_id, entry.mailbox_id).grants:
            return None
        decision = self.decide(entry.mailbox_id)
        if decision is None or not decision.states & {MailboxState.SUSPENDED, MailboxState.SEND_LOCKED}:
            return None
        return self.refusals.of_state(decision, entry.address) or self.refusals.of_sending(decision, entry.address)

    def mechanisms(self, peer: Peer) -> tuple[str, ...]:
        """Return the SASL mechanisms to announce here, strongest first; empty where TLS has to come first."""
        plus, cleartext = bool(self._bindings(peer)), self._runtime.config().auth.cleartext
        # GNU SASL clients bind by tls-exporter in TLS 1.3, which no library offers, and try nothing else (decision 0012).
        scram = peer.tls is None or peer.tls.version != "TLSv1.3" or self._runtime.config().auth.scram_in_tls13
        return sasl.offered(tls=peer.tls is not None, plus=plus, cleartext=cleartext, scram=scram)

    def _bindings(self, peer: Peer) -> sasl.Bindings:
        if peer.tls is None or not self._runtime.config().auth.channel_binding:
            return sasl.NO_BINDING
        return peer.tls.bindings

    def mechanism(self, name: str, peer: Peer) -> sasl.Exchange | None:
        """Begin a SASL mechanism; None for one that is not offered here."""
        if name.upper() not in self.mechanisms(peer):
            return None
        return sasl.begin(name, bindings=self._bindings(peer), nonce=lambda: secrets.token_urlsafe(18))

    def bad_mechanism(self, peer: Peer) -> Refusal:
        """Refuse a mechanism that is not offered, or not before TLS."""
        return self.refusals.bad_mechanism() if self.mechanisms(peer) else self.refusals.tls_required()

    async def login(self, user: str, password: str, peer: Peer, mechanism: str = "password") -> Answered:
        """Sign in with a plain user name and password (IMAP LOGIN, POP3 PASS, web)."""
        if peer.tls is None and not self._runtime.config().auth.cleartext:
            return self.signins.answered(self.refusals.tls_required(), self.address_of(user), peer, mechanism)
        return await self.claim(sasl.CheckPassword(user, password), peer, mechanism)

    async def claim(self, claim: sasl.CheckPassword, peer: Peer, mechanism: str) -> Answered:
        """Check a claimed password and log the answer."""
        return self.signins.answered(await self.answer(claim, peer), self.address_of(claim.user), peer, mechanism)

    async def answer(self, claim: sasl.CheckPassword, peer: Peer, *, own: Admit | None = None) -> Answered:
        """Check a password, the caller logs; with `own` only the mailbox's own, and `own` decides."""
        seen = self._snapshot
        answer = await self._attempt(claim, peer, own)
        # A reset or restore a second ago must not cause a refusal: the snapshot follows within 2 s.
        if isinstance(answer, Refusal) and answer.kind in MAY_BE_STALE and await self._newer_than(seen):
            anew = await self._attempt(claim, peer, own)
            # The same password checked again is no second failure: the first refusal is the one that is logged.
            is_wrong = isinstance(anew, Refusal) and anew.kind is answer.kind is RefusalKind.WRONG_CREDENTIALS
            answer = answer if is_wrong else anew
        return answer

    async def _attempt(self, claim: sasl.CheckPassword, peer: Peer, own: Admit | None) -> Answered:
        snapshot = self._snapshot
        address = self.address_of(claim.user)
        if claim.authorize_as and self.address_of(claim.authorize_as) != address:
            return self.refusals.wrong_credentials("authorization-identity")
        found = self._find(address)
        others = () if own is not None or found is None else self._apps.active(found[0])
        try:
            attempt = PasswordAttempt(address, found[1] if found else None, claim.password, others)
            outcome = await self.verifier.check(attempt, peer.address)
        except Trouble as trouble:
            return self.refusals.unavailable(str(trouble))
        if isinstance(outcome, Wait):
            return self.refusals.waiting(outcome)
        if isinstance(outcome, AppPasswordMatch):
            return self._by_app(address, outcome.number, peer)
        if outcome is not VerifyResult.RIGHT or found is None:
            again = "-again" if outcome is VerifyResult.WRONG_AGAIN else ""
            if self.exposure is not None and not again:
                self.exposure.wrong(address, claim.password)
            return self.refusals.wrong_credentials(f"{'password' if found else 'user'}{again}")
        try:
            await self._look_whether_others_have_it(*found, claim.password)
        except Trouble as trouble:
            return self.refusals.unavailable(str(trouble))
        # Others may have recorded something while this waited for its hash.
        current = found if self._snapshot is snapshot else self._find(address)
        if current is None or current[1].version != found[1].version:
            return self.refusals.wrong_credentials("credential-changed")
        admit = own or partial(self._admit, door=peer.protocol)
        return admit(*current, address)

    def _by_app(self, address: str, number: int, peer: Peer) -> Answered:
        """Admit a client with a right app password, if that is still active after the hash was computed."""
        current = self._find(address)
        if current is None or not self._apps.is_active(current[0], number):
            return self.refusals.wrong_credentials("credential-changed")
        return self._admit(*current, address, door=peer.protocol, app=number, network=network(peer.address))

    async def _look_whether_others_have_it(self, entry: Entry, credential: Credential, password: str) -> None:
        """Check for a breached password; `Trouble` where the consequences could not be recorded."""
        if self.exposure is not None and self._is_in_use(entry) and await self.exposure.check(entry, credential, password):
            await self._newer_than(self._snapshot)

    def _is_in_use(self, entry: Entry) -> bool:
        """Return whether the mailbox may be used with its present password, so that a breach of that matters."""
        try:
            return self.decisions.of(entry).signs_in
        except FactsUnreadable:
            return False

    async def _newer_than(self, seen: Snapshot) -> bool:
        with contextlib.suppress(Trouble):
            await self.refresh()
        return self._snapshot is not seen

    def address_of(self, user: str) -> str:
        """Return a user name as an address: prepared (SASLprep), in lower case, with the server's domain."""
        name = (sasl.saslprep(user) or "").strip().lower()
        if not name or len(name.encode()) > MAX_USER_OCTETS:
            return ""
        address = name if "@" in name else f"{name}@{self._runtime.config().server.domain}"
        entry = self._of_own(address)
        return entry.address if entry is not None else address

    def _of_own(self, address: str) -> Entry | None:
        """Return the mailbox whose own address this is or was lately: mail programs keep the old one."""
        found = self._snapshot.find(address)
        if isinstance(found, AliasEntry):
            return self._snapshot.entry(found.mailbox_id) if found.was_own else None
        return found

    def _find(self, address: str) -> tuple[Entry, Credential] | None:
        """Return the mailbox that signs in by its own address (Reg. 2.3), and its verifiers."""
        entry = self._of_own(address)
        return (entry, entry.credential) if isinstance(entry, Entry) and entry.credential is not None else None

    def find_again(self, signed_in: SignedIn) -> tuple[Entry, Credential] | Refusal:
        """Return the mailbox of an open session and its verifiers; a Refusal if its credential is void.

        Where an app password ended with the state of the mailbox, the refusal names the state.
        """
        found = self._find(signed_in.address)
        if found is None or (signed_in.app_password is None and found[1].version != signed_in.credential_version):
            return self.refusals.password_changed()
        now = self._runtime.clock.steady_now()
        if signed_in.app_password is None or self._apps.is_active(found[0], signed_in.app_password, now):
            return found
        with contextlib.suppress(FactsUnreadable):
            if refusal := self.refusals.of_state(self.decisions.of(found[0], now), signed_in.address):
                return refusal
        return self.refusals.app_password_ended()

    # ------------------------------------------------------------ SCRAM, on behalf of `SaslExchange`

    async def scram_keys(self, user: str, peer: Peer) -> tuple[ScramKeys, tuple[ScramKeys, ...]] | Refusal:
        """Return the SCRAM keys of `user`, or decoys that look the same.

        Beside them the keys of the app passwords with the same salt and iterations.
        """
        address = self.address_of(user)
        try:
            wait = await self.verifier.may_try(address, peer.address)
        except Trouble as trouble:
            return self.refusals.unavailable(str(trouble))
        if wait is not None:
            return self.refusals.waiting(wait)
        found = self._find(address)
        apps = self._apps.active(found[0]) if found else ()
        keys = (found[1].scram if found else None) or (apps[0].scram if apps else self.verifier.decoy_keys(address))
        alike = (each.scram for each in apps if (each.scram.salt, each.scram.iterations) == (keys.salt, keys.iterations))
        return keys, tuple(alike)

    def scram_failed(self, failed: sasl.Failed, peer: Peer) -> Refusal:
        """Return the refusal for a failed exchange; a wrong proof counts as a wrong password."""
        if failed.failure is sasl.Failure.WRONG_PROOF:
            self.verifier.proof_was_wrong(self.address_of(failed.user), peer.address)
        return self.refusals.failed_exchange(failed.failure)

    async def scram_proved(self, done: sasl.Done, peer: Peer) -> Answered:
        """Admit a client that proved the password of the stored key in `done`."""
        seen = self._snapshot
        answer = self._proved(done, peer)
        if isinstance(answer, Refusal) and answer.kind in MAY_BE_STALE and await self._newer_than(seen):
            answer = self._proved(done, peer)
        return answer

    def _proved(self, done: sasl.Done, peer: Peer) -> Answered:
        address = self.address_of(done.user)
        found = self._find(address)
        scram = found[1].scram if found else None
        is_own = scram is not None and scram.stored_key == done.stored_key
        apps = self._apps.active(found[0]) if found else ()
        app = next((each.number for each in apps if each.scram.stored_key == done.stored_key), None)
        # The password may have been changed during the exchange: then the proof is void.
        if found is None or not (is_own or app):
            return self.refusals.wrong_credentials("credential-changed")
        if done.authorize_as and self.address_of(done.authorize_as) != address:
            return self.refusals.wrong_credentials("authorization-identity")
        self.verifier.proof_was_right(address, peer.address, by_app=not is_own)
        if is_own:
            return self._admit(*found, address, door=peer.protocol)
        return self._admit(*found, address, door=peer.protocol, app=app, network=network(peer.address))

    def _admit(
        self,
        entry: Entry,
        credential: Credential,
        actor: str,
        now: datetime | None = None,
        *,
        door: str,
        app: int | None = None,
        network: str | None = None,
    ) -> Answered:
        """Admit a client after the right password, or refuse it by the mailbox's state.

        `app`: the number of the app password that was used; `network`: the client's, at a sign-in.
        """
        decision = self.judged(entry, self.refusals.of_state, now)
        if isinstance(decision, Refusal):
            return decision
        if self._needs_app(entry, app):
            return self.refusals.app_password_needed()
        if app is not None and not self._apps.is_surely_active(entry, app):
            return self.refusals.unavailable(CLOCK)
        if app is not None and not self._apps.opens(entry, app, door):
            return self.refusals.app_password_elsewhere()
        if app is not None and network is not None:
            self._uses.used_app(entry.mailbox_id, app, LastUse(self._runtime.clock.now(), door, network))
        if door not in _OF_THE_BOOK:
            self.used(entry.mailbox_id)
        account = AccountRef.of(entry)
        return SignedIn(entry.mailbox_id, entry.address, account, decision, actor, credential.version, app)

    def judged(self, entry: Entry, judge: Judge, now: datetime | None = None) -> Decision | Refusal:
        """Return the decision on a mailbox, or why `judge` refuses; by the instant `now` alone, if given.

        A clock that was just set admits and refuses nobody: while the time is uncertain and the answer depends on it, the
        client is asked to come again (docs/decisions/0094).
        """
        try:
            decisions = [self.decisions.of(entry, at) for at in ((now,) if now is not None else self._runtime.clock.readings())]
        except FactsUnreadable as trouble:
            return self.refusals.unavailable(str(trouble))
        refusals = [judge(decision, entry.address) for decision in decisions]
        if len({refusal and refusal.kind for refusal in refusals}) > 1:
            return self.refusals.unavailable(CLOCK)
        return refusals[-1] or decisions[-1]

    def _needs_app(self, entry: Entry, app: int | None) -> bool:
        auth = self._runtime.config().auth
        return app is None and auth.app_passwords_only and asked_factor(auth, entry.facts) is not None
