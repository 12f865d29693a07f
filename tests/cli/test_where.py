"""`onward where`, `due`, `why` and `retention` against a real API with a worker."""

import pytest

from tests.cli.conftest import Onward
from tests.support.engine import Engine

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

CART = """
key: cart
name: Abandoned cart
time_zone: Asia/Tokyo
recurrence: {mode: once_per, period: 1h}
triggers:
  - {type: event, event: cart_abandoned, filter: {event: total, at_least: 5}}
steps:
  - {id: hour, name: One hour, type: wait, for: 1h, next: tag}
  - {id: tag, type: add_tag, tag: reminded}
"""


async def test_people_see_where_everyone_is_what_is_due_and_why(onward: Onward, engine: Engine) -> None:
    await engine.publish(CART)
    await engine.event("cart_abandoned", params={"total": 3})
    await engine.event("cart_abandoned", params={"total": 7}, id="seven")
    await engine.event("cart_abandoned", params={"total": 8})
    await engine.in_state(engine.id("cart", "seven"), "waiting")

    where = await onward("where", "cart")
    assert where.code == 0, where.err
    assert "cart (active, version 1): 1 inside" in where.out
    assert "ended: nobody" in where.out
    (hour,) = [line.split() for line in where.out.splitlines() if line.startswith("hour")]
    assert hour == ["hour", "wait", "1"]
    assert (await onward("where", "cart", "--json")).json["open"] == 1
    assert (await onward("where", "none")).code == 1

    for step, times in (("hour", 1), ("tag", 0)):
        listed = await onward("instances", "--process", "cart", "--step", step)
        assert listed.out.count(engine.id("cart", "seven")) == times

    due = await onward("due", "cart")
    assert engine.id("cart", "seven") in due.out
    assert "hour: One hour" in due.out
    assert "Nobody is overdue." in (await onward("due", "--overdue")).out

    why = await onward("why", engine.contact, "cart")
    assert why.code == 0, why.err
    assert "in it since" in why.out
    assert "When (Asia/Tokyo)" in why.out
    assert "does not hold: the event's total ≥ 5" in why.out
    assert "holds: the event's total ≥ 5" in why.out
    assert "once per 1 hour" in why.out
    assert f"now: {engine.id('cart', 'seven')} is waiting; next: hour: One hour" in why.out
    assert (await onward("why", engine.contact, "cart", "--json")).json["zone"] == "Asia/Tokyo"

    assert "for ever" in (await onward("retention", "--dry-run")).out
    assert "0 instances ended before" in (await onward("retention", "--dry-run", "--days", "30")).out
    refused = await onward("retention")
    assert (refused.code, "ONWARD_RETENTION_DAYS" in refused.err) == (1, True)
    engine.services.settings.retention_days = 30
    assert (await onward("retention")).out == "deleted: 0 instances with 0 visits\n"
    assert (await onward("retention", "--days", "3")).code == 2
