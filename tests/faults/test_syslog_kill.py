"""Reg. 16.3: whoever kills the housekeeper, and however often, a collector gets every security event."""

import imaplib
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from harness import ProcessServer
from mic_mail.services.operations.syslog import cursor_file
from regulation.syslog_collector import Listener
from waiting import wait_for

TRIES = 60
KILLS = 4


@pytest.fixture
def collector() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.mark.slow
@pytest.mark.clause("16.3")
def test_every_refused_sign_in_arrives(serve_processes: Callable[..., ProcessServer], collector: Listener) -> None:
    """Two workers write, the housekeeper is killed while it sends, another collector is not there at all."""
    places = [f"tcp://127.0.0.1:{collector.port}", "tcp://127.0.0.1:9"]
    server = serve_processes({"process": {"workers": 2}, "log": {"syslog": {"collectors": places}}})
    server.population.issue("dvbe")
    server.start()
    wait_for(cursor_file(server.config, places[0]).exists)  # it begins with what happens from then on
    rng = random.Random(16)
    for number in range(TRIES):
        client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls())
        with client, suppress(imaplib.IMAP4.error):
            client.login("dvbe@mic.gov.vn", f"sai-{number}-{rng.random()}")
        if number % (TRIES // KILLS) == 5:
            for one in server.status()["processes"]:
                if one["name"] == "house" and one["pid"]:
                    with suppress(ProcessLookupError):
                        os.kill(one["pid"], signal.SIGKILL)

    def logged_refusals() -> list[Any]:
        return [event for event in server.events() if event["event"] == "sign_in_refused"]

    def arrived() -> set[str]:
        return {each["data"]["id"] for each in collector.named("sign_in_refused")}

    counts = lambda: (len(arrived()), len(logged_refusals()))  # noqa: E731
    wait_for(lambda: counts() == (TRIES, TRIES), counts, seconds=90)
    assert sum(event["event"] == "process_died" for event in server.events()) >= 2
