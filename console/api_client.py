"""The HTTP API as the commands call it. Every answer is JSON; every refusal is a `Failure`."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from console.failures import Failure, Refused, Unreachable
from console.output import object_of
from processes.references import segment

if TYPE_CHECKING:
    import httpx

DEFAULT_API = "http://127.0.0.1:8080"
KEY_VARIABLE = "ONWARD_API_KEY"
"""The environment variable with the key: on the command line others of the machine would see it."""

TIMEOUT = 30.0


class Api:
    """The HTTP API. Use it as a context manager. Every refusal is a Failure with the API's own words."""

    def __init__(self, url: str) -> None:
        import httpx

        self._url = url.rstrip("/")
        self._errors = (httpx.HTTPError, httpx.InvalidURL)
        try:
            self._client = httpx.Client(base_url=f"{self._url}/v1", timeout=TIMEOUT, headers=_key())
        except self._errors as error:
            raise Failure(f"{url} is not an address.", str(error)) from error

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:
        """GET; what is None is left out of the query."""
        return self._call(
            "GET", path, params={name: value for name, value in query.items() if value is not None}
        )

    def post(self, path: str, body: Any = None) -> Any:
        """POST a JSON body."""
        return self._call("POST", path, json={} if body is None else body)

    def put(self, path: str, body: Any) -> Any:
        """PUT a JSON body."""
        return self._call("PUT", path, json=body)

    def patch(self, path: str, body: Any) -> Any:
        """PATCH a JSON body."""
        return self._call("PATCH", path, json=body)

    def delete(self, path: str) -> Any:
        """DELETE."""
        return self._call("DELETE", path)

    def post_csv(self, path: str, text: str, **query: Any) -> Any:
        """POST CSV."""
        headers = {"content-type": "text/csv; charset=utf-8"}
        return self._call("POST", path, content=text.encode(), headers=headers, params=query)

    def download(self, path: str, write: Callable[[bytes], object], **query: Any) -> None:
        """GET what may be large, and hand it on piece by piece."""
        params = {name: value for name, value in query.items() if value is not None}
        try:
            with self._client.stream("GET", path, params=params) as response:
                if response.is_success:
                    for piece in response.iter_bytes():
                        write(piece)
                    return
                response.read()
        except self._errors as error:
            raise self._away(error) from error
        self._read(response)

    def post_mail(self, path: str, raw: bytes, secret: str) -> Any:
        """POST a mail as it is, with the secret that lets it in."""
        headers = {"content-type": "message/rfc822", "authorization": f"Bearer {secret}"}
        return self._call("POST", path, content=raw, headers=headers)

    def _call(self, method: str, path: str, **more: Any) -> Any:
        try:
            response = self._client.request(method, path, **more)
        except self._errors as error:
            raise self._away(error) from error
        return self._read(response)

    def _away(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"The API at {self._url} does not answer.",
            f"{error or type(error).__name__}. Start it with `onward dev` or `onward api`, "
            "or name another with --api or ONWARD_API_URL.",
        )

    def _read(self, response: "httpx.Response") -> Any:
        try:
            reply = response.json() if response.content else {}
        except ValueError as error:
            raise Failure(
                f"{self._url} answered {response.status_code}, but not in JSON: is it Onward's API?"
            ) from error
        if response.is_success:
            return reply
        raise Refused(object_of(reply), response.status_code)


def _key() -> dict[str, str]:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return {"authorization": f"Bearer {key}"} if key else {}


def one_part(text: str) -> str:
    """One part of a path, whatever is in it: no client or proxy takes it for another place."""
    return segment(text)
