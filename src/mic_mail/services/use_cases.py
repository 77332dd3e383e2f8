"""The base of use cases: what they act on, by which configuration and which clock.

Commands, approved requests and jobs run the same use cases. Blocking.
"""

from typing import TYPE_CHECKING, Protocol, Self

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.policy.lifecycle import LifecycleSettings
from mic_mail.services.settings import lifecycle_settings

if TYPE_CHECKING:  # most commands open no mailbox
    from mic_mail.storage.mailstore import MailStore


class UseCaseContext(Protocol):
    """Opens what use cases need, each part when it is first asked for."""

    @property
    def directory(self) -> Directory: ...
    @property
    def store(self) -> "MailStore": ...
    @property
    def config(self) -> Config: ...
    @property
    def clock(self) -> Clock: ...


class UseCases:
    """Use cases on the directory."""

    def __init__(self, directory: Directory, config: Config, clock: Clock) -> None:
        self._directory = directory
        self._config = config
        self._clock = clock

    @classmethod
    def within(cls, context: UseCaseContext) -> Self:
        return cls(context.directory, context.config, context.clock)

    def settings(self) -> LifecycleSettings:
        """Return the settings by which states are decided, with the working calendar on record."""
        return lifecycle_settings(self._config, self._directory.years.working_days())


class MailUseCases(UseCases):
    """Use cases on the directory and the mailboxes."""

    def __init__(self, directory: Directory, store: "MailStore", config: Config, clock: Clock) -> None:
        super().__init__(directory, config, clock)
        self._store = store

    @classmethod
    def within(cls, context: UseCaseContext) -> Self:
        return cls(context.directory, context.store, context.config, context.clock)
