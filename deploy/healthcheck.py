"""Exit 0 where a URL answers with success, else 1 with the reason. For containers: standard library only.

python healthcheck.py          the API of this container
python healthcheck.py URL      something else: the worker's metrics, say
"""

import os
import sys
import urllib.request

TIMEOUT_SECONDS = 4


def main(arguments: list[str]) -> int:
    """The exit code."""
    url = (
        arguments[0]
        if arguments
        else f"http://127.0.0.1:{os.environ.get('ONWARD_API_PORT', '8080')}/health/live"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, timeout=TIMEOUT_SECONDS).close()
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{url}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
