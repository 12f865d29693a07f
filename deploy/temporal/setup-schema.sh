#!/bin/sh
# Brings Temporal's two databases to the schema of this image. Safe to repeat; also what an upgrade runs first.
set -eu

update() {
    database=$1
    versions=$2
    temporal-sql-tool --plugin postgres12 --ep "$POSTGRES_SEEDS" -p "$DB_PORT" -u "$POSTGRES_USER" --db "$database" \
        setup-schema -v 0.0
    temporal-sql-tool --plugin postgres12 --ep "$POSTGRES_SEEDS" -p "$DB_PORT" -u "$POSTGRES_USER" --db "$database" \
        update-schema -d "/etc/temporal/schema/postgresql/v12/$versions/versioned"
}

# The password comes from SQL_PASSWORD.
update temporal temporal
update temporal_visibility visibility
