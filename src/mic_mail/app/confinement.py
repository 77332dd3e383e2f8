"""The confinement of each kind of process, put in force before it does anything (docs/decisions/0097).

In: the role of a child, the configuration. Out: its `Rules` for Landlock, and the system call filter that goes with them. Of
the server's own data a process may reach what it needs and nothing else. Of the rest of the machine it may read what its
account may, except devices, secrets wherever the configuration has them, and single files that lie beside protected paths
(files of /etc stay readable). No process may bind a port, signal a process outside, or gain a privilege.

    each                          directory, mail, log, sockets (`run_dir`), the folder for large sorts
    each but the indexer          reads the state folder, the key of decoy hashes, the list of leaked passwords
    worker, sender, housekeeper   spool, queue, counts of sent mail, held mail, quarantine, training samples, quota warnings
    worker, web                   read the TLS keys
    worker                        starts document readers
    web                           reads the key of second factors; lists the spool
    sender                        DKIM keys and cached MTA-STS policies; reads the smarthost's password and certificates
    housekeeper                   state folder, archives, inventories; reads Rspamd's password and the collectors' certificates

By TCP a worker reaches scanners and name servers; the sender other mail servers, their MTA-STS policies, name servers; the
housekeeper the controller of Rspamd, log collectors, name servers; the web process and the indexer nothing. All of them reach a
database server that holds the directory or the mailboxes.
"""

import os
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from mic_mail.auth.password_hash import DECOY_KEY, load_secret
from mic_mail.config.model import Config, is_postgresql, ports_of_database
from mic_mail.config.schema import smarthost_place
from mic_mail.net import dns, syslog_transport
from mic_mail.process import denied_calls, landlock
from mic_mail.process.fork import run_apart
from mic_mail.process.landlock import Rules
from mic_mail.process.protection import Protection
from mic_mail.services.authentication import second_factors
from mic_mail.services.handover import inventory
from mic_mail.services.mailboxes import reclamation
from mic_mail.services.notifications import notices
from mic_mail.smtpclient.mta_sts_cache import HTTPS_PORT

SCRATCH = "tmp"
"""The folder below data_dir where SQLite writes what a sort does not hold in memory; /tmp is closed."""
_DEVICES = Path("/dev")
_READ_DEVICES = (_DEVICES / "zero", _DEVICES / "random", _DEVICES / "urandom")
_WRITTEN_DEVICES = (_DEVICES / "null",)
_SETTINGS = Path("/etc")
_NAME_SERVERS = _SETTINGS / "resolv.conf"
_ASKING_NAME_SERVERS = frozenset({"worker", "sender", "housekeeper"})
_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}


def confine(role: str, config: Config) -> Protection:
    """Restrict this process to what its role may reach, as far as the machine can.

    Return what is in force.
    """
    os.environ["TMPDIR"] = os.environ["SQLITE_TMPDIR"] = str(config.server.data_dir / SCRATCH)  # for large sorts
    no_new_privs = landlock.forbid_new_privileges()
    version = landlock.restrict(rules_of(role, config))
    internet = role not in ("indexer", "web") or config.directory_file is None or config.storage.database is not None
    is_filtered = no_new_privs and denied_calls.deny(programs=role == "worker", internet=internet)
    return Protection(no_new_privs, os.geteuid() != 0, version, is_filtered)


def prepare(config: Config) -> None:
    """Create the paths that the rules name, before any process is confined.

    A file that is created later is outside of every rule.
    """
    for key in (config.server.data_dir / DECOY_KEY, config.server.data_dir / second_factors.KEY):
        if not key.exists():
            run_apart(partial(load_secret, key))  # keeps the key out of the memory of processes forked later
    for folder in (config.server.data_dir / SCRATCH, config.mta_sts_dir, *_delivery_folders(config), *_archive_folders(config)):
        folder.mkdir(mode=0o700, exist_ok=True)


def rules_of(role: str, config: Config) -> Rules:
    """Return all that the role may reach. Lists the folders above the protected paths."""
    needed = needs_of(role, config)
    return Rules(
        read=[*_all_but(Path("/"), _protected_paths(config)), *_READ_DEVICES, *needed.read],
        write=[*_WRITTEN_DEVICES, *needed.write],
        listed=needed.listed,
        connect=needed.connect,
    )


def confinement_of(role: str, config: Config) -> tuple[Rules, tuple[tuple[int, int] | None, ...]]:
    """Return what a process of the role is confined to now, in a form that can be compared.

    A process that was confined to something else has to be replaced: a rule belongs to the file that was at the path then, not
    to the file that has replaced it.
    """
    needed = needs_of(role, config)
    named = [*needed.read, *needed.write]
    if role in _ASKING_NAME_SERVERS:
        named.append(_NAME_SERVERS)
    return needed, tuple(map(_identity_of, named))


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def needs_of(role: str, config: Config) -> Rules:
    """Return what the role needs beyond what every process may reach, in a form that can be compared."""
    data, sending = config.server.data_dir, config.sending
    read: list[Path | None] = []
    write = [data / SCRATCH, config.run_dir, config.log_dir, config.directory_dir, *_mail_folders(config)]
    if (directory := config.directory_file) is not None:
        write.append(directory.resolve().parent)
    if role != "indexer":
        read += [data / DECOY_KEY, config.state_dir, config.auth.leaked_passwords]
    if role in ("worker", "sender", "housekeeper"):
        write += [config.spool_dir, config.queue_dir, config.sent_dir, *_delivery_folders(config)]
    if role in ("worker", "web"):
        read += sorted(set(_places_of_keys(config)))
    if role == "web":
        read.append(data / second_factors.KEY)
    if role == "sender":
        read += [sending.smarthost_password, sending.smarthost_ca]
        write += [config.dkim_dir, config.mta_sts_dir]
    if role == "housekeeper":
        read += [config.rspamd.password, config.log.syslog.tls_ca]
        write += [config.state_dir, *_archive_folders(config)]
    return Rules(
        read=tuple(path for path in read if path is not None),
        write=tuple(write),
        listed=(config.spool_dir,) if role == "web" else (),  # for the metrics: counts waiting messages
        connect=_ports(role, config),
    )


