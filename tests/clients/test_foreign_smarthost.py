"""All mail by one real server: Exim, signed in under TLS, and Postfix, known by its name; and when they do not take us."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mic_mail.queue.recipient_log import AdminDecision
from mic_mail.smtpclient.smarthost import Smarthost
from peers.exim import LOGIN, PASSWORD
from peers.neighbours import Neighbours, neighbours
from unit.services.queue.office import HEAD, Office
from waiting import wait_for


@pytest.fixture(scope="module")
def near() -> Iterator[Neighbours]:
    with neighbours("exim", "postfix", with_us=False) as near:
        yield near


def office(near: Neighbours, folder: Path, name: str, **how: Any) -> Office:
    """One whose mail goes to that server."""
    smarthost = Smarthost(f"mx.{name}.example", near.port, authorities=near.authority.file, **how)
    made = Office(folder, near.names, near.port, smarthost=smarthost, seconds=4.0)
    (made.folder / "message").write_bytes(HEAD + f"Subject: by-{name}-{folder.name}.\r\n\r\nx\r\n".encode())
    return made


async def test_signed_in(near: Neighbours, tmp_path: Path) -> None:
    """With a password that is wrong it waits, and nobody insists; with the right one it goes, whatever the domains."""
    exim, secret = near["exim"], tmp_path / "secret"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    here = office(near, tmp_path, "exim", login=LOGIN, password_file=secret)
    here.put("A", "b@exim.example", "c@other.exim.example")
    async with here.sending() as senders:
        await here.tried("A")
        entry = here.queue.read("A")
        assert entry is not None
        assert entry.state.recipients[0].reason.startswith("4.7.8 535"), entry.state.recipients
        assert "wrong" not in entry.state.recipients[0].reason
        secret.write_text(PASSWORD + "\n")
        entry.retry(AdminDecision("mai"))
        senders.on_message("A")
        await here.until()
    wait_for(lambda: exim.stored_with(f"by-exim-{tmp_path.name}.".encode()))
    (accepted,) = [line for line in exim.log().splitlines() if " <= a@mic.gov.vn " in line]
    assert f"A=plain:{LOGIN}" in accepted


async def test_known_by_its_name(near: Neighbours, tmp_path: Path) -> None:
    """Postfix, without a sign-in; not by a name that its certificate has not, and not where it has ended."""
    postfix = near["postfix"]
    here = office(near, tmp_path, "postfix")
    here.put("A", "b@postfix.example")
    async with here.sending():
        await here.until()
    wait_for(lambda: postfix.stored_with(f"by-postfix-{tmp_path.name}.".encode()))
    for wrong, why in (("other", "ostname mismatch"), ("expired", "has expired")):
        near.names.zone[f"{wrong}.postfix.example", "A"] = [postfix.place.address]
        folder = tmp_path / wrong
        folder.mkdir()
        there = office(near, folder, "postfix")
        there.smarthost = Smarthost(f"{wrong}.postfix.example", near.port, authorities=near.authority.file)
        there.put("B", "b@postfix.example")
        async with there.sending():
            await there.tried("B")
        entry = there.queue.read("B")
        assert entry is not None
        assert entry.state.recipients[0].reason.startswith("4.7.5 ")
        assert why in entry.state.recipients[0].reason
