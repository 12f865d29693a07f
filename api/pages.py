"""The small pages that contacts see behind the links of their messages, in English and Czech. No script, no pictures,
nothing from elsewhere. What stands in a page beside its own texts is escaped.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from html import escape
from typing import Any

import structlog
from fastapi import Request, Response
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.addresses import AddressedRoute
from channels.links import BadToken
from intake.preferences import Concerned
from store.database import DatabaseUnavailable

log = structlog.get_logger(__name__)

LANGUAGES = ("en", "cs")
"""The languages that pages speak, the first one to everyone else."""

_TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "gone": "This link does not work",
        "gone_more": "Use the link from the message as it is. It may have been cut on its way.",
        "later": "Not just now",
        "later_more": "Nothing was changed. Please try again in a few minutes.",
        "thanks": "Thank you",
        "thanks_more": "We have noted your answer. You can close this page.",
        "preferences": "What may we send you?",
        "lists": "Lists",
        "marketing": "Offers and news at all",
        "marketing_more": "Without it you get only what belongs to your orders and your account.",
        "nothing": "There is nothing to choose here.",
        "unsubscribe": "Unsubscribe?",
        "unsubscribe_do": "Unsubscribe",
        "unsubscribed": "You are unsubscribed",
        "unsubscribed_more": "We will not write to you about this any more.",
        "from_list": "You will get nothing more that is sent to this list.",
        "from_everything": "You will get only what belongs to your orders and your account.",
        "address": "Your address",
        "sender": "From",
        "list": "List",
        "what": "What",
        "everything": "All offers and news",
        "save": "Save",
        "saved": "Saved.",
    },
    "cs": {
        "gone": "Tento odkaz nefunguje",
        "gone_more": "Použijte odkaz ze zprávy tak, jak je. Možná se cestou zkrátil.",
        "later": "Teď to nejde",
        "later_more": "Nic se nezměnilo. Zkuste to prosím za několik minut znovu.",
        "thanks": "Děkujeme",
        "thanks_more": "Vaši odpověď jsme zaznamenali. Stránku můžete zavřít.",
        "preferences": "Co vám smíme posílat?",
        "lists": "Seznamy",
        "marketing": "Vůbec nějaké nabídky a novinky",
        "marketing_more": "Bez toho dostanete jen to, co patří k vašim objednávkám a k vašemu účtu.",
        "nothing": "Tady není z čeho vybírat.",
        "unsubscribe": "Odhlásit?",
        "unsubscribe_do": "Odhlásit",
        "unsubscribed": "Jste odhlášeni",
        "unsubscribed_more": "O tomto vám už nebudeme psát.",
        "from_list": "Nedostanete už nic, co se posílá do tohoto seznamu.",
        "from_everything": "Dostanete jen to, co patří k vašim objednávkám a k vašemu účtu.",
        "address": "Vaše adresa",
        "sender": "Odesílatel",
        "list": "Seznam",
        "what": "Co",
        "everything": "Všechny nabídky a novinky",
        "save": "Uložit",
        "saved": "Uloženo.",
    },
}
_PAGE = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex"><title>{title}</title>
<style>body{{font:18px/1.5 system-ui,sans-serif;max-width:32rem;margin:12vh auto;padding:0 1rem}}
fieldset{{border:0;margin:0 0 1.5rem;padding:0}}legend{{font-weight:600;padding:0}}
label{{display:block;padding:.5rem 0}}input{{width:1.2rem;height:1.2rem;margin:0 .6rem 0 0;vertical-align:-.15rem}}
dl{{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}}dt{{opacity:.7}}
dd{{margin:0;overflow-wrap:anywhere}}
small{{display:block;margin-left:1.8rem}}button{{font:inherit;padding:.5rem 1.5rem}}</style></head>
<body><main><h1>{title}</h1>{body}</main></body></html>
"""
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
}


