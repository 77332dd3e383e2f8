"""What forked children might share by accident: names, boundaries, ids and nonces that libraries or modules prepare once."""

import pytest

from unit.process.forked_program import run

LOADED = """
from mic_mail.process import serve
before = set(os.listdir("/proc/self/fd"))
from mic_mail.app.child_process import preload
preload()
print(len(os.listdir("/proc/self/task")), sorted(set(os.listdir("/proc/self/fd")) - before))
unwanted = {"starlette", "uvicorn", "jinja2", "pypdf", "striprtf", "zxcvbn", "psycopg"}
loaded = {f"mic_mail.app.{name}" for name in ("server", "indexer", "queue_runner")}
print(sorted(unwanted & set(sys.modules)), loaded <= set(sys.modules))
print(gc.isenabled())
from mic_mail.directory.model import Base
print(all(mapper.configured for mapper in Base.registry.mappers))
"""

LATE = """
import ast, importlib.util

def is_module(name):
    try:
        return importlib.util.find_spec(name) is not None  # loads the packages above it
    except ModuleNotFoundError:  # what would be its package is a module
        return False

def imported(function):
    for node in ast.walk(function):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{one.name}" for one in node.names]
            yield from (name if is_module(name) else node.module for name in names)

modules = dict(sys.modules)
files = [(name, module.__file__) for name, module in modules.items() if name.startswith("mic_mail") and module.__file__]
read = [(name, node) for name, file in files for node in ast.walk(ast.parse(Path(file).read_text()))]
functions = [(name, node) for name, node in read if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
late = {(name, target) for name, function in functions for target in imported(function)}
print(("mic_mail.directory.repository", "mic_mail.directory.writes") in late)
print(sorted({(name, target.partition(".")[0] if target[:9] != "mic_mail." else target)
    for name, target in late if target not in modules}))
"""

DICE = """
import random
print([one for one in gc.get_objects() if type(one) is random.Random and one is not random._inst])
"""

COMPARED = """
import email.generator, email.utils, sqlite3, tempfile, uuid
import dns.entropy, dns.message
from mic_mail.auth import app_passwords, password_hash, totp
from mic_mail.ids import trace_id
from mic_mail.storage.maildir.maildir import NameSource

NAMES = NameSource("mail.mic.gov.vn")  # as if one were made for all

FOLDER = tempfile.TemporaryDirectory()

def sqlite():  # begins anew where a file is opened, not for a database in memory; nothing is kept in such here
    database = sqlite3.connect(f"{FOLDER.name}/{os.getpid()}.sqlite")
    return database.execute("SELECT hex(randomblob(16))").fetchone()[0]

def thrown():
    return {
        "boundary": email.generator._make_boundary(),
        "message id": email.utils.make_msgid(domain="x").partition(".")[2].partition("@")[0],
        "temporary name": next(tempfile._get_candidate_names()),
        "random uuid": uuid.uuid4().hex,
        "dns ids": [dns.message.make_query("x", "A").id for _ in range(6)],
        "dns octets": [dns.entropy.random_16() for _ in range(6)],
        "sqlite": sqlite(),
        "trace id": trace_id(0),
        "maildir name": NAMES.base(0),
        "password": password_hash.generate(),
        "app password": app_passwords.generate(),
        "secret": totp.make_secret(),
        "recovery codes": totp.recovery_codes(),
    }

thrown()  # in the parent: whatever is prepared at the first use is prepared now
reading, writing = os.pipe()
def work():
    os.write(writing, repr(thrown()).encode() + b"\\n")
    return 0
for _ in range(3):
    end(fork(work, (writing,), "a"))
rows = [eval(row) for row in os.read(reading, 60_000).decode().splitlines()] + [thrown()]
print(len(rows), [name for name in rows[0] if len({repr(row[name]) for row in rows}) < 4])
"""

COUNTERS = """
import itertools, types
def shared(name, holder, deep):
    for key, value in list(vars(holder).items()):
        if isinstance(value, type) and value.__module__ == name and deep:
            yield from shared(name, value, False)
        mine = [value]
        if isinstance(value, types.FunctionType):
            mine += [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        for one in mine:
            if isinstance(one, itertools.count) or isinstance(getattr(one, "__self__", None), itertools.count):
                yield f"{name}.{key}"
ours = [(name, module) for name, module in sorted(sys.modules.items()) if name.startswith("mic_mail")]
print([each for name, module in ours for each in shared(name, module, True)])
"""


