//! What `update` mirrors beside packages: translations, catalogues of applications, lists of commands, the installer.
#![expect(clippy::disallowed_methods, reason = "test fixtures need no atomic writes")]

mod support;

use std::path::PathBuf;

use support::client::{AptClient, Server, complaints};
use support::index::unpacked;
use support::upstream::{BadServer, Misbehave, Other, Upstream, hex};
use support::{Deb, GnupgHome, Output, TestEnv, TestResult, Tool, have_tools};

/// A day in 2026, before any clock that runs these tests.
const DATE: i64 = 1_790_000_000;
const ONE: &str = "Codename: s\nArchitectures: amd64\nComponents: main\nUpdate: - u\nSignWith: yes\n";
const IMAGES: &str = "main/installer-amd64/current/images";

/// An archive that mirrors one suite, `s`, or two of a signed upstream.
struct Mirror {
    env: TestEnv,
    archive_key: PathBuf,
    upstream: Upstream,
    other: Upstream,
    key: GnupgHome,
    fingerprint: String,
    server: BadServer,
}

impl Mirror {
    /// With all that an upstream can have; its suite `t` is empty.
    fn new(distributions: &str) -> TestResult<Option<Self>> {
        if !have_tools(&["gpg", "gpgconf"]) || Tool::under_test().is_reprepro {
            return Ok(None);
        }
        let mut env = TestEnv::with(Tool::under_test(), distributions)?;
        let archive_key = env.make_key()?;
        let key = GnupgHome::create(&env.root().join("k"))?;
        let public = env.root().join("upstream.gpg");
        std::fs::write(&public, key.export()?)?;
        let _ = env.run(["key".as_ref(), "import".as_ref(), public.as_os_str()]).ok();
        let text = String::from_utf8(key.gpg(&["--with-colons", "--list-keys"])?)?;
        let line = text.lines().find_map(|line| line.strip_prefix("fpr:"));
        let fingerprint = line.unwrap_or_default().trim_matches(':').to_owned();
        let mut upstream = Upstream::new(&env.root().join("up"), DATE);
        std::fs::create_dir_all(upstream.root())?;
        let server = BadServer::start(upstream.root())?;
        let mut other = Upstream::new(upstream.root(), DATE);
        other.name = "t".into();
        fill(&mut upstream)?;
        let mirror = Self {
            env,
            archive_key,
            upstream,
            other,
            key,
            fingerprint,
            server,
        };
        mirror.rules("")?;
        mirror.publish()?;
        Ok(Some(mirror))
    }

    /// Writes conf/updates: `u` takes `s` with these further lines, `v` takes `t`.
    fn rules(&self, lines: &str) -> TestResult {
        let (address, fingerprint) = (self.server.address(), &self.fingerprint);
        self.env.conf(
            "updates",
            &format!(
                "Name: u\nMethod: {address}\nVerifyRelease: {fingerprint}\nSuite: s\n{lines}\n\
                 Name: v\nFrom: u\nSuite: t\n"
            ),
        )
    }

    fn publish(&self) -> TestResult {
        let debs = [Deb::new("hello", "1.0")];
        self.upstream.publish(&debs, Some(&self.key))?;
        self.other.publish(&debs, Some(&self.key))
    }

    /// The upstream as it is now, a second later.
    fn publish_anew(&mut self) -> TestResult {
        self.upstream.date += 1;
        self.other.date += 1;
        self.publish()
    }

    fn update(&self) -> Output {
        self.env.run(["update"])
    }

    /// What `s` has beside indexes of packages and Release, by-hash names left out.
    fn extras(&self) -> TestResult<Vec<String>> {
        let tree = support::Tree::of(&self.env.outdir().join("dists/s"))?;
        let kinds = ["/i18n/", "/dep11/", "/cnf/", "/installer-"];
        let is_extra = |path: &&str| kinds.iter().any(|kind| path.contains(kind)) && !path.contains("by-hash");
        Ok(tree.files().filter(is_extra).map(str::to_owned).collect())
    }

    fn published(&self, path: &str) -> TestResult<String> {
        Ok(String::from_utf8(unpacked(
            &self.env.outdir().join("dists/s").join(path),
        )?)?)
    }

    /// What was asked for of the upstream since the last call, but for packages and Release.
    fn requests(&self) -> Vec<String> {
        let mut requests = self.server.requests();
        requests.retain(|request| {
            !request.contains("Release") && !request.contains("/binary-") && !request.contains("/pool/")
        });
        requests
    }
}

