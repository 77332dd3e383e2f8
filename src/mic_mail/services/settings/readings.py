"""The configured readings of ambiguous clauses as the settings that policy takes (config knows no policy, policy no files)."""

from mic_mail.config.model import Config
from mic_mail.config.units import DAY
from mic_mail.policy.calendar import TermEnd, WorkingDays
from mic_mail.policy.due_notices import WarnDays
from mic_mail.policy.lifecycle import LifecycleSettings
from mic_mail.process.send_counters import Amounts
from mic_mail.services.settings.ceilings import Ceilings


def lifecycle_settings(config: Config, working_days: WorkingDays) -> LifecycleSettings:
    """How `policy.lifecycle.decide` counts on this server; `working_days`: the calendar on record."""
    age = config.auth.password_age
    return LifecycleSettings(
        term_end=TermEnd(config.terms.end),
        rest_day=working_days.is_rest if config.terms.roll else None,
        late_grace_days=config.leave.late_grace_days,
        breach_document=config.restore.breach_document,
        password_days=max(1, round(age / DAY)) if age else None,
    )


def delivery_is_use(config: Config) -> bool:
    """Reg. 7.2.a, `inactivity.counts`: whether a message that comes counts as use, beside what the person does."""
    return config.inactivity.counts == "any_delivery"


def warn_days(config: Config) -> WarnDays:
    """How many days ahead owners are warned; of a password that never grows old nobody is."""
    return WarnDays(
        reclaim=config.reclaim.warn_days,
        inactivity=config.inactivity.warn_days,
        password=config.auth.password_warn_days,
        term=config.unit.term_warn_days,
    )


def ceilings(config: Config) -> Ceilings:
    """How much one mailbox may send (Reg. 7.2.c)."""
    limits = config.limits
    return Ceilings(
        Amounts(limits.messages_per_hour, limits.recipients_per_hour, limits.octets_per_hour),
        Amounts(limits.messages_per_day, limits.recipients_per_day, limits.octets_per_day),
    )


def bulk_senders(config: Config) -> frozenset[str]:
    """The whole addresses of the mailboxes that may send more."""
    return frozenset(name if "@" in name else f"{name}@{config.server.domain}" for name in config.limits.bulk_senders)


def ceilings_of(config: Config, address: str) -> Ceilings:
    """How much the mailbox of this address may send."""
    found = ceilings(config)
    return found.times(config.limits.bulk_times) if address in bulk_senders(config) else found
