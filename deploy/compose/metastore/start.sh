#!/usr/bin/env bash
# The image's own start, with the password from its file; its schema is made only where there is none (the image would fail at the second start).
set -euo pipefail
METASTORE_PASSWORD=$(cat /run/secrets/metastore_password)
export METASTORE_PASSWORD
if /opt/hive/bin/schematool -dbType postgres -info > /dev/null 2>&1; then
  export IS_RESUME=true
fi
exec /entrypoint.sh
