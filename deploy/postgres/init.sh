#!/bin/sh
# Runs once, in an empty data directory: a role for each program, and the databases that it owns.
set -eu

psql --no-psqlrc --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "${POSTGRES_DB:-$POSTGRES_USER}" \
    --set=temporal_password="$POSTGRES_TEMPORAL_PASSWORD" --set=onward_password="$POSTGRES_ONWARD_PASSWORD" <<'SQL'
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE ALL ON DATABASE temporal, temporal_visibility FROM PUBLIC;

CREATE ROLE onward LOGIN PASSWORD :'onward_password';
CREATE DATABASE onward OWNER onward;
REVOKE ALL ON DATABASE onward FROM PUBLIC;
SQL
