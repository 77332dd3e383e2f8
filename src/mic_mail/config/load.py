"""Load a `Config` from a TOML file, or report all of its mistakes together.

`load(path)` returns the frozen tree or raises `ConfigErrors`, whose `mistakes` name file, line, key, reason, remedy and, where
the regulation bounds the setting, the clause. Unknown keys come with the name that was probably meant.

The file is the only source: no environment variables, no second file. Nothing is written here (see `manual`).
"""

import difflib
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import get_args

from mic_mail.config.limits import ATTACHMENT_OCTETS
from mic_mail.config.model import Config
from mic_mail.config.schema import Section, SettingDoc, doc_of, unit_of
from mic_mail.config.toml_lines import Place, line_of, locate
from mic_mail.config.units import Unit, show_octets, show_seconds
from mic_mail.config.validation import Bounds, Fault, InvalidSettings
from mic_mail.errors import BadInput, Text, in_ascii
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.os_errors import reason as system_reason

LARGEST_FILE = 1 << 20
LONGEST_SHOWN = 60
WHOLE_FILE = "-"
"""Stands for the key of a mistake that concerns no single setting."""

_NAME_ANOTHER = Text(
    "Tạo tệp bằng `mic-mail init` hoặc chỉ đúng tệp bằng --config.",
    "Create one with `mic-mail init`, or give its path with --config.",
)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a configuration."""

    file: Path
    line: int
    key: str
    reason: Text
    remedy: Text
    clause: str | None = None
    option: str | None = None
    """The command option that gave the value; there is no line then."""

    @property
    def place(self) -> str:
        """Return the option, or file, line and key as far as they are known."""
        if self.option is not None:
            return self.option
        line = f":{self.line}" if self.line else ""
        return f"{self.file}{line}" if self.key == WHOLE_FILE else f"{self.file}{line}: {self.key}"

    @property
    def text(self) -> Text:
        cited = clause(self.clause) if self.clause else None
        vi, en = (f" ({cited.vi})", f" ({cited.en})") if cited else ("", "")
        return Text(
            f"{self.place}: {self.reason.vi}{vi}. {self.remedy.vi}",
            f"{in_ascii(self.place)}: {self.reason.en}{en}. {self.remedy.en}",
        )

    def __str__(self) -> str:
        return self.text.en


class ConfigErrors(BadInput):
    """The file cannot be used; `mistakes` holds every reason."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: (mistake.line, mistake.key)))
        count = len(self.mistakes)
        super().__init__(Text(f"Cấu hình có {count} lỗi.", f"The configuration has {count} mistake{'s' if count > 1 else ''}."))

    def __str__(self) -> str:
        return "\n".join(map(str, self.mistakes))


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of the tree, found by its full name."""

    key: str
    about: SettingDoc
    unit: Unit | None
    default: object
    bounds: list[Bounds]
    annotation: object


def settings(model: type[Section] = Config, prefix: str = "") -> Iterator[Setting]:
    """Yield every setting, in the order of the tree; the fields of tables in arrays follow their array."""
    for name, info in model.model_fields.items():
        kinds = [info.annotation, *get_args(info.annotation)]
        section = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None)
        if section is None or section is not info.annotation:
            yield Setting(prefix + name, doc_of(info), unit_of(info), info.default, info.bounds, info.annotation)
        if section is not None:
            yield from settings(section, f"{prefix}{name}.")


def values(config: Config) -> Iterator[tuple[Setting, object]]:
    """Yield every setting with its value; fields of tables in arrays are part of the array's value."""
    for setting in settings():
        node: object = config
        for name in setting.key.split("."):
            node = getattr(node, name, _INSIDE_AN_ARRAY)
        if node is not _INSIDE_AN_ARRAY:
            yield setting, node


_INSIDE_AN_ARRAY = object()


def load(path: Path) -> Config:
    try:
        with path.open("rb") as file:
            octets = file.read(LARGEST_FILE + 1)
    except OSError as error:
        why = system_reason(error)
        reason = Text(f"không đọc được tệp ({why.vi})", f"cannot be read ({why.en})")
        raise ConfigErrors([Mistake(path, 0, WHOLE_FILE, reason, _NAME_ANOTHER)]) from error
    return parse(octets, path)


