"""Options that many commands share, and what they are read into."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.failures import Failure, Problem

if TYPE_CHECKING:
    from settings import Settings

ApiUrl = Annotated[
    str, typer.Option("--api", envvar="ONWARD_API_URL", help="Where the API is.", metavar="URL")
]


AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON, for programs.")]


Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        help="A param; the value is read as JSON where it is JSON, else as text.",
        metavar="NAME=VALUE",
    ),
]


def examples(*lines: str) -> str:
    """What `--help` shows last, line by line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise Failure for an argument that is not text: bytes of another encoding than the terminal's."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise Failure(f"An argument is not UTF-8 text: {argument!r}") from None


def read_settings(**given: Any) -> "Settings":
    """From the environment and `.env`; what is given here comes before both."""
    from pydantic import ValidationError

    from processes.problems import message_of
    from settings import Settings

    try:
        return Settings(**given)
    except ValidationError as error:
        found = [
            Problem(
                "ONWARD_" + "_".join(map(str, e["loc"])).upper() if e["loc"] else "settings", message_of(e)
            )
            for e in error.errors()
        ]
        raise Failure("The settings are wrong.", None, found) from None


def require(module: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise Failure(f"This needs {module}, which is not installed.", "pip install 'onward[dev-server]'")


def read_params(given: list[str] | None) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for item in given or []:
        name, equals, text = item.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{item!r} is not NAME=VALUE", param_hint="--param")
        try:
            params[name] = json.loads(text)
        except ValueError:
            params[name] = text
    return params