def _ports(role: str, config: Config) -> frozenset[int] | None:
    """Return the TCP ports that the role connects to.

    None means any port: the directory's URL does not name one.
    """
    ports: set[int] = set()
    if is_postgresql(config.directory_url):
        ports |= ports_of_database(config.directory_url)
    elif config.directory_file is None:
        database = urlsplit(config.directory_url)
        port = database.port or _DATABASE_PORTS.get(database.scheme.partition("+")[0])
        if port is None:
            return None
        ports.add(port)
    if config.storage.database is not None:
        ports |= ports_of_database(config.storage.database)
    if role in _ASKING_NAME_SERVERS:
        ports |= {dns.PORT, *(dns.place(server)[1] for server in config.dns.nameservers)}
    if role == "worker":
        ports |= _ports_of((config.malware.clamd, config.rspamd.url))
    if role == "sender":
        ports |= {config.sending.port, HTTPS_PORT}
        if config.sending.smarthost:
            ports.add(smarthost_place(config.sending.smarthost)[1])
    if role == "housekeeper":
        ports |= _ports_of((config.rspamd.controller,))
        ports |= {place.port for place in map(syslog_transport.place, config.log.syslog.collectors) if place.is_stream}
    return frozenset(ports)


def _ports_of(scanners: Collection[str]) -> set[int]:
    return {int(place.rpartition(":")[2]) for place in scanners if place.startswith("tcp://")}


def _places_of_keys(config: Config) -> Iterator[Path]:
    """Yield the folders of the TLS keys and certificates, where a renewal replaces the files.

    Where such a folder also contains the server's data, only the files are yielded; a replacement is then not readable until
    the next start.
    """
    pairs = [(config.certificate, config.key), *((pair.certificate, pair.key) for pair in config.tls.more)]
    data = config.server.data_dir.resolve()
    for path in (path for pair in pairs for path in pair):
        for file in (path.absolute(), path.resolve()):
            yield file if data.is_relative_to(file.parent.resolve()) else file.parent


def _mail_folders(config: Config) -> Iterator[Path]:
    """Yield the mail root, and the folders of domains that are links to other disks."""
    yield config.mail_root
    if config.mail_root.is_dir():
        yield from sorted(entry.resolve() for entry in config.mail_root.iterdir() if entry.is_symlink())


def _delivery_folders(config: Config) -> tuple[Path, ...]:
    """Return the folders beside spool and queue that the processes that deliver mail write to."""
    return (config.held_dir, config.quarantine_dir, config.training_dir, config.server.data_dir / notices.FOLDER)


def _archive_folders(config: Config) -> tuple[Path, ...]:
    """Return the folders of reclaimed mailboxes and of handovers."""
    return (config.server.data_dir / reclamation.FOLDER, config.server.data_dir / inventory.FOLDER)


def _protected_paths(config: Config) -> set[Path]:
    """Return the protected paths, which no process may reach unless a rule names them."""
    secrets = [config.key, *(pair.key for pair in config.tls.more), config.sending.smarthost_password, config.rspamd.password]
    found = {_DEVICES, config.server.data_dir.resolve()}
    for path in secrets:
        if path is not None:
            found |= {path.absolute(), path.resolve()}
    return found


def _all_but(folder: Path, protected: Collection[Path]) -> Iterator[Path]:
    """Yield all paths below `folder` except those in `protected`; whole folders where nothing in them is protected.

    A link that leads to a protected path, or to a folder above or below one, is left out. So are single files, except those in
    /etc: a rule holds its file open, so a removed file would take up disk space for as long as the process lives.
    """
    if folder in protected:
        return
    if not any(path.is_relative_to(folder) for path in protected):
        if _may_have_rule(folder):
            yield folder
        return
    try:
        entries = [folder / name for name in os.listdir(folder)]
    except OSError:
        return
    for entry in entries:
        if not entry.is_symlink():
            yield from _all_but(entry, protected)
        elif _may_have_rule(entry) and not any(
            path.is_relative_to(entry.resolve()) or entry.resolve().is_relative_to(path) for path in protected
        ):
            yield entry


def _may_have_rule(path: Path) -> bool:
    """Return whether a rule may hold the path open: a folder, or a file of /etc."""
    try:
        return path.is_dir() or path.is_relative_to(_SETTINGS)
    except OSError:
        return False
