"""What comes back about our mail, in real servers' and providers' shapes."""

from typing import Any

OURS = "m0123456789abcdef01234567"
OTHER = "mffffffffffffffffffffffff"

POSTFIX = f"""\
Return-Path: <>
Date: Tue, 24 Nov 2026 09:00:05 +0100 (CET)
From: MAILER-DAEMON@mx.shop.example.com (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: shop@example.com
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="4T0abc.1732435205/mx.shop.example.com"
Content-Transfer-Encoding: 7bit
Message-Id: <4T0abd@mx.shop.example.com>

This is a MIME-encapsulated message.

--4T0abc.1732435205/mx.shop.example.com
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.shop.example.com.

<jana@example.org>: host mail.example.org[192.0.2.7] said: 550 5.1.1
    <jana@example.org>: Recipient address rejected: User unknown (in reply to
    RCPT TO command)

--4T0abc.1732435205/mx.shop.example.com
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.shop.example.com
X-Postfix-Queue-ID: 4T0abc
X-Postfix-Sender: rfc822; shop@example.com
Arrival-Date: Tue, 24 Nov 2026 09:00:03 +0100 (CET)

Final-Recipient: rfc822; jana@example.org
Original-Recipient: rfc822;jana@example.org
Action: failed
Status: 5.1.1
Remote-MTA: dns; mail.example.org
Diagnostic-Code: smtp; 550 5.1.1 <jana@example.org>: Recipient address
    rejected: User unknown

--4T0abc.1732435205/mx.shop.example.com
Content-Description: Undelivered Message
Content-Type: message/rfc822

Return-Path: <shop@example.com>
From: Shop <shop@example.com>
To: jana@example.org
Subject: Hello
Message-ID: <{OURS}@shop.example.com>
MIME-Version: 1.0
Content-Type: text/plain

Hello Jana

--4T0abc.1732435205/mx.shop.example.com--
"""

EXCHANGE = f"""\
From: <postmaster@contoso.example>
To: <shop@example.com>
Date: Tue, 24 Nov 2026 08:00:12 +0000
Content-Type: multipart/report; report-type=delivery-status;
	boundary="b1ef9d45-ec9e-4e4f-a2ad-5d0a0a0a0a0a"
X-MS-Exchange-Message-Is-Ndr:
Content-Language: en-US
Message-ID: <0c0d@DB9PR01MB0000.eurprd01.prod.exchangelabs.com>
In-Reply-To: <{OURS}@shop.example.com>
References: <{OURS}@shop.example.com>
Thread-Topic: Hello
Subject: Undeliverable: Hello
MIME-Version: 1.0

--b1ef9d45-ec9e-4e4f-a2ad-5d0a0a0a0a0a
Content-Type: multipart/alternative; differences=Content-Type;
	boundary="inner-f00"

--inner-f00
Content-Type: text/plain; charset="us-ascii"
Content-Transfer-Encoding: quoted-printable

Your message to jana@contoso.example couldn't be delivered. jana wasn't found at =
contoso.example.

--inner-f00
Content-Type: text/html; charset="us-ascii"
Content-Transfer-Encoding: quoted-printable

<html><body>Your message couldn't be delivered.</body></html>

--inner-f00--

--b1ef9d45-ec9e-4e4f-a2ad-5d0a0a0a0a0a
Content-Type: message/delivery-status

Reporting-MTA: dns;DB9PR01MB0000.eurprd01.prod.exchangelabs.com
Received-From-MTA: dns;mx.shop.example.com
Arrival-Date: Tue, 24 Nov 2026 08:00:11 +0000

Original-Recipient: rfc822;jana@contoso.example
Final-Recipient: rfc822;jana@contoso.example
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient
 jana@contoso.example not found by SMTP address lookup

--b1ef9d45-ec9e-4e4f-a2ad-5d0a0a0a0a0a
Content-Type: message/rfc822

Received: from mx.shop.example.com (192.0.2.1) by
 DB9PR01MB0000.eurprd01.prod.exchangelabs.com; Tue, 24 Nov 2026 08:00:11 +0000
From: Shop <shop@example.com>
To: jana@contoso.example
Subject: Hello
Message-ID: <{OURS}@shop.example.com>

--b1ef9d45-ec9e-4e4f-a2ad-5d0a0a0a0a0a--
"""

