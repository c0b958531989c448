//! What a request path stands for, and what clients and proxies between are told about that kind of file.
//! Pure; called by `respond`. File names follow DebianRepository/Format.

use crate::model::ArchivePath;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/`, for people.
    Page,
    /// A file below `dists/` or `pool/`.
    File(Target),
}

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The tree it lies in.
    pub tree: Tree,
    /// The path below that tree.
    pub path: ArchivePath,
}

/// The two trees that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tree {
    /// Indexes, replaced with each publishing.
    Dists,
    /// Packages, which never change.
    Pool,
}

/// The meaning of the path of a request, still percent-encoded; nothing for all that is not served.
pub(super) fn route(path: &str) -> Option<Route> {
    let decoded = percent_decoded(path)?;
    // `deb http://host/ suite` makes some clients ask for `//dists`
    let relative = decoded.trim_start_matches('/');
    if relative.is_empty() {
        return Some(Route::Page);
    }
    let (tree, rest) = relative.split_once('/')?;
    let tree = match tree {
        "dists" => Tree::Dists,
        "pool" => Tree::Pool,
        _ => return None,
    };
    let path = ArchivePath::new(rest).ok()?;
    // trees that are still being built, and whatever else is nobody's business
    if path.as_str().split('/').any(|part| part.starts_with('.')) {
        return None;
    }
    Some(Route::File(Target { tree, path }))
}

/// RFC 3986 section 2.1; nothing for a bad escape or for bytes that are not UTF-8. `+` is itself: versions have it.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

impl Target {
    /// The media type. A compressed index is a file of its own, never an encoding of another one: a client that
    /// decoded it on the way would find the wrong digest.
    pub fn content_type(&self) -> &'static str {
        const TEXT: &str = "text/plain; charset=utf-8";
        let name = self.path.file_name();
        match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
            "deb" | "udeb" | "ddeb" => "application/vnd.debian.binary-package",
            "dsc" | "changes" | "buildinfo" => TEXT,
            "gz" => "application/gzip",
            "xz" => "application/x-xz",
            "bz2" => "application/x-bzip2",
            "zst" => "application/zstd",
            "lzma" => "application/x-lzma",
            "gpg" | "asc" | "sig" => "application/pgp-signature",
            _ if self.tree == Tree::Dists && !self.is_by_hash() => TEXT,
            _ => "application/octet-stream",
        }
    }

    /// The caching rule. What has a digest in its name is good for ever; a pool file never changes but may go; every
    /// other file of `dists` must be asked for again, or a proxy joins the Release of one publishing with an index of
    /// another.
    pub fn cache_control(&self) -> &'static str {
        match self.tree {
            Tree::Dists if self.is_by_hash() => "public, max-age=31536000, immutable",
            Tree::Dists => "no-cache",
            Tree::Pool => "public, max-age=86400",
        }
    }

    fn is_by_hash(&self) -> bool {
        let mut parts = self.path.as_str().rsplit('/');
        parts.nth(2) == Some("by-hash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Target {
        match route(path) {
            Some(Route::File(target)) => target,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn only_the_two_trees_are_reachable() {
        for path in ["/", "//"] {
            assert_eq!(route(path), Some(Route::Page), "{path}");
        }
        for path in [
            "/conf/distributions",
            "/db/journal",
            "/dists",
            "/dists/",
            "/pool//x",
            "/poolx/a",
            "/dists/../conf/options",
            "/dists/..%2fconf/options",
            "/dists/%2e%2e/conf/options",
            "/pool/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
            "/dists/.new-precise/Release",
            "/dists/%2enew-precise/Release",
            "/pool/main/.tmp-x",
            "/pool/a%00b",
            "/pool/a%ff",
            "/pool/a%2",
            "/pool/a%zz",
            "/pool/a%0ab",
            "/favicon.ico",
        ] {
            assert_eq!(route(path), None, "{path}");
        }
    }

    #[test]
    fn escaped_and_plain_names_are_the_same_file() {
        let plain = target("/pool/main/h/hello/hello_1.0~rc1+b2-1_amd64.deb");
        assert_eq!(target("/pool/main/h/hello/hello_1.0%7erc1%2Bb2-1_amd64.deb"), plain);
        assert_eq!(plain.path.as_str(), "main/h/hello/hello_1.0~rc1+b2-1_amd64.deb");
    }

    #[test]
    fn types_and_caching_follow_the_kind_of_file() {
        let forever = "public, max-age=31536000, immutable";
        for (path, content_type, cache) in [
            ("/dists/precise/InRelease", "text/plain; charset=utf-8", "no-cache"),
            ("/dists/precise/Release.gpg", "application/pgp-signature", "no-cache"),
            (
                "/dists/precise/main/binary-amd64/Packages",
                "text/plain; charset=utf-8",
                "no-cache",
            ),
            (
                "/dists/precise/main/binary-amd64/Packages.xz",
                "application/x-xz",
                "no-cache",
            ),
            (
                "/dists/precise/main/binary-amd64/by-hash/SHA256/aa",
                "application/octet-stream",
                forever,
            ),
            ("/dists/by-hash/main/x/Sources.gz", "application/gzip", "no-cache"),
            (
                "/pool/main/h/hello/hello_1_all.deb",
                "application/vnd.debian.binary-package",
                "public, max-age=86400",
            ),
            (
                "/pool/main/h/hello/hello_1.dsc",
                "text/plain; charset=utf-8",
                "public, max-age=86400",
            ),
            (
                "/pool/main/h/hello/hello_1.tar.zst",
                "application/zstd",
                "public, max-age=86400",
            ),
        ] {
            assert_eq!(target(path).content_type(), content_type, "{path}");
            assert_eq!(target(path).cache_control(), cache, "{path}");
        }
    }
}
