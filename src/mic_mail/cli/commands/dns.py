"""`mic-mail dns`: the DNS records that the domains need, and a check of them."""

import asyncio
import hashlib
from typing import Annotated

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mic_mail.cli import output
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, JsonOption, option
from mic_mail.cli.output import Column, ResultTable, Row
from mic_mail.errors import Text
from mic_mail.i18n.plurals import counted
from mic_mail.net.dns import Resolver
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.operations import dns_check, dns_records
from mic_mail.services.operations.dkim import DkimKeys
from mic_mail.services.operations.dns_check import RecordCheck
from mic_mail.services.operations.dns_records import OWN_ADDRESS, REVERSED, SENDERS_OF, ExpectedRecord
from mic_mail.smtpclient.dkim_keys import KeyFolder

_TO_FILL_IN = ((OWN_ADDRESS, "<địa chỉ của máy chủ này>"), (SENDERS_OF, "<các địa chỉ gửi thư của "), (REVERSED, "<địa chỉ>"))
"""The placeholders in values of `dns_records` for people to fill in, with their Vietnamese text."""

app = Commands()

_RECORD = (
    Column("name", "Tên", "Name"),
    Column("type", "Loại", "Type"),
    Column("value", "Giá trị", "Value"),
    Column("need", "Mức", "Need"),
)
RECORDS = (*_RECORD, Column("why", "Mục đích", "Purpose"))
FINDINGS = (
    Column("verdict", "Kết quả", "Verdict"),
    *_RECORD,
    Column("found", "DNS hiện có", "Found"),
    Column("remark", "Ghi chú", "Remark"),
)
EXIT_FOUND = 1


@app.command("In các bản ghi mà tên miền cần có.", "Print the records that the domains need.")
@requires(Right.READ)
def records(
    here: CliContext, *, zone: Annotated[bool, option("--zone", "In theo dạng tệp vùng.", "As lines of a zone file.")] = False
) -> ResultTable | None:
    found = _expected(here)
    if zone:
        for each in found:
            output.line(each.line())
        return None
    return ResultTable(RECORDS, [_row(each) for each in found])


@app.command(
    "Tra DNS và so với các bản ghi cần có; mã thoát 1 nếu phải sửa.",
    "Look up and check the records; exit code 1 if one is wrong.",
)
@requires(Right.READ)
def check(here: CliContext, as_json: JsonOption = False) -> int:
    settings = here.config.dns

    async def look() -> list[RecordCheck]:
        resolver = Resolver(settings.nameservers, seconds=settings.seconds)
        return await dns_check.check(resolver, _expected(here), here.config.server.hostname)

    findings = asyncio.run(look())
    output.listing(FINDINGS, [_finding_row(each) for each in findings], as_json=as_json)
    faults = sum(each.is_fault for each in findings)
    if faults:
        output.note(f"{faults} bản ghi phải sửa.", f"{counted(faults, 'record has', 'records have')} to be corrected.")
    return EXIT_FOUND if faults else 0


def _expected(here: CliContext) -> list[ExpectedRecord]:
    keys = DkimKeys(KeyFolder(here.config.server.data_dir), here.clock).published()
    return dns_records.expected_records(here.config, here.directory.domains(), _key_digest(here), keys)


def _key_digest(here: CliContext) -> bytes | None:
    """Return SHA-256 of the public key of the served certificate (RFC 6698 §2.1.2); None if unreadable."""
    try:
        certificate = x509.load_pem_x509_certificate(here.config.certificate.read_bytes())
    except (OSError, ValueError):
        return None
    key = certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key).digest()


def _value(value: str) -> Text:
    """Return a name or value of a record, its placeholders in both languages."""
    vi = value
    for english, vietnamese in _TO_FILL_IN:
        vi = vi.replace(english, vietnamese)
    return Text(vi, value)


def _row(expected: ExpectedRecord) -> Row:
    return {
        "name": output.localized(_value(expected.name)),
        "type": expected.type,
        "value": output.localized(_value(expected.value)),
        "need": expected.need,
        "why": output.localized(expected.why),
    }


def _finding_row(finding: RecordCheck) -> Row:
    remark = output.localized(finding.remark) if finding.remark is not None else None
    return {**_row(finding.expected), "verdict": finding.verdict, "found": finding.found, "remark": remark}
