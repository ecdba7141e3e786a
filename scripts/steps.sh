# shellcheck shell=bash
#
# A runner for a table of steps: each one timed, bounded, logged, counted. Sourced by test.sh and full.sh.
#
# The caller fills `steps` with rows "NAME WHEN LIMIT_S NEEDS FUNCTION" (NEEDS is "-" or the names of
# earlier steps, with commas) and calls run_steps. A step's function runs in a subshell at the root of the
# tree, with its output in a log of its own. It calls `bounded COMMAND...` for what may hang, and one of the
# count_… functions for what it has found. A step that fails without having counted a failure counts
# as one, so does a step whose needs have failed: nothing passes in silence.
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

steps=()
step_logs=
step_pid=
step_passed=0
step_failed=0
step_skipped=0
declare -A step_state=()

# bounded COMMAND...: ends with the step's time limit, and with the step when that is interrupted.
bounded() {
        local left=$((step_until - SECONDS))
        [ "$left" -gt 0 ] || left=1
        timeout --kill-after=10 "$left" "$@" <&0 &
        local pid=$! status=0
        trap 'kill "$pid" 2>/dev/null; exit 130' TERM
        wait "$pid" || status=$?
        trap - TERM
        [ "$status" -ne 124 ] || printf 'ran into the time limit: %s\n' "$*"
        return "$status"
}

# count PASSED FAILED SKIPPED
count() {
        printf '%s %s %s\n' "$@" >>"$step_counts"
}

# count_files FILE...: test cases from meson's testlog.json and from JUnit files. None at all is a failure.
count_files() {
        local result
        result=$("$cad_root/scripts/count-results.py" "$@") || return
        head -n 1 <<<"$result" >>"$step_counts"
        tail -n +2 <<<"$result" | tee -a "$step_notes"
        case $result in
        "0 0 0"*) printf 'ran no test\n'; return 1 ;;
        esac
}

# count_skip REASON: this step cannot be run here; for what is missing on the machine, never for a failure.
count_skip() {
        count 0 0 1
        printf 'skipped %s: %s\n' "$step_name" "$*" | tee -a "$step_notes"
}

# count_last_line FILE: "N passed, N failed[, N skipped]", as our scripts end.
count_last_line() {
        local last
        last=$(tail -n 1 "$1")
        if [[ ! $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
                printf 'it did not end with its line of figures\n'
                return 1
        fi
        count "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[4]:-0}"
}

# count_script COMMAND...: run one of our scripts that ends with a line of figures, and take them over.
count_script() {
        local output=$step_logs/$step_name.out status=0
        "$@" >"$output" 2>&1 || status=$?
        cat "$output"
        count_last_line "$output" && return "$status"
}

step_names() {
        local row
        for row in "${steps[@]}"; do
                printf '%s\n' "${row%% *}"
        done
}

# failed_need NAMES: the first of these that was run and has failed.
failed_need() {
        local need
        for need in ${1//,/ }; do
                [ "${step_state[$need]:-ok}" = ok ] || { printf '%s' "$need"; return 0; }
        done
        return 1
}

# sum_counts FILE: the step's lines added up.
sum_counts() {
        awk '{ p += $1; f += $2; s += $3 } END { print p + 0, f + 0, s + 0 }' "$1"
}

# The step runs in the background, so that a signal to the runner is not kept until the step has ended.
interrupted() {
        if [ -n "$step_pid" ]; then
                kill "$step_pid" 2>/dev/null || true
                wait "$step_pid" 2>/dev/null || true
        fi
        say "interrupted"
        exit 130
}

run_step() {
        local name=$1 limit_s=$2 needs=$3 function=$4 log=$step_logs/$1.log
        local started=$SECONDS status=0 need passed failed skipped

        : >"$log.counts"
        : >"$log.notes"
        if need=$(failed_need "$needs"); then
                printf 'not run: %s failed\n' "$need" >"$log"
                status=1
        else
                (
                        step_name=$name step_counts=$log.counts step_notes=$log.notes
                        step_until=$((SECONDS + limit_s))
                        cd "$cad_root" && "$function"
                ) </dev/null >"$log" 2>&1 &
                step_pid=$!
                wait "$step_pid" || status=$?
                step_pid=
        fi

        read -r passed failed skipped < <(sum_counts "$log.counts")
        [ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
        step_passed=$((step_passed + passed))
        step_failed=$((step_failed + failed))
        step_skipped=$((step_skipped + skipped))
        step_state[$name]=ok
        [ "$failed" -eq 0 ] || step_state[$name]=failed

        printf '%-6s %-18s %5d ok %3d bad %3d left out %5d s\n' "${step_state[$name]}" "$name" \
                "$passed" "$failed" "$skipped" "$((SECONDS - started))"
        sed 's/^/       /' "$log.notes"
        if [ "$failed" -gt 0 ]; then
                tail -n 40 "$log" | sed 's/^/     | /'
                say "       all of it: $log"
        fi
        rm -f "$log.counts" "$log.notes"
}

# run_steps LOGS MODE NAME...: the rows whose WHEN is among MODE's words or, where names are given, those
# rows alone. Ends with one line of figures; the status is 0 if something passed and nothing failed.
run_steps() {
        local mode=" $2 " row name when limit_s needs function chosen
        step_logs=$1
        shift 2
        chosen=" $* "
        mkdir -p "$step_logs"
        trap interrupted INT TERM HUP

        for row in "${steps[@]}"; do
                read -r name when limit_s needs function <<<"$row"
                if [ $# -gt 0 ]; then
                        [[ $chosen == *" $name "* ]] || continue
                else
                        [[ $mode == *" $when "* ]] || continue
                fi
                run_step "$name" "$limit_s" "$needs" "$function"
        done

        printf '%d passed, %d failed' "$step_passed" "$step_failed"
        [ "$step_skipped" -eq 0 ] || printf ', %d skipped' "$step_skipped"
        printf '\n'
        [ "$step_failed" -eq 0 ] && [ "$step_passed" -gt 0 ]
}

# steps_usage_check NAME...: every name is one of the table's.
steps_usage_check() {
        local name
        for name in "$@"; do
                if ! step_names | grep -qxF -- "$name"; then
                        printf '%s: no step "%s"; there are: %s\n' "${0##*/}" "$name" \
                                "$(step_names | tr '\n' ' ')" >&2
                        exit 2
                fi
        done
}