class PageRoute(AddressedRoute):
    """A route for people: a page says that the link is not ours, or that the database is away. Mail clients and
    analytics add query parameters to links, such as utm_source: they are ignored.
    """

    takes_any_query = True

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, its errors as pages."""
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handler(request)
            except BadToken:
                return link_does_not_work(language_of(request))
            except (DatabaseUnavailable, PoolTimeout) as error:
                log.warning("database_unavailable", error=str(error))
                return try_later(language_of(request))

        return answered


def language_of(request: Request, contacts_own: str | None = None) -> str:
    """The contact's language where pages speak it, else the browser's first that they speak, else English."""
    if contacts_own is not None:
        wanted = [contacts_own]
    else:
        wanted = [part.partition(";")[0] for part in request.headers.get("accept-language", "").split(",")]
    for tag in wanted:
        primary = tag.strip().lower().partition("-")[0]
        if primary in LANGUAGES:
            return primary
    return LANGUAGES[0]


def link_does_not_work(language: str) -> Response:
    """For a token that is not ours, and for a contact who is no more."""
    return _message("gone", language, 404)


def try_later(language: str) -> Response:
    """The database is away."""
    page = _message("later", language, 503)
    page.headers["Retry-After"] = "60"
    return page


def thanks(language: str) -> Response:
    """After a click on a link that leads nowhere: a merge tag alone."""
    return _message("thanks", language, 200)


def ask_to_unsubscribe(language: str, about: Concerned | None) -> Response:
    """A button, since machines follow a bare link too. `about` is None if the contact was deleted."""
    texts = _TEXTS[language]
    body = f'<form method="post"><button>{texts["unsubscribe_do"]}</button></form>'
    if about is not None:
        then = texts["from_everything" if about.list_name is None else "from_list"]
        body = f"{_facts(about, texts, of_list=True)}<p>{then}</p>{body}"
    return _page(texts["unsubscribe"], body, language, 200)


def unsubscribed(language: str, about: Concerned | None) -> Response:
    """After one click, by the button or by the mail client."""
    texts = _TEXTS[language]
    facts = "" if about is None else _facts(about, texts, of_list=True)
    return _page(texts["unsubscribed"], f"{facts}<p>{texts['unsubscribed_more']}</p>", language, 200)


def preferences(
    language: str,
    about: Concerned,
    lists: Iterable[tuple[str, str, bool]],
    marketing: bool | None,
    *,
    saved: bool,
) -> Response:
    """Whom it is about, and a form with a box for each list (key, name, ticked) and one for all marketing, none where
    that is not the contact's to choose.
    """
    texts = _TEXTS[language]
    boxes = "".join(
        f'<label><input type="checkbox" name="list" value="{escape(key)}"{_ticked(on)}>{escape(name)}</label>'
        f'<input type="hidden" name="shown" value="{escape(key)}">'
        for key, name, on in lists
    )
    parts = [f'<p role="status"><strong>{texts["saved"]}</strong></p>'] if saved else []
    if boxes:
        parts.append(f"<fieldset><legend>{texts['lists']}</legend>{boxes}</fieldset>")
    if marketing is not None:
        parts.append(
            f'<fieldset><label><input type="checkbox" name="marketing" value="yes"{_ticked(marketing)}'
            f' aria-describedby="more">{texts["marketing"]}<small id="more">{texts["marketing_more"]}</small></label>'
            '<input type="hidden" name="shown" value=":marketing"></fieldset>'
        )
    body = (
        f'<form method="post">{"".join(parts)}<button>{texts["save"]}</button></form>'
        if boxes or marketing is not None
        else f"<p>{texts['nothing']}</p>"
    )
    return _page(texts["preferences"], _facts(about, texts) + body, language, 200)


def _facts(about: Concerned, texts: Mapping[str, str], *, of_list: bool = False) -> str:
    """Whose mail it is, from whom, and of which list. Names are other people's: their direction stays their own."""
    found = [("address", about.address), ("sender", about.sender)]
    if of_list:
        found.append(("what", texts["everything"]) if about.list_name is None else ("list", about.list_name))
    said = "".join(
        f"<dt>{texts[name]}</dt><dd><bdi>{escape(value)}</bdi></dd>" for name, value in found if value
    )
    return f"<dl>{said}</dl>"


def _ticked(on: bool) -> str:
    return " checked" if on else ""


def _message(name: str, language: str, status: int) -> Response:
    texts = _TEXTS[language]
    return _page(texts[name], f"<p>{texts[f'{name}_more']}</p>", language, status)


def _page(title: str, body: str, language: str, status: int) -> Response:
    content = _PAGE.format(language=language, title=title, body=body)
    return Response(content, status, dict(_HEADERS), media_type="text/html; charset=utf-8")
