//! How `update` gets what it needs, and whom it believes: progress and interruption, the archive's lock, https, limits,
//! keyring files, weak digests, names and dates of a Release.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test fixtures need no atomic writes, and may fail the test at once"
)]

mod support;

#[path = "transfer/lock.rs"]
mod lock;
#[path = "transfer/site.rs"]
mod site;
#[path = "transfer/stop.rs"]
mod stop;
#[path = "transfer/tls.rs"]
mod tls;
#[path = "transfer/trust.rs"]
mod trust;
#[path = "transfer/watch.rs"]
mod watch;

use std::time::SystemTime;

use support::{Deb, Dice, GnupgHome, Output, TestEnv, TestResult, Tool, have_tools};

use site::{Server, Site};

/// An archive that mirrors one signed site, by the rule `u` into the distribution `s`.
struct Mirror {
    env: TestEnv,
    site: Site,
    key: GnupgHome,
    server: Server,
}

impl Mirror {
    /// With these lines in conf/distributions for `s`; the site is empty yet. None where gpg is missing.
    fn new(lines: &str) -> TestResult<Option<Self>> {
        if !have_tools(&["gpg", "gpgconf"]) || Tool::under_test().is_reprepro {
            return Ok(None);
        }
        let distributions = format!(
            "Codename: s\nArchitectures: amd64\nComponents: main\n{lines}\n\
             Codename: own\nArchitectures: amd64\nComponents: main\n"
        );
        let env = TestEnv::with(Tool::under_test(), &distributions)?;
        let key = GnupgHome::create(&env.root().join("k"))?;
        import(&env, &key)?;
        let site = Site::new(&env.root().join("up"), now() - 86_400);
        let server = Server::start(site.root())?;
        let mirror = Self { env, site, key, server };
        mirror.rule("")?;
        Ok(Some(mirror))
    }

    /// Writes the rule, believing the key, with these further lines.
    fn rule(&self, lines: &str) -> TestResult {
        let fingerprint = fingerprint(&self.key)?;
        self.rule_with(&format!("VerifyRelease: {fingerprint}\n{lines}"))
    }

    /// Writes the rule with these lines alone.
    fn rule_with(&self, lines: &str) -> TestResult {
        let text = format!("Name: u\nMethod: {}\nSuite: s\n{lines}\n", self.server.address());
        // a later field replaces an earlier one, so that tests can say what differs
        let mut fields: Vec<&str> = Vec::new();
        for line in text.lines() {
            let name = line.split(':').next().unwrap_or(line);
            fields.retain(|field| line.starts_with(' ') || field.split(':').next() != Some(name));
            fields.push(line);
        }
        self.env.conf("updates", &format!("{}\n", fields.join("\n")))
    }

    fn publish(&self, debs: &[Deb]) -> TestResult {
        self.site.publish(debs, &self.key)
    }

    #[track_caller]
    fn update(&self) -> Output {
        self.env.run(["update", "s"])
    }

    /// Asserts that an update is refused with these words, and that nothing has changed.
    #[track_caller]
    fn assert_refused(&self, words: &[&str]) {
        let before = self.env.list("s");
        let output = self.update().refused();
        for word in words {
            assert!(output.stderr.contains(word), "no `{word}`: {output}");
        }
        assert_eq!(self.env.list("s"), before);
    }
}

fn import(env: &TestEnv, key: &GnupgHome) -> TestResult {
    let public = env.root().join("import.gpg");
    std::fs::write(&public, key.export()?)?;
    let _ = env.run(["key".as_ref(), "import".as_ref(), public.as_os_str()]).ok();
    Ok(())
}

fn fingerprint(key: &GnupgHome) -> TestResult<String> {
    let text = String::from_utf8(key.gpg(&["--with-colons", "--list-keys"])?)?;
    let line = text.lines().find_map(|line| line.strip_prefix("fpr:"));
    Ok(line.unwrap_or_default().trim_matches(':').to_owned())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// A package of about so many bytes that no compression makes smaller.
fn large(name: &str, bytes: usize) -> Deb {
    let mut dice = Dice::new(bytes as u64);
    let content: Vec<u8> = (0..bytes).map(|_| u8::try_from(dice.roll(256)).unwrap()).collect();
    Deb::new(name, "1.0").file(&format!("usr/share/{name}/data"), &content)
}
