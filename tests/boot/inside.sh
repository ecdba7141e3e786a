#!/bin/bash
#
# shellcheck disable=SC2016  # what bash -c is given expands in there
# What tests/boot.sh runs as root inside the booted Debian: each check is a line `ok …` or `not ok …`.
export LC_ALL=C

check() {
        local what=$1 output
        shift
        if output=$("$@" 2>&1); then
                printf 'ok %s\n' "$what"
        else
                printf 'not ok %s\n%s\n' "$what" "$(printf '%s\n' "$output" | tail -n 4 | sed 's/^/#   /')"
                journalctl -q --no-pager -o cat -u 'cad*' -n 6 | sed 's/^/#   journal: /'
        fi
}

not() {
        ! "$@"
}

# within SECONDS COMMAND...
within() {
        local until=$((SECONDS + $1))
        shift
        until "$@"; do
                [ $SECONDS -lt $until ] || return 1
                sleep 0.2
        done
}

user_of() {
        [ "$(ps -o user= -C "$1" | sort -u | tr -d ' ')" = "$2" ]
}

# signal NAME UNIT: to its main process, and to nobody where it has none
signal() {
        local pid
        pid=$(systemctl show -p MainPID --value "$2")
        [ "${pid:-0}" -gt 1 ] && kill "-$1" "$pid"
}

issue() {
        (cd "$(mktemp -d)" && cactl issue "$1" --out .)
}

fingerprint() {
        cactl --json ca show | sed -n 's/.*"fingerprint": *"\([0-9a-f]*\)".*/\1/p' | head -n 1
}

journal_has() {
        journalctl --no-pager -q -u cad "$@" | grep -q .
}

check "sysusers made both users and the group" getent passwd cad cad-signer
check "cad-admin is there" getent group cad-admin
check "units verify" systemd-analyze verify --man=no cad.service cad-signer.service cad.socket cad-signer.socket cad-https.socket cad-http.socket cad-backup.timer
check "the sockets start" systemctl enable --now cad-signer.socket cad.socket
check "cad starts and tells that it is ready" systemctl enable --now cad.service
systemctl is-active --quiet cad.service || journalctl -q --no-pager -u cad -u cad-signer | tail -n 25 | sed 's/^/#   /'
check "cad is active" systemctl is-active cad.service
check "cad-signer is active" systemctl is-active cad-signer.service
check "cad runs as cad" user_of cad cad
check "cad-signer runs as cad-signer" user_of cad-signer cad-signer
check "status works on the socket that systemd made" cactl status
check "a certificate is issued" issue nas.lan
check "ca-id was written by root" test -s /etc/cad/ca-id
check "a user of no group stays outside" not setpriv --reuid=65534 --regid=65534 --clear-groups cactl status
check "a member of cad-admin comes in" setpriv --reuid=65534 --regid=65534 --groups="$(getent group cad-admin | cut -d: -f3)" cactl cert list
check "cad cannot read the signer's folder" not setpriv --reuid=cad --regid=cad --clear-groups ls /var/lib/cad-signer/ca
check "nobody but cad and root reaches the signer's socket" not setpriv --reuid=65534 --regid=65534 --clear-groups test -w /run/cad-signer/socket
check "the journal has fields" within 5 journal_has CAD_PRINCIPAL=uid:0
check "scores as promised" bash -c 'systemd-analyze security --threshold=15 cad.service >/dev/null && systemd-analyze security --threshold=8 cad-signer.service >/dev/null'

was=$(fingerprint)
check "a fingerprint is shown" test -n "$was"
signal KILL cad-signer
check "the signer is started again after a kill" within 15 issue router.lan
signal KILL cad
check "cad is started again after a kill" within 15 issue printer.lan
within 10 systemctl is-active --quiet cad-signer.service
check "reload reaches both" bash -c 'systemctl reload cad && sleep 1 && journalctl -q -u cad-signer | grep -q "profiles read anew" && journalctl -q -u cad | grep -q "read anew"'
check "restart of both" systemctl restart cad-signer.socket cad.service
check "the same CA after it" test "$(fingerprint)" = "$was"
check "stop ends cleanly" bash -c 'systemctl stop cad.service && [ "$(systemctl show -p Result --value cad.service)" = success ]'
check "a connection starts cad again" within 15 cactl status

