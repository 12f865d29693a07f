"""Who asks for a link or a picture of a message: a person's program, or a machine that looks at mail before the person.

A heuristic by what the request says of itself, and no proof: scanners that pass for a browser are found by their haste
(`intake/tracking.py`), if at all. Pure.
"""

from collections.abc import Mapping

PEOPLES = ("googleimageproxy", "yahoomailproxy", "ms-office", "microsoft outlook", "thunderbird", "cubot")
"""Programs that ask when a person opens the message, whatever else their words look like.

Gmail and Yahoo fetch pictures through a proxy as the message is opened (mailgun.com/blog/product/bot-detection;
help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html, as the proxy says of itself). Cubot is a make of telephones.
"""

GMAIL_PREFETCH = "chrome/42.0.2311.135 safari/537.36 edge/12.246 mozilla/5.0"
"""Gmail, before the message is shown to a person who is logged in (bird.com/blog/gmail-prefetching-images)."""

APPLE_MAIL_PRIVACY = "mozilla/5.0"
"""The whole User-Agent of Apple's Mail Privacy Protection, which fetches every picture, opened or not
(mailgun.com/blog/product/bot-detection). No browser's is as short."""

SCANNERS: Mapping[str, str] = {
    "barracuda": "Barracuda",
    "proofpoint": "Proofpoint",
    "mimecast": "Mimecast",
    "safelinks": "Microsoft Safe Links",
    "trendmicro": "Trend Micro",
    "trend micro": "Trend Micro",
    "symantec": "Symantec",
    "messagelabs": "Symantec",
    "ironport": "Cisco",
    "fortiguard": "Fortinet",
    "forcepoint": "Forcepoint",
    "sophos": "Sophos",
    "fireeye": "Trellix",
    "bitdefender": "Bitdefender",
}
"""Scanners of mail, by the word that they name themselves with where they do. Most pass for a browser: Microsoft's do
(check.live-direct-marketing.online/blog/microsoft-defender-link-click-pattern)."""

ROBOTS = (
    *("bot", "crawl", "spider", "slurp", "preview", "facebookexternalhit", "whatsapp", "embedly", "iframely"),
    *("curl/", "wget/", "python-", "aiohttp", "okhttp", "java/", "go-http-client", "libwww-perl", "scanner"),
    *("apache-httpclient", "axios/", "node-fetch", "guzzlehttp", "headlesschrome", "phantomjs"),
)
"""Words of crawlers, of programs that show a preview of a link, and of libraries
(github.com/monperrus/crawler-user-agents; docs.uaparser.dev, «Fetchers»)."""

_PREFETCH = ("purpose", "sec-purpose", "x-purpose", "x-moz")
"""Headers by which browsers say that they fetch ahead of a person (developer.mozilla.org, «Sec-Purpose»)."""


def machine(method: str, headers: Mapping[str, str]) -> str | None:
    """What machine it is, in a few words; None where it may be a person. `headers` are found in any case."""
    if method == "HEAD":
        return "HEAD request"
    for name in _PREFETCH:
        value = headers.get(name, "").lower()
        if "prefetch" in value or "prerender" in value or "preview" in value:
            return "prefetch"
    agent = headers.get("user-agent", "").strip().lower()
    if not agent:
        return "no User-Agent"
    if agent == APPLE_MAIL_PRIVACY:
        return "Apple Mail Privacy Protection"
    if agent.endswith(GMAIL_PREFETCH):
        return "Gmail prefetch"
    if any(word in agent for word in PEOPLES):
        return None
    scanner = next((name for word, name in SCANNERS.items() if word in agent), None)
    if scanner is not None:
        return scanner
    return "robot" if any(word in agent for word in ROBOTS) else None
