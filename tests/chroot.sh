#!/usr/bin/env bash
#
# The two commands of the README on a fresh Debian 12, made with debootstrap in a temporary folder.
#
#   tests/chroot.sh               a fresh clone of what is committed
#   tests/chroot.sh --as-is       the files as they are in this tree now
#   tests/chroot.sh STEP...       these steps alone (the first one always runs)
#   tests/chroot.sh --list        the steps
#
# As root there: quickstart.sh, which installs what it needs, twice. As a user without rights: quickstart.sh
# twice, then test.sh --quick. Packages come from where this machine's own apt gets Debian's. Needs
# root, for the chroot and for mounts of its own; both are gone afterwards, and so is every process.
set -euo pipefail

# In namespaces of our own: mounts that nobody else sees, and processes that end when this one does.
if [ "${CAD_CHROOT_INSIDE:-}" != yes ] && [ "$(id -u)" -eq 0 ]; then
        CAD_CHROOT_INSIDE=yes exec unshare --mount --pid --fork --kill-child --mount-proc \
                --propagation private "$0" "$@"
fi
. "$(dirname -- "${BASH_SOURCE[0]}")/../scripts/steps.sh"

suite=bookworm
user=tester
source_of_copy=clone

steps=(
        # name             when limit_s needs            function
        "debootstrap       all  900     -                make_debian"
        "quickstart-root   all  1200    debootstrap      quickstart_as_root"
        "packages          all  1200    debootstrap      install_test_packages"
        "quickstart-user   all  600     packages         quickstart_as_user"
        "test-quick        all  1200    packages         test_as_user"
)

# Debian's own sources among those of this machine, as "SITE RELEASE COMPONENT".
debian_sources() {
        # shellcheck disable=SC2016  # apt-get's own variables
        apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' \
                'Created-By: Packages' 'Origin: Debian' | sort -u
}

# How this machine reaches its mirror; lives as long as the chroot.
copy_apt_configuration() {
        debian_sources | sed 's/^/deb /' >"$chroot/etc/apt/sources.list"
        apt-config dump | grep -E '^Acquire::((https?|ftp)::|Check-|Retries)' \
                >"$chroot/etc/apt/apt.conf.d/99-of-the-host" || true
        cp /etc/resolv.conf /etc/hosts "$chroot/etc/"
}

copy_tree() {
        local to=$1
        mkdir -p "$to"
        if [ "$source_of_copy" = clone ]; then
                git -c safe.directory='*' clone --quiet --no-hardlinks "$cad_root" "$to"
        else
                git -c safe.directory='*' -C "$cad_root" ls-files -z --cached --others --exclude-standard |
                        tar -C "$cad_root" --null --ignore-failed-read -T - -cf - | tar -C "$to" -xf -
        fi
}

make_debian() {
        local site
        site=$(debian_sources | awk -v s="$suite" '$2 == s { print $1; exit }')
        if [ -z "$site" ]; then
                printf 'this machine has no apt source for %s (apt-get update may not have been run)\n' "$suite"
                return 1
        fi
        bounded debootstrap --variant=minbase --include=ca-certificates "$suite" "$chroot" "$site" &&
                copy_apt_configuration &&
                mount -t proc proc "$chroot/proc" &&
                mount -t tmpfs -o mode=1777 tmpfs "$chroot/dev/shm" &&
                mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$chroot/dev/pts" &&
                chroot "$chroot" useradd --create-home "$user" &&
                copy_tree "$chroot/root/cad" && copy_tree "$chroot/home/$user/cad" &&
                chroot "$chroot" chown -R root:root /root/cad &&
                chroot "$chroot" chown -R "$user:$user" "/home/$user/cad" && count 1 0 0
}

# inside USER HOME COMMAND: a shell command in the copy of the tree, with nothing of this machine's environment
# but its proxies.
inside() {
        local who=$1 home=$2 variable keep=()
        for variable in http_proxy https_proxy no_proxy; do
                [ -z "${!variable:-}" ] || keep+=("$variable=${!variable}")
        done
        bounded chroot --userspec="$who:$who" --groups="$who" "$chroot" /usr/bin/env -i \
                HOME="$home" USER="$who" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
                CI=true "${keep[@]}" bash -c "cd ~/cad && $3"
}

as_root() {
        inside root /root "$1"
}

as_user() {
        inside "$user" "/home/$user" "$1"
}

# The same commands again find what the first run made: one root, one daemon.
# shellcheck disable=SC2016  # expanded in there
quickstart_twice='scripts/quickstart.sh && sum=$(sha256sum quickstart/certificates/root.pem) &&
        scripts/quickstart.sh && [ "$(sha256sum quickstart/certificates/root.pem)" = "$sum" ] &&
        scripts/quickstart.sh stop && scripts/quickstart.sh stop'

quickstart_as_root() {
        as_root "$quickstart_twice" && count 1 0 0
}

install_test_packages() {
        as_root 'scripts/dependencies.sh --build --run --test && scripts/dependencies.sh --build --run --test --check' &&
                count 1 0 0
}

quickstart_as_user() {
        as_user "$quickstart_twice" && count 1 0 0
}

# Its own logs stay behind: the chroot is gone when somebody asks why.
test_as_user() {
        local status=0
        count_script as_user 'scripts/test.sh --quick' || status=$?
        rm -rf "$step_logs/test-quick"
        cp -r "$chroot/home/$user/cad/build/test-logs" "$step_logs/test-quick" || true
        return "$status"
}

clean_up() {
        umount "$chroot/dev/pts" "$chroot/dev/shm" "$chroot/proc" 2>/dev/null || true
        rm -rf --one-file-system "$chroot"
}

main() {
        local chosen=()
        while [ $# -gt 0 ]; do
                case $1 in
                --as-is) source_of_copy=files ;;
                --list) step_names; return ;;
                -h | --help) head_comment "$0"; return ;;
                -*) printf '%s: unknown option %s; see --help\n' "${0##*/}" "$1" >&2; exit 2 ;;
                *) chosen+=("$1") ;;
                esac
                shift
        done
        steps_usage_check "${chosen[@]}"
        [ "$(id -u)" -eq 0 ] || die "needs root, for debootstrap and chroot"
        command -v debootstrap >/dev/null || die "needs debootstrap: apt-get install debootstrap"
        [ ${#chosen[@]} -eq 0 ] || chosen+=(debootstrap)

        chroot=$(mktemp -d "${TMPDIR:-/var/tmp}/cad-chroot.XXXXXX")
        trap clean_up EXIT
        chmod 755 "$chroot"
        run_steps "$cad_build/chroot-logs" all "${chosen[@]}"
}

main "$@"
