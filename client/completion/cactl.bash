# bash completion for cactl(1)                                                  -*- shell-script -*-

# _cactl_values OPTION: what may stand behind it, words on standard output. Nothing: no idea.
_cactl_values() {
        case $1 in
        --key) echo ecdsa-p256 ecdsa-p384 ecdsa-p521 ed25519 rsa-2048 rsa-3072 rsa-4096 ;;
        --status)
                if [ "$command" = "request list" ]; then
                        echo waiting approved denied expired all
                else
                        echo valid held expired revoked
                fi
                ;;
        --reason)
                [ "$command" != "request deny" ] || return 0
                echo unspecified key_compromise affiliation_changed superseded cessation_of_operation \
                        certificate_hold remove_from_crl privilege_withdrawn
                ;;
        --action) echo certificate.issue certificate.renew certificate.revoke "token.*" "request.*" "crl.*" "ca.*" "daemon.*" access.refused ;;
        --format) echo pem chain fullchain der pkcs7 pkcs7-pem pkcs12 c-array pins ;;
        --validity) echo 12h 7d 30d 90d 1y ;;
        --expires) echo 1h 24h 7d 30d ;;
        --purpose) echo server client both ;;
        --profile) _cactl_profiles ;;
        esac
}

# Asks the CA, with what was given of --socket and the like; a CA that is not there says nothing.
_cactl_ask() {
        "${words[0]}" "${_cactl_where[@]}" "$@" --json 2>/dev/null
}

_cactl_profiles() {
        local found
        found=$(_cactl_ask profile list | sed -n 's/^ *"name": "\([A-Za-z0-9_-]*\)",\{0,1\}$/\1/p')
        echo "${found:-server client peer device user}"
}

_cactl_serials() {
        _cactl_ask cert list --status valid --limit 100 | sed -n 's/^ *"serial": "\([0-9a-f]*\)",\{0,1\}$/\1/p'
}

_cactl_tokens() {
        _cactl_ask token list | sed -n 's/^ *"id": "\([0-9a-f]*\)",\{0,1\}$/\1/p'
}

_cactl_requests() {
        _cactl_ask request list | sed -n 's/^ *"code": "\([0-9A-Z]*\)",\{0,1\}$/\1/p'
}

_cactl_targets() {
        "${words[0]}" deploy list --json 2>/dev/null | sed -n 's/^ *"target": "\([A-Za-z0-9._@-]*\)",\{0,1\}$/\1/p'
}

# _cactl_options COMMAND: the options of a command, without those of all.
_cactl_options() {
        case $1 in
        issue)
                echo --out --name --force --client --peer --profile --key --days --validity --label --p12 \
                        --p12-password-file --p12-ask --p12-legacy --list --stop
                ;;
        "cert list") echo --name --status --profile --expires-before --issued-after --fingerprint-of --spki --limit --all ;;
        "cert show") echo --pem ;;
        "cert sign") echo --profile --name --days --validity --label --out --csr-list --force --stop ;;
        "cert export") echo --format --key --with-root --out --force --name --c-pem --p12-password-file --p12-ask --p12-legacy ;;
        "cert revoke") echo --reason --yes ;;
        "cert renew") echo --csr --new-key --out ;;
        "ca show") echo --pem --bundle ;;
        "audit list") echo --action --principal --object --since --until --limit --all ;;
        "audit verify") echo --signer-log --anchors-since ;;
        "crl show") echo --pem ;;
        "request submit") echo --profile --name --days --validity --label --wait --out ;;
        "request list") echo --status --limit ;;
        "request show") echo --pem ;;
        "request approve") echo --name --days --validity --profile --label --yes ;;
        "request deny") echo --reason ;;
        "token create") echo --profile --uses --expires --days --validity --label --short ;;
        "token list") echo --limit --all ;;
        enroll)
                echo --token --token-file --profile --key --days --validity --label --name --new-key-at-renewal --deploy \
                        --no-wait --no-timer --force
                ;;
        renew) echo --force --dry-run --new-key ;;
        "trust install") echo --system --nss --java --user --prefix --java-store --java-password-file --replace --yes ;;
        "trust remove" | "trust status") echo --system --nss --java --user --prefix --java-store --java-password-file ;;
        backup) echo --with-keys --passphrase-file --state-dir --config --scheduled --folder --replace ;;
        "deploy install")
                echo --from --cert --key --chain --root --p12 --password-file --name --service --to-cert --to-chain --to-fullchain --to-key \
                        --to-combined --to-root --owner --group --mode --config --pid-file --unit --check --reload --timeout --force
                ;;
        restore) echo --accept-loss --passphrase-file --state-dir --config ;;
        doctor) echo --root --purpose --name --password-file --time ;;
        esac
}

