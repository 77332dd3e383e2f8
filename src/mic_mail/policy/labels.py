"""Labels of what holds together: the states of a mailbox, the services of an app password."""

from collections.abc import Collection

from mic_mail.errors import Text
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.credentials.app_passwords import AppPasswordScope
from mic_mail.policy.states import MailboxState

ALL_SERVICES = Text("mọi dịch vụ", "every service")


def state_names(states: Collection[MailboxState]) -> Text:
    """Return the labels of states that hold together, in the order of `MailboxState`."""
    return _listed([state for state in MailboxState if state in states])


def scopes_named(scopes: Collection[AppPasswordScope]) -> Text:
    """Return the services that an app password opens; an empty collection means all."""
    return _listed([scope for scope in AppPasswordScope if scope in scopes]) if scopes else ALL_SERVICES


def _listed(codes: Collection[LabelledEnum]) -> Text:
    return Text(", ".join(code.label.vi for code in codes), ", ".join(code.label.en for code in codes))
