//! A sandboxed archive with its configuration, and the program run in it.

use std::ffi::OsStr;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::gpg::GnupgHome;
use super::tree::Tree;
use super::{TestResult, find_program};

/// The longest that one command may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program with reprepro's command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    pub path: PathBuf,
    /// Whether it is reprepro itself, which needs a GnuPG home and knows none of our own options.
    pub is_reprepro: bool,
}

impl Tool {
    /// The program under test.
    pub fn under_test() -> Self {
        let path = std::env::var_os("APTREPO_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_aptrepo").into());
        Self::at(PathBuf::from(path))
    }

    /// The installed reprepro, if there is one.
    pub fn reprepro() -> Option<Self> {
        find_program("reprepro").map(Self::at)
    }

    fn at(path: PathBuf) -> Self {
        let is_reprepro = path.file_name().is_some_and(|name| name == "reprepro");
        Self { path, is_reprepro }
    }
}

/// What a command did. Paths of the sandbox are shown as `$BASE` and `$IN`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Output {
    /// The exit status, or minus the signal that ended the command.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Asserts that the command succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Asserts an exit status.
    #[track_caller]
    pub fn exits(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Asserts that the command was refused: neither success nor death by a signal or a panic, and a reason given.
    #[track_caller]
    pub fn refused(self) -> Self {
        assert!(self.status > 0, "not refused: {self}");
        assert!(!self.stderr.contains("panicked at"), "{self}");
        assert!(!self.stderr.trim().is_empty(), "refused without a word: {self}");
        self
    }

    /// Standard output and standard error together, for tests that do not mind which.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, stdout, stderr } = self;
        write!(f, "exit {status}\n-- stdout\n{stdout}-- stderr\n{stderr}")
    }
}

