"""What `mic-mail status` says of processes."""

from mic_mail.cli.commands.status import _sentences


def test_a_process_that_does_not_answer_is_named() -> None:
    """Its numbers are old; those of the others are of now, and nothing is said of them."""
    processes = [{"name": "worker0", "silent_seconds": 11.5}, {"name": "worker1"}]
    assert [sentence.en for sentence in _sentences({"processes": processes})] == [
        "Process worker 0 does not answer now; its numbers are 11.5 s old."
    ]


def test_it_tells_whether_other_servers_are_heard() -> None:
    """Where there are none, nothing is said of them."""
    heard = {"arrive": True, "ms": 1.2, "sent": 7, "heard": 3, "lost": 0}
    processes = [{"name": "worker0", "hints": heard}, {"name": "worker1"}]
    assert [sentence.en for sentence in _sentences({"processes": processes})] == [
        "Hints between servers arrive in 1.2 ms; 7 sent, 3 heard."
    ]
    processes[0]["hints"] = heard | {"ms": None}
    assert list(_sentences({"processes": processes})) == [], "it has just begun"
    processes[0]["hints"] = heard | {"arrive": False, "ms": None}
    assert [sentence.en[:6] for sentence in _sentences({"processes": processes})] == ["ALARM:"]
