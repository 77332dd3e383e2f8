"""`mic-mail serve`: run the server until a signal ends it."""

from typing import Annotated

import typer

from mic_mail.cli.frame import frame
from mic_mail.cli.gate import open_to_all
from mic_mail.cli.output import say

app = typer.Typer()


@app.command(help=say("Chạy máy chủ cho đến khi được yêu cầu dừng.", "Run the server until it is told to stop."))
@open_to_all
def serve(
    ctx: typer.Context,
    show_log: Annotated[
        bool, typer.Option("--show-log", help=say("In nhật ký ra màn hình.", "Print the log on the terminal as well."))
    ] = False,
) -> None:
    from mic_mail.app.child import preload, run_child
    from mic_mail.config.load import load
    from mic_mail.process.serve import run_supervisor

    here = frame(ctx)
    raise typer.Exit(run_supervisor(here.config, lambda: load(here.config_path), load=preload, be=run_child, tee=show_log))
