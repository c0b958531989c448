//! Many processes at once: eight that include, copy, update, export and list, and a reader that takes what apt would
//! take. Nobody fails, no reader sees half a state, and no change that was acknowledged is missing in the end.
//!
//! It runs for some seconds; `APTREPO_CONCURRENCY_SECONDS` makes it longer.
#![expect(
    clippy::disallowed_methods,
    reason = "test fixtures need no atomic writes, and the environment says how long it runs"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use support::upstream::Upstream;
use support::{Deb, TestEnv, TestResult, Tool};

const CODENAMES: [&str; 3] = ["staging", "prod", "mirror"];
const CONF: &str = "\
Codename: staging\nArchitectures: amd64 source\nComponents: main\nSignWith: yes\nContents: .\nTracking: minimal\n
Codename: prod\nArchitectures: amd64\nComponents: main\nSignWith: yes\nContents: .\n
Codename: mirror\nArchitectures: amd64\nComponents: main\nUpdate: up\nSignWith: yes\n";

/// What the processes were told is done.
#[derive(Default)]
struct Acknowledged {
    /// Packages that are in staging, and never leave it.
    staging: BTreeSet<String>,
    /// Packages that are in prod, too.
    prod: BTreeSet<String>,
}

struct Bench {
    env: TestEnv,
    upstream: Mutex<Upstream>,
    acknowledged: Mutex<Acknowledged>,
    commands: AtomicUsize,
    reads: AtomicUsize,
    until: Instant,
}

/// How long it runs.
fn duration() -> Duration {
    let seconds = std::env::var("APTREPO_CONCURRENCY_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(6))
}

fn date() -> TestResult<i64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().try_into()?)
}

impl Bench {
    fn new() -> TestResult<Self> {
        let mut env = TestEnv::in_memory(Tool::under_test(), CONF)?;
        let _ = env.make_key()?;
        let root = env.root().join("upstream");
        let rule = format!(
            "Name: up\nMethod: copy:{}\nSuite: s\nComponents: main\nArchitectures: amd64\nVerifyRelease: blindtrust\n",
            root.display()
        );
        env.conf("updates", &rule)?;
        // files stay, so that a reader has the time to fetch what an index names; dumps are saved all the time
        env.conf(
            "options",
            "outdir +b/www\nlogdir +b/logs\ngnupghome +b/gpg\nretain 1h\ndump-interval 1s\nwaitforlock 60\n",
        )?;
        let upstream = Upstream::new(&root, date()?);
        upstream.publish(&[Deb::new("up0", "1")], None)?;
        let _ = env.run(["update"]).ok();
        let _ = env.run(["export"]).ok();
        Ok(Self {
            env,
            upstream: Mutex::new(upstream),
            acknowledged: Mutex::default(),
            commands: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            until: Instant::now() + duration(),
        })
    }

    /// Runs a command that must succeed.
    #[track_caller]
    fn run(&self, words: &[&str]) -> String {
        let output = self.env.run(words);
        assert_eq!(output.status, 0, "{words:?}: {output}");
        assert!(
            !output.stderr.contains("anew"),
            "{words:?}: tables were damaged: {output}"
        );
        self.commands.fetch_add(1, Ordering::Relaxed);
        output.stdout
    }

    fn acknowledge(&self, note: impl FnOnce(&mut Acknowledged)) {
        note(
            &mut self
                .acknowledged
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
    }

    /// One worker's next command.
    fn step(&self, worker: usize, round: usize) -> TestResult {
        match worker {
            0..=2 => self.include(worker, round),
            3 => self.copy(),
            4 => self.update(round),
            5 => {
                let _ = self.run(&["export"]);
                Ok(())
            }
            6 => self.list(),
            _ => self.others(round),
        }
    }

    fn include(&self, worker: usize, round: usize) -> TestResult {
        let name = format!("w{worker}r{round}");
        let deb = Deb::new(&name, "1").build(&self.env.incoming())?;
        let _ = self.run(&["includedeb", "staging", &deb.to_string_lossy()]);
        self.acknowledge(|done| done.staging.extend([name]));
        Ok(())
    }

    fn copy(&self) -> TestResult {
        let mut next = None;
        self.acknowledge(|done| next = done.staging.difference(&done.prod).next().cloned());
        let Some(name) = next else {
            let _ = self.run(&["copysrc", "prod", "staging", "none-yet"]);
            return Ok(());
        };
        let _ = self.run(&["copysrc", "prod", "staging", &name]);
        self.acknowledge(|done| done.prod.extend([name]));
        Ok(())
    }

    fn update(&self, round: usize) -> TestResult {
        {
            let mut upstream = self.upstream.lock().map_err(|error| error.to_string())?;
            upstream.date += 1;
            let debs: Vec<Deb> = (0..=round % 20)
                .map(|number| Deb::new(&format!("up{number}"), "1"))
                .collect();
            upstream.publish(&debs, None)?;
        }
        let _ = self.run(&["--noskipold", "update", "mirror"]);
        assert!(self.run(&["list", "mirror"]).contains(&format!("up{} 1\n", round % 20)));
        Ok(())
    }

    fn list(&self) -> TestResult {
        let mut before = BTreeSet::new();
        self.acknowledge(|done| before.clone_from(&done.staging));
        let list = self.run(&["list", "staging"]);
        for name in before {
            assert!(
                list.contains(&format!(" {name} 1\n")),
                "{name} was acknowledged, and is not there"
            );
        }
        Ok(())
    }

    fn others(&self, round: usize) -> TestResult {
        match round % 5 {
            0 => drop(self.run(&["check"])),
            1 => drop(self.run(&["dumpreferences"])),
            2 => drop(self.run(&["removesrc", "prod", "never-was"])),
            3 => drop(self.run(&["dump"])),
            _ => drop(self.run(&["dumpunreferenced"])),
        }
        Ok(())
    }

    /// What apt does: InRelease first, then each index by its digest; what it names must be there.
    fn read(&self, codename: &str) -> TestResult {
        let dists = self.env.outdir().join("dists").join(codename);
        let release = std::fs::read_to_string(dists.join("InRelease"))?;
        let listed = sha256_section(&release);
        let mut indexes = 0;
        for (path, (digest, size)) in &listed {
            if !path.ends_with("Packages") && !path.ends_with("Packages.gz") {
                continue;
            }
            let (directory, _) = path.rsplit_once('/').ok_or("no directory")?;
            let by_hash = dists.join(directory).join("by-hash/SHA256").join(digest);
            let bytes = match std::fs::read(&by_hash) {
                Ok(bytes) => bytes,
                // the plain form may be listed without being there
                Err(_) if path.ends_with("Packages") => continue,
                Err(error) => return Err(format!("{}: {error}", by_hash.display()).into()),
            };
            assert_eq!(bytes.len().to_string(), *size, "{path}");
            assert_eq!(
                support::source::hex(&bytes, aptrepo::model::DigestKind::Sha256),
                *digest,
                "{path}"
            );
            indexes += 1;
            if path.ends_with("Packages") {
                self.read_files(&String::from_utf8(bytes)?)?;
            }
        }
        assert!(indexes > 0, "{codename}: {listed:?}");
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn read_files(&self, packages: &str) -> TestResult {
        let out = self.env.outdir();
        for stanza in packages.split("\n\n") {
            let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name));
            let Some(path) = field("Filename: ") else { continue };
            let size = std::fs::metadata(out.join(path))
                .map_err(|error| format!("{path}: {error}"))?
                .len();
            assert_eq!(Some(size.to_string().as_str()), field("Size: "), "{path}");
        }
        Ok(())
    }

