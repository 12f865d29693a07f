"""Runs the API: uvicorn on uvloop and httptools. Without an access log: the metrics count requests.

SIGTERM stops taking connections, lets requests finish, then closes every part. `python -m api.server`.
"""

import asyncio
import signal
import sys
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.protocol import bounded
from listening import bind
from runtime import configure_logs, connect_services
from settings import Settings
from tracing import start_tracing

GRACEFUL_SECONDS = 20
"""Seconds that requests under way get to finish."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    configure_logs(settings)
    end_tracing = start_tracing(settings, "onward-api")
    # uvicorn raises the signal again once it has stopped, which would end us before the parts are closed.
    signal.signal(signal.SIGTERM, _already_heard)
    signal.signal(signal.SIGINT, _already_heard)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            runner.run(run_api(settings))
        finally:
            end_tracing()


async def run_api(settings: Settings) -> None:
    """The same in a loop that runs already."""
    sockets = bind(settings.api_host, settings.api_port, "ONWARD_API_HOST, ONWARD_API_PORT")
    services = await connect_services(settings)
    try:
        await uvicorn.Server(server_config(create_app(services), settings)).serve(sockets)
    finally:
        for listener in sockets:
            listener.close()
        await services.close()


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves the app."""
    return uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        http=bounded(settings.api_max_connections),
        ws="none",
        access_log=False,
        log_level=settings.log_level.lower(),
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # the peer is who is connected, whatever a header says
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )


def _already_heard(*_: object) -> None:
    """Uvicorn has acted on the signal."""


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


if __name__ == "__main__":
    from cli import main as command

    command(["api"])
