"""`python -m mic_mail` is the command `mic-mail`."""

from mic_mail.cli.entrypoint import run

run()
