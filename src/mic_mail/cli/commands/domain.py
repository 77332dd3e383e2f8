"""`mic-mail domain`: the domains whose addresses are local (Reg. 3.2)."""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated

from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.directory_orders import KeepOption, OrderAct
from mic_mail.cli.options import Commands, argument
from mic_mail.cli.output import Column, ResultTable, Row
from mic_mail.directory.records import AddressRole
from mic_mail.policy.authorization.roles import Right

app = Commands()

COLUMNS = (
    Column("domain", "Tên miền", "Domain"),
    Column("configured", "Khai báo trong tệp cấu hình", "In the configuration"),
    Column("primary", "Địa chỉ chính", "Primary addresses", right=True),
    Column("alias", "Bí danh", "Aliases", right=True),
)
Name = Annotated[str, argument("DOMAIN", "Tên miền.", "The domain.")]


@app.command("Liệt kê tên miền và số địa chỉ.", "List the domains with their numbers of addresses.", name="list")
@requires(Right.READ, clauses="3.2")
def list_domains(here: CliContext) -> ResultTable:
    counts = Counter((each.address.rpartition("@")[2], each.role) for each in here.directory.addresses())
    rows: Iterator[Row] = (
        {
            "domain": name,
            "configured": name in here.config.domains,
            "primary": counts[name, AddressRole.PRIMARY],
            "alias": counts[name, AddressRole.ALIAS],
        }
        for name in here.directory.domains()
    )
    return ResultTable(COLUMNS, rows)


@app.command("Thêm tên miền: địa chỉ của nó thuộc hệ thống ngay.", "Add a domain: its addresses are local at once.")
@requires(Right.ACT, act="domain_add", clauses="3.2")
def add(name: Name, *, act: OrderAct) -> None:
    act.give(name, lambda changes, origin: changes.domain(name, origin, is_local=True))


@app.command(
    "Chuyển mọi hộp thư sang tên miền khác; địa chỉ cũ còn là bí danh.",
    "Move all addresses to another domain; the old ones stay as aliases.",
)
@requires(Right.ACT, act="domain_move", clauses="3.2")
def move(
    old: Annotated[str, argument("OLD", "Tên miền hiện nay.", "The present domain.")],
    new: Annotated[str, argument("NEW", "Tên miền mới, đã thêm.", "The new domain, already added.")],
    *,
    keep_days: KeepOption = None,
    act: OrderAct,
) -> None:
    act.give(old, lambda changes, origin: changes.move_domain(old, new, origin, act.first_day, keep_days=keep_days), new=new)


@app.command("Bỏ tên miền không còn địa chỉ nào.", "Remove a domain that has no addresses left.")
@requires(Right.ACT, act="domain_end")
def end(name: Name, *, act: OrderAct) -> None:
    act.give(name, lambda changes, origin: changes.domain(name, origin, is_local=False))
