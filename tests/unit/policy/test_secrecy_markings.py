"""The judge of markings, line by line: what each rule says yes and no to (decision 0053)."""

import pytest

from mic_mail.policy.secrecy.degrees import Degree, Marking, MarkingPlace
from mic_mail.policy.secrecy.markings import in_text
from mic_mail.policy.secrecy.titles import in_file_name, in_title

MAT, TOI, TUYET = Degree


@pytest.mark.parametrize(
    ("text", "degree"),
    [
        ("MẬT", MAT),
        ("mật", None),
        ("Mật", None),
        ("(Mật)", MAT),
        ("Số: 5/BC-BTTTT\nMật\nKính gửi: Bộ", MAT),
        ("“MẬT”", MAT),
        ("BẢO MẬT", None),
        ("MẬT KHẨU", None),
        ("MẬT ONG", None),
        ("DANH MỤC TÀI LIỆU MẬT", None),
        ("TÀI LIỆU MẬT", MAT),
        ("HỒ SƠ MẬT", None),
        ("Dấu MẬT", None),
        ("MẬT TỐI MẬT TUYỆT MẬT", None),
        ("MẬT\nTỐI MẬT", None),
        ("MẬT\na\nb\nc\nd\nTỐI MẬT", TOI),
        ("Gan\nMẬT\nTụy", None),
        ("Siêu âm\nTỐI MẬT", TOI),
        ("STT\tMẬT\tSáp\tPhấn", None),
        ("Độ mật: Mật", MAT),
        ("Độ mật: mật khẩu", None),
        ("Độ mật: Mật độ", None),
        ("văn bản có độ mật: Tối mật", None),
        ("Độ mật: Tối mật trở lên", None),
        ("Độ mật: Mật hoặc Tối mật", None),
        ("Độ mật: Mật / Tối mật", None),
        ("Độ mật: Không", None),
        ("Độ mật: không mật", None),
        ("Độ mật: ☐ Mật ☐ Tối mật", None),
        ("Độ mật: ☐ Mật ☑ Tối mật", TOI),
        ("Độ mật\n\nTuyệt mật", TUYET),
        ("Độ mật\nMật\nTối mật\nTuyệt mật", None),
        ("Phân loại: Mật", None),
        ("Phân loại: MẬT", MAT),
        ("Sản phẩm: MẬT", None),
        ("MAT", None),
        ("TOI MAT", TOI),
        ("toi mat", None),
        ("Do mat: mat", MAT),
        ("CONFIDENTIAL", None),
        ("TOP SECRET", None),
        ("x" * 10_000 + " MẬT", None),
        ("BỘ LAO ĐỘNG - THƯƠNG BINH VÀ XÃ HỘI\nMẬT\nSố: 5/BC", MAT),
        ("ỦY BAN NHÂN DÂN THÀNH PHỐ HÀ NỘI\nMẬT\nKính gửi", MAT),
        ("TỔNG CÔNG TY ĐIỆN\nMẬT", MAT),
        ("GIẢI PHÁP AN TOÀN BẢO\nMẬT\nCHO THƯ ĐIỆN TỬ", None),
        ("BỘ TTTT\nMẬT\nMã số: 12/BC", MAT),
        ("TỔ GIÚP VIỆC\nMẬT\nThư ký: Lê An", MAT),
        ("LUẬT CƠ YẾU VÀ MẬT\nMÃ DÂN SỰ", None),
        ("TẬP HUẤN\nMẬT\nMÃ DÂN SỰ", None),
        ("BÍ\tMẬT", None),
        ("AN TOÀN BẢO\tMẬT", None),
        ("CÔNG BÁO\tMẬT", MAT),
        ("BỘ NỘI VỤ\tMẬT", MAT),
        ("ĐỘ MẬT\tSỐ LƯỢNG\nTHƯỜNG\t100\nMẬT\t3", None),
        ("MẬT\t3\nKính gửi: Bộ", MAT),
        ("STT\tHỌ ĐỆM\tTÊN\n1\tPHẠM THỊ\tMẬT\n2\tLÊ VĂN\tHÙNG", None),
        ("1\tLÊ VĂN\tHÙNG\n2\tPHẠM THỊ\tMẬT", None),
        ("3\tPHƯƠNG ÁN\tMẬT\nNội dung", MAT),
    ],
)
def test_texts(text: str, degree: Degree | None) -> None:
    found = in_text(text)
    assert (found.degree if found else None) == degree


