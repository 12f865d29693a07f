"""Meta's Custom Audiences (`/{audience}/users`): who is in which, by hash, as the Marketing API keeps them."""

import json
import re
from collections import defaultdict
from typing import Any
from urllib.parse import parse_qsl

from tests.support.http_server import Reply, Request
from tests.support.provider_server import GraphServer, ProviderServer, json_reply

HASH = re.compile(r"[0-9a-f]{64}")


class AudienceServer(ProviderServer):
    """`members`: of each audience, people by the first key that they are known by."""

    TOKEN = "ads-secret"
    AUDIENCE = "23847238470000001"

    def __init__(self) -> None:
        super().__init__()
        self.members: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
        self.audiences = {self.AUDIENCE}

    def answer(self, request: Request) -> Reply:
        """How many entries were received, or why not."""
        if request.headers.get("authorization") != f"Bearer {self.TOKEN}":
            return GraphServer.error(401, 190, None, "Error validating access token")
        found = re.fullmatch(r"(POST|DELETE) /v25\.0/(\d+)/users HTTP/1\.1", request.line)
        if found is None or found[2] not in self.audiences:
            text = "Unsupported post request. Object does not exist or cannot be loaded"
            return GraphServer.error(400, 100, 33, text)
        form = dict(parse_qsl(request.body.decode(), strict_parsing=True))
        payload: dict[str, Any] = json.loads(form["payload"])
        invalid = 0
        for row in payload["data"]:
            if len(row) != len(payload["schema"]) or not all(HASH.fullmatch(value) for value in row):
                invalid += 1
                continue
            person = dict(zip(payload["schema"], row, strict=True))
            known_by = person.get("EMAIL") or person["PHONE"]
            if found[1] == "POST":
                self.members[found[2]][known_by] = person
            else:
                self.members[found[2]].pop(known_by, None)
        self.taken.append({"method": found[1], "audience": found[2], **payload})
        body: dict[str, Any] = {
            "audience_id": found[2],
            "session_id": str(len(self.taken)),
            "num_received": len(payload["data"]),
            "num_invalid_entries": invalid,
            "invalid_entry_samples": {},
        }
        return json_reply("200 OK", body)
