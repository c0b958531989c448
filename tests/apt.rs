//! Real apt clients against the published archive, over HTTP: by `aptrepo serve` and by nginx.

mod support;

use std::path::PathBuf;
use std::time::Duration;

use support::client::{AptClient, Server, complaints};
use support::verify::assert_signed;
use support::{Changes, Deb, GnupgHome, Source, TestEnv, TestResult, Tool, have_tools};

const DISTRIBUTIONS: &str = "Codename: staging\nOrigin: Test\nLabel: staging\nArchitectures: amd64 source\n\
                             Components: main contrib\nContents: .gz\nNotAutomatic: yes\nSignWith: yes\n\n\
                             Codename: prod\nOrigin: Test\nLabel: prod\nArchitectures: amd64 source\n\
                             Components: main contrib\nContents: .gz\nSignWith: yes\n";

/// An archive with `hello` 1.0-1 in prod and 1.1-1 in staging, its public key, and what serves it. None where apt or
/// gpg are missing.
struct Archive {
    servers: Vec<Server>,
    key: PathBuf,
    env: TestEnv,
}

impl Archive {
    fn published() -> TestResult<Option<Self>> {
        if !have_tools(&["apt-get", "apt-cache", "gpg", "gpgv"]) {
            return Ok(None);
        }
        let mut env = TestEnv::with(Tool::under_test(), DISTRIBUTIONS)?;
        let key = env.make_key()?;
        upload(&env, "1.0-1")?;
        let _ = env.run(["copysrc", "prod", "staging", "hello"]).ok();
        upload(&env, "1.1-1")?;
        let servers = Server::all(&env)?;
        Ok(Some(Self { servers, key, env }))
    }

    fn client(&self, server: &Server) -> TestResult<AptClient<'_>> {
        let mut lines = Vec::new();
        for codename in ["staging", "prod"] {
            lines.push(format!("deb {} {codename} main contrib", server.url));
            lines.push(format!("deb-src {} {codename} main contrib", server.url));
        }
        AptClient::new(&self.env, &self.key, &lines)
    }
}

