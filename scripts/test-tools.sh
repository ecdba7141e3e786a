#!/usr/bin/env bash
#
# Other people's checkers that tests call and that cannot be installed like the rest: unpacked into a folder, not installed.
#
#   scripts/test-tools.sh           fetch what is missing, and say what cannot be had
#   scripts/test-tools.sh --dir     print the folder, and do nothing
#
# promtool is in a Debian package that would start a service on this machine; the others are on npm. The folder is
# $CAD_TOOLS_DIR, else ~/.cache/cad-tools, so that each is fetched once for all trees. What cannot be fetched is said; the tests
# that want it are left out with that reason.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

tools=${CAD_TOOLS_DIR:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/cad-tools}
npm_packages=(@redocly/cli@2.77.0 @stoplight/prism-cli@5.14.2 axe-core@4.14.1)

# put NAME: what was made in a temporary folder gets its name when it is whole.
work=
put() {
        rm -rf "${tools:?}/$1"
        mv "$work/$1" "$tools/$1"
}

fetch_promtool() {
        [ ! -x "$tools/promtool" ] || return 0
        command -v apt-get >/dev/null || return 1
        (cd "$work" && apt-get -q -o APT::Sandbox::User=root download prometheus) || return 1
        dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb | tar -x -C "$work" --strip-components=3 ./usr/bin/promtool || return 1
        put promtool
}

fetch_npm() {
        local stamp=$tools/npm/.packages
        [ "$(cat "$stamp" 2>/dev/null)" != "${npm_packages[*]}" ] || return 0
        command -v npm >/dev/null || return 1
        mkdir "$work/npm"
        npm install --prefix "$work/npm" --ignore-scripts --no-audit --no-fund --no-update-notifier "${npm_packages[@]}" || return 1
        printf '%s\n' "${npm_packages[*]}" >"$work/npm/.packages"
        put npm
}

case ${1:-} in
--dir) printf '%s\n' "$tools"; exit 0 ;;
-h | --help) head_comment "$0"; exit 0 ;;
"") ;;
*) die "unknown option $1; see --help" ;;
esac

mkdir -p "$tools"
exec 9>"$tools/.lock"
flock 9
rm -rf "$tools"/.new.*          # of one that was killed
work=$(mktemp -d "$tools/.new.XXXXXX")
trap 'rm -rf "$work"' EXIT
fetch_promtool >"$work/log" 2>&1 || { tail -n 3 "$work/log"; say "promtool cannot be had: its test is left out"; }
fetch_npm >"$work/log" 2>&1 || { tail -n 3 "$work/log"; say "redocly, prism and axe cannot be had (is there npm?): their tests are left out"; }
