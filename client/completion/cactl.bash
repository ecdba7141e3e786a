# bash completion for cactl(1)                                                  -*- shell-script -*-

# _cactl_values OPTION: what may stand behind it, words on standard output. Nothing: no idea.
_cactl_values() {
        case $1 in
        --key) echo ecdsa-p256 ecdsa-p384 ecdsa-p521 ed25519 rsa-2048 rsa-3072 rsa-4096 ;;
        --status) echo valid expired revoked ;;
        --reason)
                echo unspecified key_compromise affiliation_changed superseded cessation_of_operation \
                        certificate_hold remove_from_crl privilege_withdrawn
                ;;
        --validity) echo 12h 7d 30d 90d 1y ;;
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

# _cactl_options COMMAND: the options of a command, without those of all.
_cactl_options() {
        case $1 in
        issue)
                echo --out --name --force --client --peer --profile --key --days --validity --label --p12 \
                        --p12-password-file --p12-ask --p12-legacy
                ;;
        "cert list") echo --name --status --profile --expires-before --issued-after --fingerprint-of --spki --limit --all ;;
        "cert show") echo --pem ;;
        "cert sign") echo --profile --name --days --validity --label --out ;;
        "cert revoke") echo --reason --yes ;;
        "ca show") echo --pem --bundle ;;
        esac
}

# _cactl_words COMMAND: what may follow it that is no option and no file.
_cactl_words() {
        case $1 in
        "") echo status issue cert ca profile help ;;
        cert) echo list show sign revoke ;;
        ca) echo show fingerprint ;;
        profile) echo list show ;;
        "profile show") _cactl_profiles ;;
        "cert show" | "cert revoke") _cactl_serials ;;
        esac
}

_cactl() {
        local cur prev words cword command="" i _cactl_where=()
        local globals="--socket --url --root --fingerprint --json --quiet --help --version"
        if declare -F _init_completion >/dev/null; then
                _init_completion -n : || return
        else
                words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
        fi

        for ((i = 1; i < cword; i++)); do
                case ${words[i]} in
                --socket | --url | --root | --fingerprint)
                        _cactl_where+=("${words[i]}" "${words[i + 1]}")
                        i=$((i + 1))
                        ;;
                -*) ;;
                status | issue) [ -n "$command" ] || command=${words[i]} ;;
                cert | ca | profile) [ -n "$command" ] || command=${words[i]} ;;
                list | show | sign | revoke | fingerprint)
                        case $command in
                        cert | ca | profile) command+=" ${words[i]}" ;;
                        esac
                        ;;
                esac
        done

        case $prev in
        --socket | --root | --p12-password-file) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        --out)
                if [ "$command" = issue ]; then
                        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
                else
                        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
                fi
                return
                ;;
        --name | --days | --label | --limit | --url | --fingerprint | --fingerprint-of | --spki | --expires-before | --issued-after)
                return
                ;;
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
        "cert show" | "cert sign" | "cert revoke")
                mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
                ;;
        esac
}

complete -o filenames -F _cactl cactl
