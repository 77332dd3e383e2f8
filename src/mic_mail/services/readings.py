"""The configured readings of ambiguous clauses as the settings that policy takes (config knows no policy, policy no files)."""

from mic_mail.config.model import Config
from mic_mail.policy.calendar import TermEnd, WorkingDays
from mic_mail.policy.lifecycle import LifecycleSettings

_DAYS_PER_MONTH = 30 * 86_400.0


def lifecycle_settings(config: Config, working_days: WorkingDays) -> LifecycleSettings:
    """How `policy.lifecycle.decide` counts on this server; `working_days`: the calendar on record."""
    age = config.auth.password_age
    return LifecycleSettings(
        term_end=TermEnd(config.terms.end),
        rest_day=working_days.is_rest if config.terms.roll else None,
        late_grace_days=config.leave.late_grace_days,
        breach_document=config.restore.breach_document,
        password_months=max(1, round(age / _DAYS_PER_MONTH)) if age else None,
    )


def delivery_is_use(config: Config) -> bool:
    """Reg. 7.2.a, `inactivity.counts`: whether a message that comes counts as use, beside what the person does."""
    return config.inactivity.counts == "any_delivery"
