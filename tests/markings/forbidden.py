"""What must not pass: documents on which somebody has put a degree of secrecy. Texts are parted by blank lines."""

import unicodedata

from markings.allowed import lines, paragraphs
from markings.documents import (
    doc_of_1999,
    docx,
    eml,
    html,
    ods,
    odt,
    pdf,
    pptx,
    rtf,
    tnef,
    txt,
    xlsx,
    zipped,
)
from markings.sample import COVER, Sample, documents
from mic_mail.policy.secrecy.degrees import Degree

MAT, TOI, TUYET = Degree

_STAMPED = {
    MAT: """
BỘ THÔNG TIN VÀ TRUYỀN THÔNG
Số: 12/BC-BTTTT
MẬT
Kính gửi: Lãnh đạo Bộ

MẬT
CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM
Độc lập - Tự do - Hạnh phúc
TỜ TRÌNH

[MẬT]
Biên bản làm việc với đoàn kiểm tra

*** MẬT ***
Phương án bảo vệ sự kiện

MẬT - BẢN SỐ 03
Kế hoạch phòng thủ khu vực

TÀI LIỆU MẬT
Không sao chụp
Phương án nhân sự

TÀI LIỆU MẬT - CẤM SAO CHỤP
Danh sách cán bộ quy hoạch

M Ậ T
Báo cáo tình hình biên giới

VĂN PHÒNG BỘ
Số: 45/TTr-VP (Mật)
V/v phương án bố trí lực lượng

CỤC AN TOÀN THÔNG TIN
Số: 102-BC/CATTT MẬT
Báo cáo sự cố

Độ mật: Mật
Độ khẩn: Hỏa tốc
Trích yếu: phương án ứng phó

Độ mật: MẬT, độ khẩn: Khẩn
Kính gửi: Thủ tướng Chính phủ

Mức độ mật: Mật
Nơi soạn: Vụ Kế hoạch

Dấu chỉ độ mật: Mật
Bản số: 02

PHIẾU GỬI
Độ mật:
Mật
Số bản: 01

PHIẾU TRÌNH
Độ mật|Mật
Người trình|Nguyễn Văn An

Độ mật: ☒ Mật ☐ Tối mật ☐ Tuyệt mật
Phiếu chuyển tài liệu

HỎA TỐC - MẬT
Công điện về ứng phó

BỘ NGOẠI GIAO
Mật
Số: 77/CV-BNG
Kính gửi: Bộ Thông tin và Truyền thông

(Mật)
Dự toán kinh phí đặc biệt

Phân loại: MẬT
Tài liệu tham khảo nội bộ

VĂN BẢN MẬT
Kết luận của Thường trực

BÁO CÁO MẬT
Về công tác nhân sự quý III

MẬT/THU HỒI
Tài liệu phát tại hội nghị

- MẬT -
Trang 1

Do mat: Mat
Kinh gui: Lanh dao Bo

<MẬT>
Phụ lục số liệu mạng dùng riêng

BỘ QUỐC PHÒNG|CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM
MẬT|Độc lập - Tự do - Hạnh phúc
Công văn phối hợp

Độ khẩn: Thượng khẩn; độ mật: Mật; số bản: 05
Phiếu xử lý văn bản đến

DẤU: MẬT
Biên bản niêm phong
""",
    TOI: """
BỘ THÔNG TIN VÀ TRUYỀN THÔNG
Số: 08/BC-BTTTT
TỐI MẬT
Kính gửi: Bộ Chính trị

TỐI MẬT
Phương án tác chiến mạng

** TỐI MẬT **
Sơ đồ mạng truyền số liệu chuyên dùng

TỐI MẬT - BẢN SỐ: 01
Nghị quyết chuyên đề

TÀI LIỆU TỐI MẬT
Không được sao chụp, không được phổ biến

T Ố I  M Ậ T
Kế hoạch diễn tập

Số: 19/KH-BCĐ (Tối mật)
Kế hoạch tổng thể

Độ mật: Tối mật
Người ký: Bộ trưởng

ĐỘ MẬT: TỐI MẬT
Bản số 02/05

Mức độ mật : Tối mật.
Kính gửi: Ban Chỉ đạo

Cấp độ mật: Tối mật (theo Quyết định 960/QĐ-TTg)
Nội dung đàm phán

Độ mật
Tối mật
Ngày ban hành: 12/10/2026

Độ mật|Tối mật
Số bản|03

Độ mật: [ ] Mật [x] Tối mật [ ] Tuyệt mật
Phiếu đề xuất

THƯỢNG KHẨN / TỐI MẬT
Điện báo

TỈNH ỦY LÂM ĐỒNG
ĐẢNG CỘNG SẢN VIỆT NAM
Tối mật
Số 15-BC/TU

[Tối mật]
Danh sách tham gia đoàn đàm phán

TOI MAT
Ke hoach bao ve muc tieu

DO MAT: TOI MAT
Phuong an B

BÁO CÁO TỐI MẬT
Tình hình an ninh mạng

CÔNG ĐIỆN TỐI MẬT
Gửi các đơn vị

TỐI MẬT; Không được mang ra khỏi phòng họp
Tài liệu hội nghị

Dấu mật: Tối mật
Ký hiệu: A-12

Bản số 4
TỐI MẬT
(Chỉ người có tên mới được bóc bì)

= TỐI MẬT =
Kết quả giám định

TỐIMẬT
Văn bản quét từ PDF

TỐI MẬT | KHÔNG SAO CHỤP
Phụ lục kèm theo

Độ mật: “Tối mật”
Số tờ: 12

«TỐI MẬT»
Bản đồ bố trí

Tính chất: TỐI MẬT
Báo cáo đột xuất
""",
    TUYET: """
CHÍNH PHỦ
Số: 03/NQ-CP
TUYỆT MẬT
Nghị quyết phiên họp

TUYỆT MẬT
Chiến lược quốc phòng

TUYỆT MẬT - BẢN SỐ 01/03
Phương án tổng thể

TÀI LIỆU TUYỆT MẬT
Cấm sao chụp dưới mọi hình thức

T U Y Ệ T  M Ậ T
Báo cáo đặc biệt

Số: 01/CV-BCA (Tuyệt mật)
Trao đổi thông tin

Độ mật: Tuyệt mật
Độ khẩn: Hỏa tốc

ĐỘ MẬT: TUYỆT MẬT
Người nhận: Thủ tướng

Mức độ mật: Tuyệt mật
Kế hoạch A

Cấp độ mật: Tuyệt mật
Phương án di chuyển

Độ mật:
TUYỆT MẬT
Bản số 1

Độ mật|Tuyệt mật
Cơ quan|Ban Cơ yếu Chính phủ

☑ Tuyệt mật
Phiếu đăng ký tài liệu

HỎA TỐC HẸN GIỜ - TUYỆT MẬT
Điện khẩn

BAN BÍ THƯ
ĐẢNG CỘNG SẢN VIỆT NAM
Tuyệt mật
Số 09-CT/TW

[TUYỆT MẬT]
Sơ đồ hầm chỉ huy

TUYET MAT
Tai lieu hop kin

Do mat: Tuyet mat
Ban so 1

BÁO CÁO TUYỆT MẬT
Nguồn tin đặc biệt

TUYỆT MẬT, KHÔNG PHỔ BIẾN
Tài liệu tham khảo đặc biệt

Bản thứ 02
TUYỆT MẬT
Trang 1/15

###### TUYỆT MẬT ######
Khóa mã dùng một lần

TUYỆT  MẬT
Biên bản họp kín

Dấu độ mật: Tuyệt mật
Số bản: 2

{TUYỆT MẬT}
Toạ độ trạm

Độ khẩn: Hỏa tốc - Độ mật: Tuyệt mật
Điện đến

TUYỆT MẬT (BẢN SỐ 5)
Phụ lục

Classification: TUYỆT MẬT
Joint document

TỜ TRÌNH TUYỆT MẬT
Kính trình Bộ Chính trị

=== TUYỆT MẬT === BẢN SỐ: ......
Dự thảo
""",
}

