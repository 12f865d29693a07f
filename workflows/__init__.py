"""Deterministic code only. `WORKFLOWS` is what a worker registers."""

from workflows.process_instance import ProcessInstance

WORKFLOWS = [ProcessInstance]
