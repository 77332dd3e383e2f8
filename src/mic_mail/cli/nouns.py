"""The commands of `mic-mail`: their words, and the modules that have them.

In: the words that a person types. Out: the command for Typer, in the language of the run. A module is imported, and a command
built from its function, when the command is named: `mailbox list` loads nothing of `mailbox export`.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from mic_mail.cli import authorization as gates
from mic_mail.cli import typer_i18n
from mic_mail.cli.options import Commands
from mic_mail.cli.output import say


@dataclass(frozen=True, slots=True)
class Noun:
    """The commands below one word; `vi` and `en` are its help."""

    vi: str
    en: str
    verbs: Mapping[str, str]
    """The words of the commands of each module of `cli.commands`, in the order of `--help`."""


@dataclass(frozen=True, slots=True)
class Alone:
    """A word that is a command itself, in the module of its name; `vi` and `en` are its help there."""

    vi: str
    en: str


NOUNS: Mapping[str, Noun | Alone] = {
    "init": Alone(
        "Tạo máy chủ mới: cấu hình, thư mục, danh bạ, chứng thư số.",
        "Create a server: configuration, folders, directory, certificate.",
    ),
    "serve": Alone("Chạy máy chủ cho đến khi được yêu cầu dừng.", "Run the server until it is stopped."),
    "demo": Alone(
        "Chạy thử một máy chủ đầy đủ trên máy này.",
        "Run a complete server on this machine, for a trial.",
    ),
    "status": Alone("Tình trạng của máy chủ đang chạy.", "The state of the running server."),
    "config": Noun("Cấu hình.", "The configuration.", {"config": "check show reference"}),
    "unit": Noun("Cơ quan, đơn vị.", "Units.", {"unit": "add list show change merge split close"}),
    "person": Noun("Cá nhân.", "People.", {"person": "add list show change move employment"}),
    "position": Noun("Cấp của chức danh (6.4.c).", "Levels of positions (6.4.c).", {"position": "list set"}),
    "mailbox": Noun(
        "Hộp thư.",
        "Mailboxes.",
        {
            "mailbox_issue": "issue",
            "mailbox": "list show explain",
            "mailbox_change": "quota address",
            "mailbox_state": "suspend restore leave return lock-sending unlock-sending absence reclaim",
            "mailbox_reclaimed": "due restore-reclaimed free",
            "mailbox_delegation": "grant revoke rights",
            "mailbox_store": "repair rescan undelete set-aside",
            "mailbox_hold": "hold release-hold",
            "mailbox_capability": "capability",
            "mailbox_seen": "seen",
            "mailbox_export": "export mark-passed-on",
        },
    ),
    "handover": Noun(
        "Bàn giao hộp thư đơn vị (12.3.d).",
        "Handing over a unit's mailbox (12.3.d).",
        {"handover": "list show minutes verify begin finish cancel"},
    ),
    "alias": Noun("Bí danh.", "Aliases.", {"alias": "add list remove"}),
    "domain": Noun("Tên miền của hệ thống (3.2).", "The domains of the system (3.2).", {"domain": "list add move end"}),
    "password": Noun("Mật khẩu.", "Passwords.", {"password": "set reset"}),
    "app-password": Noun("Mật khẩu ứng dụng (15.2).", "App passwords (15.2).", {"app_password": "list add revoke"}),
    "second-factor": Noun(
        "Xác thực hai bước (15.2).", "Second factors (15.2).", {"second_factor": "list remove enrol withdraw"}
    ),
    "content": Noun(
        "Mở nội dung hộp thư có căn cứ (4.3).",
        "Access to content, on a document (4.3).",
        {"content": "ask approve refuse export list show"},
    ),
    "officer": Noun("Cán bộ quản trị.", "Officers who administer this server.", {"officer": "add end list"}),
    "signatory": Noun("Người ký kết luận của Lãnh đạo Bộ (7.2.b).", "Signatories (7.2.b).", {"signatory": "list add end"}),
    "notice": Noun("Thông báo của máy chủ.", "Notices.", {"notice": "list preview"}),
    "archive": Noun("Bản lưu trữ của hộp thư đã thu hồi.", "Archives of reclaimed mailboxes.", {"archive": "list drop"}),
    "clock": Noun("Đồng hồ máy chủ.", "The machine's clock.", {"clock": "show confirm records"}),
    "request": Noun(
        "Yêu cầu gửi Trung tâm.",
        "Requests to the Centre.",
        {"request": "add list show form import", "request_decide": "approve refuse withdraw done"},
    ),
    "directory": Noun("Danh bạ điện tử.", "The directory.", {"directory": "check export load history pending cancel"}),
    "calendar": Noun("Lịch làm việc.", "The working calendar.", {"calendar": "prefill set confirm show list count"}),
    "maintenance": Noun("Tạm ngừng có báo trước.", "Announced downtime.", {"maintenance": "announce list cancel report"}),
    "incident": Noun(
        "Sổ sự cố (14.4, 16.3).", "The register of incidents (14.4, 16.3).", {"incident": "open show list note close export"}
    ),
    "import": Noun(
        "Nhập thư từ hệ thống khác (10.4).",
        "Import mail from other systems (10.4).",
        {"import_files": "maildir mbox eml pst list address", "import_imap": "imap accounts"},
    ),
    "migration": Noun(
        "Đơn vị còn dùng hệ thống thư khác (14.5).",
        "Units on other mail systems (14.5).",
        {"migration": "plan list done paper"},
    ),
    "census": Noun("Thống kê người dùng thư điện tử.", "The census of mailboxes.", {"census": "make show list confirm"}),
    "report": Noun(
        "Báo cáo.",
        "Reports.",
        {
            "report": "usage problems",
            "report_unanswered": "unanswered",
            "report_openings": "openings",
            "report_correspondence": "correspondence",
            "report_document_handoff": "passed-on",
        },
    ),
    "dns": Noun("Bản ghi tên miền (DNS) của máy chủ.", "DNS records of this server.", {"dns": "records check"}),
    "dkim": Noun("Chữ ký DKIM của thư gửi ra ngoài.", "DKIM signatures of mail to other domains.", {"dkim": "key"}),
    "log": Noun(
        "Nhật ký thư và nhật ký quản trị (8.2, 14.4).",
        "The mail log and the audit log (8.2, 14.4).",
        {"log": "search trace verify anchor export"},
    ),
    "regulation": Noun(
        "Quy chế và việc thi hành.", "The regulation and how the server enforces it.", {"regulation": "list show"}
    ),
    "secrecy": Noun(
        "Thư có dấu độ mật (4.1): danh sách, cho chuyển.",
        "Mail with a marking of secrecy (4.1): list, release.",
        {"secrecy": "list show ask release discard"},
    ),
    "quarantine": Noun(
        "Khu cách ly (4.2): danh sách, cho chuyển, hủy thư.",
        "Quarantine (4.2): list, release, drop.",
        {"quarantine": "list show release drop"},
    ),
    "queue": Noun(
        "Thư gửi ra tên miền khác đang chờ trong hàng đợi (4.2).",
        "The queue of mail to other domains (4.2).",
        {"queue": "list show", "queue_decide": "retry hold release drop"},
    ),
    "backup": Alone(
        "Sao lưu hộp thư vào thư mục mới (toàn bộ: kèm khóa và thư cách ly); máy chủ vẫn chạy.",
        "Copy mailboxes into a new folder (all of them: with keys and quarantine); the server keeps running.",
    ),
    "restore": Alone(
        "Khôi phục một hộp thư từ bản sao lưu; thư hiện có được giữ riêng nếu dùng --replace.",
        "Restore one mailbox from a backup; with --replace its present content is set aside.",
    ),
}
"""The words after `mic-mail`, in the order of `--help`."""


class LazyCommands(Mapping[str, TyperGroup | TyperCommand]):
    """Commands by their words; each is built when it is first asked for, and speaks the language of this run."""

    def __init__(self, words: Iterable[str], build: Callable[[str], TyperGroup | TyperCommand]) -> None:
        self._words = dict.fromkeys(words)
        self._build = build

    def __getitem__(self, word: str) -> TyperGroup | TyperCommand:
        if word not in self._words:
            raise KeyError(word)
        command = self._build(word)
        typer_i18n.speak(command)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def __len__(self) -> int:
        return len(self._words)


class Summary(TyperCommand):
    """A command as the list of commands shows it; its module is not loaded."""

    def __init__(self, word: str, alone: Alone) -> None:
        super().__init__(name=word, help=say(alone.vi, alone.en))


class LazyGroup(TyperGroup):
    """A command group that builds none of its commands to list their words."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # Typer does not export the base class
        return list(self.commands)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]  # likewise
        word, command, rest = super().resolve_command(ctx, args)
        return word, load_noun(str(word)) if isinstance(command, Summary) else command, rest

    def fill(self, commands: LazyCommands) -> None:
        """Set the commands of this group, which only reads them."""
        self.commands = commands  # type: ignore[assignment]  # Typer would accept more of them here


