"""A provider that prints letters: takes `application/pdf`, and drops second copies by `Idempotency-Key`."""

from tests.support.http_server import Reply, Request
from tests.support.provider_server import ProviderServer, json_reply


class LetterServer(ProviderServer):
    """`taken`: the id and the PDF of each letter that is printed."""

    TOKEN = "letter-secret"

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, Reply] = {}

    def answer(self, request: Request) -> Reply:
        """Printed, or the answer of the first time."""
        if request.headers.get("authorization") != f"Bearer {self.TOKEN}":
            return json_reply("401 Unauthorized", {"error": "bad token"})
        if request.line != "POST /letters HTTP/1.1":
            return json_reply("404 Not Found", {"error": request.line})
        if request.headers["content-type"] != "application/pdf" or not request.body.startswith(b"%PDF-"):
            return json_reply("422 Unprocessable Content", {"error": "not a PDF"})
        key = request.headers["idempotency-key"]
        if key not in self._known:
            self.taken.append({"id": key, "pdf": request.body})
            self._known[key] = json_reply("202 Accepted", {"id": f"letter-{len(self.taken)}"})
        return self._known[key]
