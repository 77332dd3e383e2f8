"""`mic-mail status`: the state of the running server."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, cast

from mic_mail.cli import output
from mic_mail.cli.authorization import open_to_all
from mic_mail.cli.context import CliContext
from mic_mail.cli.log_codes import CONFINEMENT, PROCESSES, listed
from mic_mail.cli.options import Commands, JsonOption, option
from mic_mail.cli.output import Cell, Column, Row
from mic_mail.errors import Text, Trouble
from mic_mail.i18n.dates import size
from mic_mail.process.status import read
from mic_mail.storage.reserve import ReserveState

RESTING = Text("chờ việc", "on demand")
"""A process that runs on demand and has nothing to do: it is not running, and starts by itself."""
LAG: Mapping[str, Text] = {"worst": Text("lâu nhất", "worst")}
COLUMNS = (
    Column("name", "Tiến trình", "Process"),
    Column("pid", "PID", "PID", right=True),
    Column("ready", "Sẵn sàng", "Ready"),
    Column("restarts", "Khởi động lại", "Restarts", right=True),
    Column("connections", "Kết nối", "Connections"),
    Column("lag_ms", "Trễ (ms)", "Lag (ms)", names=LAG),
)

app = Commands()


@app.command("Tình trạng của máy chủ đang chạy.", "The state of the running server.")
@open_to_all(clauses="3.1 10.1")
def status(
    here: CliContext,
    *,
    prometheus: Annotated[
        bool, option("--prometheus", "Các chỉ số theo định dạng của Prometheus.", "The metrics in the format of Prometheus.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    config = here.config
    found = read(config.run_dir)
    if found is None:
        raise Trouble(
            Text("Máy chủ không chạy.", "The server is not running."),
            remedy=Text(
                "Chạy `mic-mail serve`, hoặc chỉ đúng tệp bằng --config.",
                "Run `mic-mail serve`, or give its configuration with --config.",
            ),
        )
    if prometheus:
        from mic_mail.process.metrics import exposition  # loads its library, which nothing else needs

        output.line(exposition(found, config).decode().rstrip("\n"))
    elif as_json:
        output.print_json(found)
    else:
        for sentence in _sentences(found):
            output.line(sentence)
        output.listing(COLUMNS, map(_row, _process_rows(found)), as_json=False)


def _sentences(status: Mapping[str, object]) -> Iterator[Text]:
    processes = _process_rows(status)
    started, ports = status.get("started_at"), status.get("ports")
    if isinstance(started, str):
        since = output.cell(datetime.fromisoformat(started))
        yield Text(f"Chạy từ {since}", f"Running since {since}")
    if isinstance(ports, Mapping):
        listed_ports = ", ".join(f"{door} {port}" for door, port in ports.items())
        yield Text(f"Các cổng: {listed_ports}", f"Ports: {listed_ports}")
    for process in processes:
        queued, sending = process.get("queued"), process.get("sending")
        if queued is not None:
            is_paused = status.get("sending_paused") is True
            paused = Text(", tạm dừng (sending.paused)", ", paused (sending.paused)") if is_paused else Text("", "")
            yield Text(
                f"Chờ gửi ra tên miền khác: {queued} thư, đang gửi {sending}{paused.vi}",
                f"Waiting for other domains: {queued} messages, {sending} being sent{paused.en}",
            )
    readers = next((process["readers"] for process in processes if "readers" in process), None)
    if isinstance(readers, Mapping):
        yield _readers(readers)
    yield from _unread(processes)
    yield from _hints(processes)
    yield from _confinement(status)
    for process in processes:
        yield from _reserves(process)
        if process.get("failing") is True:
            yield _alarm(process)
        if (seconds := process.get("silent_seconds")) is not None:
            name = _name(process)
            yield Text(
                f"Tiến trình {name.vi} hiện không trả lời; số liệu của tiến trình này là của {seconds} giây trước.",
                f"Process {name.en} does not answer now; its numbers are {seconds} s old.",
            )


def _readers(status: Mapping[str, object]) -> Text:
    in_force, without = _protection(status)
    return Text(
        f"Tiến trình đọc tài liệu được cô lập bằng: {in_force.vi}{without.vi}",
        f"Document readers are confined by {in_force.en}{without.en}",
    )


def _hints(processes: Iterable[Mapping[str, object]]) -> Iterator[Text]:
    """Yield whether other servers of the same mailboxes are heard, if there may be any; nothing in its first seconds."""
    for process in processes:
        if not isinstance(hints := process.get("hints"), Mapping):
            continue
        late, sent, heard = (hints.get(key) for key in ("ms", "sent", "heard"))
        if late is not None:
            yield Text(
                f"Tin báo giữa các máy chủ đến sau {late} ms; đã gửi {sent}, nhận {heard}.",
                f"Hints between servers arrive in {late} ms; {sent} sent, {heard} heard.",
            )
        elif hints.get("arrive") is not True:
            yield Text(
                "CẢNH BÁO: không nhận được tin báo của các máy chủ khác; thay đổi ở đó đến đây chậm đến hai giây.",
                "ALARM: no hints from other servers arrive; changes there are seen here up to two seconds late.",
            )
        if unreadable := hints.get("unreadable"):
            yield Text(
                f"CẢNH BÁO: không đọc được {unreadable} tin báo của máy chủ khác, có lẽ vì tệp decoy.key ở đó khác. "
                "Hãy chép một tệp đó đến mọi máy chủ.",
                f"ALARM: {unreadable} hints of other servers could not be read, probably as their decoy.key is another. "
                "Copy one such file to all servers.",
            )


def _unread(processes: Iterable[Mapping[str, object]]) -> Iterator[Text]:
    """Yield how many accepted messages still wait to be read for markings, if any."""
    if number := sum(waiting for process in processes if isinstance(waiting := process.get("unread"), int)):
        yield Text(
            f"Chờ kiểm tra dấu độ mật sau khi đã nhận: {number} thư",
            f"Accepted, to be read for secrecy markings: {number} messages",
        )
    if number := sum(damaged for process in processes if isinstance(damaged := process.get("unread_damaged"), int)):
        yield Text(
            f"CẢNH BÁO: {number} thư đã nhận không kiểm tra được dấu độ mật vì hồ sơ không đọc được. "
            "Xem: mic-mail log search --event unread_record_damaged",
            f"ALARM: {number} accepted messages are not read for secrecy markings, since their records cannot be read. "
            "See: mic-mail log search --event unread_record_damaged",
        )


def _protection(status: Mapping[str, object]) -> tuple[Text, Text]:
    """Return what is in force, and what is missing (`process.protection`)."""
    in_force, missing = (
        listed(CONFINEMENT, map(str, cast("list[object]", status.get(key, [])))) for key in ("in_force", "missing")
    )
    if not missing.en:
        return in_force, Text("", "")
    return in_force, Text(f"; CẢNH BÁO, không có: {missing.vi}", f"; WARNING, without {missing.en}")


def _name(process: Mapping[str, object]) -> Text:
    return listed(PROCESSES, [str(process.get("name"))])


def _process_rows(status: Mapping[str, object]) -> list[Mapping[str, object]]:
    processes = status.get("processes")
    return [process for process in processes if isinstance(process, Mapping)] if isinstance(processes, list) else []


def _confinement(status: Mapping[str, object]) -> Iterator[Text]:
    """Yield how the processes are confined: one line for those confined alike."""
    names: dict[tuple[Text, Text], list[str]] = {}
    for process in _process_rows(status):
        if isinstance(protection := process.get("protection"), Mapping):
            names.setdefault(_protection(protection), []).append(str(process.get("name")))
    for (in_force, without), alike in names.items():
        who = listed(PROCESSES, alike)
        yield Text(
            f"Chỉ truy cập được những gì cần dùng: {who.vi} (nhờ {in_force.vi}{without.vi})",
            f"Confined to what they need: {who.en} (by {in_force.en}{without.en})",
        )


def _alarm(process: Mapping[str, object]) -> Text:
    name, failures = _name(process), process.get("failures")
    return Text(
        f"CẢNH BÁO: tiến trình {name.vi} không khởi động được ({failures} lần liên tiếp); máy chủ vẫn phục vụ, thiếu "
        "tiến trình này. Xem: mic-mail log search --event process_failed",
        f"ALARM: process {name.en} does not start ({failures} times in a row); the server runs without it. "
        "See: mic-mail log search --event process_failed",
    )


def _reserves(process: Mapping[str, object]) -> Iterator[Text]:
    """Yield an alarm for each mailbox disk without its reserve for deletions (`storage.reserve`)."""
    reserves, octets = process.get("reserves"), process.get("reserve_octets")
    if not isinstance(reserves, Mapping) or not isinstance(octets, int):
        return
    need = size(2 * octets)
    for folder, state in reserves.items():
        if state == ReserveState.GIVEN_UP:
            yield Text(
                f"CẢNH BÁO: đĩa chứa {folder} đã đầy. Vẫn đọc và xóa được thư; "
                f"thư mới bị từ chối cho đến khi đĩa còn trống {need.vi}.",
                f"ALARM: the disk of {folder} is full. Mail can be read and deleted; "
                f"new mail is refused until {need.en} are free.",
            )
        elif state == ReserveState.MISSING:
            yield Text(
                f"CẢNH BÁO: đĩa chứa {folder} chưa có chỗ dành sẵn để xóa thư khi đĩa đầy; cần còn trống {need.vi}.",
                f"ALARM: the disk of {folder} has no reserve for deleting mail when it is full; {need.en} must be free.",
            )


def _row(process: Mapping[str, object]) -> Row:
    row = {column.key: _cell(process.get(column.key)) for column in COLUMNS} | {"name": _name(process)}
    return row | {"ready": RESTING} if process.get("resting") is True else row


def _cell(value: object) -> Cell:
    return value if isinstance(value, str | int | float | Mapping | None) else str(value)
