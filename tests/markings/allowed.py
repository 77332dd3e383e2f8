"""What must pass: ordinary mail of a ministry, full of words that sound like markings. Texts are parted by blank lines."""

from markings.documents import docx, encrypted_zip, html, odt, pdf, pptx, rtf, tnef, txt, xlsx, zipped
from markings.sample import Sample, documents

TEXTS = """
BỘ THÔNG TIN VÀ TRUYỀN THÔNG
Số: 15/TB-CNTT
V/v thay đổi mật khẩu hộp thư điện tử
Kính gửi: Các cơ quan, đơn vị thuộc Bộ
Đề nghị thay đổi mật khẩu ba tháng một lần.

BÁO CÁO ĐÁNH GIÁ BẢO MẬT
Hệ thống: Cổng dịch vụ công
Kết quả: 03 lỗ hổng mức cao, 05 lỗ hổng mức trung bình.
Mật khẩu mặc định của thiết bị chưa được đổi.

Danh mục bí mật nhà nước được quy định tại Quyết định của Thủ tướng.
Cán bộ có trách nhiệm giữ gìn bí mật công tác.

HỢP ĐỒNG CUNG CẤP DỊCH VỤ
Điều 7. Bảo mật thông tin
Hai bên cam kết giữ bí mật mọi thông tin liên quan đến hợp đồng.
Điều 8. Thanh toán

HÓA ĐƠN BÁN HÀNG
STT|Tên hàng|Số lượng|Đơn giá
1|Mật ong rừng U Minh|10 chai|250.000
2|Phấn hoa|5 hộp|180.000

PHIẾU KẾT QUẢ SIÊU ÂM
Gan: không to, nhu mô đều.
Mật: túi mật không sỏi, đường mật không giãn.
Tụy: bình thường.

GAN
MẬT
TỤY
LÁCH
Kết quả trong giới hạn bình thường.

Chương ba
Ông lão kể lại câu chuyện tuyệt mật mà suốt ba mươi năm không ai hay biết.
Trên bàn là tập hồ sơ có đóng dấu "Tối mật", giấy đã ngả vàng.

Luật Bảo vệ bí mật nhà nước quy định ba độ mật: Tuyệt mật, Tối mật và Mật.
Người có thẩm quyền xác định độ mật chịu trách nhiệm trước pháp luật.

MẪU DẤU CHỈ ĐỘ MẬT
1. Dấu “TUYỆT MẬT”: hình chữ nhật, kích thước 40mm x 8mm
2. Dấu “TỐI MẬT”: hình chữ nhật, kích thước 30mm x 8mm
3. Dấu “MẬT”: hình chữ nhật, kích thước 20mm x 8mm

PHIẾU TRÌNH GIẢI QUYẾT CÔNG VIỆC
Độ khẩn: Thường
Độ mật: Không
Kính trình: Lãnh đạo Cục

SỔ VĂN BẢN ĐẾN
Số đến: 112
Độ mật: Thường
Nơi gửi: Sở Thông tin và Truyền thông

PHIẾU GỬI VĂN BẢN
Độ mật: ☐ Mật ☐ Tối mật ☐ Tuyệt mật
Độ khẩn: ☐ Khẩn ☐ Hỏa tốc

Mức độ mật (Mật/Tối mật/Tuyệt mật): ....................
Người soạn thảo: ....................

Mật độ dân số Hà Nội năm 2025 là 2.480 người/km2.
Mật độ thuê bao băng rộng cố định tăng 12%.

BẢNG THỐNG KÊ
Tỉnh|Diện tích|Mật độ
Hà Giang|7.929|112
Lai Châu|9.068|53

Cơ mật viện là cơ quan giúp việc vua thời Nguyễn.
Các quan trong Cơ mật viện họp kín suốt đêm.

Đội trinh sát nhận mật lệnh lúc nửa đêm, giải mật thư bằng bảng chữ cái.
Trò chơi mật thư là nội dung sinh hoạt của Đoàn Thanh niên.

Kỹ thuật mật mã: mật mã khóa công khai, hàm băm, chữ ký số.
Ban Cơ yếu Chính phủ quản lý mật mã dân sự.

Thông tin đường dây điện mật phục vụ hội nghị được kiểm tra.
Điện mật của Bộ Ngoại giao được lưu theo quy định riêng.

Chuyến thăm thân mật diễn ra trong không khí cởi mở.
Buổi gặp mặt thân mật cuối năm.

Bài thuốc dân gian: mật gấu, mật trăn không được phép buôn bán.
Bệnh nhân viêm đường mật được mổ nội soi.

Mật mía, mật hoa là nguyên liệu làm bánh.
Giá mật mía tại Nghệ An tăng nhẹ.

HƯỚNG DẪN SOẠN THẢO VĂN BẢN MẬT
Khi soạn thảo văn bản mật phải dùng máy tính không nối mạng.
Không gửi tài liệu mật, tối mật, tuyệt mật qua hộp thư điện tử.

NỘI QUY SỬ DỤNG THƯ ĐIỆN TỬ
Khoản 1 Điều 4 Quy chế cấm gửi tài liệu mật, tối mật, tuyệt mật qua Hệ thống thư điện tử.

This message is CONFIDENTIAL and intended only for the addressee.
If you are not the intended recipient, please delete it.

CONFIDENTIAL
SECRET PROJECT NAME: Mekong
Internal use only.

TOP SECRET recipe of grandmother: pho bo.
Bon appetit.

Tôi mất ví ở khu vực sảnh tầng một, ai nhặt được xin liên hệ.
Toi mat vi o sanh tang mot.

Dien tich mat bang 120 m2, mat tien 6 m.
Mat do xay dung 60%.

BIÊN BẢN HỌP
Nội dung: triển khai giải pháp bảo mật cho hệ thống thư điện tử
Kết luận: đổi mật khẩu quản trị, bật xác thực hai lớp.

KẾ HOẠCH DIỄN TẬP AN TOÀN THÔNG TIN
Tình huống 1: lộ mật khẩu quản trị.
Tình huống 2: tấn công mã hóa dữ liệu.

TÀI LIỆU ĐÀO TẠO
Bài 4. Các độ mật
a) Tuyệt mật
b) Tối mật
c) Mật

Các độ mật theo Luật:
TUYỆT MẬT
TỐI MẬT
MẬT

Phân loại độ mật
Mật|Tối mật|Tuyệt mật
Cục trưởng|Bộ trưởng|Thủ tướng

QUY TRÌNH QUẢN LÝ TÀI LIỆU MẬT
Bước 1. Đăng ký tài liệu mật vào sổ riêng.
Bước 2. Lưu giữ tài liệu mật trong tủ có khóa.

Cách đặt mật khẩu mạnh: ít nhất 12 ký tự, có chữ hoa, chữ số.
MẬT KHẨU: không dùng lại mật khẩu cũ.

MẬT KHẨU
Tên đăng nhập: dvbe
Mật khẩu tạm: được cấp qua điện thoại.

CHÍNH SÁCH BẢO MẬT
1. Thu thập dữ liệu
2. Bảo mật dữ liệu

CAM KẾT BẢO MẬT
Tôi cam kết giữ bí mật thông tin trong thời gian làm việc.

BẢO MẬT
Phần mềm được cập nhật bản vá bảo mật hằng tháng.

BÍ MẬT
Tiểu thuyết, Nhà xuất bản Hội Nhà văn
Bí mật của cô gái trong ngôi nhà cổ được hé lộ.

MẬT ONG
Mật ong nguyên chất, thu hoạch tháng 4.
Giao hàng tận nơi.

SẢN PHẨM OCOP
MẬT
SÁP ONG
PHẤN HOA
Nuôi ong lấy mật là nghề truyền thống.

Tuyệt mật và tối mật là hai cấp cao hơn mật theo pháp luật hiện hành.

Ông Trần Văn Mật, chuyên viên Vụ Tổ chức cán bộ
Bà Lê Thị Mật Hường
Danh sách cán bộ tham gia tập huấn.

Danh sách nhân viên
STT|Họ và tên|Phòng
1|Nguyễn Văn Mật|Kế toán
2|Lò Thị Mật|Tổng hợp

Người sĩ quan mật vụ bước vào quán, gọi một tách cà phê.
Không ai biết anh mang theo bản kế hoạch tối mật của tổng hành dinh.

Tổng thống ký lệnh giải mật hồ sơ vụ ám sát.
Hàng nghìn trang tài liệu tối mật được công bố.

Điểm tin báo chí
Mỹ giải mật nhiều tài liệu về chiến tranh.
Phim Hồ sơ tuyệt mật ra rạp cuối tuần.

Báo cáo kiểm thử: chức năng quên mật khẩu trả về lỗi 500.
Kiểm tra độ mạnh của mật khẩu: đạt.

Mức độ bảo mật: Cao
Mã hóa: AES-256

Cấp độ an toàn: 3
Độ bảo mật: trung bình
Khuyến nghị: mã hóa ổ đĩa.

Kính gửi: Phòng Bảo mật và An toàn thông tin
Đề nghị cấp chứng thư số cho máy chủ.

Trích yếu: V/v tăng cường công tác bảo vệ bí mật nhà nước
Nơi nhận: Như trên; Lưu: VT.

Tổ chức lớp bồi dưỡng nghiệp vụ công tác bảo vệ bí mật nhà nước
Thành phần: cán bộ làm công tác văn thư, lưu trữ, soạn thảo văn bản mật.

Câu hỏi: Văn bản có độ mật: Tối mật trở lên thì ai được sao chụp?
Trả lời: người có thẩm quyền theo Điều 11.

Đề thi trắc nghiệm
Câu 3. Độ mật nào cao nhất? A. Mật B. Tối mật C. Tuyệt mật

Các trường của phần mềm quản lý văn bản: số ký hiệu, ngày ban hành, độ mật, độ khẩn, trích yếu.
Trường độ mật nhận các giá trị: Thường, Mật, Tối mật, Tuyệt mật.

Số ký hiệu|Độ mật|Độ khẩn|Trích yếu
15/CV|Thường|Thường|Mời họp
16/CV|Thường|Khẩn|Báo cáo

Xin chào, mật danh của tôi trong trò chơi là Sói Xám.
Mật khẩu phòng chơi: hoahong.

Du lịch Đà Lạt: tuần trăng mật trọn gói 3 ngày 2 đêm.
Khách sạn có phòng trăng mật nhìn ra hồ.

Khoa Gan Mật Tụy
Bác sĩ: Nguyễn Văn An
Lịch khám: thứ Hai đến thứ Sáu

Thực đơn: sườn nướng mật ong, gà quay mật ong, trà chanh mật ong.
Giá: 150.000 đồng/suất.

Hội nghị mật nghị hồng y bầu Giáo hoàng diễn ra tại Vatican.

Mật tông là một truyền thống của Phật giáo.
Kinh điển Mật giáo được dịch ra tiếng Việt.

Ba lô, bản đồ và bức mật thư cuối cùng
Cả đội reo lên khi tìm được kho báu.

Quản trị viên cần thay mật khẩu root trên 12 máy chủ.
Log: failed password for root from 10.0.0.5

Phụ lục 2. Bảng kiểm an toàn thông tin
Nội dung|Đạt|Không đạt
Đổi mật khẩu định kỳ|x|
Mã hóa bí mật|x|

Dự thảo Nghị định quy định chi tiết thi hành Luật Bảo vệ bí mật nhà nước
Điều 3. Dấu mật
Dấu “Mật” được đóng bằng mực đỏ.

Dấu MẬT được đóng dưới số, ký hiệu văn bản theo Thông tư 24/2020/TT-BCA.
Dấu TỐI MẬT và TUYỆT MẬT đóng tương tự.

Tin nhắn nội bộ: anh đừng tiết lộ điều bí mật này với ai nhé.
Tối mai gặp lại.

Tối mát trời, cả nhà ra hồ. Mặt hồ tĩnh lặng.
Mất điện hai giờ liền.

Nghị quyết về sáp nhập đơn vị hành chính
Cán bộ tận tụy, thận trọng trong công việc.

QUYẾT ĐỊNH
Về việc giải mật tài liệu lưu trữ
Điều 1. Giải mật 120 hồ sơ giai đoạn 1976-1985.

Kết quả xét nghiệm
Bilirubin: bình thường
Acid mật: 5 umol/L

Tắc mật do sỏi ống mật chủ
Chỉ định: phẫu thuật nội soi.

Thư mời viết bài tạp chí: chủ đề mật mã lượng tử.
Hạn nộp: 30/11/2026.

Biên bản bàn giao
01 khóa bảo mật USB, 01 phong bì đựng mật khẩu đã niêm phong.

Cảnh báo lừa đảo: không cung cấp mật khẩu, mã OTP cho bất kỳ ai.
Ngân hàng không bao giờ hỏi mật khẩu.

Không mật
Tài liệu công khai, được phép phổ biến.

Văn bản này không thuộc danh mục bí mật nhà nước.
Độ mật: không mật

Nhãn: Công khai
Phân loại: Nội bộ
Phạm vi: Cục Công nghệ thông tin

CÔNG KHAI
Báo cáo thường niên về an toàn thông tin

Phần mềm quản lý mật khẩu
Bí mật kinh doanh
Bí mật đời tư
Bí mật thư tín, điện thoại, điện tín

Đơn xin nghỉ phép
Lý do: gia đình có việc.

LỊCH CÔNG TÁC TUẦN
Thứ Hai|Giao ban Bộ|Hội trường
Thứ Ba|Kiểm tra công tác bảo mật|Phòng 302

Nhật ký hệ thống
2026-11-24 08:00 user=dvbe action=doi_mat_khau result=ok
2026-11-24 08:05 user=ttlan action=quen_mat_khau result=ok

API trả về trường "do_mat" kiểu số: 0 thường, 1 mật, 2 tối mật, 3 tuyệt mật.

Đề cương luận văn: Bảo mật hệ thống thư điện tử công vụ
Chương 1. Tổng quan về mật mã

Thông báo tuyển dụng chuyên viên bảo mật
Yêu cầu: am hiểu mật mã học, chứng chỉ quốc tế.

Kính gửi: Công ty Ong mật Việt Nam
Chúng tôi đặt 20 thùng mật.

Tổng hợp ý kiến góp ý dự thảo Quy chế bảo vệ bí mật nhà nước của Bộ
Đơn vị|Ý kiến|Tiếp thu
Cục Tần số|Bổ sung quy định về độ mật|Có

BỘ THÔNG TIN VÀ TRUYỀN THÔNG
Số: 40/QĐ-BTTTT
DANH SÁCH CÁN BỘ ĐƯỢC NÂNG LƯƠNG
STT|Họ đệm|Tên|Đơn vị
1|Nguyễn Văn|Mật|Kế toán
2|LÒ THỊ|MẬT|VĂN THƯ

Cô ấy cười, giọng mật ngọt.
"Mật ngọt chết ruồi" là câu tục ngữ quen thuộc.

Người giữ chìa khóa mật thất là vị trụ trì già.
Trong mật thất có nhiều kinh sách quý.
"""