@pytest.fixture(scope="module")
def told() -> dict[str, list[str]]:
    """What each program prints, one after the other in one process: loading takes a second."""
    programs = {"loaded": LOADED, "late": LATE, "dice": DICE, "counters": COUNTERS, "compared": COMPARED}
    parts = run("".join(f"{code}\nprint('end of a part')\n" for code in programs.values())).split("end of a part\n")
    return {name: part.splitlines() for name, part in zip(programs, parts, strict=False)}


def test_what_is_loaded_for_all_starts_no_thread_and_opens_nothing(told: dict[str, list[str]]) -> None:
    """The supervisor forks after it: a thread or an open file of a library would be each child's. Pages and readers of
    documents are loaded by those who need them, nothing for PostgreSQL. SQLAlchemy has prepared the tables."""
    assert told["loaded"] == ["1 []", "[] True", "True", "True"]


LOADED_LATE = [
    ("mic_mail.app.child_process", "mic_mail.app.web_process"),  # in one process only
    ("mic_mail.app.child_process", "mic_mail.directory.postgresql"),  # by the supervisor, for a directory there
    ("mic_mail.app.child_process", "mic_mail.quarantine.record_rows"),
    ("mic_mail.app.child_process", "mic_mail.queue.database_queue"),  # by the supervisor, for mailboxes in a database
    ("mic_mail.app.child_process", "mic_mail.queue.database_spool"),  # likewise
    ("mic_mail.app.child_process", "mic_mail.queue.sent_amounts"),
    ("mic_mail.app.child_process", "mic_mail.storage.database_ground.mailstore"),  # by the supervisor, for such mailboxes
    ("mic_mail.app.child_process", "mic_mail.storage.index.postgresql.creation"),
    ("mic_mail.app.server", "mic_mail.app.web_process"),
    ("mic_mail.app.server", "mic_mail.process.hint_bridge"),  # in one process, for such mailboxes
    ("mic_mail.auth.password_policy", "zxcvbn"),  # for a new password: commands and pages
    ("mic_mail.directory.duty_lock", "mic_mail.directory.postgresql"),  # loaded by then, as above
    ("mic_mail.directory.engine", "mic_mail.directory.migrate"),  # once, for a directory of an older version
    ("mic_mail.directory.engine", "mic_mail.directory.postgresql"),
    ("mic_mail.directory.repository", "mic_mail.directory.copying"),  # commands
    ("mic_mail.documents.xlsx", "openpyxl"),  # for a spreadsheet: commands and pages
    ("mic_mail.services.mail_store", "mic_mail.quarantine.record_rows"),
    ("mic_mail.services.mail_store", "mic_mail.queue.database_queue"),  # loaded by then, as above
    ("mic_mail.services.mail_store", "mic_mail.queue.database_spool"),  # loaded by then, as above
    ("mic_mail.services.mail_store", "mic_mail.queue.sent_amounts"),
    ("mic_mail.services.mail_store", "mic_mail.storage.database_ground.mailstore"),  # loaded by then, as above
    ("mic_mail.services.mail_store", "mic_mail.storage.index.postgresql.creation"),
    ("mic_mail.services.mail_store", "mic_mail.storage.index.postgresql.database"),
    ("mic_mail.services.operations.working_calendar", "holidays"),  # for a year of the calendar: a command
]
"""Modules with what functions of theirs import and no child has at its start."""


def test_what_requests_import_is_loaded_before_the_fork(told: dict[str, list[str]]) -> None:
    """Whatever else a function imports, each child would load and keep for itself, with the first request that needs it."""
    assert told["late"] == ["True", repr(LOADED_LATE)]


def test_no_module_has_dice_of_its_own(told: dict[str, list[str]]) -> None:
    """What a module makes when it is loaded, each child would throw alike: the ids of messages, DMARC's percentages."""
    assert told["dice"] == ["[]"]


def test_no_module_counts_for_all(told: dict[str, list[str]]) -> None:
    """What a module began to count, each child would go on counting alike."""
    assert told["counters"] == ["[]"]


def test_nothing_is_thrown_twice(told: dict[str, list[str]]) -> None:
    """Neither by two children nor by their parent, though it had thrown before."""
    assert told["compared"] == ["4 []"]