def parse(octets: bytes, path: Path) -> Config:
    """Parse the content of the file at `path`, whose folder is the base of relative paths."""
    if len(octets) > LARGEST_FILE:
        most = show_octets(LARGEST_FILE)
        reason = Text(f"lớn hơn {most}, không phải tệp cấu hình", f"is larger than {most}: not a configuration file")
        raise ConfigErrors([Mistake(path, 0, WHOLE_FILE, reason, _NAME_ANOTHER)])
    try:
        text = octets.decode()
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: UnicodeDecodeError, TOMLDecodeError, or a number too long
        raise ConfigErrors([_syntax_mistake(path, octets, error)]) from error
    try:
        return Config.model_validate(tree, folder=path.parent.absolute())
    except InvalidSettings as error:
        places = locate(text)
        raise ConfigErrors([_mistake(path, places, fault) for fault in error.faults]) from error


def _syntax_mistake(path: Path, octets: bytes, error: Exception) -> Mistake:
    if isinstance(error, UnicodeDecodeError):
        line = octets.count(b"\n", 0, error.start) + 1
        return Mistake(
            path,
            line,
            WHOLE_FILE,
            Text("tệp không phải UTF-8", "the file is not UTF-8"),
            Text("Lưu lại tệp dạng UTF-8.", "Save it as UTF-8."),
        )
    message = str(error)
    shown = in_ascii(message)
    digits = "".join(c for c in message.partition("at line ")[2].partition(",")[0] if c.isdigit())
    reason = Text(f"sai cú pháp TOML: {shown}", f"not TOML: {shown}")
    return Mistake(
        path,
        int(digits or octets.count(b"\n") + 1),
        WHOLE_FILE,
        reason,
        Text("Sửa dòng này; xem toml.io.", "Correct this line; see toml.io."),
    )


def _mistake(path: Path, places: dict[Place, int], fault: Fault) -> Mistake:
    """Return a fault as a mistake, in the manual's words."""
    loc = fault.place
    key = "".join(c if c.isprintable() else "?" for c in ".".join(part for part in loc if isinstance(part, str)))
    setting = _by_key().get(key)
    reason, remedy = _WORDS[fault.code](fault, key, setting)
    bounded = fault.code not in ("extra_forbidden", "missing", "duplicate", "path")
    clause = setting.about.clause if setting is not None and bounded else None
    return Mistake(path, line_of(places, loc), key, reason, remedy, clause)


def _bound_text(value: object, setting: Setting | None) -> str:
    if setting is not None and isinstance(value, int | float):
        if setting.unit == Unit.OCTETS:
            return show_octets(int(value))
        if setting.unit == Unit.SECONDS:
            return show_seconds(float(value))
    return in_ascii(value) if isinstance(value, str) else ascii(value)


Words = Callable[[Fault, str, Setting | None], tuple[Text, Text]]


def _unknown(fault: Fault, key: str, setting: Setting | None) -> tuple[Text, Text]:
    named = in_ascii(key)
    last = key.rpartition(".")[2]
    near = difflib.get_close_matches(key, _by_key(), 1, 0.6) or [name for name in _by_key() if name.rpartition(".")[2] == last]
    reason = Text("không có mục này", "there is no such setting")
    if near:
        return reason, Text(f"Có phải là {near[0]}?", f"Was {near[0]} meant?")
    return reason, Text("Xóa dòng này; xem `mic-mail config reference`.", f"Remove {named}; see `mic-mail config reference`.")


def _bound(vi: str, en: str, name: str) -> Words:
    def words(fault: Fault, key: str, setting: Setting | None) -> tuple[Text, Text]:
        bound = _bound_text(fault.bounds[name], setting)
        got = _bound_text(fault.given, None)
        return Text(f"{got} không hợp lệ, {vi} {bound}", f"{got} is not allowed, {en} {bound}"), Text(
            f"Đặt {vi} {bound}.", f"Set it to {en} {bound}."
        )

    return words


def _attachment_limit(fault: Fault, key: str, setting: Setting | None) -> tuple[Text, Text]:
    limit = show_octets(ATTACHMENT_OCTETS)
    return (
        Text(f"khác mức {limit} của Quy chế", f"differs from the {limit} of the regulation"),
        Text(
            f"Đặt {limit}, hoặc ghi văn bản cho phép vào limits.attachment.allowed_by.",
            f"Set {limit}, or name the document that allows it in limits.attachment.allowed_by.",
        ),
    )


def _fixed(vi: str, en: str, remedy_vi: str, remedy_en: str) -> Words:
    """Return the words for a mistake with a fixed reason and a fixed remedy.

    The reason is preceded by the wrong value, unless that is a table.
    """

    def words(fault: Fault, key: str, setting: Setting | None) -> tuple[Text, Text]:
        given = fault.given
        if not isinstance(given, str | int | float):
            return Text(vi, en), Text(remedy_vi, remedy_en)
        return Text(f"{_given(given, repr)} {vi}", f"{_given(given, ascii)} {en}"), Text(remedy_vi, remedy_en)

    return words


