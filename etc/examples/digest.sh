#!/bin/sh
# The last day in a mail: digest.sh [RECIPIENT [SINCE]], from cron or a timer. In a crontab of root:
#   15 6 * * *  /usr/share/doc/portsentry/examples/digest.sh admin@example.org 24h
# PORTSENTRY is the command (options may follow it), SENDMAIL what sends; both have defaults.
set -eu
recipient=${1:-root} since=${2:-24h}
portsentry=${PORTSENTRY:-/usr/sbin/portsentry}
# Made before anything is sent: no mail without a report in it, and cron tells of the error.
report=$($portsentry report --since "$since" --text)
blocked=$($portsentry blocked --since "$since" --limit 50)
{
  printf 'To: %s\nSubject: PortSentry on %s, the last %s\n' "$recipient" "$(uname -n)" "$since"
  printf 'MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nAuto-Submitted: auto-generated\n\n'
  printf '%s\n\nBlocked, newest first\n---------------------\n%s\n' "$report" "$blocked"
} | ${SENDMAIL:-/usr/sbin/sendmail -t -i}