SUBJECTS = """
Đổi mật khẩu hộp thư trước ngày 30/11
[Bảo mật] Bản vá tháng 11
Hướng dẫn quản lý tài liệu mật
Góp ý dự thảo quy định về dấu MẬT, TỐI MẬT, TUYỆT MẬT
Re: Chính sách bảo mật - bản cuối
Mật độ dân số - số liệu quý III
Mời họp về công tác bảo vệ bí mật nhà nước
Quên mật khẩu
(Bảo mật) Lịch bảo trì
Mật ong - bảng giá tháng 11
Thông báo - bảo mật
Kết quả siêu âm: gan, mật, tụy
Tiểu thuyết “Hồ sơ tuyệt mật”: giới thiệu sách
Danh mục các độ mật (Mật, Tối mật, Tuyệt mật)
CONFIDENTIAL: financial report
[SECRET] Santa 2026
GIỚI THIỆU CÁC LOẠI MẬT TỰ NHIÊN
THÔNG BÁO ĐỔI MẬT KHẨU
Format of the MAT files
[CNTT] Tập huấn bảo mật
Báo cáo mật độ giao thông
Văn bản mật được quản lý thế nào?
Tôi mất thẻ ra vào
Toi mat the ra vao
Trăng mật ở Đà Lạt
"""

