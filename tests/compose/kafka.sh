#!/bin/bash
# Starts the broker as the image apache/kafka does: KAFKA_A_B=x is a.b=x in its settings, and CLUSTER_ID names the cluster.
set -eu
settings=/tmp/server.properties
env | sed -n 's/^KAFKA_\([A-Z_]*\)=/\1=/p' | while IFS='=' read -r name value; do
  name=${name,,}
  echo "${name//_/.}=$value"
done > $settings
java=(java -Xms64m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp '/opt/kafka/libs/*')
"${java[@]}" kafka.tools.StorageTool format --ignore-formatted --cluster-id "$CLUSTER_ID" --config $settings
exec "${java[@]}" kafka.Kafka $settings
