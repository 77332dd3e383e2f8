"""Papers say the same in every form, and nothing that stands in them does anything."""

import io
import re
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime
from unicodedata import normalize

import pytest
import typst
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook
from pypdf import PdfReader

from cost_growth import assert_linear
from mic_mail.documents import csv_writer, html, pdf, xlsx
from mic_mail.documents.document import (
    Column,
    DescriptionList,
    Document,
    SignatureBlock,
    Table,
    UnreadableSheet,
    day_of,
    display_text,
)

AT = datetime(2026, 11, 26, 2, 5, tzinfo=UTC)
HOSTILE = "=1+1 <b>đậm</b> #strong[x] $a$ \\ \"nháy\" 'đơn' & {{ 7*7 }}"


def paper_of(*blocks: str | Table | DescriptionList, **more: object) -> Document:
    head = {"issuer": ("Bộ Thử nghiệm", "Trung tâm"), "place": "Hà Nội", **more}
    return Document("Biên bản", "theo điểm d khoản 3 Điều 12", AT, blocks, **head)  # type: ignore[arg-type]


FOLDERS = Table(
    "Thư mục",
    [Column("Thư mục"), Column("Số thư", right=True, wide=0), Column("Ngày", wide=0)],
    [["INBOX", 1234, date(2026, 11, 2)], ["Đã gửi", -1, None]],
    total=["Tổng", 1233, None],
)


def words_of(octets: bytes) -> str:
    return " ".join(" ".join(page.extract_text().replace("\u200b", "") for page in PdfReader(io.BytesIO(octets)).pages).split())


def test_how_fields_are_shown() -> None:
    """Numbers and days as in Vietnam, an instant in local time, letters composed."""
    cells = (1234567, 1234.56, True, None, date(2026, 2, 3), AT, normalize("NFD", "Đỗ Văn Bê"))
    assert [display_text(cell) for cell in cells] == [
        "1.234.567", "1.234,6", "có", "", "03/02/2026", "26/11/2026 09:05", "Đỗ Văn Bê",
    ]  # fmt: skip


def test_the_day_in_the_head() -> None:
    """Days below ten and the first two months have a nought before them (Decree 30/2020/NĐ-CP); the day is Hanoi's."""
    late = datetime(2026, 2, 4, 17, 30, tzinfo=UTC)
    assert day_of(replace(paper_of(), made_at=late)) == "Hà Nội, ngày 05 tháng 02 năm 2026"
    assert day_of(paper_of(place="Huế")) == "Huế, ngày 26 tháng 11 năm 2026"


def test_any_instant_can_stand_on_a_pdf() -> None:
    """A clock gives microseconds, a PDF knows seconds."""
    assert pdf.write(replace(paper_of(), made_at=AT.replace(microsecond=1))) == pdf.write(paper_of())


def test_a_pdf_says_it_all_and_always_alike() -> None:
    """Every word is there as text, hostile words as they are; the same paper is the same file."""
    paper = paper_of(
        DescriptionList([("Người giao", "Đỗ Văn Bê")]),
        HOSTILE,
        FOLDERS,
        signatures=[SignatureBlock("Người giao", "Đỗ Văn Bê"), SignatureBlock("Người nhận")],
        foot="a1b2" * 16,
    )
    written = pdf.write(paper)
    assert written == pdf.write(paper)
    said = words_of(written)
    for wanted in (
        "Đỗ Văn Bê",
        "1.233",
        "02/11/2026",
        "NGƯỜI NHẬN",
        "BIÊN BẢN",
        "BỘ THỬ NGHIỆM",
        "a1b2" * 16,
        "<b>đậm</b> #strong[x] $a$",
    ):
        assert wanted in said
    drawn = typst.compile(pdf._template(), format="png", sys_inputs={"paper": pdf._data(paper)}, ignore_system_fonts=True)
    page = drawn[0] if isinstance(drawn, list) else drawn
    assert page.startswith(b"\x89PNG")


