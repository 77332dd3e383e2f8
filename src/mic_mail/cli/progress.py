"""The progress of long work, on standard error; silent without a terminal."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from mic_mail.cli.output import console_of


@contextmanager
def progress_of(title: str) -> Iterator[Callable[..., None]]:
    """Show one long work; yield what takes how much is done and, where it is known, of how much."""
    with progress_bar() as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, of=None: bar.update(task, completed=done, total=of)


def progress_bar() -> AbstractContextManager[Progress]:
    """Return a progress bar on standard error for long work; silent without a terminal."""
    console = console_of(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