_SUBJECTS = {
    MAT: """
[MẬT] Báo cáo tháng 10
(Mật) Phương án bảo vệ
Re: [Mật] Danh sách cán bộ
MẬT: Kế hoạch kiểm tra
Kế hoạch 2026 - Mật
Gửi báo cáo MẬT về quy hoạch
Tài liệu mật về đất đai
[CNTT] [MẬT] Sơ đồ mạng
[MAT] Bao cao quy 3
Công văn mật số 15
""",
    TOI: """
[TỐI MẬT] Phương án
(Tối mật) Kế hoạch công tác
Fwd: [Tối mật] Danh sách
TỐI MẬT - Kế hoạch A
Báo cáo nhân sự - Tối mật
[TOI MAT] Phuong an
Chuyển anh tài liệu TỐI MẬT như trao đổi
Độ mật: Tối mật - Báo cáo đột xuất
""",
    TUYET: """
[TUYỆT MẬT] Sơ đồ
(Tuyệt mật) Báo cáo
TUYỆT MẬT
Trả lời: [Tuyệt mật] Phương án B
[TUYET MAT] Ban do
Phương án C | Tuyệt mật
Hồ sơ TUYỆT MẬT gửi kèm
""",
}

_NAMES = {
    MAT: """
[MẬT] bao cao.docx
MẬT_Báo cáo quý.docx
Báo cáo mật.docx
Công văn mật 15.pdf
TAI LIEU MAT.doc
Ke hoach (Mật).docx
phuong-an - MẬT.pdf
""",
    TOI: """
TỐI MẬT - Kế hoạch.docx
BaoCao_TOI_MAT.docx
(Tối mật) danh sách.xlsx
bao-cao-toi-mat.pdf
Kế hoạch tối mật.docx
TOI MAT - KE HOACH.docx
""",
    TUYET: """
tuyet-mat.docx
bao-cao-tuyet-mat.pdf
TUYỆT MẬT.zip
So do_TUYETMAT.pdf
[Tuyệt mật] bản đồ.pptx
TUYET_MAT_phuong_an.docx
""",
}


