"""Fixtures for every test that needs a running server; see `harness` for what they give.

    serve            serve(settings, clock=...) -> MailServer     any number, in threads
mail_server      a MailServer with dvbe and ttlan, system clock
serve_processes  serve_processes(settings) -> ProcessServer   `mic-mail serve`; issue people, then `start()`
memory           a folder in memory, for a store without a server
"""

import gc
import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

import clauses
import programs
from memory_folder import folder_in_memory

if TYPE_CHECKING:
    from harness import MailServer, ProcessServer
    from mic_mail.clock import Clock


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--clauses`: fail if a clause that this server obeys had no test that passed."""
    parser.addoption("--in-database", action="store_true", help="mailboxes of servers lie in PostgreSQL")
    parser.addoption("--clauses", action="store_true", help="every clause has to be proved by a passing test")


def pytest_configure(config: pytest.Config) -> None:
    _show_values_in_helpers()
    # An example that takes long beside a busy machine is no failure: Hypothesis would let it have 200 ms.
    if config.getoption("--in-database"):
        os.environ["MIC_MAIL_TESTS_IN_DATABASE"] = "yes"
    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")
    os.environ.pop("COLUMNS", None)  # xdist sets it in its workers, and commands obey it; a test that wants it sets it
    sys.addaudithook(programs.watch)
    _take_descriptors()
    if config.getoption("--clauses") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(clauses.Passed())


def _show_values_in_helpers() -> None:
    """A failed `assert` in a module that tests import shows its values, as one in a test does."""
    here = Path(__file__).parent
    modules = {path.stem for path in here.iterdir() if path.suffix == ".py" or path.is_dir()}
    pytest.register_assert_rewrite(*sorted(modules - sys.modules.keys()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test's report says which clauses it proves. The year, the longest of all, goes first. Campaigns may take long."""
    items.sort(key=lambda item: item.path.name != "test_year.py")
    for item in items:
        if item.get_closest_marker("campaign"):
            item.add_marker(pytest.mark.timeout(CAMPAIGN_SECONDS), append=False)
        item.user_properties += [(clauses.PROVEN, clause) for clause in sorted(clauses.of_item(item))]


CAMPAIGN_SECONDS = 2 * 60 * 60
"""Ends a campaign that hangs. One that does not takes minutes, and several times that beside other work: it is no failure."""

UMASK = 0o022
"""A command that runs in this process makes it the server's; what a test makes may be for other users to read."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    programs.begin(item)
    os.umask(UMASK)  # for fixtures of a module, too


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    os.umask(UMASK)  # such a fixture may have run a command


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """What the tests of a file left lying in circles is collected with the last: among so many objects Python waits long.

    What survives belongs to the run. It is looked at no more: each such look took half a second in the end.
    """
    programs.end()
    yield
    if nextitem is None or nextitem.path != item.path or _descriptors_run_out():
        gc.collect()
        gc.freeze()


def _descriptors_run_out() -> bool:
    """Python 3.14 looks at what is old so seldom that sockets in circles use up 1,024 descriptors within a file."""
    return len(os.listdir("/proc/self/fd")) > resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 3


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.getoption("--in-database"):
        import mailboxes_in_database

        mailboxes_in_database.end()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last lines: what was skipped for want of what."""
    for line in programs.skipped_for(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line)


def _take_descriptors() -> None:
    """As many as the server would take: usually 1,024 of several thousands that are allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Thousands of tests and what they import are no garbage: each look through them would cost a second."""
    if len(session.items) > 100 or "sqlalchemy" in sys.modules:
        import compiled_statements  # a few tests of what needs no directory do not wait for it

        compiled_statements.share()
    if len(session.items) > 100:  # a few have not loaded Hypothesis, which counts references when it is loaded later
        gc.collect()
        gc.freeze()


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, for a store that needs no disk; see the module of that name."""
    with folder_in_memory() as folder:
        yield folder


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., "MailServer"]]:
    """Start a server in a thread: `serve({"auth": {"cleartext": True}}, clock=ManualClock(...))`."""
    from harness import MailServer, config_for, stopping  # only tests that need a server pay for importing one

    servers: list[MailServer] = []

    def start(settings: dict[str, Any] | None = None, *, clock: "Clock | None" = None) -> "MailServer":
        server = MailServer(config_for(tmp_path / f"server{len(servers)}", settings), clock)
        servers.append(server)
        return server

    with stopping(servers):
        yield start


@pytest.fixture
def mail_server(serve: Callable[..., "MailServer"]) -> "MailServer":
    """A server with two people, Đỗ Văn Bê and Trần Thị Lan."""
    server = serve()
    server.population.issue("dvbe", name="Đỗ Văn Bê")
    server.issue("ttlan", name="Trần Thị Lan")
    return server


@pytest.fixture
def serve_processes(tmp_path: Path) -> Iterator[Callable[..., "ProcessServer"]]:
    """Make a multi-process server: issue its people with `.population.issue`, then `.start()` it."""
    from harness import ProcessServer, config_for, stopping

    servers: list[ProcessServer] = []

    def make(settings: dict[str, Any] | None = None) -> "ProcessServer":
        folder = tmp_path / f"processes{len(servers)}"
        folder.mkdir()
        server = ProcessServer(config_for(folder / "data", settings), folder)
        servers.append(server)
        return server

    with stopping(servers):
        yield make