fn description(language: &str, text: &str) -> String {
    format!("Package: hello\nDescription-md5: {MD5}\nDescription-{language}: {text}\n {text} lang\n\n")
}

/// That of the description of `hello`.
const MD5: &str = "0123456789abcdef0123456789abcdef";
const COMPONENTS: &str = "---\nFile: DEP-11\nVersion: '1.0'\nOrigin: s-main\n---\nType: desktop-application\nID: hello.desktop\nPackage: hello\n";
const COMMANDS: &str = "suite: s\ncomponent: main\narch: amd64\n\nname: hello\nversion: 1.0\ncommands: hello\n\n";

fn fill(upstream: &mut Upstream) -> TestResult {
    upstream.put("main/i18n/Translation-en", &description("en", "an English text"))?;
    upstream.put("main/i18n/Translation-de", &description("de", "ein deutscher Text"))?;
    upstream.put("main/dep11/Components-amd64.yml", COMPONENTS)?;
    upstream.put("main/dep11/Components-i386.yml", COMPONENTS)?;
    upstream.put("main/dep11/icons-64x64.tar", "icons")?;
    upstream.put("main/cnf/Commands-amd64", COMMANDS)?;
    // not of a component that is mirrored
    upstream.put("contrib/i18n/Translation-en", "")?;
    let images = [("netboot/mini.iso", "an image"), ("cdrom/vmlinuz", "a kernel")];
    let mut sums = String::new();
    for (name, content) in images {
        sums += &format!("{}  ./{name}\n", hex(content.as_bytes()));
        upstream
            .others
            .insert(format!("{IMAGES}/{name}"), Other::new(content).unlisted());
    }
    upstream.others.insert(format!("{IMAGES}/SHA256SUMS"), Other::new(sums));
    Ok(())
}

const ALL: [&str; 5] = [
    "main/cnf/Commands-amd64.gz",
    "main/dep11/Components-amd64.yml.gz",
    "main/dep11/icons-64x64.tar.gz",
    "main/i18n/Translation-de.gz",
    "main/i18n/Translation-en.gz",
];

#[test]
fn all_is_published_as_it_came_and_a_second_run_asks_for_nothing() -> TestResult {
    let Some(mut mirror) = Mirror::new(ONE)? else {
        return Ok(());
    };
    let _ = mirror.update().ok();
    assert_eq!(mirror.extras()?, ALL);
    for path in ALL {
        let ours = std::fs::read(mirror.env.outdir().join("dists/s").join(path))?;
        assert!(
            ours == std::fs::read(mirror.upstream.root().join("dists/s").join(path))?,
            "{path}"
        );
    }
    mirror.env.assert_verified("s")?;
    assert_eq!(mirror.requests().len(), ALL.len());

    let before = mirror.env.tree()?;
    let quiet = mirror.update().ok();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    assert_eq!(mirror.requests(), Vec::<String>::new());
    before.assert_unchanged(&mirror.env.tree()?);

    // a new Release with one other file
    mirror
        .upstream
        .put("main/i18n/Translation-de", &description("de", "neu"))?;
    mirror.upstream.others.remove("main/cnf/Commands-amd64");
    mirror.upstream.others.remove("main/cnf/Commands-amd64.gz");
    mirror.publish_anew()?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.requests(), ["/dists/s/main/i18n/Translation-de.gz 200"]);
    assert!(mirror.published("main/i18n/Translation-de.gz")?.contains(": neu\n"));
    assert_eq!(mirror.extras()?, ALL.get(1..).unwrap_or_default());
    mirror.env.assert_verified("s")?;
    Ok(())
}