GMAIL = f"""\
Delivered-To: shop@example.com
Return-Path: <>
From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>
To: shop@example.com
Auto-Submitted: auto-replied
Subject: Delivery Status Notification (Failure)
References: <{OURS}@shop.example.com>
In-Reply-To: <{OURS}@shop.example.com>
X-Failed-Recipients: jana@gmail.com
Message-ID: <6565.1c0a@mx.google.com>
Date: Tue, 24 Nov 2026 00:00:20 -0800 (PST)
MIME-Version: 1.0
Content-Type: multipart/report; boundary="000000000000a1"; report-type=delivery-status

--000000000000a1
Content-Type: multipart/related; boundary="000000000000b2"

--000000000000b2
Content-Type: text/plain; charset="UTF-8"
Content-Transfer-Encoding: base64

CioqIEFkZHJlc3MgbXQgKioK

--000000000000b2
Content-Type: image/png; name="icon.png"
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--000000000000b2--
--000000000000a1
Content-Type: message/delivery-status

Reporting-MTA: dns; googlemail.com
Arrival-Date: Tue, 24 Nov 2026 00:00:19 -0800 (PST)
X-Original-Message-ID: <{OURS}@shop.example.com>

Final-Recipient: rfc822; jana@gmail.com
Action: failed
Status: 4.2.2
Remote-MTA: dns; gmail-smtp-in.l.google.com. (2a00:1450:400c:c07::1a, the
 server for the domain gmail.com.)
Diagnostic-Code: smtp; 452-4.2.2 The recipient's inbox is out of storage space. Please direct the
 452-4.2.2 recipient to 452 4.2.2 https://support.google.com/mail/?p=OverQuotaTemp - gsmtp
Last-Attempt-Date: Tue, 24 Nov 2026 00:00:20 -0800 (PST)

--000000000000a1
Content-Type: message/rfc822

From: Shop <shop@example.com>
To: jana@gmail.com
Subject: Hello
Message-ID: <{OURS}@shop.example.com>

----- Message truncated -----

--000000000000a1--
"""

COMPLAINT = f"""\
From: <abusedesk@example.com>
Date: Thu, 26 Nov 2026 17:40:36 +0000
Subject: FW: Hello
To: <abuse@shop.example.com>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report;
     boundary="part1_13d.2e68ed54_boundary"

--part1_13d.2e68ed54_boundary
Content-Type: text/plain; charset="US-ASCII"
Content-Transfer-Encoding: 7bit

This is an email abuse report for an email message received from IP 192.0.2.1.

--part1_13d.2e68ed54_boundary
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <shop@example.com>
Arrival-Date: Thu, 26 Nov 2026 17:40:00 +0000
Source-IP: 192.0.2.1

--part1_13d.2e68ed54_boundary
Content-Type: message/rfc822
Content-Disposition: inline

From: <shop@example.com>
To: <jana@example.net>
Subject: Hello
Message-ID: <{OURS}@shop.example.com>

Hello
--part1_13d.2e68ed54_boundary--
"""


def resend(kind: str = "email.bounced", bounce_type: str = "Permanent", tags: Any = None) -> dict[str, Any]:
    return {
        "type": kind,
        "created_at": "2026-11-24T08:00:41.000Z",
        "data": {
            "created_at": "2026-11-24T08:00:40.000Z",
            "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
            "from": "Shop <shop@example.com>",
            "to": ["jana@example.org"],
            "subject": "Hello",
            "bounce": {
                "message": "The recipient's email address is on the suppression list.",
                "subType": "Suppressed",
                "type": bounce_type,
            },
            "tags": {"onward_message": OURS} if tags is None else tags,
        },
    }


def ses(kind: str = "Bounce", **more: Any) -> dict[str, Any]:
    return {
        "notificationType": kind,
        "mail": {
            "messageId": "00000138111222aa-33322211-cccc-cccc-cccc-ddddaaaa0680-000000",
            "destination": ["jana@example.org"],
            "commonHeaders": {"messageId": f"<{OURS}@shop.example.com>", "subject": "Hello"},
        },
        **more,
    }
