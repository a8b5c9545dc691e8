#!/usr/bin/env bash
# The image's own start, with the password of the catalog `postgresql` from its file: Trino replaces ${ENV:…} in its properties.
set -euo pipefail
PROCUREMENT_DATABASE_PASSWORD=$(cat /run/secrets/procurement_password)
export PROCUREMENT_DATABASE_PASSWORD
exec /usr/lib/trino/bin/run-trino
