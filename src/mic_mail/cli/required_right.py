"""The right that a command declares: `authorization` checks it, and `acts` records the act that it names."""

from dataclasses import dataclass

from mic_mail.policy.authorization.roles import Right


@dataclass(frozen=True, slots=True)
class RequiredRight:
    """The right that a command requires."""

    right: Right | None
    """None: no right is required."""
    whole: bool = True
    """The right is needed for the whole ministry.

    False: one unit suffices, and limits what is visible.
    """
    clauses: tuple[str, ...] = ()
    """The clauses that an administrator keeps by this command, or shows to be kept."""
    act: str = ""
    """The act that the command records, by its name in `act_names`; empty: it records none, or names them itself."""
