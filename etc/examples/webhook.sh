#!/bin/sh
# Tells a web hook (Slack, Mattermost, Discord, or your own) of a source that was responded to. In portsentry.conf:
#   KILL_RUN_CMD="/usr/share/doc/portsentry/examples/webhook.sh https://hooks.example/T0 $TARGET$ $PORT$ $MODE$"
# With BLOCK "2" it only gets this message, and nothing else is done. COMMAND_TIMEOUT ends it where the other side does not answer.
set -eu
url=$1 address=$2 port=$3 mode=$4
# Letters, digits and what addresses need: nothing that could end a string of JSON.
clean() { printf %s "$1" | tr -cd 'A-Za-z0-9.:/_-'; }
address=$(clean "$address") port=$(clean "$port") mode=$(clean "$mode") host=$(clean "$(uname -n)")
text="PortSentry on $host: $address touched port $port (mode $mode)"
exec curl -fsS --max-time 20 -H 'Content-Type: application/json' --data \
  "{\"text\":\"$text\",\"content\":\"$text\",\"host\":\"$host\",\"source\":\"$address\",\"port\":\"$port\",\"mode\":\"$mode\"}" "$url"
