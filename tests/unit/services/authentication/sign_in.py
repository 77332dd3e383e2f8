"""Sign-ins by LOGIN and SCRAM, and the facts of a mailbox that refuse them."""

import base64
import hashlib
import hmac
from datetime import datetime, timedelta

from mic_mail.auth.sasl import Challenge
from mic_mail.clock import HO_CHI_MINH
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.refusals import Refusal, RefusalKind
from mic_mail.services.authentication.sasl_exchange import SaslExchange
from mic_mail.services.authentication.sign_in import SignInService
from unit.services.authentication.conftest import PASSWORD, START, World, peer

SUSPENDED = Draft(FactKind.SUSPENDED, START - timedelta(hours=1), "test", "virus", data={"cause": "c"})
LEFT = Draft(FactKind.LEFT, datetime(2026, 11, 20, tzinfo=HO_CHI_MINH), "test", document="12/QĐ", data={"level": "division"})
RESET = Draft(FactKind.PASSWORD_RESET, START - timedelta(hours=1), "test", document="5/CV")
RECLAIMED = Draft(FactKind.RECLAIMED, START - timedelta(hours=1), "test", document="7/CV")


async def login(world: World, local: str, password: str = PASSWORD, **where: object) -> SignedIn | Refusal:
    await world.access.refresh()
    return await world.access.login(f"{local}@mic.gov.vn", password, peer(**where))  # type: ignore[arg-type]


def kind_of(answer: SignedIn | Refusal | Challenge | None) -> RefusalKind:
    assert isinstance(answer, Refusal), answer
    return answer.kind


async def scram(access: SignInService, user: str, password: str) -> SignedIn | Refusal:
    """A SCRAM-SHA-256 client."""
    dialog = SaslExchange(access, "SCRAM-SHA-256", peer())
    bare = f"n={user},r=clientnonce"
    first = await dialog.step(f"n,,{bare}".encode())
    if not isinstance(first, Challenge):
        return first
    fields = dict(part.split("=", 1) for part in first.data.decode().split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    final = f"c=biws,r={fields['r']}"
    message = f"{bare},{first.data.decode()},{final}".encode()
    signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()
    second = await dialog.step(f"{final},p={proof}".encode())
    if not isinstance(second, Challenge):
        return second
    last = await dialog.step(b"")
    assert not isinstance(last, Challenge)
    return last
