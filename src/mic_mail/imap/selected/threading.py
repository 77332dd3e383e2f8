"""Threads of messages: the algorithms ORDEREDSUBJECT and REFERENCES of RFC 5256 §3, and REFS as other servers have it.

In: columns of the messages that a search found, in the order of the mailbox. Out: a `Forest`, and its octets. Pure; time is
close to linear whatever the references say: parents are found by a walk up whose length is halved as it goes, nothing recurses.
REFERENCES pauses as it goes, so that a large mailbox is threaded in slices.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from mic_mail.mime.sort_keys import ID_OCTETS

SLICE_MESSAGES = 2000


@dataclass(frozen=True, slots=True)
class Messages:
    """What threads are made of, in columns: what is one object a message keeps the collector of garbage busy."""

    ids: list[bytes] = field(default_factory=list)
    """A digest of the Message-ID, or nothing."""
    references: list[bytes] = field(default_factory=list)
    """Digests in a row, the oldest first."""
    subjects: list[bytes] = field(default_factory=list)
    """Base subjects, as the collation compares them."""
    replies: list[bool] = field(default_factory=list)
    by_date: list[int] = field(default_factory=list)
    """All of them in the order of their sent dates."""

    def add(self, own: bytes, references: bytes, subject: bytes, *, is_reply: bool) -> None:
        """The next one in the order of the mailbox."""
        self.ids.append(own)
        self.references.append(references)
        self.subjects.append(subject)
        self.replies.append(is_reply)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Forest:
    """Nodes below `count` are messages, others stand for one that is not there; children, of those that have any, in order."""

    count: int
    roots: list[int]
    children: dict[int, list[int]]


def write(forest: Forest, numbers: Sequence[int]) -> bytes:
    """The THREAD response (RFC 5256 §5, thread-data); `numbers` are what the messages are called."""
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
    """ORDEREDSUBJECT: the first of each base subject, and the others below it."""
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
    """REFERENCES, step by step as RFC 5256 §3 numbers them.

    Without `by_subject` it is REFS: no step 5, and in the end the thread comes first that has rested longest.
    """
    count = len(messages)
    links = _Links(count)
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
            if last >= 0:
                links.link(last, node)
            last = node
        links.relink(last, at)
        if at % SLICE_MESSAGES == SLICE_MESSAGES - 1:
            yield
    forest = _pruned(count, links.parents)  # (2), (3)
    yield
    ranks = [0] * count
    for rank, at in enumerate(messages.by_date):
        ranks[at] = rank

    def first(node: int) -> int:
        return ranks[node] if node < count else ranks[forest.children[node][0]]

    for root in forest.roots:  # (4)
        if root >= count:
            forest.children[root].sort(key=ranks.__getitem__)
    _arrange(forest, first)
    yield
    if by_subject:
        _merge_subjects(forest, messages)  # (5)
        yield
    for below in forest.children.values():  # (6)
        if len(below) > 1:
            below.sort(key=ranks.__getitem__)
    _arrange(forest, first if by_subject else lambda root: _newest(forest, ranks, root))
    return forest


def _arrange(forest: Forest, rank: Callable[[int], int]) -> None:
    """Put the roots in the order of their ranks, no two of which are the same: each into its own place, since sorting 100,000
    would keep the loop waiting."""
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
    """Who is whose parent, never in a circle."""

    def __init__(self, count: int) -> None:
        self.parents = [-1] * count
        self._fertile = bytearray(count)
        """Who has, or had, a child."""
        self._up: dict[int, int] = {}
        """Shortcuts to ancestors; good for as long as no link is cut."""

    def add(self) -> int:
        """A message that is not there."""
        self.parents.append(-1)
        self._fertile.append(0)
        return len(self.parents) - 1

    def link(self, parent: int, child: int) -> None:
        """Make it the parent, unless the child has one or stands above it."""
        if self.parents[child] >= 0 or parent == child or (self._fertile[child] and self._root(parent) == child):
            return
        self.parents[child] = parent
        self._fertile[parent] = 1

    def relink(self, parent: int, child: int) -> None:
        """The same (-1: none), whatever parent the child has."""
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
    """Steps 2 and 3: children under their parents, without those who are not there; only at the top such a one may hold several
    together."""
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
    """The children of a node, those of missing ones in their places; the longer list takes the shorter, never the other way."""
    result: list[int] = []
    for child in children[node]:
        more = [child] if child < count else children.pop(child, [])
        if len(more) > len(result):
            result, more = more, result
        result += more
    return result


def _merge_subjects(forest: Forest, messages: Messages) -> None:
    """Step 5: threads of the same base subject become one."""
    count, children, subjects, replies = forest.count, forest.children, messages.subjects, messages.replies
    nodes = max(count, *forest.roots, *children, 0) + 1  # a number that none has
    table: dict[bytes, int] = {}
    for node in forest.roots:  # B
        subject = subjects[node if node < count else children[node][0]]
        if not subject:
            continue
        known = table.get(subject)
        if known is None or (known < count and (node >= count or (replies[known] and not replies[node]))):
            table[subject] = node
    under: set[int] = set()  # who is at the top no more
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
