"""Keys are replaced while links are in inboxes: those go on working. For webhooks see tests/steps/test_webhook.py."""

import httpx
import pytest

from api.app import create_app
from channels.links import LinkSigner
from runtime import connect_services
from settings import Settings
from tests.support.temporal import free_port

OLD = "whsec_b2xkIHNlY3JldA=="
NEW = "whsec_bmV3IHNlY3JldA=="


@pytest.fixture
def rotated(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings as a person writes them while both keys are in use. Temporal is away."""
    for name, value in {
        "ONWARD_SIGNING_KEY": "new",
        "ONWARD_SIGNING_KEYS_PREVIOUS": "older, oldest",
        "ONWARD_WEBHOOK_SECRET": NEW,
        "ONWARD_WEBHOOK_SECRETS_PREVIOUS": OLD,
    }.items():
        monkeypatch.setenv(name, value)
    return Settings(
        database_url=database_url,
        temporal_address=f"127.0.0.1:{free_port()}",
        webhook_allow_private=True,
        _env_file=None,
    )


@pytest.mark.parametrize(
    ("key", "status"), [("new", 200), ("older", 200), ("oldest", 200), ("a stranger's", 404)]
)
async def test_a_link_of_every_key_in_use_leads_to_its_page(rotated: Settings, key: str, status: int) -> None:
    services = await connect_services(rotated)
    transport = httpx.ASGITransport(create_app(services))
    token = LinkSigner(key).sign_unsubscribe("1", None, "m")
    async with httpx.AsyncClient(transport=transport, base_url="http://onward.test") as client:
        answer = await client.get(f"/t/unsubscribe/{token}")
    await services.close()
    assert answer.status_code == status


def test_earlier_keys_are_shown_to_nobody(rotated: Settings) -> None:
    shown = f"{rotated!r}{rotated.model_dump_json()}"
    assert "oldest" not in shown
    assert OLD not in shown


@pytest.mark.parametrize(("given", "kept"), [("", []), (" a ,, b,", ["a", "b"])])
def test_what_is_empty_is_no_key(monkeypatch: pytest.MonkeyPatch, given: str, kept: list[str]) -> None:
    monkeypatch.setenv("ONWARD_SIGNING_KEYS_PREVIOUS", given)
    found = Settings(_env_file=None).signing_keys_previous
    assert [key.get_secret_value() for key in found] == kept


def test_an_earlier_webhook_secret_needs_one_in_use() -> None:
    with pytest.raises(ValueError, match="needs ONWARD_WEBHOOK_SECRET"):
        Settings(webhook_secrets_previous=(OLD,), _env_file=None)
