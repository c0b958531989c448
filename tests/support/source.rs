//! Writes source packages (dsc(5)): a .dsc and its tarballs, the same bytes each time.

use std::io;
use std::path::{Path, PathBuf};

use aptrepo::model::{DigestKind, FileDigests, Hasher};

use super::deb::{Compression, tar, without_epoch};

/// A source package to be built.
#[derive(Debug, Clone)]
pub struct Source {
    pub name: String,
    pub version: String,
    pub section: String,
    binaries: Vec<(String, String)>,
    native: bool,
}

impl Source {
    /// Format `3.0 (quilt)` if the version has a revision, else `3.0 (native)`; one binary of its own name.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            section: "misc".into(),
            binaries: Vec::new(),
            native: !version.contains('-'),
        }
    }

    /// One tarball, whatever the version looks like.
    pub fn native(mut self) -> Self {
        self.native = true;
        self
    }

    /// An upstream tarball and a Debian one.
    pub fn quilt(mut self) -> Self {
        self.native = false;
        self
    }

    pub fn section(mut self, section: &str) -> Self {
        self.section = section.into();
        self
    }

    /// One more binary package, `arch` being `any`, `all` or the name of one.
    pub fn binary(mut self, name: &str, arch: &str) -> Self {
        self.binaries.push((name.into(), arch.into()));
        self
    }

    /// The name of the .dsc.
    pub fn dsc_name(&self) -> String {
        format!("{}_{}.dsc", self.name, without_epoch(&self.version))
    }

    fn binaries(&self) -> Vec<(String, String)> {
        if self.binaries.is_empty() {
            vec![(self.name.clone(), "any".into())]
        } else {
            self.binaries.clone()
        }
    }

    /// The names of the binary packages, in order.
    pub fn binary_names(&self) -> Vec<String> {
        self.binaries().into_iter().map(|(name, _)| name).collect()
    }

    fn control(&self) -> String {
        let mut text = format!(
            "Source: {}\nSection: {}\nPriority: optional\nMaintainer: Test <test@example.org>\n",
            self.name, self.section
        );
        for (name, arch) in self.binaries() {
            text.push_str(&format!(
                "\nPackage: {name}\nArchitecture: {arch}\nDescription: package {name}\n"
            ));
        }
        text
    }

    /// The tarballs, by name. The upstream one depends on the upstream version alone, so revisions share it.
    pub fn tarballs(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let (name, version) = (&self.name, without_epoch(&self.version));
        let upstream = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
        let code = (
            format!("{name}-{upstream}/code.c"),
            format!("/* {name} {upstream} */\n"),
        );
        let debian = [
            ("control".to_owned(), self.control()),
            (
                "changelog".to_owned(),
                format!("{name} ({}) unstable; urgency=low\n", self.version),
            ),
        ];
        let bytes = |(path, text): (String, String)| (path, text.into_bytes());
        if self.native {
            let inside = debian.map(|(file, text)| (format!("{name}-{version}/debian/{file}"), text));
            let files: Vec<_> = std::iter::once(code).chain(inside).map(bytes).collect();
            return Ok(vec![(
                format!("{name}_{version}.tar.xz"),
                Compression::Xz.pack(&tar(&files)?)?,
            )]);
        }
        let inside: Vec<_> = debian
            .map(|(file, text)| bytes((format!("debian/{file}"), text)))
            .into();
        Ok(vec![
            (
                format!("{name}_{upstream}.orig.tar.gz"),
                Compression::Gz.pack(&tar(&[bytes(code)])?)?,
            ),
            (
                format!("{name}_{version}.debian.tar.xz"),
                Compression::Xz.pack(&tar(&inside)?)?,
            ),
        ])
    }

    /// The text of the .dsc for these tarballs.
    fn dsc(&self, tarballs: &[(String, Vec<u8>)]) -> String {
        let format = if self.native { "native" } else { "quilt" };
        let binaries = self.binaries();
        let mut archs: Vec<_> = binaries.iter().map(|(_, arch)| arch.as_str()).collect();
        archs.sort_unstable();
        archs.dedup();
        let mut text = format!(
            "Format: 3.0 ({format})\nSource: {}\nBinary: {}\nArchitecture: {}\nVersion: {}\n\
             Maintainer: Test <test@example.org>\nStandards-Version: 4.6.2\nBuild-Depends: debhelper-compat (= 13)\nPackage-List:\n",
            self.name,
            self.binary_names().join(", "),
            archs.join(" "),
            self.version,
        );
        for (name, arch) in &binaries {
            text.push_str(&format!(" {name} deb {} optional arch={arch}\n", self.section));
        }
        for kind in [DigestKind::Sha1, DigestKind::Sha256, DigestKind::Md5] {
            text.push_str(&format!("{}:\n", kind.source_field()));
            for (name, content) in tarballs {
                text.push_str(&format!(" {} {} {name}\n", hex(content, kind), content.len()));
            }
        }
        text
    }

    /// Writes .dsc and tarballs into `dir` and returns the path of the .dsc.
    pub fn build(&self, dir: &Path) -> io::Result<PathBuf> {
        std::fs::create_dir_all(dir)?;
        let tarballs = self.tarballs()?;
        for (name, content) in &tarballs {
            std::fs::write(dir.join(name), content)?;
        }
        let path = dir.join(self.dsc_name());
        std::fs::write(&path, self.dsc(&tarballs))?;
        Ok(path)
    }

    /// All files that [`Source::build`] writes, the .dsc first.
    pub fn files(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let tarballs = self.tarballs()?;
        let dsc = (self.dsc_name(), self.dsc(&tarballs).into_bytes());
        Ok(std::iter::once(dsc).chain(tarballs).collect())
    }
}

/// All digests of some bytes.
pub fn digests(content: &[u8]) -> FileDigests {
    let mut hasher = Hasher::with_sha512();
    hasher.update(content);
    hasher.finish()
}

/// One digest of some bytes, in hexadecimal.
pub fn hex(content: &[u8], kind: DigestKind) -> String {
    digests(content).digests.hex(kind).unwrap_or_default()
}
