"""Reg. 4.1: the check of markings on our own labelled corpus. `make markings` prints the figures; a regression fails here."""

from markings import allowed, forbidden, holdout
from markings.sample import Sample
from mic_mail.textextract.limits import Bounds
from mic_mail.textextract.result import FoundMarking
from mic_mail.textextract.worker import look_into

BOUNDS = Bounds(seconds=60)


def worst_of(sample: Sample) -> FoundMarking | None:
    return look_into(sample.octets(), BOUNDS).worst


def figures(samples: list[Sample]) -> tuple[list[str], list[str], int, int]:
    """What was refused wrongly and missed, and how many were to pass and to be refused."""
    wrongly: list[str] = []
    missed: list[str] = []
    for sample in samples:
        found = worst_of(sample)
        if sample.degree is None and found is not None:
            wrongly.append(f"{sample.label}: {found.where}")
        elif sample.degree is not None and (found is None or found.marking.degree is not sample.degree):
            missed.append(f"{sample.label}: {found.marking.degree if found else 'nothing'}")
    return wrongly, missed, sum(one.degree is None for one in samples), sum(one.degree is not None for one in samples)


def misjudged(name: str, samples: list[Sample]) -> tuple[list[str], list[str]]:
    wrongly, missed, clean, marked = figures(samples)
    caught = marked - len(missed)
    precision = caught / (caught + len(wrongly)) if caught else 1.0
    print(f"\n{name}: {clean} allowed, {marked} forbidden; precision {precision:.3f}, recall {caught / marked:.3f}")
    for line in wrongly:
        print(f"  refused wrongly  {line}")
    for line in missed:
        print(f"  missed           {line}")
    return wrongly, missed


def test_clause_4_1_corpus():
    """Every marked document is found with its degree, and no ordinary one is taken for marked."""
    passing, stopped = allowed.samples(), forbidden.samples()
    assert min(len(passing), len(stopped)) >= 150
    wrongly, missed = misjudged("corpus", passing + stopped)
    assert (wrongly, missed) == ([], [])


def test_clause_4_1_hold_out():
    """Samples that the rules were not made with: 1.000 and 0.950 when they were first tried, two misses that are mended."""
    wrongly, missed = misjudged("hold-out", holdout.samples())
    assert (wrongly, missed) == ([], [])
