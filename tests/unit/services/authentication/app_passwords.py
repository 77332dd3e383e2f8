"""App passwords of a mailbox, for tests of sign-in."""

from mic_mail.directory.records import MailboxRecord
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.credentials.app_passwords import AppPasswordScope
from mic_mail.services.authentication.app_passwords import Added, AppPasswords
from unit.services.authentication.conftest import World


def service(world: World) -> AppPasswords:
    return AppPasswords(world.directory, world.config, world.clock)


def add(world: World, mailbox: MailboxRecord, name: str = "Điện thoại", *doors: AppPasswordScope) -> Added:
    return service(world).add(mailbox.mailbox_id, name, doors, ActContext(mailbox.address))
