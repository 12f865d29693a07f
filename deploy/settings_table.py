"""The settings as a table in docs/deployment.md and as lines in .env.example, from `Settings` itself.

python -m deploy.settings_table     write both again; a test fails where they are out of date
"""

import ast
import inspect
import json
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "deployment.md"
EXAMPLE = ROOT / ".env.example"
BEGIN, END = "settings begin", "settings end"

# What settings.py leaves to the name. A docstring there comes first.
SAID_HERE = {
    "database_pool_size": "Connections that each process keeps; on PostgreSQL as many again when it is busy.",
    "temporal_address": "host:port of Temporal's gRPC frontend.",
    "temporal_namespace": "The namespace. It must be there.",
    "temporal_task_queue": "The task queue. API and workers must name the same.",
    "temporal_tls": "Use TLS with the system's certificate authorities. On with a certificate or an API key.",
    "temporal_tls_server_ca": "A PEM file: the authority that signed Temporal's certificate.",
    "temporal_tls_client_cert": "A PEM file: our certificate, for mTLS. Goes with the key.",
    "temporal_tls_client_key": "A PEM file: our key, for mTLS.",
    "temporal_api_key": "An API key, as Temporal Cloud gives.",
    "smtp_host": "The mail server.",
    "smtp_port": "Its port.",
    "smtp_username": "The user to log in as, or none.",
    "smtp_password": "The password of that user.",
    "smtp_tls": "`none`, `starttls` (usually port 587) or `tls` (usually port 465).",
    "smtp_timeout": "Seconds that the mail server gets for an answer.",
    "smtp_connections": "Connections to the mail server that each worker keeps.",
    "mail_from": "The sender of messages that name none.",
    "api_host": "The address that the API listens on.",
    "api_port": "The port that the API listens on.",
    "max_body_bytes": "The largest request that the API reads.",
    "webhook_timeout": "Seconds that a webhook's receiver gets for an answer.",
    "worker_max_activities": "Activities that one worker runs at once.",
    "worker_max_workflow_tasks": "Workflow tasks that one worker runs at once.",
    "worker_cached_workflows": "Workflows that one worker keeps in memory; one that is not kept is replayed.",
    "log_format": "`console` for people, `json` for machines.",
    "log_level": "`DEBUG`, `INFO`, `WARNING` or `ERROR`.",
}


@dataclass(frozen=True)
class Setting:
    """One setting: its variable, its default as written in the environment, what it says, and its heading."""

    variable: str
    default: str
    meaning: str
    heading: str
    secret: bool


def settings(model: type[BaseSettings] = Settings) -> list[Setting]:
    """All settings in the order of the source."""
    source = inspect.getsource(model)
    lines = source.splitlines()
    tree = ast.parse(textwrap.dedent(source)).body[0]
    if not isinstance(tree, ast.ClassDef):
        raise TypeError(f"{model.__name__} is not a class")
    found: list[Setting] = []
    heading = ""
    for position, node in enumerate(tree.body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        name = node.target.id
        above = lines[node.lineno - 2].strip()
        heading = above.removeprefix("# ") if above.startswith("# ") else heading
        after = tree.body[position + 1] if position + 1 < len(tree.body) else None
        field = model.model_fields[name]
        found.append(
            Setting(
                variable=f"{model.model_config.get('env_prefix', '')}{name}".upper(),
                default=_written(field.default),
                meaning=_docstring(after) or SAID_HERE.get(name, ""),
                heading=heading,
                secret="SecretStr" in str(field.annotation),
            )
        )
    return found


def table() -> str:
    """The table in Markdown."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    lines += [
        f"| `{setting.variable}` | {f'`{setting.default}`' if setting.default else ''} | {setting.meaning} |"
        for setting in settings()
    ]
    return "\n".join(lines)


def example() -> str:
    """The lines of .env.example: every setting, none set."""
    lines: list[str] = []
    heading = ""
    for setting in settings():
        if setting.heading != heading:
            heading = setting.heading
            lines += ["", f"## {heading}"]
        lines.append(f"# {setting.meaning}")
        lines.append(f"#{setting.variable}={setting.default}")
    return "\n".join(lines).strip()


def with_block(text: str, block: str, opening: str, closing: str) -> str:
    """`text` with what is between the two marked lines replaced. Raises ValueError where a mark is missing."""
    before, _, rest = text.partition(opening)
    _, found, after = rest.partition(closing)
    if not found:
        raise ValueError(f"the marks {opening!r} and {closing!r} are missing")
    return f"{before}{opening}\n{block}\n{closing}{after}"


def written() -> dict[Path, str]:
    """What each file should hold."""
    return {
        DOCUMENT: with_block(DOCUMENT.read_text(), f"\n{table()}\n", f"<!-- {BEGIN} -->", f"<!-- {END} -->"),
        EXAMPLE: with_block(
            EXAMPLE.read_text(), f"\n{example()}\n", f"# --- {BEGIN} ---", f"# --- {END} ---"
        ),
    }


def _docstring(node: ast.stmt | None) -> str:
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ):
        return " ".join(node.value.value.split())
    return ""


def _written(value: Any) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return json.dumps(value)
    return (
        str(value).removesuffix("/")
        if "://" in str(value) and not str(value).startswith("sqlite")
        else str(value)
    )


if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text)
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