NAMES = """
mật_khẩu_wifi.txt
chinh-sach-bao-mat.docx
Bảo mật thông tin.pdf
huong-dan-doi-mat-khau.docx
mật ong.xlsx
bao_cao_mat_do_dan_so.xlsx
toi_mat_vi.docx
Toi mat dien thoai.docx
Quy chế bảo vệ bí mật nhà nước.pdf
Hướng dẫn bảo vệ tài liệu mật.docx
Mật mã Da Vinci.pdf
results_MAT.zip
information.mat.txt
mat-bang-tang-1.pdf
danh_muc_bi_mat_nha_nuoc.docx
format.docx
Mật thư trò chơi.docx
Sổ tay công tác văn thư, tài liệu mật.pdf
Cam kết bảo mật.docx
khong-mat.docx
Lý lịch Nguyễn Văn Mật.pdf
CV Lò Thị Mật.docx
"""


def paragraphs(text: str) -> list[list[str]]:
    """Texts parted by blank lines; `|` parts cells."""
    return [block.strip().replace("|", "\t").split("\n") for block in text.strip().split("\n\n")]


def lines(text: str) -> list[str]:
    return text.strip().split("\n")


def samples() -> list[Sample]:
    texts = paragraphs(TEXTS)
    made = documents("allowed text", None, texts, times=1)
    made += [Sample(f"allowed body {n + 1}", None, body=text, is_html=n % 2 == 0) for n, text in enumerate(texts[::4])]
    made += [Sample(f"allowed subject {n + 1}", None, subject=subject) for n, subject in enumerate(lines(SUBJECTS))]
    made += [
        Sample(f"allowed name {n + 1}", None, files={name: txt(["Nội dung công khai."])}) for n, name in enumerate(lines(NAMES))
    ]
    rules, ours = texts[8], texts[0]
    return [
        *made,
        Sample("header of a letter", None, files={"cv.docx": docx(ours, header=["CỤC CÔNG NGHỆ THÔNG TIN", "Trang 1"])}),
        Sample("header about passwords", None, files={"cv.odt": odt(ours, header=["Bảo mật thông tin nội bộ"])}),
        Sample("title about rules", None, files={"luat.docx": docx(rules, title="Hướng dẫn xác định độ mật")}),
        Sample("title of a policy", None, files={"cs.pdf": pdf(ours, title="Chính sách bảo mật")}),
        Sample("sheet of a bee keeper", None, files={"a.xlsx": xlsx(["Lô\tSố lượng"], sheet="Mật")}),
        Sample("header of a sheet", None, files={"so.xlsx": xlsx(["1\t2"], header="Bảo mật", sheet="Mật khẩu")}),
        Sample("box", None, files={"a.rtf": rtf(ours, box=["Liên hệ phòng Bảo mật"], header=["Trang 1"])}),
        Sample("stamp of a draft", None, files={"a.pdf": pdf(ours, stamp="DỰ THẢO")}),
        Sample("slides", None, files={"a.pptx": pptx(["Mật mã học", "Nội dung", "1. Mật khẩu", "2. Bí mật"])}),
        Sample("page", None, files={"a.html": html(["Bảo mật", "Mật khẩu\tđổi"])}),
        Sample("winmail", None, files={"winmail.dat": tnef(ours)}),
        Sample("zip with a password", None, files={"a.zip": encrypted_zip("a.txt", b"MAT")}),
        Sample("nested", None, files={"a.zip": zipped({"b.zip": zipped({"mật khẩu.txt": txt(ours)})})}),
        Sample("an old charset", None, body=["Đổi mật khẩu, bảo mật"], charset="viscii"),
        Sample("another old charset", None, body=["đổi mật khẩu, bảo mật"], charset="tcvn"),
        Sample("decomposed", None, body=["Đổi mật khẩu"], subject="Bảo mật"),
    ]
