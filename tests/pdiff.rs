//! Patches between states (`Packages.diff` and the like) as real readers use them: apt, over HTTP by `aptrepo serve`
//! and by nginx, and reprepro as a mirror.

mod support;

use std::path::PathBuf;

use aptrepo::model::Sha256;
use support::client::{AptClient, Server, complaints};
use support::{Deb, Output, Source, TestEnv, TestResult, Tool, have_tools};

const PACKAGES: usize = 120;
const SOURCES: usize = 60;
/// The index files that clients have, as they are published and as apt names its copies.
const INDEXES: [(&str, &str); 3] = [
    ("main/binary-amd64/Packages", "_main_binary-amd64_Packages"),
    ("main/source/Sources", "_main_source_Sources"),
    ("main/Contents-amd64", "_main_Contents-amd64"),
];
/// apt fetches Contents if it is told to, as `apt-file` does.
const WITH_CONTENTS: &str = "Acquire::IndexTargets::deb::Contents-deb { MetaKey \"$(COMPONENT)/Contents-$(ARCHITECTURE)\"; \
    ShortDescription \"Contents-$(ARCHITECTURE)\"; Description \"Contents\"; };\n";

/// An archive that keeps patches.
struct Archive {
    env: TestEnv,
    key: PathBuf,
}

impl Archive {
    /// The state before the first night; None where a program is missing.
    fn new(fields: &str) -> TestResult<Option<Self>> {
        if !have_tools(&["apt-get", "gpg", "gpgv"]) || Tool::under_test().is_reprepro {
            return Ok(None);
        }
        let distribution = format!(
            "Codename: local\nArchitectures: amd64 source\nComponents: main\nContents: .gz\nSignWith: yes\n\
             DebIndices: Packages Release .gz .xz\n{fields}\n"
        );
        let mut env = TestEnv::with(Tool::under_test(), &distribution)?;
        let key = env.make_key()?;
        let archive = Self { env, key };
        archive.include((0..PACKAGES).map(|number| deb(number, "1.0")).collect())?;
        archive.include_sources((0..SOURCES).map(|number| source(number, "1.0")).collect())?;
        Ok(Some(archive))
    }

    fn include(&self, debs: Vec<Deb>) -> TestResult {
        self.run_with("includedeb", debs.iter().map(|deb| deb.build(&self.env.incoming())))
    }

    fn include_sources(&self, sources: Vec<Source>) -> TestResult {
        self.run_with(
            "includedsc",
            sources.iter().map(|source| source.build(&self.env.incoming())),
        )
    }

    fn run_with(&self, command: &str, files: impl Iterator<Item = std::io::Result<PathBuf>>) -> TestResult {
        let mut args = vec![PathBuf::from(command), "local".into()];
        for file in files {
            args.push(file?);
        }
        let _ = self.env.run(args).ok();
        Ok(())
    }

    /// Some packages get a new version, one comes, one goes.
    fn night(&self, night: usize) -> TestResult {
        let version = format!("1.{night}");
        let numbers = [7 * night, 7 * night + 1, 60 + night, PACKAGES + night];
        self.include(numbers.into_iter().map(|number| deb(number, &version)).collect())?;
        self.include_sources(vec![source(3 * night, &version)])?;
        let _ = self.env.run(["remove", "local", &deb(100 + night, "").name]).ok();
        self.env.assert_verified("local")
    }

    fn client(&self, server: &Server) -> TestResult<AptClient<'_>> {
        let line = |kind: &str| format!("{kind} {} local main", server.url);
        let client = AptClient::new(&self.env, &self.key, &[line("deb"), line("deb-src")])?;
        client.configure(WITH_CONTENTS)?;
        Ok(client)
    }

    /// The text of an index file.
    fn text(&self, index: &str) -> TestResult<String> {
        let mut text = String::new();
        let packed = std::fs::File::open(self.env.outdir().join(format!("dists/local/{index}.gz")))?;
        std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(packed), &mut text)?;
        Ok(text)
    }

    /// Whether the client has all of the present state.
    fn assert_current(&self, client: &AptClient<'_>, context: &str) -> TestResult {
        for (index, list) in INDEXES {
            assert!(client.list(list)? == self.text(index)?, "{context}: {index} is another");
        }
        Ok(())
    }
}

fn deb(number: usize, version: &str) -> Deb {
    let name = format!("package-{number:03}");
    let path = format!("usr/lib/{}", Sha256::of(name.as_bytes()));
    Deb::new(&name, version).file(&path, version.as_bytes())
}

fn source(number: usize, version: &str) -> Source {
    Source::new(&format!("source-{number:03}"), version)
}

/// What apt asked for below the distribution, but Release.
fn requests(update: &Output) -> Vec<String> {
    let text = update.text();
    let paths = text
        .lines()
        .filter_map(|line| line.strip_prefix("GET /dists/local/")?.split(' ').next());
    paths.filter(|path| *path != "InRelease").map(str::to_owned).collect()
}

/// Whether it is a whole index, and no patch or table of patches.
fn is_whole(path: &str) -> bool {
    path.starts_with("main/") && !path.contains(".diff/")
}

