"""The settings of a server that `init` has made."""

import json
import re

from regulation.console import Console


def write_settings(console: Console, table: str, **settings: object) -> None:
    """Put them into the table of the file that `init` has made, in place of those that are there."""
    file = console.folder / "mic-mail.toml"
    head, tail = file.read_text().split(f"\n[{table}]\n")
    lines, *others = re.split(r"(?m)^(?=\[)", tail, maxsplit=1)
    for name, value in settings.items():
        lines = re.sub(f"(?m)^{name} = .*\n", "", lines)
        lines = f"{name} = {json.dumps(value)}\n{lines}"
    file.write_text("".join([f"{head}\n[{table}]\n{lines}", *others]))
