#!/bin/sh
# Puts all that PortSentry is into a folder as it would lie under /: `layout.sh DESTDIR PREFIX BINARY`. What `make install`, the Debian
# package and the archive have in common. Settings are not among it: they lie in PREFIX/share/portsentry, to be copied where there are none.
# Without BINARY it takes the same files away.
set -eu
cd "$(dirname "$0")/.."
destination=$1 prefix=$2 binary=${3-}
put() { # MODE SOURCE FILE
  if [ -n "$binary" ]; then install -D -m "$1" "$2" "$destination$3"; else rm -f "$destination$3"; fi
}

put 755 "$binary" "$prefix/sbin/portsentry"
if [ -n "$binary" ]; then "${STRIP:-strip}" --strip-all --remove-section=.comment "$destination$prefix/sbin/portsentry"; fi
for page in man/*; do put 644 "$page" "$prefix/share/man/man${page##*.}/${page#man/}"; done

for file in portsentry.conf portsentry.ignore portsentry.default portsentry-classic.conf; do
  put 644 "etc/$file" "$prefix/share/portsentry/$file"
done
for file in etc/examples/*.sh; do put 755 "$file" "$prefix/share/doc/portsentry/examples/${file##*/}"; done
put 644 etc/grafana/portsentry.json "$prefix/share/doc/portsentry/examples/grafana.json"
put 644 etc/grafana/portsentry-alerts.yml "$prefix/share/doc/portsentry/examples/portsentry-alerts.yml"
for file in etc/fail2ban/*/* etc/crowdsec/*/* etc/logcheck/* etc/lnav/* etc/rsyslog/* etc/clickhouse/* etc/opensearch/* etc/vector/* etc/wazuh/* etc/apparmor/*; do put 644 "$file" "$prefix/share/doc/portsentry/examples/${file#etc/}"; done

# systemd reads units of /usr/lib and /usr/local/lib alike.
made=$(mktemp)
trap 'rm -f "$made"' EXIT
for unit in portsentry.service portsentry-digest@.service portsentry-digest@.timer; do
  sed "s,/usr/sbin/portsentry,$prefix/sbin/portsentry,g" "etc/$unit" > "$made"
  put 644 "$made" "${UNITS:-$prefix/lib/systemd/system}/$unit"
done
put 644 etc/portsentry.sysusers "$prefix/lib/sysusers.d/portsentry.conf"
put 644 etc/portsentry.tmpfiles "$prefix/lib/tmpfiles.d/portsentry.conf"
put 644 etc/portsentry.logrotate "/etc/logrotate.d/portsentry"

# A program of another machine's cannot be asked for its completions: COMPLETIONS names one that can.
complete() { # SHELL FILE
  # A file that shells read is no program.
  if [ -n "$binary" ]; then "${COMPLETIONS:-$binary}" --generate-completion-script "$1" | sed '1{/^#!/d}' > "$made"; fi
  put 644 "$made" "$2"
}
complete bash "$prefix/share/bash-completion/completions/portsentry"
complete zsh "$prefix/share/zsh/vendor-completions/_portsentry"
complete fish "$prefix/share/fish/vendor_completions.d/portsentry.fish"

# The folders that are ours alone.
if [ -z "$binary" ]; then
  for folder in share/portsentry share/doc/portsentry; do
    if [ -d "$destination$prefix/$folder" ]; then find "$destination$prefix/$folder" -depth -type d -empty -delete; fi
  done
fi