#[test]
fn apt_follows_five_nights_by_patches_alone() -> TestResult {
    let Some(archive) = Archive::new("PDiffs: 14")? else {
        return Ok(());
    };
    let servers = Server::all(&archive.env)?;
    // for each server one that is asked every night, and one that is asked once, in the end
    let mut clients = Vec::new();
    for server in &servers {
        for is_daily in [true, false] {
            let client = archive.client(server)?;
            let first = client.get(&["update"]).ok();
            assert_eq!(requests(&first).len(), INDEXES.len(), "{}: {first}", server.name);
            clients.push((server, is_daily, client));
        }
    }
    for night in 1..=5 {
        archive.night(night)?;
        for (server, is_daily, client) in &clients {
            if !is_daily && night != 5 {
                continue;
            }
            let context = format!("{}, night {night}", server.name);
            let update = client.get(&["update"]).ok();
            assert!(complaints(&update).is_empty(), "{context}: {update}");
            let requests = requests(&update);
            assert!(!requests.iter().any(|path| is_whole(path)), "{context}: {requests:#?}");
            let tables = requests
                .iter()
                .filter(|path| path.contains(".diff/by-hash/SHA256/"))
                .count();
            assert_eq!(tables, INDEXES.len(), "{context}: {requests:#?}");
            let steps = requests.iter().filter(|path| path.ends_with(".gz")).count();
            // includedeb, remove and includedsc of a night are three states
            let nights = if *is_daily { 1 } else { 5 };
            assert_eq!(steps, nights * (2 + 2 + 1), "{context}: {requests:#?}");
            archive.assert_current(client, &context)?;
        }
    }
    Ok(())
}

#[test]
fn apt_fetches_the_whole_index_where_patches_do_not_reach() -> TestResult {
    let Some(archive) = Archive::new("PDiffs: 3")? else {
        return Ok(());
    };
    for server in Server::all(&archive.env)? {
        let client = archive.client(&server)?;
        let _ = client.get(&["update"]).ok();
        let night = if server.name == "nginx" { 1 } else { 4 };
        // four states of Packages, two of Sources
        archive.night(night)?;
        archive.night(night + 1)?;
        let update = client.get(&["update"]).ok();
        assert!(complaints(&update).is_empty(), "{}: {update}", server.name);
        let requests = requests(&update);
        let is_of = |path: &&String, directory: &str| path.starts_with(&format!("main/{directory}/by-hash/"));
        assert_eq!(
            requests.iter().filter(|path| is_of(path, "binary-amd64")).count(),
            1,
            "{requests:#?}"
        );
        assert_eq!(
            requests.iter().filter(|path| is_of(path, "source")).count(),
            0,
            "{requests:#?}"
        );
        archive.assert_current(&client, server.name)?;
    }
    Ok(())
}

#[test]
fn apt_takes_no_damaged_patch() -> TestResult {
    let Some(archive) = Archive::new("PDiffs: 3")? else {
        return Ok(());
    };
    for (number, server) in Server::all(&archive.env)?.iter().enumerate() {
        let client = archive.client(server)?;
        let _ = client.get(&["update"]).ok();
        archive.night(number + 1)?;
        let directory = archive.env.outdir().join("dists/local/main/binary-amd64/Packages.diff");
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "gz") {
                let mut bytes = std::fs::read(&path)?;
                *bytes.last_mut().ok_or("an empty patch")? ^= 1;
                spoil(&path, &bytes)?;
            }
        }
        let update = client.get(&["update"]).ok();
        assert!(
            requests(&update).iter().any(|path| is_whole(path)),
            "{}: {update}",
            server.name
        );
        archive.assert_current(&client, server.name)?;
        // `export` looks at each byte, and offers what is whole
        let _ = archive.env.run(["export", "local"]).ok();
        archive.env.assert_verified("local")?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a test damages a file in place")]
fn spoil(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::remove_file(path)?;
    std::fs::write(path, bytes)
}

#[test]
fn reprepro_follows_two_nights_by_patches_alone() -> TestResult {
    let Some(archive) = Archive::new("PDiffs: 14")? else {
        return Ok(());
    };
    let (Some(reprepro), Some(server)) = (Tool::reprepro(), Server::nginx(&archive.env)?) else {
        let _ = have_tools(&["reprepro", "nginx"]);
        return Ok(());
    };
    let mirror = TestEnv::with(
        reprepro,
        "Codename: local\nArchitectures: amd64 source\nComponents: main\nUpdate: - up\n",
    )?;
    let rule = format!(
        "Name: up\nMethod: {}\nVerifyRelease: blindtrust\nDownloadListsAs: .diff .gz\n",
        server.url
    );
    mirror.conf("updates", &rule)?;
    for night in 0..=2 {
        if night > 0 {
            archive.night(night)?;
        }
        let update = mirror.run(["-VV", "update", "local"]).ok();
        let requests = server.requests()?;
        let whole = requests.iter().filter(|request| {
            ["/Packages.gz", "/Sources.gz"]
                .iter()
                .any(|name| request.path.ends_with(name))
        });
        assert_eq!(whole.count(), if night == 0 { 2 } else { 0 }, "{update}\n{requests:#?}");
        let steps = requests
            .iter()
            .filter(|request| request.path.contains(".diff/") && request.path.ends_with(".gz"));
        assert_eq!(steps.count(), if night == 0 { 0 } else { 3 }, "{update}\n{requests:#?}");
        assert_eq!(mirror.list("local"), archive.env.list("local"));
    }
    Ok(())
}