# _cactl_words COMMAND: what may follow it that is no option and no file.
_cactl_words() {
        case $1 in
        "") echo status issue cert ca crl profile request token audit enroll renew backup restore deploy doctor trust help ;;
        cert) echo list show sign export revoke renew ;;
        ca) echo show rotate activate fingerprint ;;
        crl) echo show publish ;;
        audit) echo list verify ;;
        profile) echo list show ;;
        request) echo submit list show approve deny ;;
        token) echo create list revoke ;;
        trust) echo install remove status ;;
        backup) echo verify ;;
        deploy) echo install list backups restore ;;
        "deploy install") echo nginx apache haproxy lighttpd nats mosquitto postgresql postfix dovecot; _cactl_targets ;;
        "deploy backups" | "deploy restore") _cactl_targets ;;
        "profile show") _cactl_profiles ;;
        "cert show" | "cert export" | "cert revoke" | "cert renew") _cactl_serials ;;
        "ca activate") _cactl_ask ca show | sed -n 's/^ *"id": "\([a-z0-9-]*\)",\{0,1\}$/\1/p' ;;
        "request show" | "request approve" | "request deny") _cactl_requests ;;
        "token revoke") _cactl_tokens ;;
        esac
}

_cactl() {
        local cur prev words cword command="" i _cactl_where=()
        local globals="--socket --url --root --fingerprint --cert --key --json --quiet --help --version"
        if declare -F _init_completion >/dev/null; then
                _init_completion -n : || return
        else
                words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
        fi

        for ((i = 1; i < cword; i++)); do
                case ${words[i]} in
                --socket | --url | --root | --fingerprint | --cert)
                        _cactl_where+=("${words[i]}" "${words[i + 1]}")
                        i=$((i + 1))
                        ;;
                -*) ;;
                status)
                        case $command in
                        "") command=status ;;
                        trust) command="trust status" ;;
                        esac
                        ;;
                issue | enroll | backup | doctor) [ -n "$command" ] || command=${words[i]} ;;
                restore)
                        case $command in
                        "") command=restore ;;
                        deploy) command="deploy restore" ;;
                        esac
                        ;;
                cert | ca | crl | profile | request | token | audit | deploy | trust) [ -n "$command" ] || command=${words[i]} ;;
                list | show | sign | export | submit | approve | deny | revoke | renew | rotate | activate | fingerprint | publish | create | verify | \
                        install | remove | backups)
                        case $command in
                        cert | ca | crl | profile | request | token | audit | deploy | trust) command+=" ${words[i]}" ;;
                        "") [ "${words[i]}" != renew ] || command=renew ;;
                        esac
                        ;;
                esac
        done

        case $prev in
        --socket | --root | --cert | --p12-password-file | --list | --csr-list | --csr | --token-file | --signer-log | --passphrase-file | --config | --chain | --p12 | --password-file | --to-* | --pid-file | --java-store | --java-password-file) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        --new-key) [ "$command" = renew ] || { mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return; } ;;
        --state-dir | --folder | --from | --prefix) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
        --out)
                if [ "$command" = issue ]; then
                        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
                else
                        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
                fi
                return
                ;;
        --name | --days | --label | --limit | --url | --fingerprint | --fingerprint-of | --spki | --expires-before | --issued-after | --uses)
                return
                ;;
        --key)
                if [ "$command" != issue ]; then
                        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
                        return
                fi
                ;;&
        --*)
                local values
                values=$(_cactl_values "$prev")
                if [ -n "$values" ]; then
                        mapfile -t COMPREPLY < <(compgen -W "$values" -- "$cur")
                        return
                fi
                ;;
        esac
        if [[ $cur == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$(_cactl_options "$command") $globals" -- "$cur")
                return
        fi
        mapfile -t COMPREPLY < <(compgen -W "$(_cactl_words "$command")" -- "$cur")
        case $command in
        "cert show" | "cert sign" | "cert export" | "cert revoke" | "cert renew" | "request submit" | backup | restore | doctor)
                mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
                ;;
        esac
}

complete -o filenames -F _cactl cactl
