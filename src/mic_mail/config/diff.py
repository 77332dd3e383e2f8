"""Compare the running configuration with the file, and merge what a running server can apply.

Each setting declares whether it can be reloaded (`SettingDoc.reload`). One that cannot retains its running value until the
restart; `applied` is therefore the configuration in force.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mic_mail.config.model import Config
from mic_mail.config.schema import Section, SettingDoc, doc_of


@dataclass(frozen=True, slots=True)
class Reload:
    """The outcome of comparing two configurations; names are full names of settings."""

    applied: Config
    taken_over: tuple[str, ...]
    needs_restart: tuple[str, ...]


def changes(running: Config, fresh: Config) -> Reload:
    """Compare two configurations, and merge what can be applied."""
    differing = list(_differences(running, fresh, ""))
    merged = _merge(running, fresh)
    assert isinstance(merged, Config)
    return Reload(
        applied=merged,
        taken_over=tuple(key for key, about in differing if about.reload),
        needs_restart=tuple(key for key, about in differing if not about.reload),
    )


def _differences(running: Section, fresh: Section, prefix: str) -> Iterator[tuple[str, SettingDoc]]:
    for name, info in type(running).model_fields.items():
        old, new = getattr(running, name), getattr(fresh, name)
        if isinstance(old, Section) and isinstance(new, Section):
            yield from _differences(old, new, f"{prefix}{name}.")
        elif old != new:
            yield prefix + name, doc_of(info)


def _merge(running: Section, fresh: Section) -> Section:
    """Return `fresh` with the running values of the settings that cannot be reloaded."""
    kept: dict[str, object] = {}
    for name, info in type(running).model_fields.items():
        old, new = getattr(running, name), getattr(fresh, name)
        if isinstance(old, Section) and isinstance(new, Section):
            kept[name] = _merge(old, new)
        elif not doc_of(info).reload:
            kept[name] = old
    return fresh.model_copy(update=kept)
