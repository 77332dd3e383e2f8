"""Reports of delivery and reading as servers and mail programs write them, all of the message <42.7@mail.mic.gov.vn>."""

POSTFIX = b"""\
Return-Path: <>\r
From: MAILER-DAEMON@mx.mof.gov.vn (Mail Delivery System)\r
To: cntt@mic.gov.vn\r
Subject: Undelivered Mail Returned to Sender\r
Auto-Submitted: auto-replied\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=delivery-status;\r
\tboundary="4XyZ.1732/mx.mof.gov.vn"\r
\r
This is a MIME-encapsulated message.\r
\r
--4XyZ.1732/mx.mof.gov.vn\r
Content-Description: Notification\r
Content-Type: text/plain; charset=us-ascii\r
\r
This is the mail system at host mx.mof.gov.vn.\r
\r
--4XyZ.1732/mx.mof.gov.vn\r
Content-Description: Delivery report\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; mx.mof.gov.vn\r
Original-Envelope-Id: QQ314159\r
X-Postfix-Queue-ID: 4XyZ\r
X-Postfix-Sender: rfc822; cntt@mic.gov.vn\r
Arrival-Date: Tue, 24 Nov 2026 09:00:00 +0700 (+07)\r
\r
Final-Recipient: rfc822; khong.co@mof.gov.vn\r
Original-Recipient: rfc822;Khong.Co@mof.gov.vn\r
Action: failed\r
Status: 5.1.1\r
Remote-MTA: dns; 10.0.0.2\r
Diagnostic-Code: smtp; 550 5.1.1 <khong.co@mof.gov.vn>: Recipient address\r
    rejected: User unknown\r
\r
Final-Recipient: rfc822; vp@mof.gov.vn\r
Action: relayed (to non-DSN-aware mailer)\r
Status: 2.0.0\r
\r
--4XyZ.1732/mx.mof.gov.vn\r
Content-Description: Undelivered Message Headers\r
Content-Type: text/rfc822-headers\r
\r
Return-Path: <cntt@mic.gov.vn>\r
From: cntt@mic.gov.vn\r
Message-ID: <42.7@mail.mic.gov.vn>\r
Subject: Bao cao\r
\r
--4XyZ.1732/mx.mof.gov.vn--\r
"""

EXCHANGE = b"""\
From: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@moh.gov.vn>\r
To: <cntt@mic.gov.vn>\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=delivery-status;\r
\tboundary="_7c5f2c0e-61c4-4b3e"\r
Content-Language: vi-VN\r
In-Reply-To: <42.7@mail.mic.gov.vn>\r
References: <42.7@mail.mic.gov.vn>\r
Subject: =?utf-8?B?xJDDoyBn4butaTogQuG7nWE=?=\r
\r
--_7c5f2c0e-61c4-4b3e\r
Content-Type: multipart/alternative; differences=Content-Type;\r
\tboundary="_in_"\r
\r
--_in_\r
Content-Type: text/plain; charset="utf-8"\r
Content-Transfer-Encoding: base64\r
\r
xJDDoyBn4butaQ==\r
--_in_--\r
\r
--_7c5f2c0e-61c4-4b3e\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns;EX1.moh.gov.vn\r
Received-From-MTA: dns;mail.mic.gov.vn\r
Arrival-Date: Tue, 24 Nov 2026 02:00:00 +0000\r
\r
Original-Recipient: rfc822;bn@moh.gov.vn\r
Final-Recipient: rfc822;bn@moh.gov.vn\r
Action: delivered\r
Status: 2.1.5\r
X-Display-Name: Ban Nghien cuu\r
\r
\r
--_7c5f2c0e-61c4-4b3e\r
Content-Type: message/rfc822\r
\r
From: <cntt@mic.gov.vn>\r
To: <bn@moh.gov.vn>\r
Message-ID: <42.7@mail.mic.gov.vn>\r
MIME-Version: 1.0\r
Content-Type: text/plain\r
\r
Noi dung\r
--_7c5f2c0e-61c4-4b3e--\r
"""