def test_days_can_be_searched_for_in_a_pdf() -> None:
    """Nothing invisible stands within a day or a common address; only what is long may be parted."""
    rows = [["dvbe@mic.gov.vn", 1, date(2026, 11, 2)]]
    (page,) = PdfReader(io.BytesIO(pdf.write(paper_of(Table("", FOLDERS.columns, rows))))).pages
    said = page.extract_text()
    assert "02/11/2026" in said
    assert "dvbe@mic.gov.vn" in said


def test_a_long_table_goes_over_pages_with_its_heading() -> None:
    """A heading on each page, every row once."""
    rows = [[f"u{number}@mic.gov.vn", number, None] for number in range(300)]
    pages = PdfReader(io.BytesIO(pdf.write(paper_of(Table("", FOLDERS.columns, rows))))).pages
    texts = [page.extract_text().replace("\u200b", "") for page in pages]
    assert len(texts) > 3
    assert all("Số thư" in text for text in texts)
    assert sum(text.count("@mic.gov.vn") for text in texts) == 300


def test_html_runs_nothing() -> None:
    """What stands in a paper is text, in tables and outside."""
    written = html.write(
        paper_of(HOSTILE, DescriptionList([(HOSTILE, HOSTILE)]), Table(HOSTILE, [Column(HOSTILE)], [[HOSTILE]]))
    ).decode()
    assert "<b>đậm" not in written
    assert "&lt;b&gt;đậm&lt;/b&gt;" in written
    assert "{{ 7*7 }}" in written
    assert "<script" not in written
    assert "Không có." in html.write(paper_of(Table("Rỗng", FOLDERS.columns, []))).decode()


def test_a_workbook_keeps_numbers_and_days() -> None:
    """Numbers can be summed and days sorted; no text is a formula."""
    book = load_workbook(io.BytesIO(xlsx.write(paper_of(FOLDERS, Table("Thư mục", [Column("A")], [[HOSTILE]])))))
    assert book.sheetnames == ["Thư mục", "Thư mục 2"]
    rows = list(book["Thư mục"].iter_rows(values_only=True))
    assert ("INBOX", 1234, datetime(2026, 11, 2)) in rows
    assert ("Tổng", 1233, None) in rows
    (formula,) = [cell for row in book["Thư mục 2"].iter_rows() for cell in row if "1+1" in str(cell.value)]
    assert formula.data_type == "s"
    assert formula.value == f"'{HOSTILE}"


def test_a_workbook_shows_values_as_people_write_them() -> None:
    """Instants, shares and thousands have the form of the other documents, and columns hold the terms above the table."""
    label = "Dung lượng đã dùng của mọi hộp thư"
    table = Table("Bảng", [Column("Tên"), Column("MB", right=True), Column("Ngày")], [["cntt", 0.0111, date(2026, 11, 2)]])
    book = load_workbook(io.BytesIO(xlsx.write(paper_of(DescriptionList([(label, AT), ("Số", 1234)]), table))))
    sheet = book["Bảng"]
    cells = {cell.value: cell for row in sheet.iter_rows() for cell in row}
    formats = {value: cell.number_format for value, cell in cells.items() if cell.number_format != "General"}
    assert sorted(formats.values()) == ["#,##0", "#,##0.0", "dd/mm/yyyy", "dd/mm/yyyy hh:mm"]
    assert sheet.column_dimensions["A"].width > len(label)
    assert sheet.column_dimensions["B"].width > len("24/11/2026 08:30")
    assert [cells[name].alignment.horizontal for name in ("Tên", "MB", 1234)] == ["left", "right", "left"]


def test_a_form_offers_its_values_and_fits_on_paper() -> None:
    """A list to choose from in each row, A4 across, as wide as two pages, the heading and the first columns on each."""
    form = xlsx.form(Table("Yêu cầu", [Column("Cấp (phòng, vụ)", choices=("phòng", "vụ")), Column("Họ và tên")], []), AT)
    sheet = load_workbook(io.BytesIO(form)).worksheets[0]
    [offered] = sheet.data_validations.dataValidation
    assert (offered.type, offered.formula1, str(offered.sqref)) == ("list", '"phòng,vụ"', "A2:A20001")
    assert (sheet.page_setup.orientation, sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight) == ("landscape", 2, 0)
    assert sheet.sheet_properties.pageSetUpPr.fitToPage
    assert (sheet.print_title_rows, sheet.print_title_cols) == ("$1:$1", "$A:$B")
    assert max(one.width for one in sheet.column_dimensions.values()) <= 18