def _given(value: str | float, escaped: Callable[[object], str]) -> str:
    """Return a wrong value as in the file, shortened to a line, with control characters escaped."""
    shown = str(value).lower() if isinstance(value, bool) else escaped(value)
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}..."


def _choice(fault: Fault, key: str, setting: Setting | None) -> tuple[Text, Text]:
    expected = in_ascii(str(fault.bounds["expected"])).replace("\\'", "'")
    got = _bound_text(fault.given, None)
    reason = Text(f"{got} không phải là một lựa chọn", f"{got} is not one of the choices")
    return reason, Text(f"Chọn {expected}.", f"Choose {expected}.")


def _too_short(fault: Fault, key: str, setting: Setting | None) -> tuple[Text, Text]:
    least = fault.bounds["min_length"]
    return Text("có quá ít phần tử", "has too few items"), Text(f"Cần ít nhất {least}.", f"It needs at least {least}.")


def _too_many(fault: Fault, key: str, setting: Setting | None) -> tuple[Text, Text]:
    most = fault.bounds["max_length"]
    return Text("có quá nhiều phần tử", "has too many items"), Text(f"Nhiều nhất {most}.", f"At most {most}.")


def _too_long(fault: Fault, key: str, setting: Setting | None) -> tuple[Text, Text]:
    most = fault.bounds["max_length"]
    return Text("quá dài", "is too long"), Text(f"Nhiều nhất {most} ký tự.", f"At most {most} characters.")


_NAME = _fixed("không phải tên miền", "is not a domain or host name", "Viết như mic.gov.vn.", "Write it as mic.gov.vn.")
_FORMS: Mapping[str, Words] = {
    "server.domain": _NAME,
    "server.more_domains": _NAME,
    "server.hostname": _NAME,
    "regulation.support": _fixed(
        "không phải địa chỉ thư", "is not an address", 'Viết như "support" hoặc "support@mic.gov.vn".',
        'Write it as "support" or "support@mic.gov.vn".',
    ),
    "regulation.password_page": _fixed(
        "không phải địa chỉ trang web", "is not the address of a web page", 'Viết như "https://mail.mic.gov.vn/".',
        'Write it as "https://mail.mic.gov.vn/".',
    ),
}  # fmt: skip


def _form(fault: Fault, key: str, setting: Setting | None) -> tuple[Text, Text]:
    return _FORMS.get(
        key,
        _fixed(
            "viết sai dạng",
            "does not have the right form",
            "Xem `mic-mail config reference`.",
            "See `mic-mail config reference`.",
        ),
    )(fault, key, setting)


def _duplicate(fault: Fault, key: str, setting: Setting | None) -> tuple[Text, Text]:
    item = in_ascii(str(fault.bounds["item"]))
    return Text(f"có {item} hai lần", f"has {item} twice"), Text("Ghi một lần.", "Name it once.")


