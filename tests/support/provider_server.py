"""Local servers that speak the APIs of providers of messages: they check what they are sent as the provider does, keep
what they took, and fail as they are told.
"""

import base64
import json
from abc import abstractmethod
from typing import Any
from urllib.parse import parse_qsl

from tests.support.http_server import LocalServer, Reply, Request
from tests.support.waiting import eventually


def json_reply(status: str, body: Any, **headers: str) -> Reply:
    """An answer in JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"content-type": "application/json", **named}, json.dumps(body).encode())


class ProviderServer(LocalServer):
    """Where an API is.

    `replies` are said first, one after the other, in place of the API's own answers, and nothing is taken then. Of
    the next `cuts` requests each is answered by the API, and the line is cut before the answer leaves.
    """

    def __init__(self) -> None:
        super().__init__()
        self.replies: list[Reply] = []
        self.cuts = 0
        self.requests: list[Request] = []
        self.taken: list[dict[str, Any]] = []
        """What had an effect, oldest first."""

    async def wait_received(self, count: int = 1) -> None:
        """Return when so many requests have come."""

        async def have_come() -> bool:
            return len(self.requests) >= count

        await eventually(have_come)

    @abstractmethod
    def answer(self, request: Request) -> Reply:
        """What the API does and says."""

    async def reply_to(self, request: Request) -> Reply | None:
        """As told, else what the API says; None where the line is cut."""
        self.requests.append(request)
        await self.answer_when.wait()
        reply = self.replies.pop(0) if self.replies else self.answer(request)
        if self.cuts:
            self.cuts -= 1
            return None
        return reply


class TwilioServer(ProviderServer):
    """Twilio's Messages API. `errors`: what is said of a number (HTTP status, code, message)."""

    ACCOUNT, TOKEN, SENDER = "AC" + "a1" * 16, "twilio-secret", "+420700000000"
    SERVICE = "MG" + "b2" * 16

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, tuple[int, int, str]] = {}
        self.failing: dict[str, int] = {}
        """Numbers whose messages are made and have failed by then, with the code."""

    @staticmethod
    def error(status: int, code: int, message: str, **headers: str) -> Reply:
        """A refusal as Twilio writes it."""
        body = {
            "code": code,
            "message": message,
            "status": status,
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
        }
        return json_reply(f"{status} Refused", body, **headers)

    def answer(self, request: Request) -> Reply:
        """A message made, or why not."""
        login = base64.b64encode(f"{self.ACCOUNT}:{self.TOKEN}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {login}":
            return self.error(401, 20003, "Authenticate")
        if request.line != f"POST /2010-04-01/Accounts/{self.ACCOUNT}/Messages.json HTTP/1.1":
            return self.error(404, 20404, f"{request.line} was not found")
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        form = dict(parse_qsl(request.body.decode(), strict_parsing=True, keep_blank_values=True))
        if not form.get("Body"):
            return self.error(400, 21602, "Message body is required")
        if ("From" in form) == ("MessagingServiceSid" in form):
            return self.error(400, 21603, "A 'From' phone number is required")
        if form["To"] in self.errors:
            return self.error(*self.errors[form["To"]])
        sid = f"SM{len(self.taken) + 1:032x}"
        failed = self.failing.get(form["To"])
        if failed is not None:
            body = {"sid": sid, "status": "failed", "error_code": failed, "error_message": "it failed"}
            return json_reply("201 Created", body)
        self.taken.append(form)
        return json_reply(
            "201 Created", {"sid": sid, "status": "queued", "error_code": None, "error_message": None}
        )


class JsonSmsServer(ProviderServer):
    """A provider of SMS that drops second copies by `Idempotency-Key` and answers them as the first."""

    CREDENTIAL = "Bearer sms-secret"

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, Reply] = {}

    def answer(self, request: Request) -> Reply:
        """Taken, or the answer of the first time."""
        if request.headers.get("authorization") != self.CREDENTIAL:
            return json_reply("401 Unauthorized", {"code": "bad_credential"})
        key = request.headers.get("idempotency-key")
        if key is not None and key in self._known:
            return self._known[key]
        self.taken.append(request.json)
        reply = json_reply("202 Accepted", {"id": f"sms-{len(self.taken)}"})
        if key is not None:
            self._known[key] = reply
        return reply


class ResendServer(ProviderServer):
    """Resend's `POST /emails`, with its idempotency keys."""

    KEY = "re_secret"

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, tuple[bytes, Reply]] = {}

    @staticmethod
    def error(status: int, name: str, message: str, **headers: str) -> Reply:
        """A refusal as Resend writes it."""
        body = {"statusCode": status, "name": name, "message": message}
        return json_reply(f"{status} Refused", body, **headers)

    def answer(self, request: Request) -> Reply:
        """The e-mail's id, the one of the first time, or why not."""
        if request.headers.get("authorization") != f"Bearer {self.KEY}":
            return self.error(403, "invalid_api_key", "API key is invalid")
        if request.line != "POST /emails HTTP/1.1":
            return self.error(404, "not_found", "The requested endpoint does not exist")
        mail = request.json
        for name in ("from", "to", "subject"):
            if not mail.get(name):
                return self.error(422, "missing_required_field", f"Missing `{name}` field.")
        key = request.headers.get("idempotency-key", "")
        if key in self._known:
            before, reply = self._known[key]
            if before == request.body:
                return reply
            text = "Same idempotency key used with a different request payload"
            return self.error(409, "invalid_idempotent_request", text)
        self.taken.append(mail)
        reply = json_reply("200 OK", {"id": f"49a3999c-0ce1-4ea6-ab68-{len(self.taken):012d}"})
        self._known[key] = (request.body, reply)
        return reply


class GraphServer(ProviderServer):
    """Meta's Send API. `errors`: what is said of a person's id (HTTP status, code, subcode, message)."""

    TOKEN = "page-secret"

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, tuple[int, int, int | None, str]] = {}

    @staticmethod
    def error(status: int, code: int, subcode: int | None, message: str, **headers: str) -> Reply:
        """A refusal as Meta writes it."""
        error: dict[str, Any] = {
            "message": message,
            "type": "OAuthException",
            "code": code,
            "fbtrace_id": "A",
        }
        if subcode is not None:
            error["error_subcode"] = subcode
        return json_reply(f"{status} Refused", {"error": error}, **headers)

    def answer(self, request: Request) -> Reply:
        """The message's id, or why not."""
        if request.headers.get("authorization") != f"Bearer {self.TOKEN}":
            return self.error(400, 190, None, "Invalid OAuth access token.")
        if request.line != "POST /v25.0/me/messages HTTP/1.1":
            return self.error(400, 100, 33, f"Unsupported post request: {request.line}")
        message = request.json
        person = message["recipient"]["id"]
        if person in self.errors:
            return self.error(*self.errors[person])
        self.taken.append(message)
        return json_reply("200 OK", {"recipient_id": person, "message_id": f"m_{len(self.taken)}"})
