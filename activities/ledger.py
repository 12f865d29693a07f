"""What a send writes of its outcome into the ledger. Nothing is written here: `activities/delivery.py` does that."""

from datetime import datetime
from typing import Any

from sqlalchemy import case, literal

from activities.base import Held
from channels.errors import DeliveryError
from store import rows
from store.messages import CAME_BACK

_m = rows.messages.c


def refusal_columns(refusal: BaseException | None, at: datetime) -> dict[str, Any]:
    """Why the other side refused a message, and when that was known (UTC); empty if it did not refuse. A hold for a
    refusal tells the same as the refusal.
    """
    said = refusal.__cause__ if isinstance(refusal, Held) else refusal
    cause = said.cause if isinstance(said, DeliveryError) else None
    return {"cause": cause, "refused_at": None if cause is None else at}


def closed_columns(
    state: str, detail: str | None, refusal: BaseException | None, answered: datetime
) -> dict[str, Any]:
    """A message's columns when it is closed. A report that it came back may be quicker than the answer: it stays."""
    came_back = _m.state.in_(CAME_BACK)
    said = {"state": state, "detail": detail, **refusal_columns(refusal, answered)}
    columns = {
        name: case((came_back, _m[name]), else_=literal(value, _m[name].type)) for name, value in said.items()
    }
    return {**columns, "closed_at": answered}
