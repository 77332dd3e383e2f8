"""`mic-mail dkim key`: the DKIM keys of outgoing mail, and their DNS records.

A new key signs once the DNS has its record: a running server checks every ten minutes, `use` checks immediately.
"""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.acts import Act
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, JsonOption, argument, option
from mic_mail.cli.output import Column, Row, row_of
from mic_mail.domain_name import to_ascii
from mic_mail.errors import BadInput, Refused, Text, in_ascii
from mic_mail.mime.dkim import strings_of
from mic_mail.net.dns import Resolver
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.operations.dkim import DkimKeys, PublishedKey, published_key
from mic_mail.smtpclient.dkim_keys import Algorithm, Key, KeyFolder, KeyState

app = Commands()
key_app = Commands("Khóa ký: tạo, thay, hủy.", "Signing keys: create, replace, destroy.")
app.add_typer(key_app, name="key")

RECORDS = (Column("name", "Tên", "Name"), Column("type", "Loại", "Type"), Column("value", "Giá trị", "Value"))
KEYS = (
    Column("domain", "Tên miền", "Domain"),
    Column("selector", "Bộ chọn", "Selector"),
    Column("algorithm", "Thuật toán", "Algorithm"),
    Column("bits", "Bit", "Bits", right=True),
    Column("state", "Trạng thái", "State"),
    Column("since", "Từ lúc", "Since"),
    Column("trouble", "Trục trặc", "Trouble"),
    *(Column(each.key, each.vi, each.en, json_only=True) for each in RECORDS),
)
UNPUBLISHED = {
    PublishedKey.NOTHING: Text("DNS chưa có bản ghi của khóa này", "The DNS does not have its record yet"),
    PublishedKey.OTHER: Text("DNS có bản ghi khác, hoặc nhiều bản ghi", "The DNS has a different record, or several"),
    PublishedKey.UNKNOWN: Text("Chưa tra được DNS", "The DNS does not respond"),
}

DomainOption = Annotated[
    str | None, option("--domain", "Chỉ tên miền này; mặc định là mọi tên miền.", "Only this domain; default: all domains.")
]
Selector = Annotated[str, argument("SELECTOR", "Bộ chọn của khóa.", "The key's selector.")]


