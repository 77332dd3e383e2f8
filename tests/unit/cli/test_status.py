"""What `mic-mail status` says of processes."""

from mic_mail.cli.commands.status import _sentences


def test_a_process_that_does_not_answer_is_named() -> None:
    """Its numbers are old; those of the others are of now, and nothing is said of them."""
    processes = [{"name": "worker0", "silent_seconds": 11.5}, {"name": "worker1"}]
    assert [sentence.en for sentence in _sentences({"processes": processes})] == [
        "Process worker 0 does not answer now; its numbers are 11.5 s old."
    ]
