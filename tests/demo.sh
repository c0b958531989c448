#!/bin/bash
# Ten minutes with aptrepo in one: an archive with a staging and a production distribution, packages, a server, and a
# client that reads it. Everything lives in one temporary directory; KEEP=1 leaves it there.
# usage: demo.sh APTREPO
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/packages.sh"
PATH=$(cd "$(dirname "$1")" && pwd):$PATH
staging=staging production=production # as in conf.example

work=$(mktemp -d -t aptrepo-demo.XXXXXX)
server=
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    if [ -n "${KEEP:-}" ]; then
        echo "all of it is left in $work"
    else
        rm -rf "$work"
    fi
}
trap finish EXIT
cd "$work"

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() {
    printf '$'
    printf ' %s' "$@"
    printf '\n'
    "$@"
}

step "1. A configuration and a signing key"
mkdir archive
run cp -r "$here/../conf.example" archive/conf
run aptrepo -b archive key generate --name 'Example Archive' --email archive@example.org
run aptrepo -b archive export
echo "\$ aptrepo -b archive key export > archive-keyring.gpg"
aptrepo -b archive key export > archive-keyring.gpg

step "2. Two packages, built and uploaded to $staging"
export DISTRIBUTION=$staging
mkdir built
package built hello-demo 1.0
package built greet-demo 1.0 hello-demo
run aptrepo -b archive include "$staging" built/hello-demo_1.0_*.changes
run aptrepo -b archive include "$staging" built/greet-demo_1.0_*.changes
run aptrepo -b archive list "$staging"

step "3. hello-demo is good: to $production, with its source"
run aptrepo -b archive copysrc "$production" "$staging" hello-demo

step "4. Work goes on: hello-demo 1.1, in $staging alone"
package built hello-demo 1.1
run aptrepo -b archive include "$staging" built/hello-demo_1.1_*.changes
run aptrepo -b archive ls hello-demo

step "5. A server"
echo "\$ aptrepo -b archive serve --listen 127.0.0.1:0 &"
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

step "6. A client with both distributions, and no preferences"
root=$work/client
mkdir -p "$root"/etc/apt/{apt.conf.d,preferences.d,sources.list.d} "$root"/var/lib/{apt/lists/partial,dpkg} \
    "$root"/var/cache/apt/archives/partial "$root"/var/log/apt
: > "$root/var/lib/dpkg/status"
cat > "$root/apt.conf" <<CONF
Dir "$root/";
Dir::State::status "$root/var/lib/dpkg/status";
APT::Architecture "amd64";
APT::Sandbox::User "";
Acquire::http::Proxy "DIRECT";
CONF
export APT_CONFIG=$root/apt.conf
for codename in "$staging" "$production"; do
    echo "deb [signed-by=$work/archive-keyring.gpg] $url $codename main"
    echo "deb-src [signed-by=$work/archive-keyring.gpg] $url $codename main"
done | tee "$root/etc/apt/sources.list"
run apt-get update

step "7. $staging is NotAutomatic (priority 1), $production is not (500)"
run apt-cache policy hello-demo
echo "so what is installed when nobody asks for $staging is what was tested:"
run apt-get install --simulate --no-install-recommends hello-demo | tee simulated
grep -q 'hello-demo (1.0 ' simulated
echo "and whoever wants to test asks for it:"
run apt-cache -t "$staging" policy hello-demo

step "8. Downloads: the package, and its source"
cd "$root"
run apt-get download hello-demo
run dpkg-deb --info hello-demo_1.0_all.deb
run apt-get source --download-only hello-demo=1.0
run ls -l hello-demo*
cd "$work"

step "Next"
cat <<NEXT
  KEEP=1 make demo                        leaves the archive; then, in its directory:
  aptrepo -b archive serve                the server again
  aptrepo -b archive check                every file against its digests
  aptrepo -b archive remove $staging hello-demo
  aptrepo help                            all commands; conf.example shows all settings
NEXT
