"""What every command stands in: the language, the configuration, the directory.

`main` makes one `Frame` from the root options and puts it into the Typer context; a command takes it with `frame(ctx)`.
Nothing is read before a command asks for it, so `--help` and `init` work on a bare machine.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mic_mail.clock import Clock, SystemClock

if TYPE_CHECKING:
    from mic_mail.config.model import Config

DEFAULT_CONFIG = Path("/etc/mic-mail/mic-mail.toml")
CONFIG_VARIABLE = "MIC_MAIL_CONFIG"


@dataclass
class Frame:
    """The surroundings of one run of the program."""

    config_path: Path
    clock: Clock = field(default_factory=SystemClock)

    @cached_property
    def config(self) -> "Config":
        """The configuration file, read once; all its mistakes are reported together."""
        from mic_mail.config.load import load

        return load(self.config_path)


def frame(ctx: typer.Context) -> Frame:
    """The frame that `main` put into this context."""
    found = ctx.find_object(Frame)
    assert found is not None, "main's callback runs before every command"
    return found