#[test]
fn a_tree_that_is_gone_is_made_again_without_the_upstream() -> TestResult {
    let Some(mirror) = Mirror::new(ONE)? else { return Ok(()) };
    mirror.rules("InstallerImages: yes\n")?;
    let _ = mirror.update().ok();
    let before = support::Tree::of(&mirror.env.outdir().join("dists/s/main"))?;
    std::fs::remove_dir_all(mirror.env.outdir().join("dists"))?;
    let _ = mirror.env.run(["export", "s"]).ok();
    let after = support::Tree::of(&mirror.env.outdir().join("dists/s/main"))?;
    assert_eq!(before.contents(), after.contents());
    mirror.env.assert_verified("s")?;

    // without its content below db, the rest is published, and the next update brings it again
    std::fs::remove_dir_all(mirror.env.base().join("db/extras/files"))?;
    let lost = mirror.env.run(["export", "s"]).ok();
    assert!(lost.stderr.contains("whose content is lost"), "{lost}");
    mirror.env.assert_verified("s")?;
    assert_eq!(mirror.extras()?, Vec::<String>::new());
    let _ = mirror.update().ok();
    let after = support::Tree::of(&mirror.env.outdir().join("dists/s/main"))?;
    assert_eq!(before.contents(), after.contents());
    Ok(())
}

/// What a desktop's apt asks for: translations, AppStream data with icons, commands.
const DESKTOP: [&str; 9] = [
    "Acquire::Languages=",
    "Acquire::Languages::=de",
    "Acquire::Languages::=en",
    "Acquire::IndexTargets::deb::DEP-11::MetaKey=$(COMPONENT)/dep11/Components-$(NATIVE_ARCHITECTURE).yml",
    "Acquire::IndexTargets::deb::DEP-11::ShortDescription=Components-$(NATIVE_ARCHITECTURE)",
    "Acquire::IndexTargets::deb::DEP-11-icons::MetaKey=$(COMPONENT)/dep11/icons-64x64.tar",
    "Acquire::IndexTargets::deb::DEP-11-icons::ShortDescription=icons-64x64",
    "Acquire::IndexTargets::deb::CNF::MetaKey=$(COMPONENT)/cnf/Commands-$(NATIVE_ARCHITECTURE)",
    "Acquire::IndexTargets::deb::CNF::ShortDescription=Commands-$(NATIVE_ARCHITECTURE)",
];

#[test]
fn apt_takes_them_all_and_shows_the_long_description() -> TestResult {
    if !have_tools(&["apt-get", "apt-cache"]) {
        return Ok(());
    }
    let Some(mut mirror) = Mirror::new(&ONE.replace("- u", "- u v"))? else {
        return Ok(());
    };
    let long = "Description: package hello\n of the tests\n .\n  with an indented line\n";
    let short = format!("Description: package hello\nDescription-md5: {MD5}\n");
    mirror.upstream.edits = vec![(long.into(), short)];
    // merged, so that apt gets what is made here, too
    mirror.other.put(
        "main/i18n/Translation-de",
        "Package: x\nDescription-md5: 1\nDescription-de: x\n",
    )?;
    mirror.publish()?;
    let _ = mirror.update().ok();
    let options: Vec<&str> = DESKTOP.iter().flat_map(|option| ["-o", option]).collect();
    for server in Server::all(&mirror.env)? {
        let lines = [format!("deb {} s main", server.url)];
        let client = AptClient::new(&mirror.env, &mirror.archive_key, &lines)?;
        let update = client.get(&[&["update"], &options[..]].concat()).ok();
        assert!(complaints(&update).is_empty(), "{}: {update}", server.name);
        let lists = client.lists()?;
        for end in [
            "i18n_Translation-de",
            "i18n_Translation-en",
            "dep11_Components-amd64.yml",
            "dep11_icons-64x64.tar",
            "cnf_Commands-amd64",
        ] {
            let name = format!("_dists_s_main_{end}");
            assert!(lists.iter().any(|list| list.contains(&name)), "{name}: {lists:?}");
        }
        let shown = client.cache(&[&["show", "hello"], &options[..]].concat()).ok().stdout;
        assert!(
            shown.contains("Description-de: ein deutscher Text\n ein deutscher Text lang\n"),
            "{shown}"
        );
    }
    Ok(())
}

