#!/usr/bin/env bash
# Run once, as the user whose NameNode it is: the folders of the lake and of the metastore, which belong to the platform's user.
set -euo pipefail
hdfs=/opt/hadoop/bin/hdfs
$hdfs dfsadmin -safemode wait
$hdfs dfs -mkdir -p /procurement /warehouse
$hdfs dfs -chown procurement:procurement /procurement /warehouse
$hdfs dfs -chmod 750 /procurement /warehouse