_WORDS: Mapping[str, Words] = {
    "extra_forbidden": _unknown,
    "missing": _fixed("còn thiếu", "is missing", "Thêm mục này.", "Add it."),
    "greater_than_equal": _bound("ít nhất là", "at least", "ge"),
    "less_than_equal": _bound("nhiều nhất là", "at most", "le"),
    "too_short": _too_short,
    "too_many": _too_many,
    "string_too_long": _too_long,
    "string_pattern_mismatch": _form,
    "literal_error": _choice,
    "attachment_limit": _attachment_limit,
    "octets": _fixed("không phải kích cỡ", "is not a size", 'Viết như "20 MiB".', 'Write it as "20 MiB", or in octets.'),
    "seconds": _fixed(
        "không phải khoảng thời gian", "is not a span of time", 'Viết như "2 min".', 'Write it as "2 min", or in seconds.'
    ),
    "window": _fixed("kết thúc trước khi bắt đầu", "ends before it begins", "Đổi chỗ hai giờ.", "Swap the two times."),
    "window_edge": _fixed("không chẵn 5 phút", "is not on a full five minutes", "Ví dụ: 07:30.", "For example: 07:30."),
    "windows_overlap": _fixed(
        "các khung giờ không theo thứ tự trong ngày, hoặc chồng nhau",
        "the windows are not in the order of the day, or overlap",
        "Xếp theo giờ, không chồng nhau.",
        "Put them in order, one after the other.",
    ),
    "duplicate": _duplicate,
    "rising": _fixed(
        "không tăng dần", "does not increase", "Viết từ nhỏ đến lớn, như [80, 90].", "Write the smallest first: [80, 90]."
    ),
    "path": _fixed(
        "không phải đường dẫn", "is not a path", "Ghi đường dẫn, hoặc bỏ mục này.", "Write a path, or remove the setting."
    ),
    "network": _fixed("không phải mạng", "is not a network", 'Viết như "10.1.0.0/16".', 'Write it as "10.1.0.0/16".'),
    "collector": _fixed(
        "không phải máy chủ thu nhật ký",
        "is not the address of a collector",
        'Viết như "unix:/dev/log", "udp://10.1.2.3:514", "tcp://HOST:601", "tls://HOST:6514".',
        'Write it as "unix:/dev/log", "udp://10.1.2.3:514", "tcp://HOST:601", "tls://HOST:6514".',
    ),
    "nameserver": _fixed(
        "không phải máy chủ tên miền",
        "is not the address of a name server",
        'Viết như "127.0.0.1", "10.1.2.3:5353", "[2001:db8::1]:53".',
        'Write it as "127.0.0.1", "10.1.2.3:5353", "[2001:db8::1]:53".',
    ),
    "scanner": _fixed(
        "không phải địa chỉ của một trình quét",
        "is not the address of a scanner",
        'Viết như "unix:/run/clamav/clamd.ctl" hoặc "tcp://127.0.0.1:11333".',
        'Write it as "unix:/run/clamav/clamd.ctl" or "tcp://127.0.0.1:11333".',
    ),
    "smarthost": _fixed(
        "không phải máy chủ chuyển tiếp",
        "is not a server with a port",
        'Viết như "relay.example.vn:587", "relay.example.vn:465", "[2001:db8::1]:587".',
        'Write it as "relay.example.vn:587", "relay.example.vn:465", "[2001:db8::1]:587".',
    ),
    "smarthost_open": _fixed(
        "không gửi mật khẩu khi không bắt buộc TLS",
        "cannot sign in where TLS is not required",
        'Đặt sending.smarthost_tls = "required", hoặc bỏ mục này.',
        'Set sending.smarthost_tls = "required", or remove this.',
    ),
    "smarthost_missing": _fixed(
        "không có máy chủ chuyển tiếp nào để đăng nhập",
        "has no server to sign in to",
        "Ghi sending.smarthost, hoặc bỏ mục này.",
        "Set sending.smarthost, or remove this.",
    ),
    "smarthost_password": _fixed(
        "còn thiếu tệp mật khẩu",
        "is missing: there is a login but no password",
        "Ghi đường dẫn tệp chứa mật khẩu, hoặc bỏ sending.smarthost_login.",
        "Name the file with the password, or remove sending.smarthost_login.",
    ),
    "smarthost_login": _fixed(
        "có mật khẩu mà không có tên đăng nhập",
        "is set, but there is no login",
        "Ghi sending.smarthost_login, hoặc bỏ mục này.",
        "Set sending.smarthost_login, or remove this.",
    ),
    "address": _fixed("không phải địa chỉ IP", "is not an address", 'Viết như "0.0.0.0".', 'Write it as "0.0.0.0" or "::".'),
    "int_type": _fixed(
        "không phải số nguyên", "is not a whole number", "Viết một số, không có dấu nháy.", "Write a number without quotes."
    ),
    "float_type": _fixed(
        "không phải số", "is not a number", "Viết một số, không có dấu nháy.", "Write a number without quotes."
    ),
    "bool_type": _fixed(
        "không phải true hay false", "is neither true nor false", "Viết true hoặc false.", "Write true or false."
    ),
    **dict.fromkeys(
        ("string_type", "path_type"),
        _fixed("không phải chuỗi", "is not a string", "Viết trong dấu nháy kép.", "Write it in double quotes."),
    ),
    "tuple_type": _fixed("không phải danh sách", "is not a list", 'Viết dạng ["a", "b"].', 'Write it as ["a", "b"].'),
    "model_type": _fixed("phải là một bảng", "must be a table", "Viết dạng [tên].", "Write it as [name]."),
    "date_type": _fixed("không phải ngày", "is not a date", "Viết dạng 2016-03-31.", "Write it as 2016-03-31."),
    "time_type": _fixed("không phải giờ", "is not a time of day", "Viết dạng 07:30:00.", "Write it as 07:30:00."),
}


@cache
def _by_key() -> Mapping[str, Setting]:
    return {setting.key: setting for setting in settings()}