#[test]
fn each_kind_can_be_turned_off() -> TestResult {
    let Some(mirror) = Mirror::new(ONE)? else { return Ok(()) };
    let sums = format!("{IMAGES}/SHA256SUMS");
    for (lines, missing) in [
        ("Translations: no\n", vec!["i18n"]),
        ("Translations: de fr\n", vec!["Translation-en"]),
        ("AppStream: no\n", vec!["dep11"]),
        ("CommandNotFound: no\n", vec!["cnf"]),
        ("FilterFormula: Package (== hello)\n", vec!["dep11", "cnf"]),
        ("FilterFormula: Package (== hello)\nAppStream: yes\n", vec!["cnf"]),
    ] {
        mirror.rules(lines)?;
        let _ = mirror.update().ok();
        let wanted: Vec<&str> = ALL
            .into_iter()
            .filter(|path| !missing.iter().any(|word| path.contains(word)))
            .collect();
        assert_eq!(mirror.extras()?, wanted, "{lines}");
        mirror.env.assert_verified("s")?;
    }
    mirror.rules("InstallerImages: yes\nAppStream: no\nCommandNotFound: no\nTranslations: no\n")?;
    let _ = mirror.update().ok();
    let images = ["cdrom/vmlinuz", "netboot/mini.iso"].map(|name| format!("{IMAGES}/{name}"));
    let [first, second] = images;
    assert_eq!(mirror.extras()?, [sums, first, second]);
    mirror.env.assert_verified("s")?;
    // a distribution without rules has none; nothing but the by-hash files of earlier states is left
    mirror.env.conf("distributions", &ONE.replace("Update: - u\n", ""))?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.extras()?, Vec::<String>::new());
    mirror.env.assert_verified("s")?;
    Ok(())
}

#[test]
fn names_of_components_and_architectures_are_ours() -> TestResult {
    let Some(mirror) = Mirror::new("Codename: s\nArchitectures: arm64\nComponents: vendor/x\nUpdate: u\n")? else {
        return Ok(());
    };
    mirror.rules("Components: main>vendor/x\nArchitectures: amd64>arm64\nInstallerImages: yes\n")?;
    let _ = mirror.update().ok();
    assert_eq!(
        mirror.extras()?,
        [
            "vendor/x/cnf/Commands-arm64.gz",
            "vendor/x/dep11/Components-arm64.yml.gz",
            "vendor/x/dep11/icons-64x64.tar.gz",
            "vendor/x/i18n/Translation-de.gz",
            "vendor/x/i18n/Translation-en.gz",
            "vendor/x/installer-arm64/current/images/SHA256SUMS",
            "vendor/x/installer-arm64/current/images/cdrom/vmlinuz",
            "vendor/x/installer-arm64/current/images/netboot/mini.iso",
        ]
    );
    mirror.env.assert_verified("s")?;
    Ok(())
}

#[test]
fn of_several_suites_the_first_rule_wins() -> TestResult {
    let Some(mut mirror) = Mirror::new(&ONE.replace("- u", "- u v"))? else {
        return Ok(());
    };
    let other = &mut mirror.other;
    let more = "Package: more\nDescription-md5: 1\nDescription-de: mehr\n\n";
    other.put("main/i18n/Translation-de", &(description("de", "anders") + more))?;
    other.put("main/i18n/Translation-en", &description("en", "an English text"))?;
    other.put("main/i18n/Translation-fr", "")?;
    other.put(
        "main/cnf/Commands-amd64",
        "suite: t\n\nname: hello\ncommands: x\n\nname: more\ncommands: more\n\n",
    )?;
    let app = |id: &str| format!("---\nID: {id}\nPackage: more\n");
    other.put(
        "main/dep11/Components-amd64.yml",
        &format!(
            "---\nFile: DEP-11\nOrigin: t-main\n{}{}",
            app("hello.desktop"),
            app("more")
        ),
    )?;
    other.put("main/dep11/icons-64x64.tar", "other icons")?;
    mirror.publish()?;
    let _ = mirror.update().ok();
    let german = mirror.published("main/i18n/Translation-de.xz")?;
    assert_eq!(german, description("de", "ein deutscher Text") + more);
    // alike in both, or in one of them: as it came
    assert_eq!(
        mirror.published("main/i18n/Translation-en.gz")?,
        description("en", "an English text")
    );
    assert_eq!(mirror.published("main/i18n/Translation-fr.gz")?, "");
    assert_eq!(
        mirror.published("main/cnf/Commands-amd64.xz")?,
        format!("{COMMANDS}name: more\ncommands: more\n\n")
    );
    assert_eq!(
        mirror.published("main/dep11/Components-amd64.yml.xz")?,
        format!("{COMPONENTS}{}", app("more"))
    );
    assert_eq!(mirror.published("main/dep11/icons-64x64.tar.gz")?, "icons");
    mirror.env.assert_verified("s")?;

    // of what is merged anew, only what changed is fetched
    mirror.requests();
    mirror.other.put("main/i18n/Translation-de", more)?;
    mirror.publish_anew()?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.requests(), ["/dists/t/main/i18n/Translation-de.gz 200"]);
    assert_eq!(mirror.published("main/i18n/Translation-de.xz")?, german);
    mirror.env.assert_verified("s")?;
    Ok(())
}

