"""The lifecycle of processes with the checks of templates and texts put in, and their previews with what renders
messages: the CLI uses them as the API does.
"""

from collections.abc import Mapping
from functools import lru_cache

from channels.composing import Composer
from channels.errors import TemplateStopped
from channels.rendering import checked_here
from channels.step_checks import StepChecks
from channels.templates import NO_PARTIALS, Partials, TemplateSource, is_whole, partials_of
from intake.previews import Previews
from intake.processes import ProcessLifecycle
from processes.definition import ProcessDefinition
from runtime import Services
from store.catalog import CatalogView, TemplateView


def process_lifecycle(services: Services) -> ProcessLifecycle:
    """Made from the parts."""
    return ProcessLifecycle(
        services.database,
        services.catalog,
        services.dispatcher,
        services.operations,
        check_template=_check_template,
        check_text=_check_text,
        check_step=StepChecks(
            smtputf8=services.settings.address_rules.smtputf8,
            sms_provider=services.settings.sms_provider,
            webhook_allow_private=services.settings.webhook_allow_private,
        ),
        channels=services.settings.unconfigured,
    )


def process_previews(services: Services) -> Previews:
    """Made from the parts."""
    settings = services.settings

    def composer(definition: ProcessDefinition, templates: Mapping[str, TemplateView]) -> Composer:
        return Composer(
            definition=definition,
            templates=templates,
            unconfigured=settings.unconfigured,
            sender=settings.mail_from,
            letter_sender=settings.letter_sender or "",
            country=settings.letter_country,
        )

    return Previews(services.database, services.catalog, composer, settings.caps)


def _check_template(template: TemplateView, view: CatalogView) -> str | None:
    source = TemplateSource.of(template)
    if not is_whole(source):
        return "it has no <mjml>, and can only be a part of others"
    try:
        if any("render" in text for _, text in source.parts()):
            return _why_not(source, partials_of(view.templates, source))
        return _why_not_alone(source)
    except TemplateStopped as stopped:
        return str(stopped)


def _check_text(text: str) -> str | None:
    try:
        return _why_not_alone(TemplateSource(subject="", text=text))
    except TemplateStopped as stopped:
        return str(stopped)


@lru_cache(maxsize=512)
def _why_not_alone(source: TemplateSource) -> str | None:
    return _why_not(source, NO_PARTIALS)


def _why_not(source: TemplateSource, partials: Partials) -> str | None:
    found = checked_here(source, partials)
    if not found:
        return None
    return "; ".join(f"{p.part}{f', line {p.line}' if p.line else ''}: {p.message}" for p in found)