TAILS = (
    "bản số 3", "Bản thứ hai Hà Nội, ngày 3", "bản thứ số: 3/4", "bản số... tờ số 5", "tờ số 12", "Trang 1/2", "- HỎA TỐC",
    "trang: 1 / 2 khẩn", "Hỏa tốc hẹn giờ", "Hỏa tốc hẹn giờ x, ngày 3", "Cấm sao chụp, phổ biến", "không được in sao",
    "Số: 12/BC", "Số: 12/BC Hà Nội, ngày 3 tháng 5", "Số 12/BC-BTTTT Cấm phổ biến", "Bản số 1 Trang 1/2 cấm phổ biến",
    "lưu hành nội bộ", "Hà Nội, ngày 5 Độc lập - Tự do - Hạnh phúc", "tài liệu thu hồi - hoàn trả", "số bản số tờ số 1, khẩn",
    "chỉ người có tên mới được bóc bì",
)  # fmt: skip
NO_TAILS = ("của ong", "bản số 3 %x", "trang", "khẩn x", "ngày 3", "Nội, ngày 3", "a b c d e f g, ngày 3", "số 1 % khẩn")


@pytest.mark.parametrize("tail", TAILS)
def test_what_may_stand_behind(tail: str) -> None:
    """A stamp stays one, and the value of a field ends, before all that offices put there; one after the other too."""
    assert in_text(f"MẬT {tail}") == in_text(f"TÀI LIỆU MẬT, {tail}; (khẩn)") == Marking(MAT, MarkingPlace.STAMP)
    assert in_text(f"Độ mật: Tối mật ” {tail} .") == Marking(TOI, MarkingPlace.FIELD)
    assert in_title(f"[Mật {tail}] x") == Marking(MAT, MarkingPlace.TITLE)


@pytest.mark.parametrize("tail", NO_TAILS)
def test_what_may_not(tail: str) -> None:
    """Anything else makes it a sentence."""
    assert in_text(f"MẬT {tail}") is None
    assert in_text(f"Độ mật: Tối mật {tail}") is None


def test_margins() -> None:
    """A header holds little else: there a degree in small letters counts."""
    assert in_text("Tối mật") is None
    assert in_text("Tối mật", margin=True) == Marking(TOI, MarkingPlace.STAMP)
    assert in_text("Bảo mật", margin=True) is None


@pytest.mark.parametrize(
    ("title", "degree"),
    [
        ("[MẬT] a", MAT),
        ("[mật] a", MAT),
        ("a (tối mật)", TOI),
        ("(mật, tối mật, tuyệt mật)", None),
        ("[MẬT] so với [TỐI MẬT]", None),
        ("Mật ong (mật) nguyên chất", None),
        ("MẬT", MAT),
        ("Mật: a", MAT),
        ("Mật khẩu: a", None),
        ("Re: Fwd: [X] Tuyệt mật - a", TUYET),
        ("Báo cáo - bảo mật", None),
        ("Quy định về tài liệu MẬT", None),
        ("Gửi anh tài liệu MẬT", MAT),
        ("gửi anh tài liệu mật", None),
        ("[MAT] a", MAT),
        ("[mat] a", None),
        ("[toi mat] a", TOI),
        ("format", None),
    ],
)
def test_titles(title: str, degree: Degree | None) -> None:
    found = in_title(title, MarkingPlace.SUBJECT)
    assert (found.degree if found else None) == degree


@pytest.mark.parametrize(
    ("name", "degree"),
    [
        ("MẬT.docx", MAT),
        ("mật ong.docx", None),
        ("mat.docx", None),
        ("bao-mat.docx", None),
        ("tài_liệu_tối_mật_v2.pdf", TOI),
        ("C:\\tai lieu\\TUYỆT MẬT - a.pdf", TUYET),
        ("thư mục/Báo cáo mật.tar.gz", MAT),
        ("toi_mat.docx", TOI),
        ("Toi mat xe.docx", None),
        ("tuyet_mat_a.docx", TUYET),
        ("Quản lý tài liệu mật.docx", None),
        ("giải mật.docx", None),
        ("không mật.docx", None),
    ],
)
def test_file_names(name: str, degree: Degree | None) -> None:
    found = in_file_name(name)
    assert (found.degree if found else None) == degree


@pytest.mark.parametrize("unit", ["m", "m ", "mậ", "MẬT ", "độ mật: ", "[", "(MẬT", "số: 1/", "-–—", "tài liệu mật, ", "\t"])
def test_repetition_costs_no_more_than_its_length(unit: str) -> None:
    """No rule looks at a long text again and again: a megabyte of anything is judged."""
    in_text(unit * (1_000_000 // len(unit)))
    in_title(unit * 1000)
    in_file_name(unit * 1000)
