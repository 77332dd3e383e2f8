"""Check the strength of a password for a mailbox.

Reg. 10.2, 15.2 require rules but do not specify them.
In: a password, its owner, the minimum length. Out: nothing, or `WeakPassword` with the rule in words. There are no rules on
character classes: NIST SP 800-63B §5.1.1.2 advises against them. The measure is the number of guesses by an attacker who tries
likely passwords first: zxcvbn knows leaked passwords, keyboard rows, dates, repeats and the usual substitutions (`p@ssw0rd`).
Added are common local words, and the person's own names. Diacritics do not help: `Mật khẩu` is guessed as `mat khau`. Blocking
for some milliseconds, 0.2 s for a hostile password (`MOST_WORK`): executors and commands only.
"""

import threading
from collections.abc import Iterator, Sequence

from mic_mail.auth.password_hash import MAX_PASSWORD_OCTETS, UNUSABLE, WeakPassword
from mic_mail.auth.sasl import saslprep
from mic_mail.errors import Text
from mic_mail.mime.text_folding import fold

MIN_LENGTH = 10
FEWEST_GUESSES = 10**9
"""Ten times zxcvbn's "safely unguessable".

Online, the throttle prevents anything near it; with a stolen directory each guess costs tens of milliseconds of argon2id.
"""
LONGEST_LOOKED_AT = 72
"""Characters given to zxcvbn, whose time grows faster than the length; more do not weaken a password."""
MOST_WORK = 100_000
"""Bound on the square of the length times the ways to read leetspeak characters (`$`, `4`, `|`).

zxcvbn compares all substrings of a password with its words, once for each way. With all of these characters there are 736
ways, and 72 characters take 3 s; this bound takes 0.1 s. Beyond it only the beginning is examined, at least 13 characters: its
special characters make it strong.
"""
SHORTEST_NAME = 3

# Common local words; those of the world are known to zxcvbn.
_HERE = tuple(
    "matkhau mat khau mật khẩu password dangnhap truynhap vietnam viet nam hanoi saigon danang haiphong hochiminh sgvn tphcm "
    "anhyeuem emyeuanh yeuem yeuanh anhnhoem emnhoanh khongbiet khongnho quenmat thuongem thuonganh giadinh conyeu meyeucon "
    "bacho xinchao chucmungnammoi matma bimat taikhoan nguoidung quantri quanly tinhyeu hanhphuc cuocsong ngayxua "
    "nguyen tran le pham hoang huynh phan vu vo dang bui do ho ngo duong ly van thi minh hung dung tuan anh linh lan huong "
    "botttt bothongtin truyenthong tttt trungtam thongtin canbo congchuc vanphong thudientu hopthu micgovvn govvn".split()
)
_ONE_AT_A_TIME = threading.Lock()
"""zxcvbn keeps the words of one call in a module-level table."""


def check_strength(password: str, address: str, *, names: Sequence[str] = (), min_length: int = MIN_LENGTH) -> None:
    """Raise WeakPassword unless `password` may protect `address`, whose owner and unit have these `names`."""
    prepared = saslprep(password)
    if prepared is None or "\0" in password or len(password.encode()) > MAX_PASSWORD_OCTETS:
        raise WeakPassword(UNUSABLE)
    if len(prepared) < min_length:
        raise WeakPassword(
            Text(f"Mật khẩu phải có ít nhất {min_length} ký tự.", f"The password needs at least {min_length} characters.")
        )
    folded = _folded(prepared)
    if any(part in folded for part in _forbidden_parts(address, names)):
        raise WeakPassword(
            Text(
                "Mật khẩu không được chứa địa chỉ thư hoặc tên.",
                "The password must contain neither the address nor the name.",
            )
        )
    words = (*_own_words(address, names), *_HERE)
    joined = "".join(folded.split())  # spaces between words make little difference to an attacker
    if min(_guesses(form, words) for form in {folded, joined}) < FEWEST_GUESSES:
        raise WeakPassword(
            Text(
                "Mật khẩu này quá dễ đoán; đề nghị dùng nhiều từ không liên quan đến nhau.",
                "This password is too easy to guess; use several unrelated words.",
            )
        )


def _folded(text: str) -> str:
    """Return the text as attackers guess it: without case and diacritics."""
    return fold(text.casefold())


def _forbidden_parts(address: str, names: Sequence[str]) -> Iterator[str]:
    """Yield what a password must not contain: the address, its local part, a full name, spaced or not."""
    local = address.casefold().partition("@")[0]
    for part in (local, *(form for name in names for form in (_folded(name), _folded(name).replace(" ", "")))):
        if len(part) > SHORTEST_NAME:
            yield part


def _own_words(address: str, names: Sequence[str]) -> Iterator[str]:
    """Yield the words that an attacker who knows the mailbox tries first."""
    local, _, domain = address.casefold().partition("@")
    yield from (local, domain, domain.replace(".", ""), *domain.split("."))
    for name in names:
        words = _folded(name).split()
        yield from words
        yield from ("".join(words), "".join(words[-2:]), "".join(word[0] for word in words))


def _guesses(password: str, words: Sequence[str]) -> float:
    from zxcvbn import zxcvbn  # 0.1 s and 15 MB of words: loaded only to set a password, not in every process

    beginning = password[: _looked_at(password)]
    with _ONE_AT_A_TIME:
        found = zxcvbn(beginning, user_inputs=list(dict.fromkeys(words)))
    return float(found["guesses"])


def _looked_at(password: str) -> int:
    """Return how many characters zxcvbn can examine within `MOST_WORK`."""
    from zxcvbn.matching import L33T_TABLE, enumerate_l33t_subs, relevant_l33t_subtable

    disguises = frozenset(sign for signs in L33T_TABLE.values() for sign in signs)
    seen, ways = "", 1
    for before, sign in enumerate(password[:LONGEST_LOOKED_AT]):
        if sign in disguises and sign not in seen:
            seen += sign
            ways = len(enumerate_l33t_subs(relevant_l33t_subtable(seen, L33T_TABLE)))
        if (before + 1) ** 2 * ways > MOST_WORK:
            return before
    return min(len(password), LONGEST_LOOKED_AT)