#[test]
fn what_is_listed_and_not_there_is_left_out_and_what_is_wrong_is_refused() -> TestResult {
    let Some(mut mirror) = Mirror::new(ONE)? else {
        return Ok(());
    };
    mirror.server.misbehave("icons-64x64.tar.gz", Misbehave::Status(404));
    let output = mirror.update().ok();
    assert!(output.stderr.contains("`main/dep11/icons-64x64.tar`"), "{output}");
    assert_eq!(mirror.extras()?.len(), ALL.len() - 1);
    mirror.env.assert_verified("s")?;
    let quiet = mirror.update().ok();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));

    mirror.rules("InstallerImages: yes\n")?;
    mirror
        .upstream
        .put("main/i18n/Translation-de", &description("de", "neu"))?;
    mirror.publish_anew()?;
    for end in ["Translation-de.gz", "mini.iso"] {
        mirror.server.misbehave(end, Misbehave::Flip);
        let before = support::Tree::of(&mirror.env.outdir().join("dists"))?;
        let output = mirror.update().exits(254);
        assert!(output.stderr.contains("is not what was promised"), "{end}: {output}");
        assert!(output.stderr.contains("not updated: `s`"), "{end}: {output}");
        before.assert_unchanged(&support::Tree::of(&mirror.env.outdir().join("dists"))?);
        mirror.server.behave();
        mirror.requests();
    }
    let _ = mirror.update().ok();
    assert_eq!(
        mirror.requests(),
        [format!("/dists/s/{IMAGES}/netboot/mini.iso 200")],
        "what came before is not fetched again"
    );
    assert!(mirror.published("main/i18n/Translation-de.gz")?.contains(": neu\n"));
    mirror.env.assert_verified("s")?;
    Ok(())
}

#[test]
fn an_installer_list_that_means_harm_fails_the_distribution() -> TestResult {
    let Some(mut mirror) = Mirror::new(ONE)? else {
        return Ok(());
    };
    let _ = mirror.update().ok();
    mirror.rules("InstallerImages: yes\n")?;
    let sums = format!("{}  ./../../../../../../x\n", hex(b"x"));
    mirror
        .upstream
        .others
        .insert(format!("{IMAGES}/SHA256SUMS"), Other::new(sums));
    mirror.publish_anew()?;
    let output = mirror.update().refused();
    assert!(output.stderr.contains("invalid path"), "{output}");
    assert_eq!(mirror.extras()?, ALL);
    mirror.env.assert_verified("s")?;
    Ok(())
}

#[test]
fn restricted_and_dry_runs_leave_them_alone() -> TestResult {
    let Some(mirror) = Mirror::new(ONE)? else { return Ok(()) };
    let check = mirror.env.run(["--json", "checkupdate", "s"]).ok();
    // the package and five others
    assert!(check.stdout.contains("\"files_to_fetch\": 6"), "{check}");
    let dry = mirror.env.run(["--dry-run", "update", "s"]).ok();
    assert!(dry.text().contains("s: 5 translations and other files"), "{dry}");
    assert_eq!(mirror.requests(), Vec::<String>::new());
    let _ = mirror.env.run(["-A", "amd64", "update", "s"]).ok();
    assert_eq!(mirror.extras()?, Vec::<String>::new());
    let _ = mirror.update().ok();
    assert_eq!(mirror.extras()?, ALL);
    let _ = mirror.env.run(["-A", "amd64", "update", "s"]).ok();
    assert_eq!(mirror.extras()?, ALL);
    Ok(())
}

#[test]
fn two_distributions_of_one_upstream_fetch_a_file_once() -> TestResult {
    let Some(mirror) = Mirror::new(&format!("{ONE}\n{}", ONE.replace("Codename: s", "Codename: p")))? else {
        return Ok(());
    };
    let output = mirror.update().ok();
    assert_eq!(mirror.requests().len(), ALL.len());
    assert!(output.stdout.contains("u: 6 files fetched"), "{output}");
    for codename in ["s", "p"] {
        mirror.env.assert_verified(codename)?;
        let translation = format!("dists/{codename}/main/i18n/Translation-de.gz");
        assert!(mirror.env.outdir().join(translation).exists());
    }
    Ok(())
}

