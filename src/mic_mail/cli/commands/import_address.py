"""`mic-mail import address`: a mailbox under its owner's address from before the regulation (Reg.

5.5).

Joined into the group `import` by main.NOUNS.
"""

from typing import Annotated

import typer

from mic_mail.auth import password_hash
from mic_mail.cli.acts import GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.import_files import must_have_document
from mic_mail.cli.commands.mailbox import octets_of, show_issued, welcome
from mic_mail.cli.date_args import read_day
from mic_mail.cli.options import JsonOption
from mic_mail.cli.output import say
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.importers.addresses import Old, OldAddresses

app = typer.Typer()


@app.command(help=say("Cấp hộp thư với địa chỉ cũ giữ nguyên (5.5).", "Issue a mailbox with its owner's old address (5.5)."))
@requires(Right.ACT, act="mailbox_import_address", clauses="5.5")
def address(
    old: Annotated[str, typer.Argument(metavar="ADDRESS", help=say("Địa chỉ cũ.", "The old address."))],
    *,
    person: Annotated[int | None, typer.Option("--person", help=say("Mã cá nhân.", "Id of the person."))] = None,
    unit: Annotated[str | None, typer.Option("--unit", help=say("Ký hiệu đơn vị.", "Symbol of the unit."))] = None,
    created: Annotated[
        str | None,
        typer.Option(
            "--created-on",
            help=say("Ngày lập ở hệ thống cũ, nếu biết.", "The day of its creation in the old system, if known."),
        ),
    ] = None,
    quota: Annotated[str | None, typer.Option("--quota", help=say("Dung lượng, ví dụ “2 GiB”.", "E.g. '2 GiB'."))] = None,
    act: GroundedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    origin = act.origin
    must_have_document(origin)
    kept = Old(old, read_day(created) if created is not None else None, octets_of(quota) if quota is not None else None)
    password = password_hash.generate()
    addresses = OldAddresses(here.directory, here.config, here.clock)
    with act.recorded(old, person=person, unit=unit):
        if person is not None and unit is None:
            mailbox = addresses.of_person(here.directory.person(person), kept, password, origin)
        elif unit is not None and person is None:
            mailbox = addresses.of_unit(here.directory.living_unit(unit), kept, password, origin)
        else:
            raise BadInput(Text("Chọn đúng một: --person hoặc --unit.", "Name exactly one of --person, --unit."))
    show_issued(mailbox, password, as_json=as_json)
    welcome(here, mailbox)
