"""The configured readings of ambiguous clauses as policy settings.

The configuration knows no policy, and policy no files.
"""

from mic_mail.config.model import Config
from mic_mail.config.units import DAY
from mic_mail.policy.calendar import TermEnd, WorkingDays
from mic_mail.policy.due_notices import WarnDays
from mic_mail.policy.lifecycle import LifecycleSettings


def lifecycle_settings(config: Config, working_days: WorkingDays) -> LifecycleSettings:
    """Return the settings of `policy.lifecycle.decide`; `working_days`: the calendar on record."""
    age = config.auth.password_age
    return LifecycleSettings(
        term_end=TermEnd(config.terms.end),
        rest_day=working_days.is_rest if config.terms.roll else None,
        late_grace_days=config.leave.late_grace_days,
        breach_document=config.restore.breach_document,
        password_days=max(1, round(age / DAY)) if age else None,
    )


def delivery_is_use(config: Config) -> bool:
    """Return whether an arriving message counts as use, besides the person's acts (Reg. 7.2.a)."""
    return config.inactivity.counts == "any_delivery"


def warn_days(config: Config) -> WarnDays:
    """Return the days of advance warning to owners; none for a password that does not expire."""
    return WarnDays(
        reclaim=config.reclaim.warn_days,
        inactivity=config.inactivity.warn_days,
        password=config.auth.password_warn_days,
        term=config.unit.term_warn_days,
    )
