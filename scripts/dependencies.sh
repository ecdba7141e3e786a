#!/usr/bin/env bash
#
# The Debian packages that cad needs, in one list, and their installation.
#
#   scripts/dependencies.sh [--build] [--run] [--test] [--lint] [--print | --check]
#
#   --build   to compile cad and its unit tests
#   --run     what quickstart.sh needs besides
#   --test    what the tests call: other people's TLS programs, tracers, sanitizers
#   --lint    the second compiler, formatters, static analysis
#   --print   print the names, one a line, and do nothing
#   --check   say what is missing (exit status 1), and do nothing
#
# Without a group: all of them. Installs only what is missing, asks no question, needs root or sudo
# only when there is something to install, and waits up to five minutes for another apt or dpkg.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

lock_wait_s=300

# NAME, or NAME>=VERSION where an older one has a hole that matters here.
declare -A packages=(
        [build]="
                gcc libc6-dev meson ninja-build pkg-config scdoc
                libgnutls28-dev libgnutls30>=3.7.9-2+deb12u7 libtasn1-6-dev libmicrohttpd-dev
                libsqlite3-dev libsystemd-dev libjansson-dev libinih-dev libqrencode-dev libseccomp-dev
                libcurl4-gnutls-dev check"
        [run]="
                openssl procps util-linux"
        [test]="
                openssl gnutls-bin libnss3-tools curl sqlite3 default-jdk-headless golang-cfssl
                g++ libmbedtls-dev nats-server
                python3 python3-pytest python3-pytest-xdist python3-cryptography python3-seccomp
                python3-jsonschema python3-yaml openapi-specification
                strongswan-pki libstrongswan-standard-plugins libstrongswan-extra-plugins libbcpkix-java faketime
                libfaketime strace lsof procps util-linux iproute2 valgrind libc6-dbg systemd chromium
                chromium-driver firefox-esr fonts-dejavu-core zbar-tools nginx apache2-bin haproxy lighttpd
                lighttpd-mod-openssl mosquitto nats-server postgresql dovecot-imapd e2fsprogs avahi-daemon dbus
                mount binutils ca-certificates p11-kit"
        [lint]="
                clang libclang-rt-14-dev clang-format clang-tidy cppcheck shellcheck"
)
order="build run test lint"

wanted() {
        local group words
        for group in "$@"; do
                read -r -d '' -a words <<<"${packages[$group]}" || true         # no NUL: ends at the end
                printf '%s\n' "${words[@]}"
        done | sort -u
}

# installed NAME[>=VERSION]
installed() {
        local name=${1%%>=*} state
        state=$(dpkg-query -W -f='${db:Status-Status} ${Version}\n' "$name" 2>/dev/null |
                awk '$1 == "installed" { print $2; exit }')
        [ -n "$state" ] || return 1
        [ "$name" = "$1" ] || dpkg --compare-versions "$state" ge "${1##*>=}" 2>/dev/null
}

missing() {
        local package
        for package in "$@"; do
                installed "$package" || printf '%s\n' "$package"
        done
}

# The rights to install: none needed as root; sudo asks on a terminal and never elsewhere.
become_root() {
        if [ "$(id -u)" -eq 0 ]; then
                as_root=()
        elif ! command -v sudo >/dev/null; then
                die "not root, and there is no sudo. As root, run: apt-get install $*"
        elif [ -t 0 ]; then
                as_root=(sudo)
        elif sudo -n true 2>/dev/null; then
                as_root=(sudo -n)
        else
                die "sudo wants a password and there is no terminal. As root, run: apt-get install $*"
        fi
}

# apt_get ARGUMENT...: DPkg::Lock::Timeout does not cover the lock that `update` takes, so try again.
apt_get() {
        local until=$((SECONDS + lock_wait_s)) output
        output=$(mktemp)
        until "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
                -o "DPkg::Lock::Timeout=$lock_wait_s" -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
                "$@" </dev/null >"$output" 2>&1; do
                if ! grep -q 'Could not get lock' "$output" || [ "$SECONDS" -ge "$until" ]; then
                        tail -n 25 "$output" >&2
                        rm -f "$output"
                        return 1
                fi
                sleep 3
        done
        rm -f "$output"
}

install_packages() {
        local lacking
        mapfile -t lacking < <(missing "$@")
        [ ${#lacking[@]} -gt 0 ] || return 0
        become_root "${lacking[@]%%>=*}"

        say "installing ${#lacking[@]} packages: ${lacking[*]%%>=*}"
        apt_get update || die "apt-get update failed: look at the lines above"
        apt_get install --no-install-recommends "${lacking[@]%%>=*}" ||
                die "apt-get could not install: ${lacking[*]%%>=*}"

        mapfile -t lacking < <(missing "${lacking[@]}")
        [ ${#lacking[@]} -eq 0 ] ||
                say "warning: no such version to be had: ${lacking[*]}; enable Debian's security updates" >&2
}

main() {
        local groups=() action=install list
        while [ $# -gt 0 ]; do
                case $1 in
                --build | --run | --test | --lint) groups+=("${1#--}") ;;
                --print | --check) action=${1#--} ;;
                -h | --help) head_comment "$0"; exit 0 ;;
                *) printf '%s: unknown option %s; see --help\n' "${0##*/}" "$1" >&2; exit 2 ;;
                esac
                shift
        done
        [ ${#groups[@]} -gt 0 ] || read -ra groups <<<"$order"
        mapfile -t list < <(wanted "${groups[@]}")

        if [ "$action" = print ]; then
                printf '%s\n' "${list[@]%%>=*}"
                return
        fi
        command -v dpkg-query >/dev/null ||
                die "this is not Debian: install yourself what --print says, then go on"
        if [ "$action" = check ]; then
                mapfile -t list < <(missing "${list[@]}")
                [ ${#list[@]} -eq 0 ] || { printf '%s\n' "${list[@]}"; exit 1; }
                return
        fi
        install_packages "${list[@]}"
}

main "$@"