def load_noun(noun: str) -> TyperGroup | TyperCommand:
    """Return the command or the group of `noun`, in the language of this run."""
    return all_nouns()[noun]


def all_nouns() -> LazyCommands:
    return LazyCommands(NOUNS, _noun)


def listed_nouns() -> LazyCommands:
    """Return the commands as `--help` lists them, which loads none that stands alone."""

    def built(word: str) -> TyperGroup | TyperCommand:
        noun = NOUNS[word]
        return Summary(word, noun) if isinstance(noun, Alone) else _noun(word)

    return LazyCommands(NOUNS, built)


@cache
def _noun(word: str) -> TyperGroup | TyperCommand:
    noun = NOUNS[word]
    if isinstance(noun, Alone):
        return _command(word, word)
    modules = {verb: module for module, verbs in noun.verbs.items() for verb in verbs.split()}
    group = typer.main.get_group(Commands(noun.vi, noun.en, name=word, cls=LazyGroup))
    assert isinstance(group, LazyGroup)
    typer_i18n.dress(group)
    group.fill(LazyCommands(modules, lambda verb: _command(modules[verb], verb)))
    return group


@cache
def _command(module: str, word: str) -> TyperGroup | TyperCommand:
    """Return the command `word` of a module of `cli.commands`, behind its check."""
    app: Commands = importlib.import_module(f"mic_mail.cli.commands.{module}").app
    command = _group(app, word) or _single(app, word)
    typer_i18n.dress(command)
    gates.guard(command)
    return command


def _single(app: Commands, word: str) -> TyperCommand:
    info = next(each for each in app.registered_commands if each.name == word)
    info.callback = gates.expanded(info.callback)
    command = typer.main.get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode="rich")
    assert isinstance(command, TyperCommand)
    return command


def _group(app: Commands, word: str) -> TyperGroup | None:
    """Return the group of commands `word` within a noun, such as `dkim key`."""
    inner = next((each.typer_instance for each in app.registered_groups if each.name == word), None)
    if inner is None:
        return None
    for info in inner.registered_commands:
        info.callback = gates.expanded(info.callback)
    group = typer.main.get_group(inner)
    group.name = word
    return group


def commands() -> Iterator[tuple[str, TyperCommand]]:
    """Yield every command with its words after `mic-mail`; this imports all command modules."""
    for noun, command in all_nouns().items():
        yield from _below(noun, command)


def _below(words: str, command: TyperGroup | TyperCommand) -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperCommand):
        yield words, command
        return
    for verb, inner in command.commands.items():
        assert isinstance(inner, (TyperGroup, TyperCommand))
        yield from _below(f"{words} {verb}", inner)