/// One distribution for i386, amd64 and source, `local`, with these further lines.
pub fn one_distribution(lines: &[&str]) -> String {
    let mut text = String::from(
        "Codename: local\nSuite: stable\nOrigin: Test\nLabel: Test\nArchitectures: i386 amd64 source\n\
         Components: main contrib\nDescription: Test archive\n",
    );
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// A mirror, staging and production, as a company has them: comments on field lines, components with slashes,
/// Contents, tracking. `lines` go into staging and production.
pub fn three_distributions(lines: &[&str]) -> String {
    let extra: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut text = String::from(
        "# The mirror\nOrigin: Ubuntu\nLabel: Ubuntu\nSuite: precise\nVersion: 12.04\nCodename: precise\n\
         Architectures: i386 amd64\nComponents: main restricted universe multiverse\n\
         UDebComponents: main restricted universe multiverse\nDescription: Ubuntu Precise\nContents: .gz .bz2\n\
         UDebIndices: Packages Release . .gz\nTracking: minimal\n",
    );
    for (kind, more) in [("staging", "NotAutomatic: yes # tried out first\n"), ("prod", "")] {
        text.push_str(&format!(
            "\n# Ours, {kind}\nOrigin: Company # us\nLabel: {kind}   # and again\nSuite: precise-{kind}\n\
             Codename: precise-{kind}\nArchitectures: i386 amd64 source\nComponents: main role/dns role/web # by role\n\
             Description: Packages of ours ({kind})\nContents: .gz .bz2\nTracking: keep\n{more}{extra}"
        ));
    }
    text
}

/// An archive in a directory of its own, removed when it goes out of scope.
#[derive(Debug)]
pub struct TestEnv {
    tool: Tool,
    gnupg: Option<GnupgHome>,
    dir: TempDir,
}

impl TestEnv {
    /// One distribution, `local`, that is not signed.
    pub fn new() -> TestResult<Self> {
        Self::with(Tool::under_test(), &one_distribution(&[]))
    }

    /// One distribution with these further lines.
    pub fn with_lines(lines: &[&str]) -> TestResult<Self> {
        Self::with(Tool::under_test(), &one_distribution(lines))
    }

    /// An archive for this program with this conf/distributions. The path is short, as sockets of a GnuPG agent
    /// must lie below it.
    pub fn with(tool: Tool, distributions: &str) -> TestResult<Self> {
        Self::below("/tmp", tool, distributions)
    }

    /// The same in memory, where that is to be had: for tests of many commands, of which each waits for the disk.
    pub fn in_memory(tool: Tool, distributions: &str) -> TestResult<Self> {
        let memory = "/dev/shm";
        Self::below(memory, tool.clone(), distributions).or_else(|_| Self::with(tool, distributions))
    }

    fn below(place: &str, tool: Tool, distributions: &str) -> TestResult<Self> {
        let dir = tempfile::Builder::new().prefix("ar").tempdir_in(place)?;
        let env = Self { tool, gnupg: None, dir };
        std::fs::create_dir_all(env.base().join("conf"))?;
        std::fs::create_dir_all(env.incoming())?;
        env.conf("distributions", distributions)?;
        env.options(&[])?;
        Ok(env)
    }

    /// Writes conf/options: the usual directories, unreferenced files dropped at once, and these lines.
    pub fn options(&self, lines: &[&str]) -> TestResult {
        let mut text = String::from("outdir +b/www\nlogdir +b/logs\ngnupghome +b/gpg\n");
        if !self.tool.is_reprepro {
            text.push_str("retain 0\n");
        }
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.conf("options", &text)
    }

    /// Writes a file below conf/.
    pub fn conf(&self, name: &str, text: &str) -> TestResult {
        Ok(std::fs::write(self.base().join("conf").join(name), text)?)
    }

    /// Writes an executable script below conf/.
    pub fn script(&self, name: &str, text: &str) -> TestResult {
        use std::os::unix::fs::PermissionsExt;
        self.conf(name, text)?;
        let path = self.base().join("conf").join(name);
        Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
    }

    pub fn tool(&self) -> &Tool {
        &self.tool
    }

    /// The sandbox: base directory, incoming files and whatever else a test puts there.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn base(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    /// The published tree.
    pub fn outdir(&self) -> PathBuf {
        self.base().join("www")
    }

    /// Where packages to be included are built.
    pub fn incoming(&self) -> PathBuf {
        self.dir.path().join("in")
    }

    /// Gives the archive a signing key, for `SignWith: yes`, and returns a file with its public part (binary).
    pub fn make_key(&mut self) -> TestResult<PathBuf> {
        let public = self.root().join("archive.gpg");
        if self.tool.is_reprepro {
            let home = GnupgHome::create(&self.base().join("gpg"))?;
            std::fs::write(&public, home.export()?)?;
            self.gnupg = Some(home);
        } else {
            let generate = [
                "key",
                "generate",
                "--name",
                "Test Archive",
                "--email",
                "archive@example.org",
            ];
            let _ = self.run(generate).ok();
            let exported = self.command(["key", "export"]).output()?;
            assert!(exported.status.success(), "key export: {exported:?}");
            std::fs::write(&public, dearmoured(exported.stdout)?)?;
        }
        Ok(public)
    }

    /// The program, about to be run on this archive in a clean environment.
    pub fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Command {
        let mut command = Command::new(&self.tool.path);
        command.arg("-b").arg(self.base()).args(args);
        self.clean(&mut command);
        command
    }

    /// Gives a command the sandbox's environment and no input.
    pub fn clean(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.root())
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .current_dir(self.root())
            .stdin(Stdio::null());
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Output {
        self.finish(&mut self.command(args))
    }

    /// Runs a prepared command to its end.
    #[track_caller]
    pub fn finish(&self, command: &mut Command) -> Output {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(child) = child else {
            unreachable!("cannot start {command:?}: {child:?}");
        };
        self.wait(child)
    }

    /// Waits for a child whose output is piped.
    #[track_caller]
    pub fn wait(&self, mut child: Child) -> Output {
        let stdout = child.stdout.take().map(drain);
        let stderr = child.stderr.take().map(drain);
        let status = wait_patiently(&mut child);
        let text = |reader: Option<std::thread::JoinHandle<Vec<u8>>>| {
            let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
            self.shown(&String::from_utf8_lossy(&bytes))
        };
        Output {
            status,
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }

    /// A text with the sandbox's paths replaced by `$BASE` and `$IN`.
    pub fn shown(&self, text: &str) -> String {
        text.replace(&*self.base().to_string_lossy(), "$BASE")
            .replace(&*self.incoming().to_string_lossy(), "$IN")
    }

    /// `list CODENAME`.
    #[track_caller]
    pub fn list(&self, codename: &str) -> String {
        self.run(["list", codename]).ok().stdout
    }

    /// The published tree as it is now.
    pub fn tree(&self) -> TestResult<Tree> {
        Tree::of(&self.outdir())
    }

    /// The names of the pool's files, sorted.
    pub fn pool(&self) -> TestResult<Vec<String>> {
        let tree = Tree::of(&self.outdir().join("pool"))?;
        Ok(tree.files().map(|path| format!("pool/{path}")).collect())
    }

    /// Asserts that each file of the distribution is what its Release says.
    #[track_caller]
    pub fn assert_verified(&self, codename: &str) -> TestResult {
        let problems = super::verify::problems(&self.outdir(), codename)?;
        assert!(problems.is_empty(), "{codename}: {problems:#?}");
        Ok(())
    }
}

/// An exported key as gpgv reads it.
fn dearmoured(key: Vec<u8>) -> TestResult<Vec<u8>> {
    if !key.starts_with(b"-----BEGIN") {
        return Ok(key);
    }
    let mut binary = Vec::new();
    sequoia_openpgp::armor::Reader::from_bytes(&key, None).read_to_end(&mut binary)?;
    Ok(binary)
}

fn drain(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map(|_| bytes).unwrap_or_default()
    })
}

/// The exit status, or minus the signal. A command that does not end is killed and fails the test.
#[track_caller]
fn wait_patiently(child: &mut Child) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return status.code().unwrap_or_else(|| -status.signal().unwrap_or_default());
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            unreachable!("a command hung for {PATIENCE:?}");
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}