def test_csv_is_harmless() -> None:
    """Formulas get an apostrophe, which reading takes away; numbers below nought stay numbers."""
    written = csv_writer.write(Table("", [Column("A"), Column("B")], [[HOSTILE, -5], ["-x", 2.5]]))
    assert written.startswith(b"\xef\xbb\xbfA,B\r\n\"'=1+1")
    assert csv_writer.read(written).rows == ((2, (HOSTILE, "-5")), (3, ("-x", "2.5")))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('Nguyen;=HYPERLINK("x")', 'Nguyen;\'=HYPERLINK("x")'),
        ("a; \u00a0+1;@b", "a;' \u00a0+1;'@b"),
        ('a;"=1', "a;'\"=1"),
        ("a\n=1+1\t-1", "a\n'=1+1\t'-1"),
        ("\n=1+1", "\n'=1+1"),
        (" =1+1", "' =1+1"),
        ("\u200b=1+1", "'\u200b=1+1"),
        ("\ufeff=1", "'\ufeff=1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("\tx", "'\tx"),
        ("+84 912", "'+84 912"),
    ],
)
def test_formulas_of_any_separator(text: str, written: str) -> None:
    """Of another region it splits at semicolons and lines, whatever is quoted: the apostrophe stands before the sign."""
    assert csv_writer.harmless(text) == written
    ((_, (_, read)),) = csv_writer.read(csv_writer.write(Table("", [Column("A"), Column("B")], [["x", text]]))).rows
    assert read.strip() == text.strip()


@pytest.mark.parametrize(
    "text", ["Đỗ Văn Bê; Trần Thị Lan", "a=b", "x - y", "1+1", "be@mic.gov.vn;lan@mic.gov.vn", "a;b-c", ""]
)
def test_ordinary_fields_stay(text: str) -> None:
    """As they are."""
    assert csv_writer.harmless(text) == text


def test_a_table_that_does_not_fit_is_a_mistake() -> None:
    """Of whoever made it."""
    with pytest.raises(ValueError, match="1 cells for 3 columns"):
        Table("", FOLDERS.columns, [["x"]])


CELLS = st.text(st.sampled_from("'=+-@;\"\t\r\n ,x\u200b\uff1d"), max_size=8) | st.text(
    st.characters(exclude_categories=("Cs",))
)


@settings(max_examples=300, deadline=None)
@given(CELLS)
@example("gồm 'a';'-' và '='")
@example("A;'+84 24 3822")
@example("x\n'-y")
@example("'abc")
@example("'\t=")
def test_what_is_written_is_read(cell: str) -> None:
    """Any cell comes back, but for blanks at its ends, and no part of what is written can run."""
    ((_, (_, read)),) = csv_writer.read(csv_writer.write(Table("", [Column("A"), Column("B")], [["x", cell + "x"]]))).rows
    assert read == display_text(cell + "x").strip()
    assert not any(
        part.lstrip(' \u200b"').startswith(("=", "+", "-", "@", "\uff1d"))
        for part in re.split("[;\t\r\n]", csv_writer.harmless(cell))
    )


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="'\ufeff", exclude_categories=("Cc", "Cs", "Cn")), max_size=12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=5))
def test_what_was_filled_in_is_read(rows: list[tuple[str, str]]) -> None:
    """Text of any letters comes back from both kinds of file as it was written, but for blanks at its ends and between."""
    table = Table("Mẫu", [Column("Họ và tên"), Column("Đơn vị")], rows)
    tidy = [tuple(" ".join(normalize("NFC", field).split()) for field in row) for row in rows]
    wanted = [row for row in tidy if any(row)]
    assert [row for _, row in xlsx.read(xlsx.form(table, AT)).rows] == wanted
    read = [tuple(" ".join(field.split()) for field in row) for _, row in csv_writer.read(csv_writer.write(table)).rows]
    assert [row for row in read if any(row)] == wanted


