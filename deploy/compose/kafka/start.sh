#!/usr/bin/env bash
# The broker's folder is formatted once, while it is empty; CLUSTER_ID stays with it.
set -euo pipefail
configuration=/etc/procurement/server.properties
if [ ! -e /var/lib/kafka/data/meta.properties ]; then
  /opt/kafka/bin/kafka-storage.sh format -t "$CLUSTER_ID" -c "$configuration"
fi
exec /opt/kafka/bin/kafka-server-start.sh "$configuration"
