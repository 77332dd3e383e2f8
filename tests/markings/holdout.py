"""Samples that were written when the rules stood, to see how the rules do on what they were not made with.

The figures on them are reported, and asserted only so far that they do not get worse. Texts are parted by blank lines.
"""

from markings.allowed import lines, paragraphs
from markings.documents import txt
from markings.sample import Sample, documents
from mic_mail.policy.secrecy.degrees import Degree

MAT, TOI, TUYET = Degree

ALLOWED = """
SỞ THÔNG TIN VÀ TRUYỀN THÔNG TỈNH BẮC NINH
Số: 221/STTTT-CNTT
V/v rà soát, khắc phục lỗ hổng bảo mật trên máy chủ thư điện tử
Kính gửi: Các sở, ban, ngành

Biên bản nghiệm thu phần mềm quản lý văn bản
Chức năng phân quyền theo độ mật: đạt
Chức năng đóng dấu số: đạt

TRƯỜNG ĐẠI HỌC Y HÀ NỘI
Bộ môn Ngoại
Bài giảng: Phẫu thuật cắt túi mật nội soi
Đối tượng: sinh viên năm thứ năm

Chuyên mục đời sống
Vị mật ngọt của tuổi thơ là những ngày hè bên bà ngoại.

Giấy mời
Dự hội thảo “Mật mã sau lượng tử và lộ trình chuyển đổi”
Thời gian: 8 giờ 30

Điều 5. Trách nhiệm của người được giao quản lý tài liệu có độ Mật
1. Bảo quản trong tủ sắt
2. Không tự ý sao chụp

Hỏi: Em gửi nhầm thư có mật khẩu, làm sao thu hồi?
Đáp: Đổi mật khẩu ngay.

Bảng chú giải thuật ngữ
Mật mã: phép biến đổi thông tin
Mật khẩu: chuỗi bí mật để xác thực
Mật độ: số phần tử trên đơn vị diện tích

TỔNG CÔNG TY VIỄN THÔNG
Quy định phân loại thông tin: Công khai, Nội bộ, Mật, Tối mật
Áp dụng từ 01/01/2027

Báo cáo tài chính quý III
Chi phí bảo mật: 1.200 triệu đồng
Chi phí nhân sự: 8.300 triệu đồng

Phương án ứng cứu sự cố
Thông tin sự cố được giữ bí mật cho đến khi có kết luận.
Đầu mối: Phòng Bảo mật, điện thoại 024.3943.0000

Truyện ngắn: Người gác hầm
"Tuyệt mật đấy!", ông thì thầm rồi khóa trái cửa.

Lịch chiếu phim tháng 12
Điệp vụ tuyệt mật, 19 giờ 30
Mùa hoa mật, 21 giờ

Danh sách vật tư y tế
STT|Tên|Số lượng
1|Stent đường mật|12
2|Kẹp túi mật|30

Thông báo tuyển sinh Học viện Kỹ thuật Mật mã
Ngành: An toàn thông tin, Công nghệ thông tin

Tờ khai đề nghị cấp chứng thư số
Mục 6. Thiết bị lưu khóa bí mật: USB token
Mục 7. Mật khẩu bảo vệ: do người dùng đặt

Nội dung phổ biến pháp luật
Hành vi bị nghiêm cấm: làm lộ, chiếm đoạt, mua bán bí mật nhà nước

Kết quả kiểm tra công tác văn thư
Việc đăng ký văn bản đi, đến mật chưa được tách sổ riêng.

Dear all, please find the confidential draft of the MoU attached.
Secretariat of the Top Secret Santa Committee

Kế hoạch cải tạo trụ sở
Hạng mục: chống thấm mặt ngoài, thay mặt đá sảnh
Mat bang thi cong: 300 m2

Biên bản sinh hoạt chi bộ
Đồng chí bí thư quán triệt công tác giữ gìn bí mật của Đảng, bí mật nhà nước.

Công ty TNHH Ong Mật Tây Nguyên
Phiếu xuất kho
Mật|120 kg
Sáp|15 kg
Nuôi ong bền vững

Câu lạc bộ cờ vua: nước đi bí mật của Kasparov
Tài liệu tham khảo cho hội viên

Tài liệu hướng dẫn cài đặt
Bước 3: nhập mật khẩu quản trị, nhấn Tiếp tục

Ý kiến thẩm định
Cần làm rõ khái niệm “độ mật” và “mức độ bảo mật” tại Điều 3 của dự thảo.
"""
ALLOWED_SUBJECTS = """
V/v tăng cường bảo mật tài khoản
Thông báo kết quả thi Học viện Kỹ thuật Mật mã
Tuần trăng mật của vợ chồng Hùng - Lan
Hỏi về quy trình gửi văn bản mật
Re: mật khẩu wifi phòng họp
Báo giá mật ong - gừng
Fwd: Bí mật - truyện ngắn
Đăng ký lớp bảo mật (đợt 2)
"""
ALLOWED_NAMES = """
bien-ban-bao-mat-2026.pdf
Cắt túi mật.pptx
mat_khau_tam.docx
Giới thiệu Học viện Kỹ thuật Mật mã.pdf
truyen_bi_mat.epub.txt
mat_dat_khu_A.txt
phu-luc-mat-do.xlsx
"""

