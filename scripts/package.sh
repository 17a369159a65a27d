#!/bin/sh
# `package.sh deb` makes .build/packages/portsentry_VERSION-1_ARCH.deb, `package.sh tarball` portsentry-VERSION-linux-ARCH.tar.xz: of the same
# commit and program the same bytes. ARCH (Debian's word, this machine's by default) and BINARY are for programs built elsewhere;
# COMPLETIONS then names a portsentry that runs here, STRIP a strip for them.
set -eu
cd "$(dirname "$0")/.."
kind=$1
arch=${ARCH:-$(dpkg --print-architecture 2>/dev/null || uname -m)}
binary=${BINARY:-.build/release/portsentry}
version=$("${COMPLETIONS:-$binary}" --version | sed 's/.* //')
# The day of the commit; without a repository, that of the youngest file.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || find Sources etc man packaging -type f -printf '%T@\n' | sort -n | tail -n 1 | cut -d. -f1)}
umask 022

out=.build/packages
root=$out/root
rm -rf "$root"
mkdir -p "$root"

maintainer="${DEBFULLNAME:-PortSentry in Swift} <${DEBEMAIL:-portsentry@users.noreply.github.com}>"
case $kind in
  deb)
    release=$version-${REVISION:-1}
    # /lib and not /usr/lib: before Debian 13 helpers look there alone.
    UNITS=/lib/systemd/system sh scripts/layout.sh "$root" /usr "$binary"
    find "$root/usr/share/man" -type f -exec gzip -9n {} +
    documents=$root/usr/share/doc/portsentry
    install -m 644 packaging/copyright "$documents/copyright"
    install -m 644 SECURITY.md README.md docs/guide.md docs/migration.md "$documents/"
    gzip -9nc CHANGELOG.md > "$documents/changelog.gz"
    printf 'portsentry (%s) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' "$release" "$maintainer" \
      "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n > "$documents/changelog.Debian.gz"
    install -D -m 644 packaging/lintian-overrides "$root/usr/share/lintian/overrides/portsentry"

    mkdir "$root/DEBIAN"
    sed -e "s,@VERSION@,$release," -e "s,@ARCH@,$arch," -e "s,@SIZE@,$(du -k -s --apparent-size "$root" | cut -f1)," \
      -e "s,@MAINTAINER@,$maintainer," packaging/control.in > "$root/DEBIAN/control"
    for script in preinst postinst prerm postrm; do install -m 755 "packaging/$script" "$root/DEBIAN/$script"; done
    echo /etc/logrotate.d/portsentry > "$root/DEBIAN/conffiles"
    (cd "$root" && find . -type f ! -path './DEBIAN/*' ! -path ./etc/logrotate.d/portsentry -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' md5sum) > "$root/DEBIAN/md5sums"
    find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    package=$out/portsentry_${release}_$arch.deb
    dpkg-deb -Zxz --root-owner-group --build "$root" "$package" >/dev/null
    ;;
  tarball)
    # To be unpacked over /: it has all under usr/local but for what is looked for elsewhere.
    sh scripts/layout.sh "$root" /usr/local "$binary"
    install -m 644 LICENSE README.md CHANGELOG.md SECURITY.md docs/guide.md docs/migration.md "$root/usr/local/share/doc/portsentry/"
    package=$out/portsentry-$version-linux-$arch.tar.xz
    tar -C "$root" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=posix \
      --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime -cf - etc usr | xz -T1 -6 > "$package"
    ;;
  *)
    echo "usage: package.sh deb|tarball" >&2
    exit 64
    ;;
esac
rm -rf "$root"
echo "$package"