/// Waits until the published state is two seconds old. Who gets it before then is given an older date by `aptrepo
/// serve`, since another state of the same second could follow, and fetches it once more.
fn settle(env: &TestEnv) -> TestResult {
    for codename in ["staging", "prod"] {
        let modified = std::fs::metadata(env.outdir().join(format!("dists/{codename}/InRelease")))?.modified()?;
        while modified.elapsed().map_or(true, |age| age < Duration::from_secs(2)) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

fn upload(env: &TestEnv, version: &str) -> TestResult {
    let hello = Deb::new("hello", version).file("usr/bin/hello", version.as_bytes());
    let doc = Deb::new("hello-doc", version).arch("all").source("hello");
    let source = Source::new("hello", version)
        .binary("hello", "any")
        .binary("hello-doc", "all");
    let changes = Changes::new("staging").source(&source).deb(&hello).deb(&doc);
    let path = changes.build(&env.incoming())?;
    let _ = env.run(["include".as_ref(), "staging".as_ref(), path.as_os_str()]).ok();
    Ok(())
}

#[test]
fn apt_updates_without_a_complaint_and_prefers_prod() -> TestResult {
    let Some(archive) = Archive::published()? else {
        return Ok(());
    };
    for server in &archive.servers {
        let client = archive.client(server)?;
        let update = client.get(&["update"]).ok();
        assert!(complaints(&update).is_empty(), "{}: {update}", server.name);
        let policy = client.cache(&["policy", "hello"]).ok().stdout;
        assert!(
            policy.contains("Candidate: 1.0-1"),
            "{}: staging is NotAutomatic: {policy}",
            server.name
        );
        for priority in [
            format!(" 500 {} prod/main", server.url),
            format!("   1 {} staging/main", server.url),
        ] {
            assert!(policy.contains(&priority), "{}: no `{priority}`: {policy}", server.name);
        }
        let shown = client.cache(&["show", "hello-doc=1.1-1"]).ok().stdout;
        assert!(shown.contains("Source: hello\n"), "{shown}");
    }
    Ok(())
}

#[test]
fn apt_downloads_binaries_and_sources() -> TestResult {
    let Some(archive) = Archive::published()? else {
        return Ok(());
    };
    for server in &archive.servers {
        let client = archive.client(server)?;
        let _ = client.get(&["update"]).ok();
        let _ = client.get(&["download", "hello", "hello-doc=1.1-1"]).ok();
        let _ = client.get(&["source", "--download-only", "hello=1.1-1"]).ok();
        for (file, in_pool) in [
            ("hello_1.0-1_amd64.deb", "hello_1.0-1_amd64.deb"),
            ("hello-doc_1.1-1_all.deb", "hello-doc_1.1-1_all.deb"),
            ("hello_1.1-1.dsc", "hello_1.1-1.dsc"),
            ("hello_1.1.orig.tar.gz", "hello_1.1.orig.tar.gz"),
            ("hello_1.1-1.debian.tar.xz", "hello_1.1-1.debian.tar.xz"),
        ] {
            let got = std::fs::read(client.downloads().join(file))?;
            let published = std::fs::read(archive.env.outdir().join("pool/main/h/hello").join(in_pool))?;
            assert_eq!(got, published, "{}: {file}", server.name);
        }
    }
    Ok(())
}

#[test]
fn apt_takes_indexes_by_hash_and_only_those_of_what_changed() -> TestResult {
    let Some(archive) = Archive::published()? else {
        return Ok(());
    };
    for server in &archive.servers {
        settle(&archive.env)?;
        let client = archive.client(server)?;
        let first = client.get(&["update"]).ok().text();
        if !archive.env.tool().is_reprepro {
            assert!(
                first.contains("/by-hash/SHA256/"),
                "{}: no by-hash: {first}",
                server.name
            );
            let by_name = first
                .lines()
                .filter(|line| line.starts_with("GET ") && line.contains("/Packages"));
            assert_eq!(by_name.count(), 0, "{}: {first}", server.name);
        }
        let again = client.get(&["update"]).ok();
        let requests = again.text().lines().filter(|line| line.starts_with("GET ")).count();
        assert_eq!(
            requests, 2,
            "{}: one request for each unchanged distribution: {again}",
            server.name
        );
        assert_eq!(again.stdout.matches("Hit:").count(), 2, "{}: {again}", server.name);

        let deb = Deb::new(&format!("new-{}", server.name.len()), "1").build(&archive.env.incoming())?;
        let args = ["includedeb".as_ref(), "staging".as_ref(), deb.as_os_str()];
        let _ = archive.env.run(args).ok();
        let changed = client.get(&["update"]).ok();
        assert!(complaints(&changed).is_empty(), "{}: {changed}", server.name);
        let requests: Vec<_> = changed.stderr.lines().chain(changed.stdout.lines()).collect();
        let requests: Vec<_> = requests.into_iter().filter(|line| line.starts_with("GET ")).collect();
        let of_prod = requests.iter().filter(|line| line.contains("/dists/prod/")).count();
        assert_eq!(
            of_prod, 1,
            "{}: only its InRelease is asked for: {requests:#?}",
            server.name
        );
        assert!(
            changed.stdout.contains("Hit:") && changed.stdout.contains("Get:"),
            "{}: {changed}",
            server.name
        );
        let sources = requests.iter().filter(|line| line.contains("/source/")).count();
        assert_eq!(sources, 0, "{}: no source changed: {requests:#?}", server.name);
    }
    Ok(())
}

#[test]
fn apt_that_trusts_another_key_takes_nothing() -> TestResult {
    let Some(archive) = Archive::published()? else {
        return Ok(());
    };
    let stranger = GnupgHome::create(&archive.env.root().join("stranger"))?;
    let keyring = archive.env.root().join("stranger.gpg");
    #[expect(clippy::disallowed_methods, reason = "a test fixture needs no atomic write")]
    std::fs::write(&keyring, stranger.export()?)?;
    for server in &archive.servers {
        let lines = [format!("deb {} prod main", server.url)];
        let client = AptClient::new(&archive.env, &keyring, &lines)?;
        let update = client.get(&["update"]).refused();
        assert!(update.text().contains("NO_PUBKEY"), "{}: {update}", server.name);
        assert!(client.lists()?.is_empty(), "{}: {:?}", server.name, client.lists()?);
    }
    Ok(())
}

#[test]
fn gpgv_and_sqv_accept_every_distribution() -> TestResult {
    let Some(archive) = Archive::published()? else {
        return Ok(());
    };
    for codename in ["staging", "prod"] {
        archive.env.assert_verified(codename)?;
        assert_signed(&archive.env.outdir(), codename, &archive.key)?;
    }
    Ok(())
}
