"""The lease of a node that sends: while others see it renewed, what the node has taken up is its own.

In: the database of the queue. Out: whether this node may begin an attempt now, and how many nodes send.

A node is a row, named at random when its sender starts. It is renewed every `RENEW_SECONDS`. Once it has expired any other node
may remove it, which frees what the node had taken up (a foreign key, database_queue.py): so whoever has a row has its entries,
and whoever has lost the row finds out with the next thing that it writes. The database's clock decides what has expired. The
node's own measures only the time since it last asked, by which a node that cannot reach the database stops in time.

After an outage of the database all leases have expired alike. So a node takes nothing from others before it has renewed its own
for `LEASE_SECONDS` without a gap: until then they have come back, too. Blocking; one thread at a time renews.
"""

import math
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a server whose queue is files does not load its driver
    from mic_mail.storage.index.postgresql.database import Database

LEASE_SECONDS = 15.0
RENEW_SECONDS = 3.0
_MARGIN_SECONDS = 1.0
"""A node stops so long before its lease ends: between its last look at the clock and what it begins then."""
_GAP_SECONDS = 2 * RENEW_SECONDS
"""A renewal that comes later than this after the one before counts as interrupted."""

_RENEW = "UPDATE queue_node SET lease_until = clock_timestamp() + make_interval(secs => $2) WHERE node_id = $1"
_JOIN = "INSERT INTO queue_node (node_id, lease_until) VALUES ($1, clock_timestamp() + make_interval(secs => $2))"
_ALIVE = "SELECT count(*) FROM queue_node WHERE lease_until > clock_timestamp()"
_LEAVE = "DELETE FROM queue_node WHERE node_id = $1"


class NodeLease:
    """The lease of one process."""

    def __init__(self, database: "Database", monotonic: Callable[[], float] = time.monotonic) -> None:
        """`database` is used by nothing else, so that a renewal waits for nobody's turn."""
        self._database = database
        self._monotonic = monotonic
        self.node_id = ""
        """Empty before the first renewal, and after the end."""
        self.nodes = 1
        """Nodes that send, as of the last renewal; at least this one."""
        self._renewed_at = -math.inf
        self._unbroken_since = math.inf

    def renew(self) -> bool:
        """Renew the lease, or begin the first one; return False if it was lost, and another one began.

        Raises `Unavailable`.
        """
        asked_at = self._monotonic()
        with self._database.transaction() as connection:
            kept = bool(self.node_id) and connection.run(_RENEW, self.node_id, str(LEASE_SECONDS)).rowcount == 1
            node_id = self.node_id if kept else secrets.token_hex(8)
            if not kept:
                connection.run(_JOIN, node_id, str(LEASE_SECONDS))
            (alive,) = connection.run(_ALIVE).fetchone()
        if not kept or asked_at - self._renewed_at > _GAP_SECONDS:
            self._unbroken_since = asked_at
        was_lost = bool(self.node_id) and not kept
        self.node_id, self.nodes, self._renewed_at = node_id, max(1, alive), asked_at
        return not was_lost

    def is_held(self) -> bool:
        """Return whether nobody else can have taken over yet, by the time since this node last asked."""
        return self._monotonic() - self._renewed_at < LEASE_SECONDS - _MARGIN_SECONDS

    def may_take_over(self) -> bool:
        """Return whether what an expired lease held may be taken."""
        return self.is_held() and self._monotonic() - self._unbroken_since >= LEASE_SECONDS

    def end(self) -> None:
        """Give everything back to the others at once; raises `Unavailable`, after which they wait for the lease's end."""
        node_id, self.node_id = self.node_id, ""
        self._renewed_at = -math.inf
        if node_id:
            with self._database.transaction() as connection:
                connection.run(_LEAVE, node_id)

    def close(self) -> None:
        self._database.close()