def samples() -> list[Sample]:
    made: list[Sample] = []
    for degree in Degree:
        texts = paragraphs(_STAMPED[degree])
        made += documents(f"{degree} text", degree, texts)
        made += [Sample(f"{degree} body {n + 1}", degree, body=text, is_html=n % 2 == 0) for n, text in enumerate(texts[::6])]
        made += [Sample(f"{degree} subject {n + 1}", degree, subject=one) for n, one in enumerate(lines(_SUBJECTS[degree]))]
        made += [
            Sample(f"{degree} name {n + 1}", degree, files={name: txt(["Xem trong tệp."])})
            for n, name in enumerate(lines(_NAMES[degree]))
        ]
    return made + _odd_ones()


def _odd_ones() -> list[Sample]:
    letter = ["Kính gửi: Lãnh đạo Bộ", "Báo cáo công tác tháng 10."]
    nested = zipped({"mot/hai.zip": zipped({"ba.docx": docx(["TỐI MẬT", *letter])})})
    return [
        Sample("header", MAT, files={"a.docx": docx(letter, header=["MẬT"])}),
        Sample("header in small letters", TOI, files={"a.docx": docx(letter, header=["Tối mật"])}),
        Sample("box in Word", TUYET, files={"a.docx": docx(letter, box=["TUYỆT MẬT"])}),
        Sample("title in Word", MAT, files={"a.docx": docx(letter, title="[MẬT] Báo cáo")}),
        Sample("header in ODT", TOI, files={"a.odt": odt(letter, header=["TỐI MẬT"])}),
        Sample("title in ODT", MAT, files={"a.odt": odt(letter, title="Báo cáo - Mật")}),
        Sample("title in PDF", TUYET, files={"a.pdf": pdf(letter, title="(Tuyệt mật) Kế hoạch")}),
        Sample("two columns in PDF", TOI, files={"a.pdf": pdf(["Số: 12/BC\tCỘNG HÒA", "TỐI MẬT\tHà Nội, ngày 5/10/2026"])}),
        Sample("beside the date", MAT, files={"a.txt": txt(["Số: 12/BC", "MẬT Hà Nội, ngày 5 tháng 10 năm 2026"])}),
        Sample("stamp on a PDF", MAT, files={"a.pdf": pdf(letter, stamp="MẬT")}),
        Sample("header of a sheet", TOI, files={"a.xlsx": xlsx(["1\t2"], header="TỐI MẬT")}),
        Sample("name of a sheet", MAT, files={"a.xlsx": xlsx(["1\t2"], sheet="MẬT")}),
        Sample("cells", TUYET, files={"a.ods": ods(["Độ mật\tTuyệt mật", "Số\t12"])}),
        Sample("header in RTF", MAT, files={"a.rtf": rtf(letter, header=["MẬT"])}),
        Sample("box in RTF", TOI, files={"a.rtf": rtf(letter, box=["TỐI MẬT"])}),
        Sample("slide", MAT, files={"a.pptx": pptx(["Báo cáo", "Mục 1", "Mục 2", "Mục 3", "MẬT"])}),
        Sample("page", TOI, files={"a.htm": html(["TỐI MẬT", "Số\t12"])}),
        Sample("three deep", TOI, files={"a.zip": nested}),
        Sample("enclosed", MAT, files={"thu.eml": eml(letter, subject="[MẬT] Báo cáo")}),
        Sample("enclosed with a document", TUYET, files={"thu.eml": eml(["TUYỆT MẬT"])}),
        Sample("winmail", TOI, files={"winmail.dat": tnef(["TỐI MẬT", *letter])}),
        Sample("TCVN3 in Word", MAT, files={"a.doc": doc_of_1999(["Sè: 12/BC", "MËT", "KÝnh göi"])}),
        Sample("TCVN3 in RTF", TOI, files={"a.rtf": rtf(["TèI MËT", "KÝnh göi"])}),
        Sample("VNI in Word", TUYET, files={"a.docx": docx(["TUYEÄT MAÄT", "Kính göûi"])}),
        Sample("VISCII", MAT, body=["MẬT", "Báo cáo"], charset="viscii"),
        Sample("TCVN", TOI, body=["Độ mật: Tối mật", "báo cáo"], charset="tcvn"),
        Sample("windows-1258", TUYET, body=[unicodedata.normalize("NFC", "Ho so")], files={"a.txt": _cp1258("TUYỆT MẬT")}),
        Sample("decomposed", MAT, body=[unicodedata.normalize("NFD", line) for line in ("MẬT", *COVER)]),
        Sample("decomposed subject", TOI, subject=unicodedata.normalize("NFD", "[Tối mật] Kế hoạch")),
        Sample("decomposed name", TUYET, files={unicodedata.normalize("NFD", "Tuyệt mật.docx"): docx(letter)}),
        Sample("UTF-16 as text", MAT, files={"a.bin": "\ufeffMẬT".encode("utf-16-le")}),
        Sample("UTF-16", MAT, files={"a.txt": "\ufeffMẬT\r\nBáo cáo".encode("utf-16-le")}),
        Sample("member of a ZIP by name", TOI, files={"a.zip": zipped({"TỐI MẬT - phương án.docx": docx(letter)})}),
    ]


def _cp1258(text: str) -> bytes:
    """As Windows writes it: a letter, then its tone."""
    kept = set("ÂÊÔâêôĂăĐđƠơƯư")
    return "".join(
        letter if letter in kept or letter.isascii() else _apart(letter, kept) for letter in unicodedata.normalize("NFC", text)
    ).encode("cp1258")


def _apart(letter: str, kept: set[str]) -> str:
    base, *marks = unicodedata.normalize("NFD", letter)
    for mark in marks:
        if unicodedata.normalize("NFC", base + mark) in kept:
            tone = "".join(other for other in marks if other != mark)
            return unicodedata.normalize("NFC", base + mark) + tone
    return base + "".join(marks)
