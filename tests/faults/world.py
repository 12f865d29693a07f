"""The processes of the fault runs: all four recurrence modes, every way to end, and a new version of each."""

from tests.oracle.model import Ask, ProcessModel, Send, Sleep, StartOther, Tag, World

HOUR = 3600.0

_GREETING = (Send("hello"), Sleep("pause", 3))
_CART = (Sleep("while", 4), Send("remind"))
_ORDER = (Send("thanks"), Sleep("rest", 2), Tag("bought", "customer"))

WORLD = World(
    (
        ProcessModel(
            key="hello",
            recurrence="once",
            starts="signed_up",
            stops=("left",),
            versions=(
                (*_GREETING, Send("tips"), Ask("sure", "confirmed", HOUR, (Send("welcome"),))),
                (
                    *_GREETING,
                    Send("new_tips"),
                    Ask("sure", "confirmed", HOUR, (Send("welcome"), Tag("in", "member"))),
                ),
            ),
        ),
        ProcessModel(
            key="cart",
            recurrence="when_finished",
            starts="cart_left",
            stops=("order_created",),
            versions=(
                (*_CART, Ask("reply", "answered", HOUR, (Tag("talked", "talked"),))),
                (*_CART, Tag("reminded", "reminded"), Ask("reply", "answered", HOUR, (Send("glad"),))),
            ),
        ),
        ProcessModel(
            key="order",
            recurrence="each_time",
            starts="order_created",
            keyed=True,
            versions=(
                (*_ORDER, Send("rate"), StartOther("care", "aftercare")),
                (*_ORDER, StartOther("care", "aftercare"), Send("rate")),
            ),
        ),
        ProcessModel(
            key="aftercare",
            recurrence="once",
            versions=((Sleep("soon", 2), Send("help"), Tag("cared", "cared_for")),),
        ),
        ProcessModel(
            key="digest",
            recurrence="once_per",
            period=25,
            starts="visited",
            stops=("left",),
            versions=(
                (Send("first"), Sleep("between", 5), Send("second")),
                (Send("first"), Sleep("between", 2), Send("second"), Sleep("more", 1), Send("third")),
            ),
        ),
        ProcessModel(
            key="survey",
            recurrence="each_time",
            starts="asked",
            versions=(
                (Send("question"), Ask("answer", "answered", 6, (Send("thanks"),), (Send("sorry"),))),
                (
                    Send("question"),
                    Ask("answer", "answered", 6, (Tag("answered", "answered"),), (Send("sorry"),)),
                ),
            ),
        ),
    )
)

EDITED = ("hello", "cart", "order", "digest", "survey")
"""Processes that are paused and edited. Not `aftercare`: a step that starts a paused process starts nothing."""
