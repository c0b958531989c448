//! Which files a distribution has, by what names, in the order in which Release lists them. Pure; the names and the
//! order are those of reprepro.

use std::collections::BTreeSet;

use super::Error;
use crate::conf::distribution::{Compression, Contents, Distribution, IndexFiles};
use crate::model::release::DirectoryRelease;
use crate::model::{Architecture, ArchivePath, Component, IndexId, IndexKind};

/// What a file is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// An index of packages, as it is.
    Packages(IndexId),
    /// The paths in the packages of these indexes.
    Contents(Vec<IndexId>),
    /// A text that is known.
    Text(String),
}

/// One index in all its forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexFile {
    /// The path of the plain form below the distribution's directory.
    pub(super) path: ArchivePath,
    pub(super) source: Source,
    /// The forms that are files, in the order of Release. The plain form is listed even if it is not among them.
    pub(super) forms: Vec<Compression>,
    /// How many patches between its states are kept.
    pub(super) patches: usize,
}

/// All files of a distribution but Release and its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) files: Vec<IndexFile>,
    /// Symbolic links at the top of the distribution: name and target.
    pub(super) links: Vec<(ArchivePath, String)>,
}

impl IndexFile {
    /// The path of one form.
    pub(super) fn path_of(&self, form: Compression) -> Result<ArchivePath, Error> {
        path(&format!("{}{}", self.path, form.extension()))
    }
}

/// The checked path of a file below the distribution's directory.
pub(super) fn path(text: &str) -> Result<ArchivePath, Error> {
    ArchivePath::new(text).map_err(|source| Error::Path { source })
}

/// How the files of an index are called, and the directory that they are in, below the distribution's.
#[must_use]
pub fn place_of<'a>(distribution: &'a Distribution, index: &IndexId) -> (&'a IndexFiles, String) {
    let component = &index.component;
    let word = index.kind.architecture_word();
    match index.kind {
        IndexKind::Deb(_) => (&distribution.deb_indices, format!("{component}/binary-{word}")),
        IndexKind::Udeb(_) => (
            &distribution.udeb_indices,
            format!("{component}/debian-installer/binary-{word}"),
        ),
        IndexKind::Source => (&distribution.dsc_indices, format!("{component}/source")),
    }
}

/// The files of a distribution.
pub(super) fn lay_out(distribution: &Distribution) -> Result<Layout, Error> {
    let mut layout = Layout {
        files: Vec::new(),
        links: Vec::new(),
    };
    for index in distribution.indexes() {
        layout.push_index(distribution, index)?;
    }
    if let Some(contents) = &distribution.contents {
        for architecture in &contents.architectures {
            layout.push_contents(distribution, contents, architecture)?;
        }
    }
    layout.check_names(distribution)?;
    Ok(layout)
}

impl Layout {
    fn push_index(&mut self, distribution: &Distribution, index: IndexId) -> Result<(), Error> {
        let (names, directory) = place_of(distribution, &index);
        let IndexFiles {
            file_name,
            release_name,
            compressions,
            patches,
        } = names;
        let release = release_name
            .as_ref()
            .map(|name| {
                Ok::<_, Error>(IndexFile {
                    path: path(&format!("{directory}/{name}"))?,
                    source: Source::Text(directory_release(distribution, &index)),
                    forms: vec![Compression::Plain],
                    patches: 0,
                })
            })
            .transpose()?;
        self.push(
            path(&format!("{directory}/{file_name}"))?,
            Source::Packages(index),
            (compressions, *patches),
        );
        self.files.extend(release);
        Ok(())
    }

    fn push(&mut self, path: ArchivePath, source: Source, (forms, patches): (&[Compression], usize)) {
        let mut forms = forms.to_vec();
        forms.sort_unstable();
        forms.dedup();
        self.files.push(IndexFile {
            path,
            source,
            forms,
            patches,
        });
    }

