"""What holds a process in; for the log and `mic-mail status`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Protection:
    """What is in force, as far as the machine allows it."""

    no_new_privs: bool = False
    unprivileged: bool = False
    """It has not the rights of root."""
    landlock: int = 0
    """The version of Landlock; 0: the kernel has none."""
    seccomp: bool = False

    @property
    def in_force(self) -> list[str]:
        """What is in force, by name; Landlock with its version."""
        held = [name for name in self.__slots__ if getattr(self, name)]
        return [f"landlock {self.landlock}" if name == "landlock" else name for name in held]

    @property
    def missing(self) -> list[str]:
        """The names of what is not in force."""
        return [name for name in self.__slots__ if not getattr(self, name)]

    def log_fields(self) -> dict[str, object]:
        """For the log and `status`."""
        return {"in_force": self.in_force, "missing": self.missing}
