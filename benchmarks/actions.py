"""What a journey costs in Temporal Cloud's billable actions: ours next to the hand-written one, from real histories."""

from collections import Counter

from benchmarks.billing import billable_actions
from benchmarks.journeys import ours, theirs
from benchmarks.options import Options
from benchmarks.stage import Bench
from benchmarks.tables import Table, bar


async def run(stage: Bench, options: Options) -> list[Table]:
    """A few journeys of each; one history of each is counted."""
    mine = await _counted(stage, (await ours(stage, options.count)).example)
    other = await _counted(stage, (await theirs(stage, options.count)).example)
    kinds = sorted(set(mine) | set(other))
    more = mine.total() - other.total()
    return [
        Table(
            "Temporal Cloud's billable actions: a journey of 3 e-mails and 2 tags",
            [
                *((kind, str(mine[kind]), str(other[kind])) for kind in kinds),
                ("together", str(mine.total()), str(other.total())),
                ("ours more by", str(more), bar("at most 1")),
            ],
            columns=("ours", "hand-written"),
        )
    ]


async def _counted(stage: Bench, workflow_id: str) -> Counter[str]:
    history = await stage.services.client.get_workflow_handle(workflow_id).fetch_history()
    return billable_actions(history.events)
