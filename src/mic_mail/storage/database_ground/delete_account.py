"""Deleting one mailbox from the database in two steps; the second can be repeated.

    set aside    under the account's lock, if `still` says so then: its generation is freed (generations.py)
    remove       the rows of every freed generation of the mailbox, in pieces

The first step is the decisive one. The caller has recorded the reason, and has an archive. What a kill leaves after it nobody
reads; the next call, or the housekeeper, removes it. A delivery that waited for the lock finds no account: it is refused, and
when it comes again makes a new one.
"""

import time
from collections.abc import Callable

from mic_mail.storage.database_ground import generations
from mic_mail.storage.database_ground.generations import KNOWN_SECONDS, State
from mic_mail.storage.database_ground.store import DatabaseStore
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.index.postgresql.database import Database

_LEFT_OVER_US = 86_400 * 1_000_000
_LEFT_BEHIND_US = 60 * 1_000_000
"""After so long a generation that was freed is no longer being removed by whoever did that, or may be by two at once."""


def set_aside(store: DatabaseStore, still: Callable[[], bool]) -> bool:
    """Free the mailbox's generation unless `still`, called under the account's lock, returns False; return whether it did."""
    database = store.shared.database
    with database.changing(store.account_id) as connection:
        generations.wait_for_record(connection)
        if not still():
            return False
        generations.lock(connection, store.account_id)
        generations.retire(connection, store.account_id, State.FREED, store.clock.steady_us())
    return True


def remove_freed(database: Database, mailbox_id: int) -> None:
    """Remove all that was freed of a mailbox, once no process reads it any more."""
    with database.reading() as connection:
        freed = generations.in_state(connection, mailbox_id, State.FREED)
    if freed:
        time.sleep(KNOWN_SECONDS)
    for number, _ in freed:
        generations.remove(database, number)


def drop_replaced(database: Database, number: int, now_us: int) -> None:
    """Free a generation that a restore has replaced."""
    with database.transaction() as connection:
        if not generations.move(connection, number, State.REPLACED, State.FREED, now_us):
            raise Unavailable(f"account {number} is being removed by another process")


def is_left(database: Database, mailbox_id: int) -> bool:
    """Return whether anything of a mailbox that was to be deleted is in the database."""
    with database.reading() as connection:
        found = [generations.in_state(connection, mailbox_id, state) for state in (State.CURRENT, State.FREED)]
    return any(found)


def drop_left_behind(database: Database, now_us: int) -> None:
    """Remove what killed processes have left: restores that began more than a day ago, and what was being removed."""
    with database.reading() as connection:
        restoring = generations.all_in_state(connection, State.RESTORING)
    for number, _, since_us in restoring:
        if since_us < now_us - _LEFT_OVER_US:
            with database.transaction() as connection:
                generations.move(connection, number, State.RESTORING, State.FREED, since_us)
    with database.reading() as connection:
        freed = generations.all_in_state(connection, State.FREED)
    for number, _, since_us in freed:
        if since_us < now_us - _LEFT_BEHIND_US:
            generations.remove(database, number)
