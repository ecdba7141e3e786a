#!/usr/bin/env bash
#
# From a fresh Debian 12 to a certificate that has been proved in a TLS handshake.
#
#   scripts/quickstart.sh         install what is missing, build, start cad (which makes the CA), issue a
#                                 certificate for localhost through cactl, prove it, say what to do next
#   scripts/quickstart.sh stop    stop the cad that it started
#
# Everything is kept in quickstart/ beside this tree's README (CAD_STATE_DIR: elsewhere). Run it again
# whenever you like: it finds the CA that it made, the cad that is running, the certificate that is valid.
set -euo pipefail
umask 077
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

state=$(realpath -m -- "${CAD_STATE_DIR:-$cad_root/quickstart}")
socket=$state/cad.sock
endpoints=$state/endpoints.json
log=$state/quickstart.log
pid_file=$state/cad.pid
certificates=$state/certificates
certificate=$certificates/localhost.pem         # the leaf, then its chain
key=$certificates/localhost-key.pem
root=$certificates/root.pem
names=(localhost 127.0.0.1 ::1)

cad=$cad_build/daemon/cad
cactl=("$cad_build/client/cactl" --socket "$socket")

start_wait_s=30
stop_wait_s=15
renew_before_s=$((7 * 86400))

# The pid of the cad that runs on this state, if the pid file is right about it: a number alone could
# by now be any other process.
running_pid() {
        local pid
        pid=$(cat "$pid_file" 2>/dev/null) && [[ $pid =~ ^[0-9]+$ ]] || return 1
        tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF -- "$state" || return 1
        printf '%s' "$pid"
}

stop_cad() {
        local pid until=$((SECONDS + stop_wait_s))
        if ! pid=$(running_pid); then
                rm -f "$pid_file"
                say "cad is not running on $state"
                return
        fi
        kill -TERM "$pid" 2>/dev/null || true
        while running_pid >/dev/null; do
                [ "$SECONDS" -lt "$until" ] ||
                        die "cad (pid $pid) has not ended in $stop_wait_s s; its last words are in $log"
                sleep 0.1
        done
        rm -f "$pid_file"
        say "cad (pid $pid) has ended; the CA stays in $state"
}

# Was the program built anew since that process started? Then the old file is gone from under it.
is_outdated() {
        [[ $(readlink "/proc/$1/exe" 2>/dev/null) == *" (deleted)" ]]
}

# wait_until_ready PID OFFSET: its part of the log begins at that byte.
wait_until_ready() {
        local pid=$1 until=$((SECONDS + start_wait_s))
        until [ -s "$endpoints" ] && [ -S "$socket" ]; do
                if ! kill -0 "$pid" 2>/dev/null; then
                        rm -f "$pid_file"
                        tail -c "+$(($2 + 1))" "$log" | tail -n 15 >&2
                        die "cad did not start; all it said is in $log"
                fi
                [ "$SECONDS" -lt "$until" ] ||
                        die "cad (pid $pid) is not ready after $start_wait_s s; see $log"
                sleep 0.05
        done
}

# free_or_any PORT: that one, or any free one where another program has it.
free_or_any() {
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
                say "port $1 is taken by another program: a free one is used instead" >&2
                printf 0
        else
                printf '%s' "$1"
        fi
}

# endpoint https|http: where the running cad listens, ADDRESS:PORT.
endpoint() {
        sed -n "s/^ *\"$1\": \"\(.*\)\",*\$/\1/p" "$endpoints"
}

# Where cad is installed, its users are there, and one that root starts works as them.
check_reach() {
        local user
        [ "$(id -u)" -eq 0 ] || return 0
        for user in cad cad-signer; do
                getent passwd "$user" >/dev/null || return 0
        done
        setpriv --reuid=cad-signer --regid=cad-signer --clear-groups test -x "$cad_build/daemon/cad-signer" ||
                die "cad is installed here, and what root starts works as its user cad-signer, who cannot reach $cad_root: run this as" \
                        "another user, or from a copy of this tree in /srv; the installed one is started by 'systemctl start cad'"
}

start_cad() {
        local pid offset
        if pid=$(running_pid); then
                if ! is_outdated "$pid"; then
                        say "cad is already running (pid $pid)"
                        return
                fi
                say "cad was built anew"
                stop_cad
        fi
        if "${cactl[@]}" --quiet status >/dev/null 2>&1; then
                say "cad is already running, started by somebody else"
                return
        fi
        rm -f "$endpoints"                      # of one that was killed: nobody answers there
        offset=$(stat -c %s "$log" 2>/dev/null || echo 0)
        setsid "$cad" --state-dir "$state" --https "$(free_or_any 8443)" --http "$(free_or_any 8080)" \
                </dev/null >>"$log" 2>&1 9>&- &
        pid=$!
        printf '%s\n' "$pid" >"$pid_file"
        wait_until_ready "$pid" "$offset"
        say "cad is running (pid $pid)"
}

# Good for a week and longer, and from the CA that is there now?
certificate_is_good() {
        [ -s "$key" ] && [ -s "$root" ] &&
                openssl x509 -in "$certificate" -noout -checkend "$renew_before_s" >/dev/null 2>&1 &&
                openssl verify -CAfile "$root" -untrusted "$certificate" "$certificate" >/dev/null 2>&1 &&
                "${cactl[@]}" ca fingerprint 2>/dev/null | tr -d ': \n' | tr '[:upper:]' '[:lower:]' |
                grep -q "$(openssl x509 -in "$root" -outform DER 2>/dev/null | sha256sum | cut -d' ' -f1)"
}