@key_app.command("Tạo khóa mới và in bản ghi DNS của nó.", "Create a key and print its DNS record.")
@requires(Right.ACT, act="dkim_key_add")
def add(
    *,
    selector: Annotated[
        str | None, option("--selector", "Bộ chọn; mặc định theo loại và ngày.", "The selector; default: algorithm and day.")
    ] = None,
    algorithm: Annotated[
        Algorithm, option("--algorithm", "Thuật toán: rsa hoặc ed25519.", "Algorithm: rsa or ed25519.")
    ] = Algorithm.RSA,
    bits: Annotated[int, option("--bits", "Độ dài khóa RSA.", "Length of an RSA key.")] = 2048,
    domain: DomainOption = None,
    act: Act,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    with act.recorded(domain or "*", selector=selector, algorithm=algorithm):
        made = _keys(here).add(_domains(here, domain), algorithm, bits, selector)
    _print_new_key(made, as_json=as_json)


@key_app.command("Tạo khóa mới cùng loại, thay cho khóa đang ký.", "Create a successor for each key that signs now.")
@requires(Right.ACT, act="dkim_key_rotate")
def rotate(*, domain: DomainOption = None, act: Act, as_json: JsonOption = False) -> None:
    here = act.here
    with act.recorded(domain or "*"):
        made = _keys(here).rotate(_domains(here, domain))
    _print_new_key(made, as_json=as_json)


@key_app.command("Ký bằng khóa này ngay, nếu DNS đã có bản ghi của nó.", "Sign with this key now, if the DNS has its record.")
@requires(Right.ACT, act="dkim_key_use")
def use(
    selector: Selector,
    *,
    now: Annotated[
        bool, option("--now", "Dù DNS chưa có: nơi nhận sẽ coi chữ ký là sai.", "Even if the DNS does not have the record.")
    ] = False,
    domain: DomainOption = None,
    act: Act,
) -> None:
    here = act.here
    keys, domains = _keys(here), _domains(here, domain)
    with act.recorded(selector, domain=domain, now=now):
        if not now:
            _must_be_published(here, [key for key in keys.all() if key.selector == selector and key.domain in domains])
        changed = keys.use(selector, domains)
    for key in changed:
        output.note(f"{key.name} ký từ bây giờ.", f"{key.name} is now the signing key.")
    if not changed:
        output.note("Khóa này đang được dùng để ký.", "It signs already.")


@key_app.command("Các khóa, trạng thái và trục trặc của chúng.", "List the keys with their states and problems.", name="list")
@requires(Right.READ)
def list_(here: CliContext, as_json: JsonOption = False) -> None:
    domains = _domains(here, None)
    keys = _keys(here)
    found = keys.all()
    output.listing(KEYS, [_row(keys, key) for key in found], as_json=as_json)
    signing = {key.domain for key in found if key.state is KeyState.SIGNING}
    for domain in domains:
        if domain not in signing:
            output.note(f"Thư của {domain} gửi đi chưa được ký.", f"Mail of {domain} is sent without a signature.")
    for key in found:
        if key.state is KeyState.RETIRED and not keys.has_to_stay(key):
            output.note(
                f"{key.name} không cần nữa: `mic-mail dkim key remove {key.selector}`, rồi bỏ bản ghi khỏi DNS.",
                f"{key.name} is no longer needed: run `mic-mail dkim key remove {key.selector}`, then remove its record "
                "from the DNS.",
            )


@key_app.command("Hủy khóa đã ngừng ký ít nhất bảy ngày.", "Destroy a key that has been retired for seven days.")
@requires(Right.ACT, act="dkim_key_remove")
def remove(
    selector: Selector,
    *,
    now: Annotated[bool, option("--now", "Hủy ngay, kể cả khóa đang ký.", "At once, even one that signs.")] = False,
    domain: DomainOption = None,
    act: Act,
) -> None:
    here = act.here
    domains = _domains(here, domain)
    with act.recorded(selector, domain=domain, now=now):
        removed = _keys(here).remove(selector, domains, now=now)
    for key in removed:
        output.note(f"Đã hủy {key.name}; bỏ bản ghi khỏi DNS.", f"{key.name} is destroyed; remove its record from the DNS.")


def _keys(here: CliContext) -> DkimKeys:
    return DkimKeys(KeyFolder(here.config.server.data_dir), here.clock)


def _domains(here: CliContext, chosen: str | None) -> list[str]:
    """Return the chosen domain, or all local ones, in their DNS form."""
    local = [to_ascii(domain) for domain in dict.fromkeys((*here.config.domains, *here.directory.domains()))]
    if chosen is None:
        return local
    if (asked := to_ascii(chosen)) not in local:
        raise BadInput(
            Text(f"“{chosen}” không phải tên miền của máy chủ này.", f'"{in_ascii(chosen)}" is not a domain of this server.')
        )
    return [asked]


def _must_be_published(here: CliContext, keys: list[Key]) -> None:
    names = here.config.dns

    async def look() -> list[PublishedKey]:
        resolver = Resolver(names.nameservers, seconds=names.seconds)
        return await asyncio.gather(*(published_key(resolver, key) for key in keys))

    for key, found in zip(keys, asyncio.run(look()), strict=True):
        if found is not PublishedKey.THIS:
            raise Refused(
                Text(f"{key.name}: {UNPUBLISHED[found].vi}.", f"{key.name}: {UNPUBLISHED[found].en}."),
                remedy=Text(
                    "Công bố bản ghi (`mic-mail dns records`) rồi làm lại; hoặc --now.",
                    "Publish it (`mic-mail dns records`) and run this again, or add --now.",
                ),
            )


def _print_new_key(made: list[Key], *, as_json: bool) -> None:
    output.listing(
        RECORDS, [{"name": key.name, "type": "TXT", "value": strings_of(key.record)} for key in made], as_json=as_json
    )
    output.note(
        "Công bố bản ghi trên DNS; máy chủ tra mỗi mười phút (hoặc `mic-mail dkim key use`) và ký khi thấy bản ghi.",
        "Publish it in the DNS; the server checks every ten minutes (or at `mic-mail dkim key use`), then signs.",
    )


def _row(keys: DkimKeys, key: Key) -> Row:
    trouble = keys.trouble(key)
    return row_of(
        KEYS,
        key,
        since=datetime.fromtimestamp(key.since_us // 1_000_000, UTC),
        trouble=output.localized(trouble) if trouble is not None else None,
        type="TXT",
        value=strings_of(key.record),
    )
