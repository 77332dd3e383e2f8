"""The registers of the directory that most commands do not need.

Each is loaded when it is first used, so that a command starts without the others; the server loads all of them before it forks.
"""

from functools import cached_property
from typing import TYPE_CHECKING

from mic_mail.directory.tables import BaseRegister

if TYPE_CHECKING:  # loaded when one is first used
    from mic_mail.directory.app_passwords import AppPasswords
    from mic_mail.directory.censuses import Censuses
    from mic_mail.directory.changes import Changes
    from mic_mail.directory.content_access import ContentRegister
    from mic_mail.directory.incidents import Incidents
    from mic_mail.directory.migration_plans import MigrationPlans
    from mic_mail.directory.requests import Requests
    from mic_mail.directory.second_factors import SecondFactors
    from mic_mail.directory.sent_notices import SentNotices
    from mic_mail.directory.signatories import Signatories


class Registers(BaseRegister):
    """The registers behind one set of tables."""

    @cached_property
    def app_passwords(self) -> "AppPasswords":
        from mic_mail.directory.app_passwords import AppPasswords

        return AppPasswords(self._tables)

    @cached_property
    def second_factors(self) -> "SecondFactors":
        from mic_mail.directory.second_factors import SecondFactors

        return SecondFactors(self._tables)

    @cached_property
    def content(self) -> "ContentRegister":
        from mic_mail.directory.content_access import ContentRegister

        return ContentRegister(self._tables)

    @cached_property
    def sent(self) -> "SentNotices":
        from mic_mail.directory.sent_notices import SentNotices

        return SentNotices(self._tables)

    @cached_property
    def censuses(self) -> "Censuses":
        from mic_mail.directory.censuses import Censuses

        return Censuses(self._tables)

    @cached_property
    def migration_plans(self) -> "MigrationPlans":
        from mic_mail.directory.migration_plans import MigrationPlans

        return MigrationPlans(self._tables)

    @cached_property
    def requests(self) -> "Requests":
        from mic_mail.directory.requests import Requests

        return Requests(self._tables)

    @cached_property
    def incidents(self) -> "Incidents":
        from mic_mail.directory.incidents import Incidents

        return Incidents(self._tables)

    @cached_property
    def signatories(self) -> "Signatories":
        from mic_mail.directory.signatories import Signatories

        return Signatories(self._tables)

    @cached_property
    def changes(self) -> "Changes":
        from mic_mail.directory.changes import Changes

        return Changes(self._tables)