issue_certificate() {
        if certificate_is_good; then
                say "the certificate for ${names[*]} is still good"
                return
        fi
        mkdir -p "$certificates"
        "${cactl[@]}" issue "${names[@]}" --out "$certificates" >/dev/null ||
                die "cactl could not issue a certificate; cad's side of it is in $log"
        say "issued a certificate for ${names[*]}"
}

# handshake PORT CHECK...: does a client that trusts our root alone accept the server?
handshake() {
        local port=$1
        shift
        timeout 10 openssl s_client -connect "127.0.0.1:$port" -brief -verify_return_error \
                -CAfile "$root" -no-CApath -no-CAstore "$@" </dev/null >>"$proof/client.log" 2>&1
}

# A server for the moment, on a free port, with what was issued; then clients that must accept it, and
# one that must not: a check that cannot fail proves nothing.
prove_by_handshake() {
        local until=$((SECONDS + 10)) port=
        proof=$(mktemp -d)
        awk '/BEGIN CERTIFICATE/ { n++ } n > 1' "$certificate" >"$proof/chain.pem"
        : >"$proof/server.log"          # the loop below may look before the server has opened it
        timeout 60 openssl s_server -accept 127.0.0.1:0 -cert "$certificate" -key "$key" \
                -cert_chain "$proof/chain.pem" -www </dev/null >"$proof/server.log" 2>&1 9>&- &
        server=$!
        trap 'kill "$server" 2>/dev/null || true; rm -rf "$proof"' EXIT

        until port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' "$proof/server.log") && [ -n "$port" ]; do
                if [ "$SECONDS" -ge "$until" ] || ! kill -0 "$server" 2>/dev/null; then
                        cat "$proof/server.log" >&2
                        die "openssl s_server did not start with $certificate"
                fi
                sleep 0.05
        done
        if ! handshake "$port" -servername localhost -verify_hostname localhost ||
                ! handshake "$port" -verify_ip 127.0.0.1; then
                cat "$proof/client.log" >&2
                die "the TLS handshake with the new certificate failed"
        fi
        ! handshake "$port" -servername localhost -verify_hostname elsewhere.test ||
                die "a client accepted the certificate for another name: the handshake proves nothing"

        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        trap - EXIT
        rm -rf "$proof"
        say "proved: a TLS client that trusts this root accepts localhost and 127.0.0.1, and no other name"
}

# cad's own HTTPS, with the certificate that it made for itself.
prove_https() {
        local where
        where=$(endpoint https)
        [ -n "$where" ] || return 0             # a cad that was started by somebody else, without
        proof=$(mktemp -d)
        if ! handshake "${where##*:}" -servername localhost -verify_hostname localhost; then
                cat "$proof/client.log" >&2
                rm -rf "$proof"
                die "a TLS client that trusts this root does not accept cad's own HTTPS on $where"
        fi
        rm -rf "$proof"
        say "proved: the same client accepts cad's own HTTPS"
}

tell_what_next() {
        local https http
        https=$(endpoint https)
        http=$(endpoint http)
        cat <<TEXT

  CA and everything it keeps   $state
  root certificate             $root
  certificate and key          $certificate
                               $key
  socket                       $socket
  HTTPS (REST)                 ${https:-off}
  HTTP (CRLs, CA certificates) ${http:-off}
  log                          $log
  pid file                     $pid_file

What to do next:

  export CAD_SOCKET=$socket
  export PATH="\$PATH:$cad_build/client"
  cactl status                                    the CA at a glance
  cactl issue nas.lan 192.168.1.5 --out .         key and certificate for a device
  cactl cert list                                 what was issued
  cactl ca show                                   for which names this CA is
  sudo cactl trust install                        have this machine and its browsers trust it
  openssl x509 -in $certificate -noout -text
  ${CAD_STATE_DIR:+CAD_STATE_DIR=$state }$0 stop
TEXT
}

main() {
        case ${1:-} in
        "") ;;
        stop) stop_cad; return ;;
        -h | --help) head_comment "$0"; return ;;
        *) printf '%s: unknown command %s; see --help\n' "${0##*/}" "$1" >&2; exit 2 ;;
        esac
        # sun_path holds 108 bytes, the last of them NUL
        [ "${#socket}" -le 107 ] ||
                die "$socket is too long for a Unix socket: set CAD_STATE_DIR to a shorter folder"

        "$cad_root/scripts/dependencies.sh" --build --run
        mkdir -p "$state" || die "$state cannot be made: set CAD_STATE_DIR to a folder that can"
        exec 9>"$state/.quickstart.lock"
        flock --wait 300 9 || die "another quickstart.sh is at work in $state"

        say "building in $cad_build"
        (umask 022 && mkdir -p "$cad_build")
        build_log=$cad_build/quickstart-build.log
        if ! (umask 022 && "$cad_root/scripts/build.sh" "$cad_build" gcc) >"$build_log" 2>&1; then
                tail -n 25 "$build_log" >&2
                die "the build failed; all of it is in $build_log"
        fi
        check_reach
        start_cad
        issue_certificate
        prove_by_handshake
        prove_https
        tell_what_next
}

main "$@"
