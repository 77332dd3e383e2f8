"""Polls of files for changes, by a trace of them that costs no query, such as the time of the last change."""


class Traces:
    """The traces of something at the last polls; a change counts for several of them.

    The times of files have the resolution of the kernel's tick (4 ms), so two changes may leave the same trace, and the second
    would be missed if the first was seen in between. And a commit changes the file before others can read it: a disk may take
    seconds to make it durable.
    """

    __slots__ = ("_last", "_left", "_polls")

    def __init__(self, polls: int = 2) -> None:
        self._polls = polls
        self._last: object = None
        self.forget()

    def forget(self) -> None:
        """Count what is seen next as changed."""
        self._left = self._polls

    def have_changed(self, trace: object) -> bool:
        """Take the trace of this poll, and return whether it has changed lately, or is None."""
        if trace is None or trace != self._last:
            self.forget()
        self._last = trace
        self._left -= 1
        return self._left >= 0
