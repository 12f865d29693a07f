"""The doctor: compares our rows with the engine, says what is not as it should be, and mends what can be mended.

    engine.py      schema, namespace, workers          ledger.py     messages without an outcome
    instances.py   open rows and their workflows       leftovers.py  outbox, events, holds, waits
    workflows.py   running workflows and their rows    places.py     rows behind their workflow (deep)
    schedules.py   schedules and their processes       refusals.py   messages refused because of us

`Doctor.examine` walks all of them. It reads only, unless it is told to mend. Printing is the console's.
"""

from intake.doctor.context import Context, EngineUnreachable
from intake.doctor.examination import Doctor
from intake.doctor.findings import Finding, Kind

__all__ = ["Context", "Doctor", "EngineUnreachable", "Finding", "Kind"]
