"""How each of these fuzzers begins: its seeds in a folder of their own, and bounds on the time and memory of one input."""

import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris

SECONDS = 20
"""Of one input, on a machine that has other work: what takes longer does not end by itself."""
MEMORY_MIB = 1_536


def run(one_input: Callable[[bytes], None], seeds: Iterable[bytes]) -> None:
    """Begin from the seeds and let atheris look for more."""
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds):
            (Path(folder) / str(number)).write_bytes(seed)
        bounds = [f"-timeout={SECONDS}", f"-rss_limit_mb={MEMORY_MIB}"]
        atheris.Setup([sys.argv[0], *bounds, *sys.argv[1:], folder], one_input)
        atheris.Fuzz()


def pieces(octets: bytes, step: int) -> list[bytes]:
    """`octets` cut every `step`."""
    return [octets[at : at + step] for at in range(0, len(octets), max(1, step))]