    fn push_contents(
        &mut self,
        distribution: &Distribution,
        contents: &Contents,
        architecture: &Architecture,
    ) -> Result<(), Error> {
        let deb = |component: &Component| IndexId {
            codename: distribution.codename.clone(),
            component: component.clone(),
            kind: IndexKind::Deb(architecture.clone()),
        };
        let udeb = |component: &Component| IndexId {
            kind: IndexKind::Udeb(architecture.clone()),
            ..deb(component)
        };
        let made = (contents.compressions.as_slice(), contents.patches);
        let debs: Vec<IndexId> = if contents.debs {
            contents.components.iter().map(deb).collect()
        } else {
            Vec::new()
        };
        let udebs: Vec<IndexId> = if contents.udebs {
            contents.udeb_components.iter().map(udeb).collect()
        } else {
            Vec::new()
        };
        for (indexes, own, merged, link) in [
            (debs, "Contents-", "Contents-", "Contents-"),
            (udebs, "Contents-udeb-", "uContents-", "sContents-"),
        ] {
            let Some(first) = indexes.first() else { continue };
            if contents.per_component && contents.compat_symlink && !contents.all_components {
                let component = &first.component;
                for form in &contents.compressions {
                    let ending = format!("{architecture}{}", form.extension());
                    let target = format!("{component}/{own}{ending}");
                    self.links.push((path(&format!("{link}{ending}"))?, target));
                }
            }
            if contents.per_component {
                for index in &indexes {
                    let component = &index.component;
                    let name = path(&format!("{component}/{own}{architecture}"))?;
                    self.push(name, Source::Contents(vec![index.clone()]), made);
                }
            }
            if contents.all_components {
                let name = path(&format!("{merged}{architecture}"))?;
                self.push(name, Source::Contents(indexes), made);
            }
        }
        Ok(())
    }

    /// A component can be named like a part of another's directory, such as `main` and `main/source`.
    fn check_names(&self, distribution: &Distribution) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        for file in &self.files {
            if !names.insert(&file.path) {
                return Err(Error::SamePath {
                    codename: distribution.codename.clone(),
                    path: file.path.clone(),
                });
            }
        }
        Ok(())
    }
}

fn directory_release(distribution: &Distribution, index: &IndexId) -> String {
    DirectoryRelease {
        archive: distribution.suite.as_ref().map(AsRef::as_ref),
        version: distribution.version.as_deref(),
        component: index.component.as_str(),
        origin: distribution.origin.as_deref(),
        label: distribution.label.as_deref(),
        architecture: index.kind.architecture_word(),
        not_automatic: distribution.not_automatic.as_deref(),
        but_automatic_upgrades: distribution.but_automatic_upgrades.as_deref(),
        description: distribution.description.as_deref(),
    }
    .render()
}

#[cfg(test)]
mod tests {
    use super::super::tests::distribution;
    use super::*;

    fn names(layout: &Layout) -> Vec<String> {
        let mut names = Vec::new();
        for file in &layout.files {
            for form in &file.forms {
                names.push(file.path_of(*form).unwrap().to_string());
            }
        }
        names
    }

    #[test]
    fn the_order_is_that_of_reprepro() {
        let mut distribution = distribution("t");
        distribution.udeb_components = vec![Component::new("main").unwrap()];
        let contents = distribution.contents.as_mut().unwrap();
        contents.all_components = true;
        contents.udebs = true;
        contents.udeb_components = vec![Component::new("main").unwrap()];
        let layout = lay_out(&distribution).unwrap();
        assert_eq!(
            names(&layout),
            [
                "main/binary-amd64/Packages",
                "main/binary-amd64/Packages.gz",
                "main/binary-amd64/Release",
                "main/debian-installer/binary-amd64/Packages",
                "main/debian-installer/binary-amd64/Packages.gz",
                "main/source/Sources.gz",
                "main/source/Release",
                "role/web/binary-amd64/Packages",
                "role/web/binary-amd64/Packages.gz",
                "role/web/binary-amd64/Release",
                "role/web/source/Sources.gz",
                "role/web/source/Release",
                "main/Contents-amd64.gz",
                "role/web/Contents-amd64.gz",
                "Contents-amd64.gz",
                "main/Contents-udeb-amd64.gz",
                "uContents-amd64.gz",
            ]
        );
        assert_eq!(layout.links, []);
    }

    #[test]
    fn a_link_stands_where_the_merged_contents_would() {
        let layout = lay_out(&distribution("t")).unwrap();
        let links: Vec<_> = layout
            .links
            .iter()
            .map(|(name, target)| (name.as_str(), target.as_str()))
            .collect();
        assert_eq!(links, [("Contents-amd64.gz", "main/Contents-amd64.gz")]);
    }
}
