#!/bin/sh
# Dagster reads its database's password from the environment only: this takes it from the file that DAGSTER_POSTGRES_PASSWORD_FILE names.
# (The platform's own settings know such files themselves.)
set -eu
if [ -n "${DAGSTER_POSTGRES_PASSWORD_FILE:-}" ]; then
  if [ -n "${DAGSTER_POSTGRES_PASSWORD:-}" ]; then
    echo "DAGSTER_POSTGRES_PASSWORD and DAGSTER_POSTGRES_PASSWORD_FILE are both set: unset one" >&2
    exit 1
  fi
  DAGSTER_POSTGRES_PASSWORD=$(cat -- "$DAGSTER_POSTGRES_PASSWORD_FILE") || {
    echo "DAGSTER_POSTGRES_PASSWORD_FILE=$DAGSTER_POSTGRES_PASSWORD_FILE cannot be read" >&2
    exit 1
  }
  export DAGSTER_POSTGRES_PASSWORD
fi
exec "$@"
