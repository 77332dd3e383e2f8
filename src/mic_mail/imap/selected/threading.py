"""Threads of messages: ORDEREDSUBJECT and REFERENCES (RFC 5256 §3), and REFS as in other servers.

In: columns of the messages that a search found, in mailbox order. Out: a `Forest`, and its octets. Pure. Time is close to
linear for any references: roots are found by walking up with path compression, and nothing recurses.
REFERENCES pauses as it goes, so that a large mailbox is threaded in slices; few messages are threaded without a pause.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field

from mic_mail.mime.sort_keys import ID_OCTETS, ThreadKeys

SLICE_MESSAGES = 2000
AT_ONCE = 4000
"""Messages that are threaded without a pause, in 10 ms; each pause is a way to the loop and back."""


@dataclass(frozen=True, slots=True)
class Messages:
    """The messages to thread, in columns: an object per message would burden the garbage collector."""

    ids: list[bytes] = field(default_factory=list)
    """Digests of the Message-IDs; empty where there is none."""
    references: list[bytes] = field(default_factory=list)
    """Concatenated digests of the references, the oldest first."""
    subjects: list[bytes] = field(default_factory=list)
    """Base subjects, as the collation compares them."""
    replies: list[bool] = field(default_factory=list)
    by_date: list[int] = field(default_factory=list)
    """All messages in the order of their sent dates."""

    def extend(self, keys: Iterable[ThreadKeys]) -> None:
        """Add the next messages in mailbox order."""
        ids, references, subjects, replies = zip(*keys, strict=True)
        self.ids.extend(ids)
        self.references.extend(references)
        self.subjects.extend(subjects)
        self.replies.extend(replies)

    def __len__(self) -> int:
        return len(self.ids)


def pause(messages: Messages) -> Generator[None, None, None]:
    """Let others have their turn, where there are many messages."""
    if len(messages) > AT_ONCE:
        yield


@dataclass(frozen=True, slots=True)
class Forest:
    """A forest of threads.

    Nodes below `count` are messages, others stand for missing ones. `children` lists the children of nodes that have any, in
    order.
    """

    count: int
    roots: list[int]
    children: dict[int, list[int]]


def write(forest: Forest, numbers: Sequence[int]) -> bytes:
    """Return the THREAD response (RFC 5256 §5, thread-data); `numbers` are the message numbers or UIDs."""
    out: list[str] = ["* THREAD "] if forest.roots else ["* THREAD"]
    children, count = forest.children, forest.count
    for root in forest.roots:
        if root not in children:
            out.append(f"({numbers[root]})")
            continue
        pending: list[int | str] = [")", root, "("]
        while pending:
            item = pending.pop()
            if isinstance(item, str):
                out.append(item)
                continue
            below = children.get(item, ())
            if item < count:
                out.append(f"{numbers[item]} " if below else f"{numbers[item]}")
            if len(below) == 1:
                pending.append(below[0])
            else:
                for child in reversed(below):
                    pending += (")", child, "(")
    out.append("\r\n")
    return "".join(out).encode("ascii")


def ordered_subject(messages: Messages) -> Forest:
    """Thread by ORDEREDSUBJECT: the first message of each base subject, and the others below it."""
    threads: dict[bytes, int] = {}
    children: dict[int, list[int]] = {}
    roots: list[int] = []
    for at in messages.by_date:
        root = threads.setdefault(messages.subjects[at], at)
        if root == at:
            roots.append(at)
        else:
            children.setdefault(root, []).append(at)
    return Forest(len(messages), roots, children)


def references(messages: Messages, *, by_subject: bool = True) -> Generator[None, None, Forest]:
    """Thread by REFERENCES, in the steps of RFC 5256 §3.

    Without `by_subject` it is REFS: no step 5, and threads are ordered by their newest message, the oldest first.
    """
    count = len(messages)
    links = _Links(count)
    parents = links.parents
    nodes: dict[bytes, int] = {}
    for at, own in enumerate(messages.ids):
        if own:
            nodes.setdefault(own, at)
    for at, refs in enumerate(messages.references):  # (1)
        last = -1
        for begin in range(0, len(refs), ID_OCTETS):
            ref = refs[begin : begin + ID_OCTETS]
            node = nodes.get(ref)
            if node is None:
                node = nodes[ref] = links.add()
            if last >= 0 and parents[node] < 0:
                links.link(last, node)
            last = node
        if parents[at] != last:
            links.relink(last, at)
        if at % SLICE_MESSAGES == SLICE_MESSAGES - 1:
            yield from pause(messages)
    forest = _pruned(count, parents)  # (2), (3)
    yield from pause(messages)
    ranks = [0] * count
    for rank, at in enumerate(messages.by_date):
        ranks[at] = rank

    def first(node: int) -> int:
        return ranks[node] if node < count else ranks[forest.children[node][0]]

    for root in forest.roots:  # (4)
        if root >= count:
            forest.children[root].sort(key=ranks.__getitem__)
    _arrange(forest, first)
    yield from pause(messages)
    if by_subject:
        _merge_subjects(forest, messages)  # (5)
        yield from pause(messages)
    for below in forest.children.values():  # (6)
        if len(below) > 1:
            below.sort(key=ranks.__getitem__)
    _arrange(forest, first if by_subject else lambda root: _newest(forest, ranks, root))
    return forest


def _arrange(forest: Forest, rank: Callable[[int], int]) -> None:
    """Sort the roots by their ranks, which are distinct.

    Each goes into its own slot, since sorting 100,000 would block the loop.
    """
    places = [-1] * forest.count
    for root in forest.roots:
        places[rank(root)] = root
    forest.roots[:] = [root for root in places if root >= 0]


def _newest(forest: Forest, ranks: Sequence[int], root: int) -> int:
    newest, pending = -1, [root]
    while pending:
        node = pending.pop()
        pending += forest.children.get(node, ())
        if node < forest.count:
            newest = max(newest, ranks[node])
    return newest


class _Links:
    """The parent of each node, without cycles."""

    def __init__(self, count: int) -> None:
        self.parents = [-1] * count
        self._fertile = bytearray(count)
        """1 for nodes that have, or had, a child."""
        self._up: dict[int, int] = {}
        """Shortcuts to ancestors, valid until a link is cut."""

    def add(self) -> int:
        """Add a missing message."""
        self.parents.append(-1)
        self._fertile.append(0)
        return len(self.parents) - 1

    def link(self, parent: int, child: int) -> None:
        """Set the parent, unless the child has one or is an ancestor of it."""
        if self.parents[child] >= 0 or parent == child or (self._fertile[child] and self._root(parent) == child):
            return
        self.parents[child] = parent
        self._fertile[parent] = 1

    def relink(self, parent: int, child: int) -> None:
        """Set the parent (-1: none), replacing the one that the child has."""
        if self.parents[child] == parent:
            return
        if self.parents[child] >= 0:
            self.parents[child] = -1
            self._up = {}
        if parent >= 0:
            self.link(parent, child)

    def _root(self, node: int) -> int:
        passed = []
        while (above := self._up.get(node, self.parents[node])) >= 0:
            passed.append(node)
            node = above
        for at in passed:
            self._up[at] = node
        return node


def _pruned(count: int, parents: Sequence[int]) -> Forest:
    """Do steps 2 and 3: build the tree without missing messages.

    Only at the top a missing message may remain, to hold several children together.
    """
    children: dict[int, list[int]] = {}
    tops: list[int] = []
    for node, parent in enumerate(parents):
        if parent >= 0:
            children.setdefault(parent, []).append(node)
        else:
            tops.append(node)
    downwards, pending = [], tops[:]
    while pending:
        node = pending.pop()
        if node in children:
            downwards.append(node)
            pending += children[node]
    for node in reversed(downwards):
        if max(children[node]) >= count:
            promoted = _promoted(count, children, node)
            if promoted:
                children[node] = promoted
            else:
                del children[node]
    roots: list[int] = []
    for node in tops:
        below = children.get(node, [])
        if node < count or len(below) > 1:
            roots.append(node)
        else:
            roots += below
            children.pop(node, None)
    return Forest(count, roots, children)


def _promoted(count: int, children: dict[int, list[int]], node: int) -> list[int]:
    """Return the children of a node, with those of missing ones in their places.

    The shorter list is always appended to the longer.
    """
    result: list[int] = []
    for child in children[node]:
        more = [child] if child < count else children.pop(child, [])
        if len(more) > len(result):
            result, more = more, result
        result += more
    return result


def _merge_subjects(forest: Forest, messages: Messages) -> None:
    """Do step 5: merge threads of the same base subject."""
    count, children, subjects, replies = forest.count, forest.children, messages.subjects, messages.replies
    nodes = max(count, *forest.roots, *children, 0) + 1  # an unused number
    table: dict[bytes, int] = {}
    for node in forest.roots:  # B
        subject = subjects[node if node < count else children[node][0]]
        if not subject:
            continue
        known = table.get(subject)
        if known is None or (known < count and (node >= count or (replies[known] and not replies[node]))):
            table[subject] = node
    under: set[int] = set()  # nodes that are no longer roots
    made: list[int] = []
    for node in forest.roots:  # C
        subject = subjects[node if node < count else children[node][0]]
        if not subject or node in under or table[subject] == node:
            continue
        known = table[subject]
        if known >= count and node >= count:
            children[known] += children.pop(node)
        elif known >= count or (replies[node] and not replies[known]):
            children.setdefault(known, []).append(node)
        else:
            table[subject] = nodes
            children[nodes] = [known, node]
            made.append(nodes)
            nodes += 1
            under.add(known)
        under.add(node)
    forest.roots[:] = [node for node in [*forest.roots, *made] if node not in under]
