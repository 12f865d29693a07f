"""The mail catcher's page: what was caught, newest first, as HTML, as text, with its headers, and raw.

A caught message is not trusted: its HTML is shown in a sandboxed frame without scripts, all else is escaped.
"""

from typing import Any

from liquid import Environment
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from dev.mailbox import Mail, Mailbox

_LAYOUT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
  :root { color-scheme: light dark; --line: #8884; --soft: #8882; }
  body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem; }
  h1 { font-size: 1.3rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
  table { border-collapse: collapse; width: 100%; }
  th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top;
    overflow-wrap: anywhere; }
  th { font-weight: 600; white-space: nowrap; }
  td.when { white-space: nowrap; font-variant-numeric: tabular-nums; }
  tr:hover td { background: var(--soft); }
  a { color: LinkText; }
  nav { margin: 1rem 0 .5rem; display: flex; gap: 1rem; }
  nav a[aria-current] { font-weight: 600; text-decoration: none; color: inherit; }
  iframe { width: 100%; height: 70vh; border: 1px solid var(--line); background: #fff; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid var(--line); padding: 1rem; }
</style>
</head>
<body>
"""

_LIST = (
    _LAYOUT
    + """<h1>Mail caught by Onward</h1>
{% if mails.size == 0 %}<p>Nothing yet. This page shows new messages by itself.</p>{% else %}
<table>
<thead><tr><th>Received</th><th>To</th><th>Subject</th><th>From</th></tr></thead>
<tbody>
{% for mail in mails %}<tr>
<td class="when"><time datetime="{{ mail.received_at }}">{{ mail.when }}</time></td>
<td>{{ mail.to }}</td>
<td><a href="/messages/{{ mail.id }}">{{ mail.subject | default: "(no subject)" }}</a></td>
<td>{{ mail.from }}</td>
</tr>{% endfor %}
</tbody>
</table>{% endif %}
<script>
  for (const t of document.querySelectorAll("time")) t.textContent = new Date(t.dateTime).toLocaleString();
  const shown = "{{ newest }}";
  setInterval(async () => {
    try {
      const mails = await (await fetch("/messages.json?limit=1")).json();
      if ((mails.length ? mails[0].id : "") !== shown) location.reload();
    } catch { /* the catcher is restarting */ }
  }, 2000);
</script>
</body></html>
"""
)

_SHOW = (
    _LAYOUT
    + """<p><a href="/">All mail</a></p>
<h1>{{ mail.subject | default: "(no subject)" }}</h1>
<table>
<tr><th>From</th><td>{{ mail.from }}</td></tr>
<tr><th>To</th><td>{{ mail.to }}</td></tr>
<tr><th>Received</th><td class="when">{{ mail.when }}</td></tr>
</table>
<nav aria-label="Views">
{% for view in views %}<a href="?view={{ view }}"{% if view == current %} aria-current="page"{% endif %}>{{ view }}</a>
{% endfor %}<a href="/messages/{{ mail.id }}.eml">download</a>
</nav>
{% if current == "html" %}<iframe title="The message as HTML" src="/messages/{{ mail.id }}/html"
  sandbox="allow-popups allow-popups-to-escape-sandbox"></iframe>
{% elsif current == "headers" %}<table>{% for header in headers %}
<tr><th>{{ header[0] }}</th><td>{{ header[1] }}</td></tr>{% endfor %}</table>
{% else %}<pre>{{ content }}</pre>{% endif %}
</body></html>
"""
)

_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; frame-src 'self'"
)
_MESSAGE_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src * data:; "
    "style-src 'unsafe-inline' *; font-src *"
)

_environment = Environment(autoescape=True)
_list = _environment.from_string(_LIST)
_show = _environment.from_string(_SHOW)


def make_page(mailbox: Mailbox) -> Starlette:
    """The page of a mailbox."""

    def find(request: Request) -> Mail:
        mail = mailbox.read(request.path_params["id"])
        if mail is None:
            raise HTTPException(404, "There is no such message.")
        return mail

    async def show_all(request: Request) -> Response:
        mails = [_summary(mail) for mail in mailbox.newest()]
        newest = mails[0]["id"] if mails else ""
        title = f"({len(mails)}) Mail · Onward"
        return HTMLResponse(
            _list.render(title=title, mails=mails, newest=newest),
            headers={"Content-Security-Policy": _PAGE_POLICY},
        )

    async def list_as_json(request: Request) -> Response:
        limit = request.query_params.get("limit", "200")
        mails = mailbox.newest(int(limit) if limit.isdecimal() else 200)
        return JSONResponse([_summary(mail) for mail in mails])

    async def show_one(request: Request) -> Response:
        mail = find(request)
        bodies = {"html": mail.body("html"), "text": mail.body("plain")}
        views = [view for view, body in bodies.items() if body is not None] + ["headers", "raw"]
        asked = request.query_params.get("view")
        current = asked if asked in views else views[0]
        content = mail.raw.decode("utf-8", "replace") if current == "raw" else bodies.get(current)
        page = _show.render(
            title=f"{mail.subject} · Onward",
            mail=_summary(mail),
            views=views,
            current=current,
            headers=[[name, str(value)] for name, value in mail.message.items()],
            content=content,
        )
        return HTMLResponse(page, headers={"Content-Security-Policy": _PAGE_POLICY})

    async def one_as_json(request: Request) -> Response:
        mail = find(request)
        headers = [[name, str(value)] for name, value in mail.message.items()]
        parts = {"text": mail.body("plain"), "html": mail.body("html")}
        return JSONResponse({**_summary(mail), "headers": headers, **parts})

    async def html_alone(request: Request) -> Response:
        body = find(request).body("html")
        if body is None:
            raise HTTPException(404, "The message has no HTML part.")
        # Links open beside the page, not in the frame.
        return HTMLResponse(
            f'<base target="_blank">{body}', headers={"Content-Security-Policy": _MESSAGE_POLICY}
        )

    async def raw(request: Request) -> Response:
        mail = find(request)
        disposition = f'attachment; filename="{mail.id}.eml"'
        return Response(mail.raw, media_type="message/rfc822", headers={"Content-Disposition": disposition})

    async def refuse(request: Request, error: Exception) -> Response:
        detail = error.detail if isinstance(error, HTTPException) else "Not found."
        return PlainTextResponse(detail, status_code=404)

    return Starlette(
        routes=[
            Route("/", show_all),
            Route("/messages.json", list_as_json),
            Route("/messages/{id}.json", one_as_json),
            Route("/messages/{id}.eml", raw),
            Route("/messages/{id}/html", html_alone),
            Route("/messages/{id}", show_one),
        ],
        exception_handlers={404: refuse},
        # A page elsewhere must not read the mail by way of a name that it points at this machine.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
    )


def _summary(mail: Mail) -> dict[str, Any]:
    return {
        "id": mail.id,
        "received_at": mail.received_at.isoformat(),
        "when": mail.received_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "from": mail.sender,
        "to": mail.to,
        "recipient": mail.recipient,
        "subject": mail.subject,
    }
