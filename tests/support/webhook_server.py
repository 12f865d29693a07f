"""A real HTTP server for tests of webhooks: it keeps what it was sent, and answers when and as it is told."""

from typing import Any

from tests.support.http_server import LocalServer, Reply, Request


class RecordingWebhookServer(LocalServer):
    """`status` is what it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.status = "200 OK"
        self.requests: list[dict[str, Any]] = []
        """The bodies, oldest first."""
        self.ids: list[str] = []
        """The `webhook-id` of each."""

    @property
    def url(self) -> str:
        """Where a webhook is sent."""
        return f"{super().url}/hook"

    async def reply_to(self, request: Request) -> Reply:
        """The status."""
        self.requests.append(request.json)
        self.ids.append(request.headers["webhook-id"])
        await self.answer_when.wait()
        return Reply(self.status)
