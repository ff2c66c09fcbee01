#!/bin/sh
# Debian packages for the laboratory:  provision.sh demo|test|bench|docker|deb
#
# Fast when nothing is missing.  No service of what it installs is started, none that was not enabled before stays
# enabled, and a policy-rc.d of the machine is put back as it was.
set -eu

demo="python3 python3-venv iproute2 iputils-arping iputils-ping tcpdump nftables apache2 resource-agents curl util-linux procps"
case "${1:-}" in
    demo)  wanted="$demo" ;;
    test)  wanted="$demo pacemaker-cli-utils pcs clang libbpf-dev libbpf1 dbus ethtool openssh-server firewalld groff-base prometheus bash-completion fish zsh" ;;
    bench) wanted="$demo pacemaker-cli-utils clang libbpf-dev libbpf1 iperf3 apache2-utils" ;;
    docker) wanted="docker.io iptables busybox-static" ;;
    deb)   wanted="python3-venv build-essential debhelper clang libbpf-dev lintian fakeroot debootstrap" ;;
    *) echo "usage: $0 demo|test|bench|docker|deb" >&2; exit 2 ;;
esac

missing() {
    for package in $wanted; do
        case "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" in
            installed) ;;
            *) echo "$package" ;;
        esac
    done
}

[ -n "$(missing)" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "These packages are missing, and installing them needs root:" $(missing) >&2
    exit 1
fi
command -v apt-get >/dev/null || {
    echo "No apt-get here: install by hand what Debian 12 calls" $(missing) >&2
    exit 1
}

exec 9>/var/lock/vipcast-provision
flock 9
packages="$(missing)"
[ -n "$packages" ] || exit 0

policy=/usr/sbin/policy-rc.d
saved=$policy.before-vipcast
links=$(mktemp -d)

enabled() {
    find /etc/systemd/system /etc/rc?.d \( -type l -o -type f \) 2>/dev/null | sort
}

restore() {
    rm -f "$policy"
    if [ -e "$saved" ]; then mv "$saved" "$policy"; fi
    # What the packages have just enabled is taken back by removing the links that they made.
    enabled >"$links/after"
    comm -13 "$links/before" "$links/after" | while read -r link; do
        case "$link" in
            *.wants/* | *.requires/*) rm -f "$link" ;;
            /etc/systemd/system/*) if [ -L "$link" ]; then rm -f "$link"; fi ;;
            /etc/rc?.d/S*) rm -f "$link" ;;
        esac
    done
    rm -rf "$links"
}

# A former run that was killed may have left its own policy behind.
if [ -e "$saved" ]; then mv "$saved" "$policy"; fi
enabled >"$links/before"
trap restore EXIT
trap 'exit 130' INT TERM HUP
if [ -e "$policy" ]; then mv "$policy" "$saved"; fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
echo "Installing:" $packages
apt-get -o DPkg::Lock::Timeout=300 -qq update || echo "apt-get update failed; trying with the lists that are here" >&2
# shellcheck disable=SC2086
apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -qq -y --no-install-recommends install $packages >"$links/log" 2>&1 || {
    cat "$links/log" >&2
    echo "These packages could not be installed:" $packages >&2
    exit 1
}
