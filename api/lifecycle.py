"""The lifecycle of processes with the checks of templates and texts put in: the CLI uses it as the API does."""

from functools import lru_cache

from channels.templates import TemplateSource, check
from intake.processes import ProcessLifecycle
from runtime import Services
from store.catalog import TemplateView


def process_lifecycle(services: Services) -> ProcessLifecycle:
    """Made from the parts."""
    return ProcessLifecycle(
        services.database,
        services.catalog,
        services.dispatcher,
        check_template=_check_template,
        check_text=_check_text,
        channels=services.settings.unconfigured,
    )


def _check_template(template: TemplateView) -> str | None:
    return _why_not(template.subject, template.mjml, template.html, template.text)


def _check_text(text: str) -> str | None:
    return _why_not("", None, None, text)


@lru_cache(maxsize=512)
def _why_not(subject: str, mjml: str | None, html: str | None, text: str | None) -> str | None:
    found = check(TemplateSource(subject=subject, mjml=mjml, html=html, text=text))
    if not found:
        return None
    return "; ".join(f"{p.part}{f', line {p.line}' if p.line else ''}: {p.message}" for p in found)
