"""Deterministic code only. `WORKFLOWS` is what a worker registers."""

from workflows.operation import Operation
from workflows.process_instance import ProcessInstance
from workflows.trigger_scan import TriggerScan

WORKFLOWS = [ProcessInstance, TriggerScan, Operation]
