#!/usr/bin/env bash
# start.sh namenode|datanode: the NameNode's folder is formatted once, while it is empty.
set -euo pipefail
if [ "$1" = namenode ] && [ ! -e /data/namenode/current/VERSION ]; then
  /opt/hadoop/bin/hdfs namenode -format -nonInteractive
fi
exec /opt/hadoop/bin/hdfs "$1"
