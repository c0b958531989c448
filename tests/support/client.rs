//! Real apt with a root of its own, and web servers in front of a published tree.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::env::{Output, TestEnv};
use super::{TestResult, find_program, skip};

/// An apt that knows only its own directory.
#[derive(Debug)]
pub struct AptClient<'a> {
    env: &'a TestEnv,
    root: PathBuf,
}

impl<'a> AptClient<'a> {
    /// A client for amd64 that trusts the keys in `keyring` and has these lines, `deb URL …`, as its sources.
    pub fn new(env: &'a TestEnv, keyring: &Path, lines: &[String]) -> TestResult<Self> {
        let root = tempfile::Builder::new().prefix("apt").tempdir_in(env.root())?.keep();
        for dir in [
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "var/lib/apt/lists/partial",
            "var/lib/dpkg",
            "var/cache/apt/archives/partial",
            "var/log/apt",
            "download",
        ] {
            std::fs::create_dir_all(root.join(dir))?;
        }
        let key = root.join("archive.gpg");
        std::fs::copy(keyring, &key)?;
        let sources: String = lines
            .iter()
            .map(|line| line.replacen(' ', &format!(" [signed-by={}] ", key.display()), 1) + "\n")
            .collect();
        std::fs::write(root.join("etc/apt/sources.list"), sources)?;
        std::fs::write(root.join("var/lib/dpkg/status"), "")?;
        let shown = root.display();
        std::fs::write(
            root.join("apt.conf"),
            format!(
                "Dir \"{shown}/\";\nDir::State::status \"{shown}/var/lib/dpkg/status\";\nDir::Etc::Trusted \"/nonexistent\";\n\
                 Dir::Etc::TrustedParts \"/nonexistent\";\nAPT::Architecture \"amd64\";\nAPT::Architectures:: \"amd64\";\n\
                 APT::Sandbox::User \"\";\nAcquire::http::Proxy \"DIRECT\";\nAcquire::Languages \"none\";\n\
                 Acquire::Retries \"0\";\nDebug::Acquire::http \"true\";\n"
            ),
        )?;
        Ok(Self { env, root })
    }

    /// Adds to its configuration.
    pub fn configure(&self, text: &str) -> TestResult {
        let place = self.root.join("apt.conf");
        let before = std::fs::read_to_string(&place)?;
        Ok(std::fs::write(place, before + text)?)
    }

    /// The text of the index file whose name ends so.
    pub fn list(&self, ending: &str) -> TestResult<String> {
        let names = self.lists()?;
        let name = names.iter().find(|name| name.ends_with(ending));
        let name = name.ok_or_else(|| format!("no {ending} in {names:?}"))?;
        Ok(std::fs::read_to_string(self.root.join("var/lib/apt/lists").join(name))?)
    }

    /// Runs `apt-get` with these arguments.
    pub fn get(&self, args: &[&str]) -> Output {
        self.run("apt-get", args)
    }

    /// Runs `apt-cache` with these arguments.
    pub fn cache(&self, args: &[&str]) -> Output {
        self.run("apt-cache", args)
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new(program);
        self.env.clean(&mut command);
        command.env("APT_CONFIG", self.root.join("apt.conf")).args(args);
        self.env.finish(command.current_dir(self.root.join("download")))
    }

    /// Where `download` and `source` put files.
    pub fn downloads(&self) -> PathBuf {
        self.root.join("download")
    }

    /// The names of the index files that it has.
    pub fn lists(&self) -> TestResult<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.root.join("var/lib/apt/lists"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(Some(name).filter(|name| name != "partial" && name != "lock" && name != "auxfiles"));
        }
        Ok(names)
    }
}

/// Lines of apt that complain.
pub fn complaints(output: &Output) -> Vec<String> {
    let text = output.text();
    let lines = text
        .lines()
        .filter(|line| ["W:", "E:", "N:", "Err:"].iter().any(|mark| line.starts_with(mark)));
    lines.map(str::to_owned).collect()
}

