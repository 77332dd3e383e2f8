"""Small documents cost little, whatever they unpack to; large ones of a ministry are read to their end."""

import itertools
import time
import tracemalloc

import pytest

from cost_growth import calls_of
from markings.bombs import SMALL, mail
from markings.documents import docx, rtf, txt, zipped
from markings.large import LARGE
from markings.sample import Sample
from mic_mail.config.limits import ATTACHMENT_OCTETS
from mic_mail.textextract import worker
from mic_mail.textextract.limits import Bounds
from mic_mail.textextract.result import Missed, Unread
from mic_mail.textextract.worker import look_into

PATIENT = Bounds(seconds=1e6)
"""Seconds end nothing here: what bounds the cost is counted."""
TENTH = Bounds(seconds=1e6, work=50_000, work_per_octet=0, least_unpacked=2 << 20, unpacked_per_octet=0)
"""A tenth of what a small message may take."""
MOST_CALLS = 1_500_000
MOST_ALLOCATED = 24 << 20


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    """What is imported is no cost of a document."""
    worker.load()


@pytest.mark.parametrize("what", SMALL)
def test_little_costs_little(what: str) -> None:
    """A small document is read, or given up as over the bounds, with a bounded number of calls and octets of memory."""
    octets = mail(SMALL[what]())
    assert len(octets) < 200_000
    tracemalloc.start()
    try:
        verdict = look_into(octets, TENTH)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_ALLOCATED
    assert {missed.reason for missed in verdict.missed} <= {Unread.OVER_BOUNDS}
    assert calls_of(lambda: look_into(octets, TENTH)) < MOST_CALLS


def test_a_picture_in_an_rtf_is_no_text() -> None:
    """What stands behind megabytes of a picture or an object is found, and they cost no call for each octet."""
    content = rtf(["TỐI MẬT"]).replace(b"{\\rtf1", b"{\\rtf1 {\\pict " + b"89504e47" * 100_000 + b"}", 1)
    assert content.count(b"89504e47") == 100_000
    verdict = look_into(mail(content), PATIENT)
    assert verdict.found
    assert not verdict.missed
    assert calls_of(lambda: look_into(mail(content), PATIENT)) < 200_000


def test_of_an_rtf_without_end_the_rest_is_told() -> None:
    """What is not looked into for its length is not passed over in silence."""
    bounds = Bounds(seconds=1e6, text_chars=1_000)
    assert look_into(mail(b"{\\rtf1 " + b"abc def " * 1_000 + b"}"), bounds).missed == (Missed(Unread.OVER_BOUNDS, "rtf"),)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name.startswith(("130", "300")) else ()) for name in LARGE]
)
def test_a_large_document_is_read_to_its_end(name: str) -> None:
    """As large as an attachment may be, with hundreds of pages or 50 MB of XML, it is within the bounds, and its last line
    counts."""
    content = LARGE[name]("Độ mật: Tối mật")
    assert len(content) <= ATTACHMENT_OCTETS
    verdict = look_into(mail(content), PATIENT)
    assert verdict.found
    assert not verdict.missed


def test_marked_text_is_found_all_the_same() -> None:
    """The bounds are no matter to an ordinary archive."""
    assert look_into(mail(zipped({"a.txt": txt(["TỐI MẬT"])})), PATIENT).found


def test_members_of_an_office_document_are_no_parts() -> None:
    """Two presentations of 400 slides with notes and pictures are two parts, and read to their last line; what is embedded
    in one is a part of its own."""
    slide = '<p:sld xmlns:p="p" xmlns:a="a"><a:p><a:r><a:t>%s</a:t></a:r></a:p></p:sld>'
    members: dict[str, str | bytes] = {"[Content_Types].xml": "<Types/>", "ppt/presentation.xml": "<p/>"}
    for number in range(1, 401):
        members |= {
            f"ppt/slides/slide{number}.xml": slide % f"Trang {number}",
            f"ppt/slides/_rels/slide{number}.xml.rels": "<Relationships/>",
            f"ppt/notesSlides/notesSlide{number}.xml": slide % "Ghi chú",
            f"ppt/notesSlides/_rels/notesSlide{number}.xml.rels": "<Relationships/>",
            f"ppt/media/image{number}.png": b"PNG",
        }
    decks = {"a.pptx": zipped(members), "b.pptx": zipped({**members, "ppt/slides/slide401.xml": slide % "TỐI MẬT"})}
    verdict = look_into(Sample("", None, files=decks).octets(), PATIENT)
    assert not verdict.missed
    assert [found.format for found in verdict.found] == ["pptx"]
    packed = zipped({**members, **{f"ppt/embeddings/{number}.bin": b"" for number in range(1_001)}})
    assert Missed(Unread.OVER_BOUNDS, "pptx") in look_into(mail(packed), PATIENT).missed


def test_the_time_of_a_look_is_the_processor_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other work on the machine takes nothing from it, but who waits for the answer does not wait for ever."""
    octets = Sample("", None, files={"a.docx": docx(["TỐI MẬT"] * 1_000)}).octets()
    clock = itertools.count(step=1_000.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    patient, hurried = look_into(octets, Bounds(seconds=100)), look_into(octets, Bounds(seconds=100), 500)
    monkeypatch.undo()
    assert patient.found
    assert not patient.missed
    assert {missed.reason for missed in hurried.missed} == {Unread.TOO_SLOW}
