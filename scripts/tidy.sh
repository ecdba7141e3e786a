#!/usr/bin/env bash
#
# clang-tidy over what a build tree of clang's compiles of cad itself: not the tests, and not what is generated.
#
#   scripts/tidy.sh DIR            a static analysis that looks at few paths of each function: a minute
#   scripts/tidy.sh --deep DIR     one that looks at many: ten times as long
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

compiled_files() {
        sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$1/compile_commands.json" |
                (cd "$1" && xargs -r -d '\n' realpath --) |
                grep -E "^$cad_root/(lib|db|daemon|client)/" | LC_ALL=C sort -u
}

depth=(-Xclang -analyzer-config -Xclang mode=shallow)
case ${1:-} in
-h | --help | "") head_comment "$0"; exit 0 ;;
--deep) depth=(); shift ;;
esac
cd "$cad_root"
files=$(compiled_files "$1")
[ -n "$files" ] || die "$1 compiles nothing of cad"
xargs -a <(printf '%s\n' "$files") -P "$cad_jobs" -n 4 \
        clang-tidy -p "$1" --quiet --warnings-as-errors='*' "${depth[@]/#/--extra-arg=}"
