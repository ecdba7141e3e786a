#!/usr/bin/env bash
#
# Compile what is out of date in a build tree, after setting it up where that is needed.
#
#   scripts/build.sh DIR COMPILER [MESON-OPTION...]
#
# A tree remembers the compiler and the options that it was last given here. Other options reconfigure
# it; another compiler starts it afresh, as Meson cannot change that. Without options a tree that is
# there is taken as it is. cad_targets=none only sets up: `meson test` builds what its tests need.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

set_up() {
        local dir=$1 compiler=$2 kept=$1/.cad-options
        shift 2
        if [ ! -e "$dir/meson-private/coredata.dat" ]; then
                CC=$compiler meson setup "$dir" "$cad_root" "$@"
        elif [ -e "$kept" ] && [ "$(head -n 1 "$kept")" != "$compiler" ]; then
                CC=$compiler meson setup --wipe "$dir" "$cad_root" "$@"
        elif [ $# -gt 0 ] && [ "$(tail -n +2 "$kept" 2>/dev/null)" != "$*" ]; then
                meson configure "$dir" "$@"
        else
                return 0
        fi
        printf '%s\n' "$compiler" "$*" >"$kept"
}

case ${1:-} in
-h | --help | "") head_comment "$0"; exit 0 ;;
esac
[ $# -ge 2 ] || die "DIR and COMPILER are wanted; see --help"
set_up "$@"
[ "${cad_targets:-all}" = none ] || ninja -C "$1" -j "$cad_jobs"