def test_files_of_excel_in_vietnam() -> None:
    """Semicolons, a byte order mark, days as days, numbers as floats, empty rows and columns behind."""
    assert csv_writer.read("\ufeffHọ tên;Ngày\r\nĐỗ Văn Bê;24/11/2026\r\n;\r\n".encode()).rows == (
        (2, ("Đỗ Văn Bê", "24/11/2026")),
    )
    book = Workbook()
    for row in ([], ["Số", "Ngày"], [5.0, datetime(2026, 11, 24)], [None, None], [1.5, datetime(2026, 11, 24, 8, 30)]):
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    assert xlsx.read(out.getvalue()).rows == ((3, ("5", "24/11/2026")), (5, ("1.5", "24/11/2026 08:30")))


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/worksheets/sheet1.xml", b"\0" * (100 << 20))
    return out.getvalue()


@pytest.mark.parametrize(
    "octets", [b"", b"PK\x03\x04", b"%PDF-1.4", "Họ tên".encode("utf-16"), bomb()], ids=lambda o: repr(o[:8])
)
def test_other_files_are_no_workbooks(octets: bytes) -> None:
    """They are refused with a sentence, not an accident; a bomb before it is unpacked."""
    with pytest.raises(UnreadableSheet):
        xlsx.read(octets)


@pytest.mark.parametrize(
    "octets",
    [b"", b"\r\n;;\r\n", "Họ tên".encode("utf-16"), b'A,B\r\n"x', b"A\r\n1,2", b"x" * (21 << 20), b"A\r\n" + b"1\r\n" * 20_001],
    ids=lambda octets: repr(octets[:8]),
)
def test_other_files_are_no_csv(octets: bytes) -> None:
    """Nothing in them, not UTF-8, an open quotation, a row longer than the heading, too much."""
    with pytest.raises(UnreadableSheet):
        csv_writer.read(octets)


@pytest.mark.parametrize(
    ("part", "around", "content"),
    [
        ("xl/styles.xml", "<styleSheet><cellXfs>%s</cellXfs></styleSheet>", "<xf/>"),
        ("xl/sharedStrings.xml", "<sst>%s</sst>", "<si><t/></si>"),
        ("xl/worksheets/sheet1.xml", "<worksheet><sheetData><row>%s</row></sheetData></worksheet>", "<c/>"),
        ("xl/worksheets/sheet1.xml", "<worksheet><sheetData><row %s/></sheetData></worksheet>", "a='' "),
    ],
)
def test_a_workbook_of_nothing_but_tags_is_refused(part: str, around: str, content: str) -> None:
    """100 kB that unpack to 60 MB would take minutes and gigabytes; a form of a thousand rows is read."""
    table = Table("x", [Column(str(n)) for n in range(14)], [[f"ô {n} {row}" for n in range(14)] for row in range(1_000)])
    form = xlsx.form(table, AT)
    assert len(xlsx.read(form).rows) == 1_000
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(form)) as given, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name in dict.fromkeys((*given.namelist(), part)):
            made.writestr(name, given.read(name) if name != part else around % (content * 600_000))
    with pytest.raises(UnreadableSheet) as refused:
        xlsx.read(out.getvalue())
    assert "too large" in refused.value.text.en


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4_000), st.binary(max_size=40))
def test_a_damaged_workbook_is_refused_or_read(at: int, junk: bytes) -> None:
    """Whatever is wrong with it."""
    whole = xlsx.form(FOLDERS, AT)
    damaged = whole[:at] + junk + whole[at + len(junk) :]
    try:
        xlsx.read(damaged)
    except UnreadableSheet:
        pass


