#!/bin/bash
# Ten minutes with aptrepo in one: an archive with staging and production, packages, a server, and a client that reads
# it. The configuration is conf.example as it is. Everything lives in one temporary directory; KEEP=1 leaves it there.
# usage: demo.sh APTREPO
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/packages.sh"
example=$(cd "$here/../conf.example" && pwd)
aptrepo=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
staging=precise-staging production=precise-prod # as in conf.example
unset REPREPRO_BASE_DIR REPREPRO_CONFIG_DIR GNUPGHOME APT_CONFIG
export LC_ALL=C.UTF-8

work=$(mktemp -d -t aptrepo-demo.XXXXXX)
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
mkdir archive built bin
ln -s "$aptrepo" bin/aptrepo
# conf.example mails changes: here they go to a file
printf '#!/bin/sh\n{ echo "Subject: $2"; cat; echo; } >> "%s/mailbox"\n' "$work" > bin/mail
chmod 755 bin/mail
PATH=$work/bin:$PATH

if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; else bold='' plain=''; fi
step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
show() {
    printf '%s$' "$bold"
    for word; do
        case $word in *[!A-Za-z0-9_./:=@+,-]*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    printf '%s\n' "$plain"
}
run() {
    show "$@"
    "$@"
}

step '1. A configuration (conf.example) and a signing key'
run cp -r "$example" archive/conf
run aptrepo -b archive check-conf
run aptrepo -b archive key generate --name 'Example Archive' --email archive@example.com
run aptrepo -b archive export
echo "${bold}\$ aptrepo -b archive key export > example.asc${plain}"
aptrepo -b archive key export > example.asc

step "2. Two source packages are built, and what was built goes to $staging"
export DISTRIBUTION=$staging
package built web-common 1.0
package built web-frontend 1.0 web-common
run aptrepo -b archive include "$staging" built/web-common_1.0_*.changes
run aptrepo -b archive -C role/web include "$staging" built/web-frontend_1.0_*.changes
run aptrepo -b archive list "$staging"

step "3. They are good: to $production, sources and binaries; first just to see what would happen"
run aptrepo -b archive --dry-run copysrc "$production" "$staging" web-frontend
run aptrepo -b archive copysrc "$production" "$staging" web-frontend
run aptrepo -b archive copysrc "$production" "$staging" web-common

step "4. Work goes on: web-frontend 1.1, in $staging alone"
package built web-frontend 1.1 web-common
run aptrepo -b archive -C role/web include "$staging" built/web-frontend_1.1_*.changes
run aptrepo -b archive ls web-frontend

step '5. A server'
echo "${bold}\$ aptrepo -b archive serve --listen 127.0.0.1:0 &${plain}"
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

step '6. A client with staging and production in its sources.list, and no preferences'
root=$work/client
mkdir -p "$root"/etc/apt/{apt.conf.d,preferences.d,sources.list.d} "$root"/var/lib/{apt/lists/partial,dpkg} \
    "$root"/var/cache/apt/archives/partial "$root"/var/log/apt
: > "$root/var/lib/dpkg/status"
cat > "$root/apt.conf" <<CONF
Dir "$root/";
Dir::State::status "$root/var/lib/dpkg/status";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Sandbox::User "";
Acquire::http::Proxy "DIRECT";
CONF
export APT_CONFIG=$root/apt.conf
for codename in "$staging" "$production"; do
    echo "deb [signed-by=$work/example.asc] $url $codename main role/web"
    echo "deb-src [signed-by=$work/example.asc] $url $codename main role/web"
done | tee "$root/etc/apt/sources.list"
run apt-get update

step "7. $staging is NotAutomatic (priority 1), $production is not (500)"
run apt-cache policy web-frontend | tee policy
grep -q 'Candidate: 1.0$' policy
grep -Eq '^ +500 .*precise-prod/role/web' policy
grep -Eq '^ +1 .*precise-staging/role/web' policy
echo
echo 'So what is installed when nobody asks for staging is what was tested:'
run apt-get install --simulate web-frontend | tee simulated
grep -q 'Inst web-frontend (1.0 ' simulated
echo
echo 'and who wants to test asks for it:'
run apt-get install --simulate -t "$staging" web-frontend | tee simulated
grep -q 'Inst web-frontend (1.1 ' simulated

step '8. The client downloads the package and its source'
cd "$root"
run apt-get download web-frontend
run apt-get source --download-only web-frontend=1.0
run ls web-frontend_1.0.dsc web-frontend_1.0.tar.xz web-frontend_1.0_all.deb
cmp web-frontend_1.0_all.deb "$work/built/web-frontend_1.0_all.deb"
echo 'The package is, byte for byte, the one that was uploaded.'
cd "$work"

step '9. What was written down'
run cat "archive/logs/packages.ex-$production.log"
echo
echo 'and mailed by the notifier email-changes (the last message):'
grep '^Subject' mailbox | tail -n 1

step 'Next'
cat <<NEXT
  KEEP=1 make demo                    leaves the archive and the client; then, in that directory:
  aptrepo -b archive serve            the server again
  aptrepo -b archive checkpool        every file of the pool against its digests
  aptrepo -b archive --dry-run removesrc $staging web-frontend
  aptrepo -b archive --json ls web-frontend
  aptrepo --help                      all commands
conf.example explains every setting that was used; README.md has the rest.
NEXT