GMAIL = b"""\
From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\r
To: cntt@mic.gov.vn\r
Auto-Submitted: auto-replied\r
Subject: Delivery Status Notification (Failure)\r
References: <42.7@mail.mic.gov.vn>\r
In-Reply-To: <42.7@mail.mic.gov.vn>\r
X-Failed-Recipients: ai.do@gmail.com\r
Message-ID: <6743aaaa.1@mx.google.com>\r
Content-Type: multipart/report; boundary="0000000000003f1a8c0627"; report-type=delivery-status\r
MIME-Version: 1.0\r
\r
--0000000000003f1a8c0627\r
Content-Type: multipart/related; boundary="00000000000041c9d10627"\r
\r
--00000000000041c9d10627\r
Content-Type: text/html; charset="UTF-8"\r
\r
<html>** Address not found **</html>\r
--00000000000041c9d10627--\r
--0000000000003f1a8c0627\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; googlemail.com\r
Arrival-Date: Tue, 24 Nov 2026 02:00:00 -0800 (PST)\r
X-Original-Message-ID: <42.7@mail.mic.gov.vn>\r
\r
Final-Recipient: rfc822; ai.do@gmail.com\r
Action: failed\r
Status: 5.1.1\r
Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist.\r
 550 5.1.1 https://support.google.com/mail/?p=NoSuchUser\r
Last-Attempt-Date: Tue, 24 Nov 2026 02:00:01 -0800 (PST)\r
\r
--0000000000003f1a8c0627\r
Content-Type: message/rfc822\r
\r
Message-Id: <42.7@mail.mic.gov.vn>\r
From: cntt@mic.gov.vn\r
\r
x\r
--0000000000003f1a8c0627--\r
"""

THUNDERBIRD = b"""\
From: Le Hoa <hoa@mof.gov.vn>\r
To: cntt@mic.gov.vn\r
Subject: Return Receipt (displayed) - Bao cao\r
References: <42.7@mail.mic.gov.vn>\r
MIME-Version: 1.0\r
Content-Type: multipart/report; report-type=disposition-notification;\r
\tboundary="------------mdn4Kq"\r
\r
--------------mdn4Kq\r
Content-Type: text/plain; charset=UTF-8\r
Content-Transfer-Encoding: 7bit\r
\r
This is a Return Receipt for the mail that you sent to hoa@mof.gov.vn.\r
\r
--------------mdn4Kq\r
Content-Type: message/disposition-notification; name="MDNPart2.txt"\r
Content-Disposition: inline\r
Content-Transfer-Encoding: 7bit\r
\r
Reporting-UA: Mozilla Thunderbird\r
Final-Recipient: rfc822;hoa@mof.gov.vn\r
Original-Message-ID: <42.7@mail.mic.gov.vn>\r
Disposition: manual-action/MDN-sent-manually; displayed\r
\r
\r
--------------mdn4Kq\r
Content-Type: text/rfc822-headers; name="MDNPart3.txt"\r
\r
Message-ID: <42.7@mail.mic.gov.vn>\r
--------------mdn4Kq--\r
"""

OUTLOOK = b"""\
From: "Tran, Minh" <minh@moh.gov.vn>\r
To: CNTT <cntt@mic.gov.vn>\r
Subject: =?utf-8?B?xJDDoyDEkeG7jWM6?=\r
In-Reply-To: <42.7@mail.mic.gov.vn>\r
Content-Type: multipart/report; boundary="_000_MDN_"; report-type=disposition-notification\r
MIME-Version: 1.0\r
\r
--_000_MDN_\r
Content-Type: text/plain; charset="utf-8"\r
\r
Your message was read.\r
--_000_MDN_\r
Content-Type: message/disposition-notification\r
\r
Reporting-UA: EX1.moh.gov.vn; Microsoft Exchange Server 15.2\r
Final-recipient: RFC822; minh@moh.gov.vn\r
Disposition: automatic-action/MDN-sent-automatically; displayed\r
X-MSExch-Correlation-Key: yTXk\r
Original-Message-ID: <42.7@mail.mic.gov.vn>\r
X-Display-Name: Tran, Minh\r
\r
\r
--_000_MDN_--\r
"""

# RFC 6533: addresses beyond ASCII, in base64 as some gateways make it.
INTERNATIONAL = (
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nx\n--b\n"
    b"Content-Type: message/global-delivery-status\nContent-Transfer-Encoding: base64\n\n"
    b"UmVwb3J0aW5nLU1UQTogZG5zOyBteC5leGFtcGxlCgpGaW5hbC1SZWNpcGllbnQ6IHV0Zi04OyDEkeG7l0Bt\nw6FpLnZuCkFjdGlvbjogREVMQVlFRApTdGF0dXM6IDQuNC4xCg==\n"
    b"--b\nContent-Type: message/global-headers\n\nMessage-ID: <42.7@mail.mic.gov.vn>\n--b--\n"
)

REPORTS = {
    "postfix": POSTFIX,
    "exchange": EXCHANGE,
    "gmail": GMAIL,
    "thunderbird": THUNDERBIRD,
    "outlook": OUTLOOK,
    "international": INTERNATIONAL,
}
