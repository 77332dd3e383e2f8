"""The configured readings of Reg. 5 as settings of `policy.naming.addresses`.

Apart from `services.settings`, since most of what decides about mailboxes makes no address.
"""

from mic_mail.config.model import Config
from mic_mail.policy.naming.addresses import AddressSettings


def address_settings(config: Config) -> AddressSettings:
    """Return the configured readings of Reg. 5."""
    address = config.address
    return AddressSettings(
        unit_collapse=address.unit.collapse,
        unit_keep=address.unit.keep,
        permute_letters=address.namesake.permute == "letters",
        shortest=address.shortest,
        reserved=frozenset(address.reserved),
    )
