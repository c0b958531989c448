# Sourced: makes small Debian packages, source and binary, for scripts that need some.

# package DIR NAME VERSION [DEPENDS]: builds NAME in DIR; leaves .dsc, .tar.xz, .deb, .buildinfo and .changes there
package() {
    local dir=$1 name=$2 version=$3 depends=${4:-'${misc:Depends}'}
    local tree=$dir/$name-$version
    mkdir -p "$tree/debian/source"
    echo '3.0 (native)' > "$tree/debian/source/format"
    cat > "$tree/debian/control" <<CONTROL
Source: $name
Section: misc
Priority: optional
Maintainer: Example Packager <packager@example.org>
Standards-Version: 4.6.2
Rules-Requires-Root: no

Package: $name
Architecture: all
Depends: $depends
Description: the small package $name
 It says its name, and is there to be moved about.
CONTROL
    cat > "$tree/debian/changelog" <<CHANGELOG
$name ($version) ${DISTRIBUTION:-unstable}; urgency=medium

  * Version $version.

 -- Example Packager <packager@example.org>  Mon, 05 Jan 2026 10:00:00 +0000
CHANGELOG
    cat > "$tree/debian/rules" <<'RULES'
#!/usr/bin/make -f
NAME := $(shell dpkg-parsechangelog -S Source)
clean:
	rm -rf debian/tree debian/files
build build-arch build-indep:
binary-arch:
binary binary-indep: build
	mkdir -p debian/tree/DEBIAN debian/tree/usr/bin
	printf '#!/bin/sh\necho this is %s\n' $(NAME) > debian/tree/usr/bin/$(NAME)
	chmod 755 debian/tree/usr/bin/$(NAME)
	dpkg-gencontrol -Pdebian/tree
	dpkg-deb --root-owner-group --build debian/tree ..
RULES
    chmod 755 "$tree/debian/rules"
    # -d: the tools are checked by whoever calls this
    (cd "$tree" && dpkg-buildpackage -us -uc -d) > "$dir/$name-$version.log" 2>&1 || {
        cat "$dir/$name-$version.log" >&2
        return 1
    }
    rm -rf "$tree"
}
