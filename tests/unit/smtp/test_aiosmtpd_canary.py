"""What the SMTP door takes for granted of aiosmtpd: an upgrade that changes it fails here, loudly."""

import asyncio
import inspect
from importlib.metadata import version

import aiosmtpd.smtp
import pytest

from mic_mail.smtp.connection import SmtpConnection

INHERITED = (
    "connection_made",
    "connection_lost",
    "_reset_timeout",
    "_cb_client_connected",
    "_set_rset_state",
    "_create_session",
)
LOOP = asyncio.new_event_loop()
OVERRIDDEN = ("_handle_client", "_timeout_cb", "eof_received", "connection_made", "connection_lost")


def test_the_version_is_the_one_that_was_read() -> None:
    """Pinned exactly; another one has to be read first."""
    assert version("aiosmtpd") == "1.4.6"


@pytest.mark.parametrize("name", [*INHERITED, *OVERRIDDEN])
def test_members_that_we_use_or_replace_exist(name: str) -> None:
    """Each of them is aiosmtpd's own, not something that our subclass alone has."""
    assert name in vars(aiosmtpd.smtp.SMTP)


def test_our_conversation_replaces_the_inherited_one() -> None:
    """No inherited verb can run: commands are dispatched by `_handle_client`, and that is ours."""
    assert "_handle_client" in vars(SmtpConnection)
    source = inspect.getsource(SmtpConnection)
    assert source.count("_smtp_methods") == source.count("_smtp_methods.clear()") == 1
    ours = {name for name in vars(SmtpConnection) if not name.startswith("__")}
    assert not [name for name in ours & set(vars(aiosmtpd.smtp.SMTP)) if name not in OVERRIDDEN]


def test_what_connection_made_does() -> None:
    """It arms the one timer with `_timeout_cb`, keeps the transport, and starts `_handle_client` as a task."""
    source = inspect.getsource(aiosmtpd.smtp.SMTP.connection_made)
    for line in ("self._reset_timeout()", "super().connection_made(transport)", "self.transport = transport"):
        assert line in source
    assert "self._handle_client()" in source
    assert "call_later" in inspect.getsource(aiosmtpd.smtp.SMTP._reset_timeout)
    assert "self._timeout_cb" in inspect.getsource(aiosmtpd.smtp.SMTP._reset_timeout)


def test_what_connection_lost_does() -> None:
    """It cancels the timer and the task, and clears `transport`: our loop ends by that."""
    source = inspect.getsource(aiosmtpd.smtp.SMTP.connection_lost)
    for line in ("_timeout_handle.cancel()", "_handler_coroutine.cancel()", "self.transport = None"):
        assert line in source


def test_what_names_the_connection() -> None:
    """These lead from a connection to itself: they are emptied, and there are no others (`test_connection_cleanup`)."""
    source = inspect.getsource(aiosmtpd.smtp.SMTP)
    for name in ("self._smtp_methods", "self._auth_methods", "self._reader", "self._writer", "self._handler_coroutine"):
        assert f"{name} = " in source or f"{name}: " in source
    assert "_client_connected_cb" in vars(asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=LOOP), loop=LOOP))