mkdir -p /run/systemd/system/cad.service.d /run/systemd/system/cad-signer.service.d
printf '[Service]\nWatchdogSec=3\n' | tee /run/systemd/system/cad.service.d/w.conf >/run/systemd/system/cad-signer.service.d/w.conf
systemctl daemon-reload
systemctl restart cad-signer.service cad.service
check "cad is active under a short watchdog" bash -c 'sleep 7; systemctl is-active cad.service cad-signer.service && [ "$(systemctl show -p NRestarts --value cad.service)" = 0 ]'
signal STOP cad
check "the watchdog ends a cad that stands still, and it comes back" within 30 issue camera.lan
signal STOP cad-signer
check "the watchdog ends a signer that stands still, and it comes back" within 30 issue switch.lan
rm -r /run/systemd/system/cad.service.d /run/systemd/system/cad-signer.service.d
systemctl daemon-reload

systemctl stop nginx.service # port 80 is cad's from here on
rm -f /etc/nginx/sites-enabled/default
https_works() {
        systemctl stop cad.service && systemctl enable --now cad-https.socket cad-http.socket && systemctl start cad.service &&
                curl -sSf --unix-socket /run/cad/cad.sock http://localhost/v1/ca/root.pem >/root/root.pem &&
                curl -sSf --cacert /root/root.pem https://localhost/v1/ca >/dev/null &&
                curl -sSf http://localhost/crl/int-1.crl >/dev/null
}
check "optional sockets: 443 and 80 without a capability" https_works
check "the backup timer can be enabled" systemctl enable --now cad-backup.timer
check "a backup is made by its service" systemctl start cad-backup.service

# -- A device: enrolled here, renewed by its timer, deployed to nginx through systemctl

shown() {
        openssl s_client -connect 127.0.0.1:8444 </dev/null 2>/dev/null | openssl x509 -noout -serial
}

# Whether nginx comes to show what is enrolled. A reload is over before its new workers are there.
shows() {
        within 5 bash -c "$(declare -f shown)"'; [ "$(shown)" = "$(openssl x509 -noout -serial -in "$0")" ]' "$1"
}

enrolled() {
        cactl --json token create nas.lan | sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' >/root/token
        cactl enroll nas.lan --url https://localhost --fingerprint "$was" --token-file /root/token --deploy nginx
}

says() {
        local text=$1
        shift
        "$@" 2>&1 | tee /dev/stderr | grep -qF "$text"
}

cat >/etc/nginx/conf.d/tls.conf <<'CONF'
server {
        listen 127.0.0.1:8444 ssl;
        ssl_certificate /etc/nginx/cad/fullchain.pem;
        ssl_certificate_key /etc/nginx/cad/key.pem;
}
CONF
here=/etc/cad/certs/nas.lan/fullchain.pem
check "enroll with a token, and files for nginx" enrolled
check "its timer is enabled and runs" bash -c 'systemctl is-enabled cactl-renew.timer && systemctl is-active cactl-renew.timer'
check "nginx, which was stopped, was not started" not systemctl is-active nginx.service
check "nginx starts with them" bash -c 'systemctl start nginx.service'
check "nginx shows them" shows $here
pid=$(systemctl show -p MainPID --value nginx.service)
check "a renewal reloads nginx by systemctl" says "reloaded" cactl renew --force
check "nginx shows the renewed one, and is the same process" bash -c "$(declare -f within shown shows)"'; shows $0 && [ "$(systemctl show -p MainPID --value nginx.service)" = "$1" ]' $here "$pid"
mkdir -p /run/systemd/system/nginx.service.d /run/systemd/system/cactl-renew.service.d
printf '[Service]\nExecStart=\nExecStart=/usr/bin/cactl renew --force\n' >/run/systemd/system/cactl-renew.service.d/force.conf
systemctl daemon-reload
check "the timer's service may do all that" systemctl start cactl-renew.service
check "nginx shows what it renewed" shows $here
# Postfix, whose unit is one that does nothing and hands its reload on
mail_shows() {
        within 5 bash -c '[ "$(openssl s_client -starttls smtp -connect 127.0.0.1:25 </dev/null 2>/dev/null | openssl x509 -noout -serial)" = "$(openssl x509 -noout -serial -in "$0")" ]' "$1"
}

