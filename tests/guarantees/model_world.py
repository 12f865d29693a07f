"""The processes of the model test: every recurrence mode with and without a key, questions that keep instances open.

Keys and event types begin with a mark, so that every example has processes of its own in a database that all share.
"""

from tests.oracle.model import Ask, ProcessModel, Send, Sleep, StartOther, Tag, World

HOUR = 3600.0
FOR_EVER = 24 * HOUR
"""Longer than any run: such a question is ended by an event or by a stop only."""

TYPES = ("go", "buy", "order", "yes", "paid", "halt", "cancel")
KEYS = ("x", "y")


def world(mark: str) -> World:
    """The processes under a mark."""

    def own(name: str) -> str:
        return f"{mark}-{name}"

    thanks = Ask("ask", own("yes"), FOR_EVER, came=(Send("thanks"),))
    bill = Ask("ask", own("paid"), FOR_EVER, came=(Tag("mark", own("paid")),))
    hasty = Ask("ask", own("paid"), 1, came=(Send("thanks"),), silent=(Tag("mark", own("silent")),))
    return World(
        (
            ProcessModel(
                own("each"),
                "each_time",
                ((Send("hi"),), (Tag("met", own("met")), Sleep("rest", 1), Send("hi"))),
                starts=own("go"),
                stops=(own("halt"),),
            ),
            ProcessModel(own("once"), "once", ((thanks,),), starts=own("go"), stops=(own("halt"),)),
            ProcessModel(
                own("per"),
                "once_per",
                ((StartOther("other", own("other")), Send("hi")),),
                starts=own("go"),
                period=HOUR,
            ),
            ProcessModel(
                own("fin"),
                "when_finished",
                ((Send("hi"), thanks), (thanks,)),
                starts=own("buy"),
                stops=(own("halt"),),
            ),
            ProcessModel(own("oncekey"), "once", ((bill,),), starts=own("buy"), keyed=True),
            ProcessModel(
                own("finkey"),
                "when_finished",
                ((bill,), (hasty,)),
                starts=own("order"),
                stops=(own("cancel"),),
                keyed=True,
            ),
            ProcessModel(
                own("perkey"),
                "once_per",
                ((Tag("met", own("ordered")),),),
                starts=own("order"),
                stops=(own("halt"),),
                keyed=True,
                period=HOUR / 6,
            ),
            ProcessModel(
                own("eachkey"),
                "each_time",
                ((Tag("tried", own("tried")), Send("hi")), (hasty,)),
                starts=own("order"),
                stops=(own("cancel"),),
                keyed=True,
            ),
            ProcessModel(own("other"), "once", ((Send("hi"),),)),
        )
    )
