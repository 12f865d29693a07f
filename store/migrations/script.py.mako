<%!
    def ours(code):
        """The body without Alembic's own remarks."""
        lines = [line for line in (code or "").splitlines() if not line.strip().startswith("# ###")]
        return "\n".join(lines).strip() or "pass"
%>\
"""${message}"""

% if seeds:
from datetime import UTC, datetime

% endif
import sqlalchemy as sa
from alembic import op

from store.types import JSON_DOCUMENT, UtcDateTime

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """To this revision."""
    ${ours(upgrades)}
% if seeds:
    _insert_what_onward_needs()
% endif


def downgrade() -> None:
    """Back to the revision before."""
    ${ours(downgrades)}
% if seeds:


def _insert_what_onward_needs() -> None:
    """The catalog's stamp, and the types of the events that Onward itself sends."""
    catalog = sa.table("catalog", sa.column("id", sa.Integer), sa.column("stamp", sa.Integer))
    op.bulk_insert(catalog, [{"id": 1, "stamp": 1}])
    event_types = sa.table(
        "event_types",
        sa.column("key", sa.String),
        sa.column("name", sa.String),
        sa.column("category", sa.String),
        sa.column("creates_contacts", sa.Boolean),
        sa.column("registered_by", sa.String),
        sa.column("created_at", UtcDateTime),
    )
    builtin = [
% for key, (name, category) in seeds.items():
        (${repr(key)}, ${repr(name)}, ${repr(category)}),
% endfor
    ]
    now = datetime.now(UTC)
    op.bulk_insert(
        event_types,
        [
            {
                "key": key,
                "name": name,
                "category": category,
                "creates_contacts": False,
                "registered_by": "onward",
                "created_at": now,
            }
            for key, name, category in builtin
        ],
    )
% endif