postconf -e inet_interfaces=loopback-only smtpd_tls_security_level=may smtpd_tls_cert_file=/etc/postfix/own/cert.pem smtpd_tls_key_file=/etc/postfix/own/key.pem
check "files for Postfix go where main.cf says" bash -c 'cactl deploy install postfix --from /etc/cad/certs/nas.lan && cmp /etc/postfix/own/key.pem /etc/cad/certs/nas.lan/key.pem && systemctl restart postfix.service'
check "Postfix shows them" mail_shows $here
check "a renewal reloads Postfix" says "postfix: /etc/postfix/own/cert.pem, /etc/postfix/own/key.pem replaced; reloaded" cactl renew --force nas.lan
check "Postfix shows the renewed one" mail_shows $here
# nginx does not come up with the new one, once: reload-or-restart restarts what has no ExecReload=
printf '[Service]\nExecReload=\nExecStartPre=/bin/sh -c "! rm /run/broken"\n' >/run/systemd/system/nginx.service.d/broken.conf
systemctl daemon-reload
old=$(shown)
touch /run/broken
check "a restart that fails brings the old files back" says "the old files are back, and it was reloaded with them" cactl renew --force
check "nginx is up again, with the old one" bash -c "$(declare -f shown)"'; systemctl is-active nginx.service && [ "$(shown)" = "$0" ]' "$old"
rm -r /run/systemd/system/nginx.service.d /run/systemd/system/cactl-renew.service.d
systemctl daemon-reload
check "the next renewal puts the new one there" cactl renew
check "nginx shows it" shows $here

# -- The LAN: systemd-resolved announces cad by the .dnssd file as it is shipped, but for the port; Avahi finds it

lan() {
        ip link add lan0 type veth peer name lan1 && ip link set lan0 multicast on up && ip link set lan1 up &&
                ip address add 192.168.77.1/24 dev lan0 && resolvectl mdns lan0 yes && systemctl restart cad.service
}

finds() {
        cactl --json token create found.lan | sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' >/root/token
        says "found cad on $(hostname) at" cactl enroll found.lan --fingerprint "$was" --token-file /root/token --force
}

mkdir -p /etc/systemd/dnssd /etc/systemd/resolved.conf.d
sed 's/^Port=8443$/Port=443/' /usr/share/doc/cad/examples/cad.dnssd >/etc/systemd/dnssd/cad.dnssd
printf '[Resolve]\nMulticastDNS=yes\n' >/etc/systemd/resolved.conf.d/mdns.conf
systemctl restart systemd-resolved.service
mv /etc/cad/cactl.conf /etc/cad/cactl.conf.away # or nothing would be looked for
check "there is a LAN" lan
check "cactl finds the CA that systemd-resolved announces, and enrols" within 15 finds
check "systemd-resolved has nothing to say of cad.dnssd" not bash -c 'journalctl -q --no-pager -u systemd-resolved | grep dnssd'
# -- Another CA, as the guide has it: keys encrypted, the passphrase sealed to this machine

sealed() {
        systemctl stop cad.service cad-signer.service && rm -rf /var/lib/cad/* /var/lib/cad-signer/* /etc/cad/ca-id && echo secret >/root/passphrase &&
                chmod 600 /root/passphrase && cad init --passphrase-file /root/passphrase && mkdir -p /etc/credstore.encrypted &&
                systemd-creds encrypt --name=ca-passphrase /root/passphrase /etc/credstore.encrypted/ca-passphrase && rm /root/passphrase &&
                systemctl start cad.service && issue sealed.lan && grep -q ENCRYPTED /var/lib/cad-signer/ca/int-1.key
}
check "cad init encrypts the keys, and the signer opens them with a sealed credential" sealed
check "a backup is put back by 'cactl restore' alone" bash -c 'cactl backup /root/b && systemctl stop cad.service && rm /var/lib/cad/cad.db* && cactl restore /root/b && systemctl start cad.service && cactl status'
check "no unit has failed" bash -c '! systemctl --failed --no-legend | grep -q cad'
for unit in cad cad-signer; do
        journalctl -q --no-pager -u $unit -p warning | tail -n 15 | sed "s/^/# $unit: /"
done
echo end
