# shellcheck shell=bash
#
# What the scripts share: where the tree is, how to say things. Sourced, never run.
# It must not depend on the caller's directory, and it must not install anything.

cad_root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck disable=SC2034  # read by the scripts that source this
cad_build=$(realpath -m -- "${CAD_BUILD_DIR:-$cad_root/build}")
# shellcheck disable=SC2034
cad_jobs=$(nproc 2>/dev/null || echo 2)
export LC_ALL=C.UTF-8

say() {
        printf '%s\n' "$*"
}

die() {
        printf '%s: %s\n' "${0##*/}" "$*" >&2
        exit 1
}

# head_comment FILE: the comment at the top of a script is its --help.
head_comment() {
        awk 'NR == 1 { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' "$1"
}
