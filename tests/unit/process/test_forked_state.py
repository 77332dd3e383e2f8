"""What forked children might share by accident: names, boundaries, ids and nonces that libraries or modules prepare once."""

from unit.process.forked_program import run

LOADED = """
from mic_mail.app.child_process import preload
preload()
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


def test_nothing_is_thrown_twice() -> None:
    """Neither by two children nor by their parent, though it had thrown before."""
    assert run(LOADED + COMPARED) == "4 []\n"


def test_no_module_counts_for_all() -> None:
    """What a module began to count, each child would go on counting alike."""
    assert run(LOADED + COUNTERS) == "[]\n"
