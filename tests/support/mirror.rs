//! An archive that mirrors one signed upstream, with two nights of it.

use super::upstream::{BadServer, Upstream};
use super::{Deb, GnupgHome, Output, TestEnv, TestResult, Tool, have_tools};

/// `s` mirrors the upstream by the rule `u`, `other` one that nobody serves by `v`.
pub const DISTRIBUTIONS: &str = "Codename: s\nArchitectures: amd64 i386\nComponents: main\nUpdate: - u\n\n\
    Codename: other\nArchitectures: amd64\nComponents: main\nUpdate: v\n";
/// A day in 2026, before any clock that runs these tests.
pub const DATE: i64 = 1_790_000_000;
/// In seconds.
pub const DAY: i64 = 86_400;

/// An archive that mirrors a signed upstream.
#[derive(Debug)]
pub struct Mirror {
    pub env: TestEnv,
    pub upstream: Upstream,
    pub key: GnupgHome,
    pub server: BadServer,
}

impl Mirror {
    /// The first night, not yet mirrored; none where there is no gpg.
    pub fn new() -> TestResult<Option<Self>> {
        if !have_tools(&["gpg", "gpgconf"]) || Tool::under_test().is_reprepro {
            return Ok(None);
        }
        let env = TestEnv::with(Tool::under_test(), DISTRIBUTIONS)?;
        let key = GnupgHome::create(&env.root().join("k"))?;
        let upstream = Upstream::new(&env.root().join("up"), DATE);
        std::fs::create_dir_all(upstream.root())?;
        let server = BadServer::start(upstream.root())?;
        let mirror = Self {
            env,
            upstream,
            key,
            server,
        };
        mirror.import(&mirror.key)?;
        mirror.rules("")?;
        mirror.upstream.publish(&first_night(), Some(&mirror.key))?;
        Ok(Some(mirror))
    }

    /// Writes conf/updates with these further lines for the rule `u`; `v` names an upstream that nobody serves.
    pub fn rules(&self, lines: &str) -> TestResult {
        self.rules_for(&fingerprint(&self.key)?, lines)
    }

    /// The same, where Release has to be signed so.
    pub fn rules_for(&self, verify_release: &str, lines: &str) -> TestResult {
        self.env.conf(
            "updates",
            &format!(
                "Name: u\nMethod: {}\nVerifyRelease: {verify_release}\nSuite: s\n{lines}\n\
                 Name: v\nMethod: http://127.0.0.1:9\nVerifyRelease: {verify_release}\n",
                self.server.address()
            ),
        )
    }

    /// Makes a key known.
    pub fn import(&self, key: &GnupgHome) -> TestResult {
        let public = self.env.root().join("other.gpg");
        std::fs::write(&public, key.export()?)?;
        let _ = self
            .env
            .run(["key".as_ref(), "import".as_ref(), public.as_os_str()])
            .ok();
        Ok(())
    }

    /// `update s`.
    pub fn update(&self) -> Output {
        self.env.run(["update", "s"])
    }

    /// The second night, dated a day later, with a new version and a package that is gone.
    pub fn second_night(&mut self) -> TestResult {
        self.upstream.date = DATE + DAY;
        self.upstream.publish(&second_night(), Some(&self.key))
    }
}

/// The fingerprint of its key.
pub fn fingerprint(key: &GnupgHome) -> TestResult<String> {
    let text = String::from_utf8(key.gpg(&["--with-colons", "--list-keys"])?)?;
    let line = text.lines().find_map(|line| line.strip_prefix("fpr:"));
    Ok(line.unwrap_or_default().trim_matches(':').to_owned())
}

/// The packages of the first night.
pub fn first_night() -> Vec<Deb> {
    vec![
        Deb::new("hello", "1.0").file("usr/bin/hello", b"#!"),
        Deb::new("hello-doc", "1.0").arch("all"),
        Deb::new("leaving", "3").arch("i386"),
    ]
}

/// The packages of the second night.
pub fn second_night() -> Vec<Deb> {
    vec![Deb::new("hello", "1.1"), Deb::new("hello-doc", "1.0").arch("all")]
}

/// What `list s` says after the first night.
pub const FIRST: &str = "s|main|amd64: hello 1.0\ns|main|amd64: hello-doc 1.0\n\
    s|main|i386: hello-doc 1.0\ns|main|i386: leaving 3\n";
/// What `list s` says after the second night.
pub const SECOND: &str = "s|main|amd64: hello 1.1\ns|main|amd64: hello-doc 1.0\ns|main|i386: hello-doc 1.0\n";
