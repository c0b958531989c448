//! Writes uploads (deb-changes(5)): a .changes and the files it lists, whole or broken in one way.

use std::io;
use std::path::{Path, PathBuf};

use aptrepo::model::DigestKind;

use super::deb::{Deb, without_epoch};
use super::source::{Source, hex};

/// The one way in which an upload is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The digests of the last file are those of something else.
    WrongDigest,
    /// The size of the last file is one too many.
    WrongSize,
    /// The last file is listed but not there.
    MissingFile,
    /// The last file's architecture is not in the Architecture field.
    SurprisingArchitecture,
    /// The last file's package is not in the Binary field.
    SurprisingBinary,
    /// The .changes has no Files field.
    NoFiles,
}

/// An upload to be built.
#[derive(Debug, Clone)]
pub struct Changes {
    distribution: String,
    source: Option<Source>,
    debs: Vec<Deb>,
    fault: Option<Fault>,
}

/// A file of an upload with what its line in `Files` says.
struct Part {
    name: String,
    content: Vec<u8>,
    section: String,
    priority: String,
}

impl Changes {
    /// An upload for a distribution, still empty.
    pub fn new(distribution: &str) -> Self {
        Self {
            distribution: distribution.into(),
            source: None,
            debs: Vec::new(),
            fault: None,
        }
    }

    pub fn source(mut self, source: &Source) -> Self {
        self.source = Some(source.clone());
        self
    }

    pub fn deb(mut self, deb: &Deb) -> Self {
        self.debs.push(deb.clone());
        self
    }

    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Name and version of the source: of the .dsc, or as the first .deb says.
    fn identity(&self) -> (String, String) {
        if let Some(source) = &self.source {
            return (source.name.clone(), source.version.clone());
        }
        let Some(deb) = self.debs.first() else {
            return ("empty".into(), "0".into());
        };
        match &deb.source {
            None => (deb.name.clone(), deb.version.clone()),
            Some(text) => match text.split_once(" (") {
                None => (text.clone(), deb.version.clone()),
                Some((name, version)) => (name.into(), version.trim_end_matches(')').into()),
            },
        }
    }

    fn architectures(&self) -> Vec<String> {
        let mut archs: Vec<String> = self.source.iter().map(|_| "source".into()).collect();
        let last = self.debs.len().saturating_sub(1);
        for (at, deb) in self.debs.iter().enumerate() {
            let left_out = self.fault == Some(Fault::SurprisingArchitecture) && at == last;
            if !left_out && !archs.contains(&deb.arch) {
                archs.push(deb.arch.clone());
            }
        }
        archs
    }

    fn parts(&self) -> io::Result<Vec<Part>> {
        let mut parts = Vec::new();
        if let Some(source) = &self.source {
            for (name, content) in source.files()? {
                parts.push(Part {
                    name,
                    content,
                    section: source.section.clone(),
                    priority: "optional".into(),
                });
            }
        }
        for deb in &self.debs {
            parts.push(Part {
                name: deb.file_name(),
                content: deb.bytes()?,
                section: deb.section.clone().unwrap_or_else(|| "misc".into()),
                priority: deb.priority.clone().unwrap_or_else(|| "optional".into()),
            });
        }
        Ok(parts)
    }

    fn header(&self) -> String {
        let (name, version) = self.identity();
        let mut binaries: Vec<_> = self.debs.iter().map(|deb| deb.name.clone()).collect();
        if self.fault == Some(Fault::SurprisingBinary) {
            binaries.pop();
            binaries.push("something-else".into());
        }
        binaries.dedup();
        let binary = if binaries.is_empty() {
            String::new()
        } else {
            format!("Binary: {}\n", binaries.join(" "))
        };
        let described: String = self
            .debs
            .iter()
            .map(|deb| format!("\n {} - package {}", deb.name, deb.name))
            .collect();
        let described = if described.is_empty() {
            String::new()
        } else {
            format!("Description:{described}\n")
        };
        format!(
            "Format: 1.8\nDate: Tue, 14 Nov 2023 22:13:20 +0000\nSource: {name}\n{binary}Architecture: {}\n\
             Version: {version}\nDistribution: {}\nUrgency: low\nMaintainer: Test <test@example.org>\n\
             Changed-By: Test <test@example.org>\n{described}Changes:\n {name} ({version}) {}; urgency=low\n .\n   * Made for a test.\n",
            self.architectures().join(" "),
            self.distribution,
            self.distribution,
        )
    }

    /// `SOURCE_VERSION_ARCH.changes`.
    pub fn file_name(&self) -> String {
        let (name, version) = self.identity();
        let archs = self.architectures();
        let arch = archs.iter().find(|arch| *arch != "source").or(archs.first());
        format!(
            "{name}_{}_{}.changes",
            without_epoch(&version),
            arch.map_or("source", |arch| arch.as_str())
        )
    }

    /// Writes the upload into `dir` and returns the path of the .changes.
    pub fn build(&self, dir: &Path) -> io::Result<PathBuf> {
        std::fs::create_dir_all(dir)?;
        let parts = self.parts()?;
        let last = parts.len().saturating_sub(1);
        let listed = |kind: DigestKind| -> String {
            let mut text = String::new();
            for (at, part) in parts.iter().enumerate() {
                let fault = self.fault.filter(|_| at == last);
                let content: &[u8] = match fault {
                    Some(Fault::WrongDigest) => b"something else",
                    _ => &part.content,
                };
                let size = part.content.len() + usize::from(fault == Some(Fault::WrongSize));
                let digest = hex(content, kind);
                if kind == DigestKind::Md5 {
                    let (section, priority) = (&part.section, &part.priority);
                    text.push_str(&format!(" {digest} {size} {section} {priority} {}\n", part.name));
                } else {
                    text.push_str(&format!(" {digest} {size} {}\n", part.name));
                }
            }
            text
        };
        let mut text = self.header();
        for kind in [DigestKind::Sha1, DigestKind::Sha256, DigestKind::Md5] {
            if kind != DigestKind::Md5 || self.fault != Some(Fault::NoFiles) {
                text.push_str(&format!("{}:\n{}", kind.source_field(), listed(kind)));
            }
        }
        for (at, part) in parts.iter().enumerate() {
            let path = dir.join(&part.name);
            if self.fault == Some(Fault::MissingFile) && at == last {
                if path.exists() {
                    std::fs::remove_file(&path)?;
                }
            } else {
                std::fs::write(&path, &part.content)?;
            }
        }
        let path = dir.join(self.file_name());
        std::fs::write(&path, text)?;
        Ok(path)
    }
}
