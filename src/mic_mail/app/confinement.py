"""What each kind of process may reach, put in force by Landlock before it does anything (docs/decisions/0097).

In: the role of a child, the configuration. Out: `Rules`. Of what the server keeps for itself a process is allowed what it needs
and nothing else; of the rest of the machine it may read what its account may, and write only devices. Private keys are in
nobody's rest, wherever the configuration has them. Nobody binds a port, signals a process outside, or gains a privilege.

    worker       directory, mail, spool, queue, what is put aside, log; the keys of TLS; not those of DKIM
    web          directory, mail, log; how many wait in the spool; the keys of TLS and of second factors; not those of DKIM
    sender       as a worker; the keys of DKIM
    housekeeper  everything below data_dir: it changes keys of DKIM, archives, looks after the certificate
    indexer      directory, mail, log; no key, no network
"""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from mic_mail.auth.passwords import DECOY_KEY, load_secret
from mic_mail.config.model import Config
from mic_mail.directory.looking import file_of
from mic_mail.process import landlock
from mic_mail.process.landlock import Rules
from mic_mail.services.notifications import notices
from mic_mail.services.signin import secondfactors

OFFLINE = frozenset({"indexer", "web"})
"""Roles that connect to nobody."""
SCRATCH = "tmp"
"""Below data_dir: where SQLite may put what a sort does not hold in memory. Nobody writes to /tmp."""
DEVICES = (Path("/dev"), Path("/proc"))


def confine(role: str, config: Config) -> int:
    """Restrict this process to what its role may reach: the ABI of Landlock that does, 0 where the kernel has none."""
    os.environ["TMPDIR"] = os.environ["SQLITE_TMPDIR"] = str(config.server.data_dir / SCRATCH)  # sorts that are large
    return landlock.restrict(rules_of(role, config))


def prepare(config: Config) -> None:
    """Make, before anybody is confined, what processes are allowed by name: a file that comes later is nobody's."""
    for key in (config.server.data_dir / DECOY_KEY, config.server.data_dir / secondfactors.KEY):
        if not key.exists():
            load_secret(key)
    for folder in (config.server.data_dir / SCRATCH, *_put_aside(config)):
        folder.mkdir(mode=0o700, exist_ok=True)


def rules_of(role: str, config: Config) -> Rules:
    """What the role may reach. Looks at the folders above what is kept from it."""
    data = config.server.data_dir
    keys = [path for pair in _tls(config) for path in pair]
    write = [data / SCRATCH, config.directory_dir, config.run_dir, config.log_dir, config.mail_root]
    if (directory := file_of(config.directory_url)) is not None:
        write.append(directory.resolve().parent)
    secrets = [] if config.sending.smarthost_password is None else [config.sending.smarthost_password]
    read = [data / DECOY_KEY, config.state_dir]
    read += [path for path in (config.auth.leaked_passwords, config.sending.smarthost_ca) if path is not None]
    if role in ("worker", "sender", "housekeeper"):
        write += [config.spool_dir, config.queue_dir, config.sent_dir, config.policies_dir, *_put_aside(config)]
    if role in ("worker", "web", "sender", "housekeeper"):
        read += [place for path in keys for place in (path.parent, path.resolve().parent)]
    if role == "web":
        read.append(data / secondfactors.KEY)
    if role == "sender":
        read += [config.dkim_dir, *secrets]
    if role == "housekeeper":
        write.append(data)
    kept = {data.resolve(), *(path.resolve() for path in (*keys, *secrets))}
    kept |= {path.absolute() for path in (*keys, *secrets)}
    return Rules(
        read=[*_all_but(Path("/"), kept), *read],
        write=[*write, *DEVICES],
        listed=[config.spool_dir] if role == "web" else [],  # for the metrics: how many wait
        connect=frozenset() if role in OFFLINE else None,
    )


def _tls(config: Config) -> Iterator[tuple[Path, Path]]:
    yield config.certificate, config.key
    for pair in config.tls.more:
        yield pair.certificate, pair.key


def _put_aside(config: Config) -> tuple[Path, ...]:
    data = config.server.data_dir
    return (config.policies_dir, config.held_dir, config.quarantine_dir, config.lessons_dir, data / notices.FOLDER)


def _all_but(folder: Path, kept: Collection[Path]) -> Iterator[Path]:
    """Everything below `folder` but the paths that are kept: whole folders where nothing in them is. A link that leads to what
    is kept, or to something above it, is left out."""
    if folder in kept:
        return
    if not any(path.is_relative_to(folder) for path in kept):
        yield folder
        return
    try:
        entries = [folder / name for name in os.listdir(folder)]
    except OSError:
        return
    for entry in entries:
        if not entry.is_symlink():
            yield from _all_but(entry, kept)
        elif not any(path.is_relative_to(entry.resolve()) or entry.resolve().is_relative_to(path) for path in kept):
            yield entry
