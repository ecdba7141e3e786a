#!/usr/bin/env bash
#
# What takes longer than scripts/test.sh allows itself; run before a release, and after changes to parsers,
# the store or the processes.
#
#   tests/full.sh               all of it: about two hours
#   tests/full.sh STEP...       these steps alone
#   tests/full.sh --list        the steps
#
# FUZZ_MINUTES (10) is for each fuzz target. Finds of the fuzzer are left in build-fuzz/findings/TARGET/; put
# them into tests/fuzz/corpus/TARGET/ under a telling name, and mend. Ends like scripts/test.sh.
set -euo pipefail
. "$(dirname -- "${BASH_SOURCE[0]}")/../scripts/steps.sh"

fuzz_minutes=${FUZZ_MINUTES:-10}

steps=(
        # name             when limit_s needs            function
        "test              all  3600    -                everything_shorter"
        "unit-clang        all  300     test             test_unit_clang"
        "analyzer          all  3600    test             deep_analysis"
        "build-no-asserts  all  900     -                build_no_asserts"
        "unit-no-asserts   all  300     build-no-asserts test_no_asserts"
        "build-fuzz        all  900     -                build_fuzz"
        "fuzz              all  86400   build-fuzz       fuzz_all"
        "torture           all  7200    -                torture"
        "bench             all  3600    -                bench"
        "boot              all  1800    -                boot_of_debian"
        "chroot            all  3600    -                chroot_of_debian"
)

no_asserts=("$cad_build-no-asserts" gcc -Dwerror=true -Db_ndebug=true)
fuzz=("$cad_build-fuzz" clang -Dbuildtype=debugoptimized -Db_sanitize="address,undefined"
        -Db_lundef=false -Dfuzzing=true)

export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export PYTHONDONTWRITEBYTECODE=1

everything_shorter() {
        count_script bounded scripts/test.sh
}

# unit_tests TREE
unit_tests() {
        local status=0
        bounded meson test -C "$1" --logbase unit --print-errorlogs --suite unit || status=$?
        count_files "$1"/meson-logs/unit*.json && return "$status"
}

# In the tree of the second compiler, which test.sh has built.
test_unit_clang() {
        unit_tests "$cad_build-clang"
}

# Of more paths than test.sh has time for.
deep_analysis() {
        bounded scripts/tidy.sh --deep "$cad_build-clang" && count 1 0 0
}

# A program must not depend on what stands inside an assert().
build_no_asserts() {
        bounded scripts/build.sh "${no_asserts[@]}"
}

test_no_asserts() {
        unit_tests "${no_asserts[0]}"
}

build_fuzz() {
        bounded scripts/build.sh "${fuzz[@]}"
}

# fuzz_one PROGRAM: a grown corpus is kept between runs, the one in the tree is only read.
fuzz_one() {
        local name=${1##*/} found=${fuzz[0]}/findings/${1##*/} grown=${fuzz[0]}/corpus/${1##*/}
        mkdir -p "$found" "$grown"
        bounded "$1" -max_total_time=$((fuzz_minutes * 60)) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
                -artifact_prefix="$found/" "$grown" "tests/fuzz/corpus/${name#fuzz-}"
}

fuzz_all() {
        local program status=0 programs
        mapfile -t programs < <(find "${fuzz[0]}/tests/fuzz" -maxdepth 1 -type f -name 'fuzz-*' -executable | sort)
        if [ ${#programs[@]} -eq 0 ]; then
                printf 'there is no fuzz target in %s\n' "${fuzz[0]}/tests/fuzz"
                return 1
        fi
        for program in "${programs[@]}"; do
                if fuzz_one "$program"; then
                        count 1 0 0
                else
                        count 0 1 0
                        status=1
                fi
        done
        return "$status"
}

# python_tests LOG ARGUMENT...
python_tests() {
        local report=$step_logs/$1.xml status=0
        shift
        rm -f "$report"
        CAD_BUILD_DIR=$cad_build bounded /usr/bin/python3 -m pytest --junitxml="$report" "$@" || status=$?
        count_files "$report" && return "$status"
}

# Every kill point, not the sample of them that the ordinary run takes.
torture() {
        bounded scripts/build.sh "$cad_build" gcc -Dwerror=true &&
                CAD_TORTURE=full python_tests torture tests/integration/test_{crash,init_kill,moments,faults}.py &&
                CAD_BUILD_DIR=$cad_build count_script bounded tests/torture/idle.py
}

bench() {
        bounded scripts/build.sh "$cad_build" gcc -Dwerror=true &&
                bounded ninja -C "$cad_build" tests/bench/bench-load tests/bench/bench-raw &&
                bounded /usr/bin/python3 tests/bench/bench.py --build-dir "$cad_build" --check \
                        --json "$step_logs/bench.json" &&
                count 1 0 0
}

boot_of_debian() {
        if [ "$(id -u)" -ne 0 ] || ! command -v debootstrap >/dev/null || ! command -v systemd-nspawn >/dev/null; then
                count_skip "needs root, debootstrap and systemd-container"
                return
        fi
        count_script bounded tests/boot.sh
}

chroot_of_debian() {
        if [ "$(id -u)" -ne 0 ] || ! command -v debootstrap >/dev/null; then
                count_skip "needs root and debootstrap"
        else
                count_script bounded tests/chroot.sh
        fi
}

main() {
        case ${1:-} in
        --list) step_names; return ;;
        -h | --help) head_comment "$0"; return ;;
        -*) printf '%s: unknown option %s; see --help\n' "${0##*/}" "$1" >&2; exit 2 ;;
        esac
        steps_usage_check "$@"
        "$cad_root/scripts/dependencies.sh"
        run_steps "$cad_build/full-logs" all "$@"
}

main "$@"
