"""Every activity there is, bound to its tools: what a worker registers.

A step kind's activity is found by being in `activities/steps/`; a kind that acts and has none stops the start.
"""

import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import activities.steps
from activities.base import StepActivity, Tools, as_activity
from activities.delivery import DeliveryStep
from activities.interventions import Interventions
from activities.lifecycle import Lifecycle
from activities.operation import OperationActivities
from activities.scan import Scan
from processes.steps import STEP_KINDS


def step_activities() -> dict[str, type[StepActivity[Any]]]:
    """Activity class by step kind. Raises LookupError where a kind that acts has none, or one stands twice."""
    found: dict[str, type[StepActivity[Any]]] = {}
    for activity_class in _classes():
        kind = activity_class.model.kind
        if kind in found:
            raise LookupError(f"two activities for the step kind «{kind}»")
        found[kind] = activity_class
    missing = {kind for kind, model in STEP_KINDS.items() if model.acts} - found.keys()
    if missing:
        raise LookupError(f"no activity for the step kinds {', '.join(sorted(missing))}")
    return found


def deliveries() -> dict[str, type[DeliveryStep[Any]]]:
    """The activity classes of the steps that send something, by step kind."""
    return {kind: found for kind, found in step_activities().items() if issubclass(found, DeliveryStep)}


def all_activities(tools: Tools) -> list[Callable[..., Any]]:
    """What a worker registers."""
    lifecycle = Lifecycle(tools)
    interventions = Interventions(tools, deliveries())
    operation = OperationActivities(tools)
    return [
        lifecycle.begin,
        lifecycle.decide,
        lifecycle.reconsider,
        lifecycle.close,
        interventions.intervene,
        interventions.resend,
        Scan(tools).scan,
        operation.gather,
        operation.carry_on,
        operation.finish,
        *(as_activity(activity_class(tools)) for activity_class in step_activities().values()),
    ]


def _classes() -> Iterator[type[StepActivity[Any]]]:
    for info in pkgutil.iter_modules(activities.steps.__path__):
        module = import_module(f"{activities.steps.__name__}.{info.name}")
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and issubclass(value, StepActivity)
                and value.__module__ == module.__name__
            ):
                yield value
