"""Grafana's dashboard and Prometheus's alerts: they parse, and what they name is there."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

import activities.metrics
from activities.delivery import DeliveryStep
from activities.registry import step_activities
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


COUNTED = re.compile(r"(onward_\w+_total)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)="([^"]*)"')


def counters_of_alerts() -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """The counters that alerts ask about, each with the labels that it is asked for with."""
    return {
        (name, tuple(MATCHER.findall(labels)))
        for alert in alerts()
        for name, labels in COUNTED.findall(alert["expr"])
    }


def test_every_counter_of_an_alert_is_there_before_it_counts() -> None:
    """Prometheus sees no increase in a series that begins with 1: each is shown as 0 by a process that only started."""
    program = (
        "import activities.metrics\n"
        "from api.metrics import Metrics\n"
        "from prometheus_client import generate_latest\n"
        "print((generate_latest() + generate_latest(Metrics().registry)).decode())"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, cwd=ROOT,
    ).stdout  # fmt: skip
    samples = [
        sample
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
        if sample.name.endswith("_total")
    ]
    assert len(counters_of_alerts()) >= 4
    for name, labels in counters_of_alerts():
        found = [one for one in samples if one.name == name and set(labels) <= set(one.labels.items())]
        assert found, (name, labels)
        assert {one.value for one in found} == {0.0}
        channels = {one.labels["channel"] for one in found if "channel" in one.labels}
        assert channels in ({*activities.metrics.CHANNELS}, set()), name


def test_the_channels_that_are_counted_are_those_of_the_steps() -> None:
    steps = {kind.channel for kind in step_activities().values() if issubclass(kind, DeliveryStep)}
    assert steps == set(activities.metrics.CHANNELS)


@pytest.mark.parametrize("service", ["onward_database_up", "onward_message_retries_total"])
def test_a_service_that_is_gone_is_an_alert(service: str) -> None:
    """`absent` of what that service alone shows, and shows from the start."""
    assert f"absent({service})" in {
        alert["expr"] for alert in alerts() if alert["labels"]["severity"] == "page"
    }


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_metrics_of_the_temporal_sdk_exist(idle: Engine, settings: Settings) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await idle.publish(process(tag("a"), recurrence="once"))
    await idle.event("go")
    async with (
        worker_process(settings, more={"ONWARD_SDK_METRICS_ADDRESS": f"127.0.0.1:{port}"}),
        httpx.AsyncClient(timeout=60) as http,
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
