"""`mic-mail serve`: run the server until a signal ends it."""

from collections.abc import Mapping
from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.authorization import open_to_all
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, option
from mic_mail.config.model import Config
from mic_mail.errors import Text

app = Commands()


@app.command("Chạy máy chủ cho đến khi được yêu cầu dừng.", "Run the server until it is stopped.")
@open_to_all()
def serve(
    here: CliContext,
    show_log: Annotated[bool, option("--show-log", "In nhật ký ra màn hình.", "Also print the log on the terminal.")] = False,
) -> None:
    from mic_mail.app.child_process import make_ready, run_child
    from mic_mail.app.demands import demands_of
    from mic_mail.config.load import load
    from mic_mail.process.serve import run_supervisor

    config = here.config
    raise typer.Exit(
        run_supervisor(
            config,
            lambda: load(here.config_path),
            load=lambda: make_ready(config),
            be=run_child,
            demands=demands_of(config),
            tee=show_log,
            announce=lambda ports: output.note(_listening(config, ports)),
        )
    )


def _listening(config: Config, ports: Mapping[str, int]) -> Text:
    """Return where the server listens, with the ports that were bound for 0."""
    places, doors = ", ".join(map(str, config.listen.addresses)), ", ".join(f"{door} {port}" for door, port in ports.items())
    return Text(
        f"Đang phục vụ tại {places}, các cổng: {doors}. Dừng bằng Ctrl-C.",
        f"Listening at {places}, ports: {doors}. Stop with Ctrl-C.",
    )
