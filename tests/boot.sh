#!/usr/bin/env bash
#
# The whole service under a real systemd: a Debian 12 made with debootstrap, booted in systemd-nspawn, with cad installed as
# `meson install` does it. What happens inside is tests/boot/inside.sh; its lines are shown here as they come.
#
#   tests/boot.sh                 make Debian, install, boot, test
#   tests/boot.sh --root DIR      the same in a folder that stays, for the next time
#
# Needs root, debootstrap, systemd-container, and a mirror (this machine's apt sources).
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
. scripts/common.sh

keep=no root=
while [ $# -gt 0 ]; do
        case $1 in
        --root) root=$2 keep=yes; shift ;;
        -h | --help) sed -n '3,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) printf '%s: unknown option %s; see --help\n' "${0##*/}" "$1" >&2; exit 2 ;;
        esac
        shift
done
[ "$(id -u)" -eq 0 ] || { echo "tests/boot.sh: must be root, to make and boot a Debian" >&2; exit 2; }
for program in debootstrap systemd-nspawn; do
        command -v "$program" >/dev/null || {
                echo "tests/boot.sh: $program is missing: apt install debootstrap systemd-container" >&2
                exit 2
        }
done

build='build-boot'
[ -n "$root" ] || root=$(mktemp -d /var/tmp/cad-boot.XXXXXX)
mkdir -p "$root"
chmod 755 "$root"       # it becomes / in there: mktemp's 0700 would lock every user but root out, D-Bus's first of all
clean() {
        [ "$keep" = yes ] || rm -rf --one-file-system "$root"
}
trap clean EXIT

packages=systemd,systemd-sysv,dbus,procps,libmicrohttpd12,libsqlite3-0,libjansson4,libqrencode4,libinih1,libseccomp2,libcurl3-gnutls,libtasn1-6,curl,openssl,nginx,systemd-resolved,avahi-daemon,postfix
if [ ! -x "$root/usr/sbin/postfix" ]; then
        # shellcheck disable=SC2016  # apt-get's own variables
        site=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' 'Origin: Debian' |
                awk '$2 == "bookworm" { print $1; exit }')
        debootstrap --variant=minbase --include="$packages" bookworm "$root" "$site" >"$root.log" 2>&1 || {
                tail -n 20 "$root.log" >&2
                exit 1
        }
        rm -f "$root.log"
fi

scripts/build.sh "$build" "${CC:-cc}" --buildtype=release --prefix=/usr --sysconfdir=/etc
find "$root/etc/systemd/system" -name 'cad*' -delete
rm -rf "$root/var/log/journal" "$root/var/backups/cad" "$root/var/lib/cad" "$root/var/lib/cad-signer" "$root/etc/cad" "$root/var/lib/cactl" "$root/etc/nginx/cad" "$root/root/results"
DESTDIR=$root meson install -C "$build" --no-rebuild --quiet
install -m 755 tests/boot/inside.sh "$root/root/inside.sh"
cat >"$root/etc/systemd/system/cad-test.service" <<'UNIT'
[Unit]
Description=Tests of cad
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/root/inside.sh
ExecStopPost=/usr/bin/systemctl poweroff --no-block
TimeoutStartSec=300
StandardOutput=file:/root/results
StandardError=inherit
[Install]
WantedBy=default.target
UNIT
mkdir -p "$root/etc/systemd/system/default.target.wants"
ln -sf ../cad-test.service "$root/etc/systemd/system/default.target.wants/cad-test.service"

# Several nspawns at once want names of their own; nothing of this machine's network is touched by what is tested.
timeout --kill-after=10 420 systemd-nspawn --quiet --directory="$root" --machine="cadboot$$" --register=no --keep-unit \
        --private-network --console=pipe --boot </dev/null >"$root/root/console" 2>&1 || true

results=$root/root/results
[ -s "$results" ] || { echo "tests/boot.sh: it did not come up:" >&2; tail -n 30 "$root/root/console" >&2; exit 1; }
cat "$results"
passed=$(grep -c '^ok ' "$results" || true) failed=$(grep -c '^not ok ' "$results" || true)
grep -q '^end$' "$results" || { echo "not ok the tests came to their end"; failed=$((failed + 1)); }
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