_STAMPED = {
    MAT: """
ỦY BAN NHÂN DÂN TỈNH NGHỆ AN
SỞ NỘI VỤ
Số: 31/BC-SNV
MẬT
Nghệ An, ngày 5 tháng 10 năm 2026

Độ mật : Mật
Số, ký hiệu: 118/KH-BTL
Nơi nhận: Bộ Tư lệnh

MẬT (Bản số: 4)
Danh mục vị trí đóng quân

• MẬT •
Biên bản họp Ban cán sự

CÔNG VĂN MẬT
Gửi Bộ Công an

Độ mật: MẬT | Độ khẩn: HỎA TỐC
Phiếu chuyển

Tài liệu: Phương án bảo vệ Đại hội
Mức độ mật: MẬT
Bản số: 2

_____MẬT_____
Sơ đồ tuyến cáp
""",
    TOI: """
BỘ TỔNG THAM MƯU
CỤC TÁC CHIẾN
TỐI MẬT
Số: 09/MLTC

Cấp độ mật - Tối mật
Người soạn: Trần B

TỐI MẬT. BẢN SỐ 02
Kế hoạch cơ động lực lượng

Số 21/ĐA-BTTTT TỐI MẬT
Đề án xây dựng trung tâm dữ liệu quốc gia

---TỐI MẬT---
Biên bản thẩm vấn

Dấu chỉ mức độ mật: Tối mật
Phiếu lưu hồ sơ
""",
    TUYET: """
BAN CHẤP HÀNH TRUNG ƯƠNG
TUYỆT MẬT
Số 11-KL/TW

Độ mật: Tuyệt mật (bản số 1)
Phương án bảo đảm thông tin liên lạc

TUYỆT MẬT!
Không chuyển cho người khác

QUYẾT ĐỊNH TUYỆT MẬT
Về việc điều động lực lượng

[ TUYỆT MẬT ]
Bảng mã liên lạc
""",
}
_SUBJECTS = {
    MAT: """
[MẬT] Lịch công tác lãnh đạo
Mật: danh sách đoàn
Báo cáo đoàn ra - MẬT
Fwd: (MẬT) dự toán
Xin gửi anh bản MẬT như đã hẹn
""",
    TOI: """
[Tối Mật] Phương án
TỐI MẬT | Sơ đồ
Re: Re: (TỐI MẬT) Danh sách
Văn bản tối mật số 12
""",
    TUYET: """
[tuyệt mật] Kế hoạch
TUYỆT MẬT: nguồn tin
(TUYET MAT) Ban do
""",
}
_NAMES = {
    MAT: """
MẬT - so do mang.pdf
12-BC [Mật].docx
Tờ trình mật.docx
""",
    TOI: """
TốiMật_phương án.docx
phuong_an_TOIMAT.pdf
KH 2026 (tối mật).xlsx
""",
    TUYET: """
Tuyệt mật - tài liệu họp.docx
TUYETMAT.pdf
Tài liệu tuyệt mật.docx
""",
}


def samples() -> list[Sample]:
    made = documents("hold-out allowed text", None, paragraphs(ALLOWED))
    made += [Sample(f"hold-out allowed subject {n + 1}", None, subject=one) for n, one in enumerate(lines(ALLOWED_SUBJECTS))]
    made += [
        Sample(f"hold-out allowed name {n + 1}", None, files={name: txt(["Công khai."])})
        for n, name in enumerate(lines(ALLOWED_NAMES))
    ]
    for degree in Degree:
        made += documents(f"hold-out {degree} text", degree, paragraphs(_STAMPED[degree]))
        made += [
            Sample(f"hold-out {degree} subject {n + 1}", degree, subject=one) for n, one in enumerate(lines(_SUBJECTS[degree]))
        ]
        made += [
            Sample(f"hold-out {degree} name {n + 1}", degree, files={name: txt(["Xem."])})
            for n, name in enumerate(lines(_NAMES[degree]))
        ]
    return made
