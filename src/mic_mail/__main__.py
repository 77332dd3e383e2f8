"""`python -m mic_mail` is the command `mic-mail`."""

from mic_mail.cli.main import run

run()