    /// The journal is one line of history, and holds as many changes as it says.
    fn check_history(&self) -> TestResult {
        let journal = std::fs::read_to_string(self.env.base().join("db/journal"))?;
        let mut heads: BTreeMap<String, serde_json::Value> = BTreeMap::new();
        for (at, line) in journal.lines().enumerate() {
            let line: serde_json::Value = serde_json::from_str(line)?;
            assert_eq!(
                line.get("sequence").and_then(serde_json::Value::as_u64),
                Some(at as u64 + 1)
            );
            let moved = line
                .get("heads")
                .and_then(serde_json::Value::as_object)
                .ok_or("no heads")?;
            for (head, change) in moved {
                let old = change.get("old").cloned().unwrap_or_default();
                assert_eq!(
                    heads.get(head).cloned().unwrap_or_default(),
                    old,
                    "change {at} of {head}"
                );
                heads.insert(head.clone(), change.get("new").cloned().unwrap_or_default());
            }
        }
        Ok(())
    }
}

/// The lines of a Release's SHA256: path, digest and size.
fn sha256_section(release: &str) -> BTreeMap<String, (String, String)> {
    let lines = release.lines().skip_while(|line| *line != "SHA256:").skip(1);
    let lines = lines.take_while(|line| line.starts_with(' '));
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (digest, size, path) = (words.next()?, words.next()?, words.next()?);
            Some((path.to_owned(), (digest.to_owned(), size.to_owned())))
        })
        .collect()
}

fn count_files(directory: &Path) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
}

#[test]
fn eight_processes_at_once_lose_nothing_and_disturb_no_reader() -> TestResult {
    if Tool::under_test().is_reprepro {
        return Ok(());
    }
    let bench = Bench::new()?;
    let bench = &bench;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                scope.spawn(move || {
                    let mut round = 0;
                    while Instant::now() < bench.until {
                        round += 1;
                        let done = bench.step(worker, round).map_err(|error| error.to_string());
                        assert_eq!(done, Ok(()), "worker {worker}, round {round}");
                    }
                })
            })
            .collect();
        let reader = scope.spawn(move || {
            while Instant::now() < bench.until {
                for codename in CODENAMES {
                    let read = bench.read(codename).map_err(|error| error.to_string());
                    assert_eq!(read, Ok(()), "{codename}");
                }
            }
        });
        for worker in workers.into_iter().chain([reader]) {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let (staging, prod) = (bench.env.list("staging"), bench.env.list("prod"));
    bench.acknowledge(|done| {
        for (names, list) in [(&done.staging, &staging), (&done.prod, &prod)] {
            assert_eq!(list.lines().count(), names.len());
            for name in names {
                assert!(
                    list.contains(&format!(" {name} 1\n")),
                    "{name} was acknowledged, and is lost"
                );
            }
        }
        assert!(!done.prod.is_empty() && done.staging.len() > 2);
    });
    bench.check_history()?;
    assert_eq!(bench.run(&["check"]), "");
    let _ = bench.run(&["checkpool"]);
    for codename in CODENAMES {
        bench.env.assert_verified(codename)?;
    }
    assert!((1..=3).contains(&count_files(&bench.env.base().join("db/dumps"))));
    let (commands, reads) = (
        bench.commands.load(Ordering::Relaxed),
        bench.reads.load(Ordering::Relaxed),
    );
    assert!(commands > 12 && reads > 8, "{commands} commands, {reads} reads");
    report(commands, reads);
    Ok(())
}

#[expect(clippy::print_stderr, reason = "how much was done is what a long run is for")]
fn report(commands: usize, reads: usize) {
    eprintln!("{commands} commands and {reads} reads in {:?}", duration());
}