#[test]
fn all_kinds_of_digests_are_published() -> TestResult {
    let Some(mirror) = Mirror::new(ONE)? else { return Ok(()) };
    let _ = mirror.update().ok();
    mirror
        .env
        .conf("distributions", &format!("{ONE}Checksums: md5 sha1 sha256 sha512\n"))?;
    let _ = mirror.env.run(["export", "s"]).ok();
    assert_eq!(mirror.extras()?, ALL);
    mirror.env.assert_verified("s")?;
    Ok(())
}

#[test]
fn what_somebody_put_there_by_hand_does_not_stand_beside_them() -> TestResult {
    let Some(mirror) = Mirror::new(ONE)? else { return Ok(()) };
    let _ = mirror.env.run(["export", "s"]).ok();
    let directory = mirror.env.outdir().join("dists/s/main/i18n");
    std::fs::create_dir_all(&directory)?;
    for name in ["Translation-de", "Translation-de.gz"] {
        std::fs::write(directory.join(name), "by hand")?;
    }
    let _ = mirror.update().ok();
    assert_eq!(mirror.extras()?, ALL);
    mirror.env.assert_verified("s")?;
    Ok(())
}

#[test]
fn a_release_that_lists_too_many_is_refused() -> TestResult {
    let Some(mut mirror) = Mirror::new(ONE)? else {
        return Ok(());
    };
    for number in 0..2001 {
        let path = format!("main/i18n/Translation-x{number}");
        mirror.upstream.others.insert(path, Other::new("").absent());
    }
    mirror.publish_anew()?;
    let output = mirror.update().refused();
    assert!(output.stderr.contains("more than 2000 translations"), "{output}");
    mirror.rules("Translations: de en\n")?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.extras()?, ALL);
    Ok(())
}

#[test]
fn a_wrong_file_fails_its_distributions_only_if_that_is_wanted() -> TestResult {
    let other = ONE.replace("Codename: s", "Codename: p").replace("- u", "- v");
    let Some(mut mirror) = Mirror::new(&format!("{ONE}\n{other}"))? else {
        return Ok(());
    };
    mirror
        .other
        .put("main/i18n/Translation-de", &description("de", "anders"))?;
    mirror.publish()?;
    mirror
        .server
        .misbehave("dists/s/main/i18n/Translation-de.gz", Misbehave::Flip);
    let _ = mirror.update().exits(254);
    assert!(!mirror.env.outdir().join("dists").exists());
    let _ = mirror.env.run(["--keep-going", "update"]).exits(254);
    assert!(mirror.env.outdir().join("dists/p/main/i18n/Translation-de.gz").exists());
    assert!(!mirror.env.outdir().join("dists/s").exists());
    mirror.env.assert_verified("p")?;
    Ok(())
}

#[test]
fn a_killed_update_is_completed_by_the_next() -> TestResult {
    let Some(mut mirror) = Mirror::new(&ONE.replace("- u", "- u v"))? else {
        return Ok(());
    };
    let mut dice = support::Dice::new(7);
    for round in 0..8 {
        let text = format!("text {round}");
        mirror
            .upstream
            .put("main/i18n/Translation-de", &description("de", &text))?;
        let more = format!("Package: more\nDescription-md5: 1\nDescription-de: {round}\n\n");
        mirror.other.put("main/i18n/Translation-de", &more)?;
        mirror.publish_anew()?;
        let mut child = mirror
            .env
            .command(["update"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()?;
        std::thread::sleep(std::time::Duration::from_millis(20 + dice.roll(200) as u64));
        child.kill()?;
        child.wait()?;
        if mirror.env.outdir().join("dists/s").exists() {
            mirror.env.assert_verified("s")?;
        }
        let _ = mirror.update().ok();
        let german = mirror.published("main/i18n/Translation-de.xz")?;
        assert_eq!(german, description("de", &text) + &more, "round {round}");
        mirror.env.assert_verified("s")?;
        mirror.requests();
        let _ = mirror.update().ok();
        assert_eq!(mirror.requests(), Vec::<String>::new(), "round {round}");
    }
    assert!(!mirror.env.base().join("db/extras/partial").exists());
    Ok(())
}