def test_the_marks_of_capitals_stand_where_they_belong() -> None:
    """No bold face: its circumflex over Ộ, Ệ and Ậ floats a line higher than the letter."""
    reader = PdfReader(io.BytesIO(pdf.write(paper_of(FOLDERS, signatures=[SignatureBlock("Người giao", "Đỗ Văn Bê")]))))
    fonts = {str(font.get_object()["/BaseFont"]) for page in reader.pages for font in page["/Resources"]["/Font"].values()}
    faces = {font.partition("+")[2].partition("-")[2] for font in fonts}
    assert any(face.startswith("Semibold") for face in faces)
    assert not [face for face in faces if face.startswith("Bold")]


def test_a_chart_draws_the_column_that_is_named() -> None:
    """Each bar as long as its number to the largest; zeros alone draw nothing."""
    rows = [["tuần 1", 5], ["tuần 2", 10], ["tuần 3", None]]
    table = Table("Thư", [Column("Tuần"), Column("Vào", right=True)], rows, chart=1)
    assert table.bars == [("tuần 1", 0.5, "5"), ("tuần 2", 1.0, "10"), ("tuần 3", 0.0, "")]
    assert replace(table, rows=[["tuần 1", 0]]).bars == []
    assert replace(table, chart=None).bars == []
    assert 'style="width: 50.0%"' in html.write(paper_of(table)).decode()
    assert words_of(pdf.write(paper_of(table))).count("tuần 2") == 2
    assert words_of(pdf.write(paper_of(table))).count("Vào") == 2, "the bars say what they count"
    assert '<p class="drawn">Vào</p>' in html.write(paper_of(table)).decode()


def test_an_instant_beside_its_name_is_as_offices_write_it() -> None:
    """Hour, minute and day in words beside a name; short in a table, where columns of them are compared; a day stays a day."""
    terms = DescriptionList([("Thời điểm kiểm kê", AT), ("Ngày", date(2026, 11, 2))])
    table = Table("Thư", [Column("Lúc")], [[AT]])
    for said in (words_of(pdf.write(paper_of(terms, table))), html.write(paper_of(terms, table)).decode()):
        assert said.count("09 giờ 05 phút ngày 26/11/2026") == 1
        assert said.count("26/11/2026 09:05") == 1
        assert "02/11/2026" in said


def test_names_of_those_who_sign_stand_on_one_line() -> None:
    """However many lines an office takes, the names below are level, so that nobody signs above another."""
    offices = ("Bên giao", "Bên nhận", "Người chứng kiến việc bàn giao", "Thủ trưởng đơn vị", "Trung tâm Thông tin")
    paper = paper_of(signatures=[SignatureBlock(office, f"Ông{number}") for number, office in enumerate(offices)])
    heights: dict[str, float] = {}

    def visit(text: str, moved: list[float], matrix: list[float], _: object, __: object) -> None:
        if text.strip().startswith("Ông"):
            heights[text.strip()] = round(moved[5] + moved[3] * matrix[5])

    PdfReader(io.BytesIO(pdf.write(paper))).pages[0].extract_text(visitor_text=visit)
    assert len(heights) == 5
    assert len(set(heights.values())) == 1


@pytest.mark.parametrize("long", ["doanthanhnien@mic.gov.vn", "vu.phap.che.va.hop.tac.quoc.te@mic.gov.vn"])
def test_an_address_that_has_no_room_breaks_behind_its_at(long: str) -> None:
    """Its domain is never taken apart."""
    for wide in range(4, 12):
        columns = [Column("Hộp thư", wide=wide), *(Column(f"Cột {number}", wide=4) for number in range(5))]
        page = PdfReader(io.BytesIO(pdf.write(paper_of(Table("Thư", columns, [[long, *"abcde"]]))))).pages[0]
        assert "mic.gov.vn" in page.extract_text().replace("\u200b", ""), wide


def test_long_sheets_cost_no_more_a_row_than_short_ones() -> None:
    """A census of the ministry has tens of thousands."""

    def paper(rows: int) -> Document:
        return paper_of(
            Table("Thư mục", [Column("Thư mục"), Column("Số thư", right=True)], [["INBOX", n] for n in range(rows)])
        )

    assert_linear(paper, xlsx.write, (100, 800))
