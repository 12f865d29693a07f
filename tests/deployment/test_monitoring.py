"""Grafana's dashboard and Prometheus's alerts: they parse, and what they name is there."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY

import activities.metrics  # noqa: F401 - what a worker counts is in the default registry
from api.metrics import Metrics
from settings import Settings
from tests.guarantees.processes import process, tag
from tests.support.engine import Engine
from tests.support.waiting import eventually
from tests.support.worker_process import worker_process

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "onward.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
METRIC = re.compile(r"\b((?:onward|temporal)_[a-z_]+)")
ONLY_AFTER_A_FAILURE = {"temporal_workflow_task_execution_failed"}
"""Of the Temporal SDK's documentation; it is not shown before the first."""


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def expressions() -> Iterator[str]:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for alert in alerts():
        yield alert["expr"]


def named(prefix: str) -> set[str]:
    """The metrics that are asked for, without the endings of histograms."""
    found = {name for one in expressions() for name in METRIC.findall(one) if name.startswith(prefix)}
    return {re.sub("_(bucket|count|sum)$", "", name) for name in found}


@pytest.mark.parametrize("expression", list(expressions()))
def test_each_expression_is_promql(expression: str) -> None:
    promql_parser.parse(expression)


def test_the_metrics_of_onward_exist() -> None:
    families = [metric for registry in (Metrics().registry, REGISTRY) for metric in registry.collect()]
    ours = {family.name for family in families}
    ours |= {f"{family.name}_total" for family in families if family.type == "counter"}
    assert named("onward_") - ours == set()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_metrics_of_the_temporal_sdk_exist(idle: Engine, settings: Settings) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await idle.publish(process(tag("a"), recurrence="once"))
    await idle.event("go")
    async with (
        worker_process(settings, more={"ONWARD_SDK_METRICS_ADDRESS": f"127.0.0.1:{port}"}),
        httpx.AsyncClient() as http,
    ):
        await idle.ended(idle.id("p"), timeout=60)

        async def missing_none() -> bool:
            shown = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
            return all(name in shown for name in named("temporal_") - ONLY_AFTER_A_FAILURE)

        assert await eventually(missing_none)


def test_each_alert_says_what_it_means_and_where_to_read_on() -> None:
    assert len({alert["alert"] for alert in alerts()}) == len(alerts()) >= 10
    for alert in alerts():
        assert alert["labels"]["severity"] in {"page", "ticket"}
        page, _, section = alert["annotations"]["runbook"].partition(", ")
        text = (ROOT / page).read_text()
        assert not section or re.search(rf"^#+ {re.escape(section)}$", text, re.MULTILINE), (page, section)


def test_the_dashboards_panels_have_places_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
