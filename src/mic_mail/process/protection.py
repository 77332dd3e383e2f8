"""The confinement of a process, for the log and `mic-mail status`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Protection:
    """The protections in force, as far as the machine allows them."""

    no_new_privs: bool = False
    unprivileged: bool = False
    """The process lacks the rights of root."""
    landlock: int = 0
    """The Landlock ABI version; 0: the kernel has none."""
    seccomp: bool = False

    @property
    def in_force(self) -> list[str]:
        """The names of the protections in force; Landlock with its version."""
        held = [name for name in self.__slots__ if getattr(self, name)]
        return [f"landlock {self.landlock}" if name == "landlock" else name for name in held]

    @property
    def missing(self) -> list[str]:
        """The names of the protections that are not in force."""
        return [name for name in self.__slots__ if not getattr(self, name)]

    def log_fields(self) -> dict[str, object]:
        """Return the fields for the log and `status`."""
        return {"in_force": self.in_force, "missing": self.missing}
