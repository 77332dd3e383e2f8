"""The two-person rule: the second of two acts must be another person's than the first (Reg. 4.1, 4.3).

In: who acted first, who acts second, who has an interest of their own. Out: nothing, or `NotTwo`. Pure. Every act that requires
two persons is checked here, and only here: opening content, releasing what was refused as secret, exporting a unit's mail.

Two persons act as two officers and under two logins on the machine: naming another officer by `--actor` does not make a second
person. Namesakes count as one person until they are told apart (`officer add --person`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mic_mail.errors import Refused, Text
from mic_mail.policy.authorization.roles import Officer
from mic_mail.policy.naming.transliteration import folded


class NotTwo(Refused):
    """The second person is the first one, or has an interest in the matter."""


@dataclass(frozen=True, slots=True)
class Hand:
    """A person who acts; unknown values are empty and never match."""

    officer: str = ""
    """The login of the officer as whom the person acts."""
    login: str = ""
    """The person's login on the machine."""
    full_name: str = ""
    person_id: int | None = None
    """The person's number in the directory."""

    @classmethod
    def of(cls, officer: Officer | None, actor: str, login: str) -> "Hand":
        """Return the person who acts as `actor`, an officer if one is recorded, from `login`."""
        return cls(actor, login, officer.full_name if officer else "", officer.person_id if officer else None)


def must_be_two(first: Hand, second: Hand, *, others: Iterable[Hand] = (), clause: str) -> None:
    """Refuse a second act by the person who did the first, or by one of `others`."""
    if is_same(first, second):
        raise NotTwo(
            Text(
                "Người thực hiện bước sau phải khác người thực hiện bước trước: người khác, tên đăng nhập khác.",
                "The second person must differ from the first and be signed in to the machine with another login.",
            ),
            clause=clause,
            remedy=Text(
                "Mỗi người đăng nhập bằng tài khoản riêng; người trùng họ tên phân biệt bằng mic-mail officer add --person.",
                "Each person signs in to the machine with the own login; officer add --person tells namesakes apart.",
            ),
        )
    if any(is_same(other, second) for other in others):
        raise NotTwo(
            Text("Người có liên quan không được quyết định.", "A person involved in the matter cannot decide it."),
            clause=clause,
            remedy=Text("Đề nghị cán bộ khác quyết định.", "Let another officer decide."),
        )


def is_same(one: Hand, other: Hand) -> bool:
    """Return whether both are one person: by a login, by the number in the directory, or else by the name."""
    logins = {folded(one.officer), folded(one.login)} & {folded(other.officer), folded(other.login)}
    if logins - {""}:
        return True
    if one.person_id is not None and other.person_id is not None:
        return one.person_id == other.person_id
    return bool(folded(one.full_name)) and folded(one.full_name) == folded(other.full_name)
