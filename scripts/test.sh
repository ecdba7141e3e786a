#!/usr/bin/env bash
#
# Install what is missing, build, run every test.
#
#   scripts/test.sh             everything but what takes hours (that is tests/full.sh)
#   scripts/test.sh --quick     under three minutes once built: no sanitizers, second compiler, valgrind or lint
#   scripts/test.sh STEP...     these steps alone
#   scripts/test.sh --list      the steps
#
# Builds into build/ and, for the sanitizers and the second compiler, build-asan/ and so on beside it
# (CAD_BUILD_DIR moves all of them). Logs are in build/test-logs/. The last line is the result:
# "N passed, N failed", with ", N skipped" where a program that a test needs is not there. Exit status 0
# if nothing failed and something passed.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/steps.sh"

steps=(
        # name             when  limit_s needs          function
        "build             quick 900     -              build_release"
        "build-asan        full  900     -              build_asan"
        "unit              quick 300     build          test_unit"
        "threads           full  900     -              test_threads"
        "fuzz-replay       full  300     build-asan     test_fuzz_replay"
        "tools             full  300     -              fetch_tools"
        "integration       quick 600     build          test_integration"
        "integration-asan  full  600     build-asan     test_integration_asan"
        "valgrind          full  600     build          test_valgrind"
        "build-clang       full  900     -              build_clang"
        "clang-tidy        full  900     build-clang    lint_tidy"
        "cppcheck          full  600     build-clang    lint_cppcheck"
        "clang-format      full  120     -              lint_format"
        "shellcheck        full  120     -              lint_shell"
        "rooms             quick 60      -              lint_rooms"
)

# Each tree: directory, compiler, options. The first is the one that ships.
release=("$cad_build" gcc -Dwerror=true)
asan=("$cad_build-asan" gcc -Dwerror=true -Dbuildtype=debug -Doptimization=1
        -Db_sanitize="address,undefined" -Db_lundef=false)
tsan=("$cad_build-tsan" gcc -Dwerror=true -Dbuildtype=debug -Doptimization=1
        -Db_sanitize=thread -Db_lundef=false)
clang=("$cad_build-clang" clang -Dwerror=true -Dbuildtype=debugoptimized)

# A finding ends the program at once, and with a status that no test takes for an answer.
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:exitcode=99
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:exitcode=99
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:exitcode=99
export PYTHONDONTWRITEBYTECODE=1

# What of the tree is C, and what is shell.
c_files() {
        find lib db daemon client tests \( -name '*.c' -o -name '*.h' \) -type f | LC_ALL=C sort
}

shell_files() {
        { grep -rlE '^#!.*\b(ba)?sh\b|^# shellcheck shell=' scripts tests .ci client systemd 2>/dev/null || true; } |
                LC_ALL=C sort
}

build_release() {
        bounded scripts/build.sh "${release[@]}"
}

build_asan() {
        bounded scripts/build.sh "${asan[@]}"
}

build_clang() {
        bounded scripts/build.sh "${clang[@]}"
}

# In memory where that can be had: unit tests make and sync thousands of small files, and none of them pulls a plug.
in_memory() {
        if [ -w /dev/shm ]; then
                printf '/dev/shm\n'
        else
                printf '%s\n' "${TMPDIR:-/tmp}"
        fi
}

# meson_tests TREE LOG ARGUMENT...: run tests of a tree and count their cases. A command in `around` is
# put before meson.
around=()
meson_tests() {
        local tree=$1 log=$2 status=0
        shift 2
        rm -f "$tree/meson-logs/$log"*.json             # a wrapper's name is added to the log's
        TMPDIR=$(in_memory) bounded "${around[@]}" meson test -C "$tree" --logbase "$log" --print-errorlogs \
                --num-processes "$cad_jobs" "$@" || status=$?
        count_files "$tree/meson-logs/$log"*.json && return "$status"
}

# Under the sanitizers; in a hurry as they are shipped.
test_unit() {
        local tree=${asan[0]}
        [ "$quick" = no ] || tree=${release[0]}
        meson_tests "$tree" unit --suite unit
}

test_fuzz_replay() {
        meson_tests "${asan[0]}" fuzz --suite fuzz
}

# Only what these tests need is built. The thread sanitizer and Check's forks do not go together. Nor do gcc 12's and kernels that spread
# addresses over more than 28 bits, so without that where it is allowed.
test_threads() {
        local around=()
        cad_targets=none bounded scripts/build.sh "${tsan[@]}" || return
        ! setarch -R true 2>/dev/null || around=(setarch -R)
        CK_FORK=no meson_tests "${tsan[0]}" threads --suite threads
}

test_valgrind() {
        CK_FORK=no CK_EXCLUDE_TAGS=thorough meson_tests "${release[0]}" valgrind --suite memory --timeout-multiplier 30 \
                --wrapper 'valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite'
}

# python_tests TREE LOG ARGUMENT...: the real binaries of a tree, driven by pytest, several files at a time.
python_tests() {
        local tree=$1 report=$step_logs/$2.xml status=0
        shift 2
        rm -f "$report"
        CAD_BUILD_DIR=$tree bounded /usr/bin/python3 -m pytest \
                -n "$((3 * cad_jobs))" --dist loadfile --junitxml="$report" "$@" || status=$?
        count_files "$report" && return "$status"
}

# No network, no npm: the tests that want them are left out.
fetch_tools() {
        bounded scripts/test-tools.sh || count_skip "scripts/test-tools.sh did not end well"
}

# In a hurry without other people's programs, what has rows for everything, and what a device does with its files.
not_quick=(tests/integration/test_{http_hygiene,trust,enroll,renew_devices,export,deploy}.py)

test_integration() {
        local chosen=()
        [ "$quick" = no ] || chosen=(-m "not slow" tests/integration "${not_quick[@]/#/--ignore=}")
        python_tests "${release[0]}" integration "${chosen[@]}"
}

test_integration_asan() {
        python_tests "${asan[0]}" integration-asan -m sanitize
}

lint_tidy() {
        bounded scripts/tidy.sh "${clang[0]}" && count 1 0 0
}

lint_cppcheck() {
        bounded cppcheck --quiet -j "$cad_jobs" --project="${clang[0]}/compile_commands.json" \
                --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
                --suppressions-list=.cppcheck-suppressions && count 1 0 0
}

lint_format() {
        c_files | bounded xargs clang-format --dry-run --Werror && count 1 0 0
}

lint_shell() {
        shell_files | bounded xargs shellcheck -x -P scripts && count 1 0 0
}

lint_rooms() {
        bounded scripts/check-rooms.sh && count 1 0 0
}

main() {
        local modes="quick full" groups=() chosen=()
        quick=no
        while [ $# -gt 0 ]; do
                case $1 in
                --quick) quick=yes modes=quick ;;
                --list) step_names; exit 0 ;;
                -h | --help) head_comment "$0"; exit 0 ;;
                -*) printf '%s: unknown option %s; see --help\n' "${0##*/}" "$1" >&2; exit 2 ;;
                *) chosen+=("$1") ;;
                esac
                shift
        done
        steps_usage_check "${chosen[@]}"

        groups=(--build --run --test)
        [ "$quick" = yes ] || groups+=(--lint)
        "$cad_root/scripts/dependencies.sh" "${groups[@]}"
        run_steps "$cad_build/test-logs" "$modes" "${chosen[@]}"
}

main "$@"
