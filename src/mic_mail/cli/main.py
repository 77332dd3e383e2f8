"""The command `mic-mail`: root options, and the handling of errors.

In: arguments and environment. Out: an exit code (0 done, 1 refused by a rule, 2 usage error, 3 trouble: try later, 130 stopped
by Ctrl-C, 141 output not read to its end) and never a traceback: an unexpected error gets a reference number, and its traceback
goes to a file that the message names. On a terminal that cannot show Vietnamese the output is English. The commands are in
`nouns`.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from mic_mail.cli import output, standard_output, typer_i18n
from mic_mail.cli.context import ACTOR_VARIABLE, CODE_VARIABLE, CONFIG_VARIABLE, DEFAULT_CONFIG, CliContext
from mic_mail.cli.nouns import LazyGroup, listed_nouns
from mic_mail.cli.options import Commands, option
from mic_mail.clock import Clock, SystemClock
from mic_mail.errors import BadInput, MicMailError, Refused, Trouble
from mic_mail.i18n.language import Language, language_of
from mic_mail.ids import trace_id

EXIT_REFUSED, EXIT_USAGE, EXIT_TROUBLE = Refused.exit_code, BadInput.exit_code, Trouble.exit_code
EXIT_STOPPED = 130
"""The exit code that a shell shows for a process that Ctrl-C ended (128 + SIGINT)."""
EXIT_READER_GONE = 141
"""The exit code that a shell shows for a process whose reader ended first, as in `| head` (128 + SIGPIPE)."""


def build() -> typer.Typer:
    app = Commands(
        "Máy chủ thư điện tử công vụ, vận hành theo Quy chế.",
        "The official mail server, run by the regulation it serves.",
        cls=LazyGroup,
        name="mic-mail",
        add_completion=False,
        pretty_exceptions_enable=False,
        suggest_commands=False,  # nouns are too unlike each other for a guess
    )

    @app.callback()
    def root(
        ctx: typer.Context,
        config: Annotated[
            Path, option("--config", "Tệp cấu hình.", "The configuration file.", envvar=CONFIG_VARIABLE)
        ] = DEFAULT_CONFIG,
        lang: Annotated[
            Language | None, option("--lang", "Ngôn ngữ: vi hoặc en.", "Language: vi or en.")
        ] = None,  # read by `main`
        actor: Annotated[
            str | None,
            option(
                "--actor",
                "Cán bộ mà lệnh tự động thực hiện thay.",
                "The officer on whose behalf a script acts.",
                envvar=ACTOR_VARIABLE,
            ),
        ] = None,
        *,
        code: Annotated[
            str | None,
            option(
                "--code",
                "Mã xác thực của cán bộ, cho lệnh tự động.",
                "A code of the officer's second factor, for scripts.",
                envvar=CODE_VARIABLE,
            ),
        ] = None,
        tells_version: Annotated[
            bool,
            option(
                "--version",
                "Cho biết phiên bản rồi kết thúc.",
                "Print the version and exit.",
                callback=_print_version,
                is_eager=True,
            ),
        ] = False,
    ) -> None:
        ctx.obj = CliContext(config_path=config, clock=ctx.obj, named=actor, code=code)
        output.name_program(ctx.obj.program)
        ctx.call_on_close(ctx.obj.close)

    return app


def _print_version(asked: bool) -> None:
    if asked:
        import platform  # these take as long to import as a short command to run
        import sqlite3
        from importlib.metadata import version

        output.line(f"mic-mail {version('mic-mail')} (Python {platform.python_version()}, SQLite {sqlite3.sqlite_version})")
        raise typer.Exit


def root_command() -> LazyGroup:
    command = typer.main.get_command(build())
    assert isinstance(command, LazyGroup)
    typer_i18n.dress(command)
    typer_i18n.speak(command)
    command.fill(listed_nouns())
    return command


def main(arguments: list[str], clock: Clock | None = None) -> int:
    """Run one command and return the exit code; nothing escapes but `SystemExit`."""

    def run() -> object:
        output.settle(language_of(os.environ, _language_option(arguments)))
        return root_command().main(args=arguments, prog_name="mic-mail", standalone_mode=False, obj=clock or SystemClock())

    return exit_code_of(run)


def exit_code_of(work: Callable[[], object]) -> int:
    """Return the exit code of `work`: the number that it returns, 0 for anything else; an error is reported here."""
    try:
        outcome = work()
        sys.stdout.flush()
        code = outcome if isinstance(outcome, int) else 0  # EXIT_STOPPED, too: Typer returns it at Ctrl-C
    except TyperException as usage:
        return _usage(usage)
    except MicMailError as error:
        output.failure(error)
        if isinstance(error, standard_output.Unwritable):
            standard_output.silence()
        return error.exit_code
    except KeyboardInterrupt:
        code = EXIT_STOPPED
    except typer.Abort:  # a question was answered with no, or not at all
        return _stopped(EXIT_REFUSED)
    except (standard_output.ReaderGone, BrokenPipeError):
        standard_output.leave_reader()
        return EXIT_READER_GONE
    except SystemExit as ended:
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        standard_output.leave_reader()  # the console that prints the help has ended the program
        return EXIT_READER_GONE
    except OSError as error:
        if not standard_output.is_lost():
            return _unexpected()
        output.failure(standard_output.unwritable(error))
        standard_output.silence()
        return EXIT_TROUBLE
    except Exception:  # noqa: BLE001  the last line of defence: a person gets a reference, the file gets the traceback
        return _unexpected()
    if code == EXIT_STOPPED:
        return _stopped(code)
    return EXIT_READER_GONE if code == 0 and standard_output.reader_is_gone() else code


def _stopped(code: int) -> int:
    output.note(output.spoken("Đã dừng theo yêu cầu.", "Stopped as asked."))
    return code


def _language_option(arguments: list[str]) -> str | None:
    """Return the value of `--lang` in any of its spellings; Typer refuses anything but vi and en."""
    for position, word in enumerate(arguments):
        value = word.removeprefix("--lang=") if word.startswith("--lang=") else None
        if word == "--lang" and position + 1 < len(arguments):
            value = arguments[position + 1]
        if value in set(Language):
            return value
    return None


def _usage(error: TyperException) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":  # typed without a command: the help is the answer
        with standard_output.beside():
            sys.stderr.write(error.format_message() + "\n")
        return EXIT_USAGE
    output.note(f"{output.spoken('Lệnh chưa đúng', 'Wrong command')}: {typer_i18n.in_our_words(error.format_message())}")
    path = context.command_path if context is not None else "mic-mail"
    output.note(output.spoken(f"Xem hướng dẫn: {path} --help", f"See: {path} --help"))
    return EXIT_USAGE


def _unexpected() -> int:
    """Report an unexpected error: write the traceback to a private file and say where."""
    reference = trace_id(SystemClock().now_us())
    details = _keep_traceback(reference)
    output.note(
        output.spoken(
            f"Lỗi ngoài dự kiến, mã {reference}. Chi tiết: {details}",
            f"Unexpected error, reference {reference}. Details: {details}",
        )
    )
    return EXIT_TROUBLE


def _keep_traceback(reference: str) -> str:
    """Write the traceback where only this user can read it; return the path, or a dash if that failed."""
    import tempfile  # only for an error that was not expected
    import traceback

    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    for folder in (Path(state) / "mic-mail", Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / f"error-{reference}.txt"
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                traceback.print_exc(file=file)
            return str(path)
    return "-"