/// A web server in front of a published tree; it ends with this.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Without a slash at its end.
    pub url: String,
    pub name: &'static str,
    /// What nginx writes about requests.
    log: Option<PathBuf>,
}

/// One request, as nginx saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The number of its connection.
    pub connection: String,
    pub status: u16,
    /// How many bytes nginx gave to the system to send.
    pub bytes_sent: u64,
    pub path: String,
    /// `Range`, or `-`.
    pub range: String,
}

impl Server {
    /// `aptrepo serve` on a free port.
    pub fn aptrepo(env: &TestEnv) -> TestResult<Self> {
        let mut child = env
            .command(["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let at = line.find("http://").ok_or_else(|| format!("no address in `{line}`"))?;
        let url = line.split_at(at).1.trim().trim_end_matches('/').to_owned();
        Ok(Self {
            child,
            url,
            name: "aptrepo serve",
            log: None,
        })
    }

    /// nginx in front of the published tree, on a free port, or none if it is not installed.
    pub fn nginx(env: &TestEnv) -> TestResult<Option<Self>> {
        Self::nginx_of(env, &env.outdir(), "")
    }

    /// nginx in front of any directory, with these further directives for its server.
    pub fn nginx_of(env: &TestEnv, served: &Path, directives: &str) -> TestResult<Option<Self>> {
        let Some(program) = find_program("nginx") else {
            skip("nginx is not installed");
            return Ok(None);
        };
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let dir = env.root().join("nginx");
        std::fs::create_dir_all(&dir)?;
        let (shown, served) = (dir.display(), served.display());
        let conf = dir.join("nginx.conf");
        let user = if rustix::process::geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        std::fs::write(
            &conf,
            format!(
                "daemon off; {user} worker_processes 1; pid {shown}/pid; error_log {shown}/error.log;\n\
                 events {{ worker_connections 64; }}\nhttp {{ default_type application/octet-stream;\n\
                 log_format test '$connection $status $body_bytes_sent $uri $http_range';\n\
                 access_log {shown}/access.log test;\n\
                 client_body_temp_path {shown}/b; proxy_temp_path {shown}/p; fastcgi_temp_path {shown}/f;\n\
                 uwsgi_temp_path {shown}/u; scgi_temp_path {shown}/s;\n\
                 server {{ listen 127.0.0.1:{port}; root {served}; {directives} }} }}\n"
            ),
        )?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&conf)
            .arg("-e")
            .arg(dir.join("error.log"))
            .stdin(Stdio::null())
            .spawn()?;
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if start.elapsed() > Duration::from_secs(10) {
                return Err("nginx does not start".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Some(Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
            name: "nginx",
            log: Some(dir.join("access.log")),
        }))
    }

    /// The requests since the last call; nginx only.
    pub fn requests(&self) -> TestResult<Vec<Request>> {
        let path = self.log.as_ref().ok_or("this server has no log")?;
        // it is written when an answer has ended, which the client may know first
        std::thread::sleep(Duration::from_millis(100));
        let text = std::fs::read_to_string(path)?;
        std::fs::write(path, "")?;
        let request = |line: &str| {
            let mut words = line.split(' ');
            let mut next = || words.next().ok_or("a short line");
            Ok(Request {
                connection: next()?.to_owned(),
                status: next()?.parse()?,
                bytes_sent: next()?.parse()?,
                path: next()?.to_owned(),
                range: next()?.to_owned(),
            })
        };
        text.lines().map(request).collect()
    }

    /// Each server that there is for this archive.
    pub fn all(env: &TestEnv) -> TestResult<Vec<Self>> {
        let mut servers: Vec<Self> = Self::nginx(env)?.into_iter().collect();
        if !env.tool().is_reprepro {
            servers.push(Self::aptrepo(env)?);
        }
        Ok(servers)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, so that nginx ends its workers, too.
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
