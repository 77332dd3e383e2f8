"""Settings of the checks of mail from other servers (Reg. 10.2)."""

from typing import Annotated, ClassVar, Literal

from mic_mail.config.schema import Distinct, DomainName, NetworkName, Section, setting
from mic_mail.config.units import MINUTE, Seconds

MOST_LISTS = 8


class Inbound(Section):
    """Authentication of mail from other servers."""

    vi: ClassVar[str] = "Xác thực thư đến từ máy chủ khác."

    authenticate: bool = setting(True, clause="10.2").means(
        "Xác thực nguồn gốc thư bằng SPF, DKIM, DMARC và ARC; false: không kiểm tra, thư nào cũng qua.",
        "Authenticate the origin of mail by SPF, DKIM, DMARC and ARC; false: no check, all of it passes.",
    )
    trusted_networks: Annotated[tuple[NetworkName, ...], Distinct] = setting(("127.0.0.0/8", "::1/128"), clause="10.2").means(
        "Mạng của thiết bị và máy chuyển tiếp của cơ quan: thư đến từ đó không bị kiểm tra. Không ghi máy trung gian (TCP "
        "proxy) đưa thư từ bên ngoài vào.",
        "Networks of our own devices and relays: mail from them is not checked. They must not include a TCP proxy that "
        "forwards mail from outside.",
    )
    own_domain: Literal["refuse", "junk", "none"] = setting("refuse", clause="10.2").means(
        "Thư từ bên ngoài ghi người gửi (From hoặc phong bì) thuộc tên miền của cơ quan mà không được xác thực: từ chối, "
        "đưa vào Junk, hoặc như thư khác.",
        "Unauthenticated mail from outside that claims one of our domains (From or envelope): refused, delivered to Junk, "
        "or as any other.",
    )
    dmarc: Literal["obey", "junk", "none"] = setting("obey", clause="10.2").means(
        "Thư không qua DMARC: làm theo yêu cầu của tên miền người gửi (từ chối, hoặc Junk), nhiều nhất là Junk, hoặc như "
        "thư khác.",
        "Mail that fails DMARC: as the author's domain asks (refused, or Junk), Junk at most, or as any other.",
    )
    no_author: Literal["refuse", "junk", "none"] = setting("junk", clause="10.2").means(
        "Thư không xác định được người gửi: không có From, nhiều From, nhiều tên miền, phần tiêu đề hỏng.",
        "Mail whose author is ambiguous: no From, several, several domains, a broken header.",
    )
    spf_fail: Literal["junk", "none"] = setting("junk", clause="10.2").means(
        "Thư không qua SPF (`-all`) khi tên miền không có chính sách DMARC.",
        "Mail that fails SPF (`-all`) where DMARC has no policy.",
    )
    unsettled: Literal["pass", "later"] = setting("pass", clause="10.2").means(
        "Thư chưa có kết quả vì DNS không trả lời: nhận và đánh dấu, hoặc từ chối tạm thời để bên gửi thử lại.",
        "Mail whose result is open because the DNS does not answer: accepted and marked, or refused temporarily (the sender "
        "retries).",
    )
    trusted_sealers: Annotated[tuple[DomainName, ...], Distinct] = setting((), clause="10.2").means(
        "Tên miền của nhóm thư và máy chuyển tiếp có dấu ARC được tin: thư do họ chuyển tiếp tính là của họ.",
        "Domains of mailing lists and forwarders whose ARC seal is trusted: what they forward counts as theirs.",
    )
    dnsbl_refuse: Annotated[tuple[DomainName, ...], Distinct] = setting((), clause="10.2", max_length=MOST_LISTS).means(
        "Danh sách chặn trong DNS (`zen.spamhaus.org`): từ chối thư từ các máy có trong danh sách, trừ thư gửi postmaster "
        "và abuse.",
        "DNS blocklists of spam sources (`zen.spamhaus.org`): mail from listed machines is refused, except to postmaster "
        "and abuse.",
    )
    dnsbl_junk: Annotated[tuple[DomainName, ...], Distinct] = setting((), clause="10.2", max_length=MOST_LISTS).means(
        "Danh sách chặn trong DNS: thư từ các máy có trong danh sách được đưa vào Junk.",
        "DNS blocklists: mail from listed machines is delivered to Junk.",
    )
    seconds: Seconds = setting(20.0, clause="10.2", ge=2, le=MINUTE).means(
        "Thời gian chờ các truy vấn DNS về một thư, tính từ khi nhận hết thư.",
        "Timeout of DNS queries about a message, counted from its end.",
    )
