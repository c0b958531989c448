#!/bin/bash
# A few source packages of the Debian release that this machine runs, mirrored from the archive that its own apt names:
# checked against Debian's keys, published and signed anew, and read by an apt that knows nothing else. Needs that
# archive to be in reach, through a proxy if apt or the environment names one. Nothing outside of one temporary
# directory is changed; KEEP=1 leaves it there.
# usage: mirror-example.sh APTREPO [SOURCE...]     (SOURCE: hello, sl and figlet if none is named)
# SUITE, URL and KEYRING, if set, are used in place of what the machine has.
set -euo pipefail
[ $# -gt 0 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
aptrepo=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
shift
[ $# -gt 0 ] || set -- hello sl figlet
sources=("$@")
unset REPREPRO_BASE_DIR REPREPRO_CONFIG_DIR GNUPGHOME APT_CONFIG
export LC_ALL=C.UTF-8

work=$(mktemp -d -t aptrepo-mirror.XXXXXX)
server=
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    if [ -n "${KEEP:-}" ]; then
        printf '\nAll of it is left in %s\n' "$work"
    else
        rm -rf "$work"
    fi
}
trap finish EXIT
cd "$work"
mkdir -p archive/conf bin lists/partial
ln -s "$aptrepo" bin/aptrepo
PATH=$work/bin:$PATH

if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; else bold='' plain=''; fi
step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
run() {
    printf '%s$ %s%s\n' "$bold" "$*" "$plain"
    "$@"
}
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

step '1. What the apt of this machine uses'
# apt itself reads sources.list and sources.list.d, in both of their forms; it has no lists here, so it names the
# Release of every source
releases() {
    apt-get -o Dir::State::lists="$work/lists" -o Debug::NoLocking=1 update --print-uris 2>/dev/null |
        sed -n "s|^'\(.*\)/dists/\(.*\)/InRelease'.*|\1 \2|p"
}
os() { (. /etc/os-release && eval "printf %s \"\${$1:-}\""); }
suite=${SUITE:-$(os VERSION_CODENAME)}
[ -n "$suite" ] || die 'this release has no codename; set SUITE'
url=${URL:-$(releases | awk -v suite="$suite" '$2 == suite { print $1; exit }')}
[ -n "$url" ] || die "no source of apt has the suite $suite; set SUITE, or URL"
case $url in http://* | https://* | file:* | copy:*) ;; *) die "apt gets it from $url; set URL to an address by http" ;; esac
keyring=${KEYRING:-/usr/share/keyrings/$(os ID)-archive-keyring.gpg}
[ -e "$keyring" ] || die "$keyring is missing; install $(os ID)-archive-keyring, or set KEYRING"
arch=$(dpkg --print-architecture)
# what the environment says is looked at by aptrepo itself
option() { (eval "$(apt-config shell value "$1")" && printf %s "${value:-}"); }
proxy=$(option "Acquire::${url%%:*}::Proxy")
detect=$(option "Acquire::${url%%:*}::Proxy-Auto-Detect")
if [ -n "$detect" ]; then proxy=$("$detect" "$url"); fi
echo "suite $suite, architecture $arch, keys in $keyring"
if [ -n "$proxy" ]; then echo 'through the proxy that apt is told to use'; fi

step '2. The configuration, and the key that the copy is signed with'
echo 'outdir +b/www' > archive/conf/options
formula=$(printf ' | $Source (== %s)' "${sources[@]}")
cat > archive/conf/distributions <<CONF
Codename: $suite
Architectures: $arch source
Components: main
Description: ${sources[*]}, from the archive of $(os ID)
Contents: .gz
SignWith: yes
Update: - upstream
CONF
cat > archive/conf/updates <<CONF
Name: upstream
Method: $url
Suite: *
Components: main
UDebComponents:
Translations: en
VerifyRelease: $keyring
FilterFormula: ${formula# | }
CONF
if [ -n "$proxy" ]; then echo "Config: Acquire::${url%%:*}::Proxy=$proxy" >> archive/conf/updates; fi
# whose mirror it is concerns nobody
sed 's|^\(Method:\) .*|\1 (what apt names)|; s|^\(Config:.*=\).*|\1…|' archive/conf/updates
run aptrepo -b archive check-conf
run aptrepo -b archive key generate --name 'Example Archive' --email archive@example.com
aptrepo -b archive key export > example.asc

step '3. The first night'
now() { date +%s%N; }
milliseconds() { echo $((($2 - $1) / 1000000)); }
start=$(now)
run aptrepo -b archive update
first=$(milliseconds "$start" "$(now)")
run aptrepo -b archive list "$suite"
for source in "${sources[@]}"; do
    aptrepo -b archive list "$suite" "$source" | grep -q "|source: $source " || die "$source was not mirrored"
done

step '4. A night without news: one question to the upstream, no word, and nothing written'
shape() { find archive/www -printf '%P %i %s %T@\n' | sort; }
shape > before
start=$(now)
run aptrepo -b archive update > said 2>&1
second=$(milliseconds "$start" "$(now)")
cat said
[ "$(sed 1d said)" = '' ] || die 'the second update had something to say'
shape | cmp - before || die 'the second update changed what is published'
echo "The first took $first ms, the second $second ms."
[ "$second" -lt 10000 ] && [ $((second * 2)) -lt "$first" ] || die 'the second update was not quick'

step '5. A server, and a client that has no other source'
aptrepo -b archive serve --listen 127.0.0.1:0 > server.log 2>&1 &
server=$!
url=
for _ in $(seq 100); do
    url=$(sed -n 's|.*\(http://[0-9.:]*\).*|\1|p' server.log | head -n 1)
    [ -z "$url" ] || break
    sleep 0.1
done
cat server.log
[ -n "$url" ]
root=$work/client
mkdir -p "$root"/etc/apt/{apt.conf.d,preferences.d,sources.list.d} "$root"/var/lib/{apt/lists/partial,dpkg} \
    "$root"/var/cache/apt/archives/partial "$root"/var/log/apt "$root"/download
: > "$root/var/lib/dpkg/status"
cat > "$root/apt.conf" <<CONF
Dir "$root/";
Dir::State::status "$root/var/lib/dpkg/status";
APT::Architecture "$arch";
APT::Architectures "$arch";
APT::Sandbox::User "";
Acquire::http::Proxy "DIRECT";
CONF
export APT_CONFIG=$root/apt.conf
for kind in deb deb-src; do
    echo "$kind [signed-by=$work/example.asc] $url $suite main"
done | tee "$root/etc/apt/sources.list"
run apt-get update

step '6. Packages from the copy'
cd "$root/download"
names=$(aptrepo -b "$work/archive" list "$suite" | sed -n "s/^$suite|main|$arch: \([^ ]*\) .*/\1/p")
[ -n "$names" ] || die 'no binary package was mirrored'
# shellcheck disable=SC2086
run apt-get download $names
run apt-get source --download-only "${sources[0]}"
ls -l
for deb in *.deb; do
    dpkg-deb --info "$deb" > /dev/null || die "$deb is no package"
    file=$(find "$work/archive/www/pool" -name "$(printf %s "$deb" | sed 's/_[0-9]*%3a/_/')")
    cmp "$deb" "$file"
done
run dpkg-deb --field "$(find . -name '*.deb' | sort | head -n 1)" Package Version Architecture
cd "$work"
run aptrepo -b archive checkpool

printf '\n%s of %s are mirrored, and apt takes them from the copy.\n' "${sources[*]}" "$suite"
