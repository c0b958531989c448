//! Writes .deb and .udeb files (deb(5)) without dpkg, the same bytes each time.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The time of every file in a package.
const MTIME: u64 = 1_700_000_000;

/// How a member of a package is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gz,
    Xz,
    Bz2,
    Zstd,
}

impl Compression {
    /// The end of a file name, with its dot; empty for none.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gz => ".gz",
            Self::Xz => ".xz",
            Self::Bz2 => ".bz2",
            Self::Zstd => ".zst",
        }
    }

    /// The compressed form of `bytes`.
    pub fn pack(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(bytes.to_vec()),
            Self::Gz => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Bz2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(6));
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Zstd => zstd::stream::encode_all(bytes, 3),
        }
    }
}

/// A binary package to be built.
#[derive(Debug, Clone)]
pub struct Deb {
    pub name: String,
    pub version: String,
    pub arch: String,
    pub section: Option<String>,
    pub priority: Option<String>,
    pub source: Option<String>,
    pub udeb: bool,
    fields: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>)>,
    compression: Compression,
}

impl Deb {
    /// A package for amd64 in section misc, with one file in usr/share/doc.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            arch: "amd64".into(),
            section: Some("misc".into()),
            priority: Some("optional".into()),
            source: None,
            udeb: false,
            fields: Vec::new(),
            files: vec![(
                format!("usr/share/doc/{name}/readme"),
                format!("{name} {version}\n").into(),
            )],
            compression: Compression::Gz,
        }
    }

    pub fn arch(mut self, arch: &str) -> Self {
        self.arch = arch.into();
        self
    }

    pub fn section(mut self, section: &str) -> Self {
        self.section = Some(section.into());
        self
    }

    /// Leaves the Section and Priority fields out.
    pub fn without_section(mut self) -> Self {
        self.section = None;
        self.priority = None;
        self
    }

    pub fn priority(mut self, priority: &str) -> Self {
        self.priority = Some(priority.into());
        self
    }

    /// Sets the Source field, `name` or `name (version)`.
    pub fn source(mut self, source: &str) -> Self {
        self.source = Some(source.into());
        self
    }

    /// One more control field, after Maintainer.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// One more file, its path without a leading slash.
    pub fn file(mut self, path: &str, content: &[u8]) -> Self {
        self.files.push((path.into(), content.into()));
        self
    }

    /// How data.tar is compressed.
    pub fn compress(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Makes it a package for the installer.
    pub fn udeb(mut self) -> Self {
        self.udeb = true;
        self.section = Some("debian-installer".into());
        self
    }

    /// `NAME_VERSION_ARCH.deb`, without the epoch.
    pub fn file_name(&self) -> String {
        let kind = if self.udeb { "udeb" } else { "deb" };
        format!("{}_{}_{}.{kind}", self.name, without_epoch(&self.version), self.arch)
    }

    /// The control stanza, as it stands in control.tar.
    pub fn control(&self) -> String {
        let mut text = format!("Package: {}\n", self.name);
        let mut put = |name: &str, value: &str| text.push_str(&format!("{name}: {value}\n"));
        if let Some(source) = &self.source {
            put("Source", source);
        }
        put("Version", &self.version);
        put("Architecture", &self.arch);
        put("Maintainer", "Test <test@example.org>");
        for (name, value) in &self.fields {
            put(name, value);
        }
        if let Some(section) = &self.section {
            put("Section", section);
        }
        if let Some(priority) = &self.priority {
            put("Priority", priority);
        }
        put(
            "Description",
            &format!("package {}\n of the tests\n .\n  with an indented line", self.name),
        );
        text
    }

    /// The package's bytes.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        let control = tar(&[("control".to_owned(), self.control().into_bytes())])?;
        let data = self.compression.pack(&tar(&self.files)?)?;
        let mut archive = ar::Builder::new(Vec::new());
        for (name, content) in [
            ("debian-binary".to_owned(), b"2.0\n".to_vec()),
            ("control.tar.gz".to_owned(), Compression::Gz.pack(&control)?),
            (format!("data.tar{}", self.compression.suffix()), data),
        ] {
            let mut header = ar::Header::new(name.into_bytes(), content.len() as u64);
            header.set_mode(0o100_644);
            header.set_mtime(MTIME);
            archive.append(&header, content.as_slice())?;
        }
        archive.into_inner()
    }

    /// Writes the package into `dir` and returns its path.
    pub fn build(&self, dir: &Path) -> io::Result<PathBuf> {
        let path = dir.join(self.file_name());
        std::fs::create_dir_all(dir)?;
        std::fs::write(&path, self.bytes()?)?;
        Ok(path)
    }
}

/// A version as it stands in file names.
pub fn without_epoch(version: &str) -> &str {
    version.split_once(':').map_or(version, |(_, rest)| rest)
}

/// A tar of these files and of the directories they lie in, all below `./`.
pub fn tar(files: &[(String, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut made = BTreeSet::from([String::new()]);
    append(&mut builder, "./", None)?;
    for (path, content) in files {
        for (at, _) in path.match_indices('/') {
            let (parent, _) = path.split_at(at);
            if made.insert(parent.to_owned()) {
                append(&mut builder, &format!("./{parent}/"), None)?;
            }
        }
        append(&mut builder, &format!("./{path}"), Some(content))?;
    }
    builder.into_inner()
}

/// Appends a file, or a directory where there is no content. The name is put in as it is: `Header::set_path` would
/// cut the `./` that dpkg-deb writes.
fn append(builder: &mut tar::Builder<Vec<u8>>, name: &str, content: Option<&[u8]>) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mtime(MTIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mode(if content.is_some() { 0o644 } else { 0o755 });
    header.set_entry_type(if content.is_some() {
        tar::EntryType::Regular
    } else {
        tar::EntryType::Directory
    });
    let content = content.unwrap_or_default();
    header.set_size(content.len() as u64);
    let field = &mut header.as_old_mut().name;
    if let Some(field) = field.get_mut(..name.len()) {
        field.copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, content)
    } else {
        builder.append_data(&mut header, name, content)
    }
}
