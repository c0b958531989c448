//! https by nginx with a certificate of the test's own authority, and redirects.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::support::find_program;
use super::{Deb, Mirror, TestResult, have_tools};

/// nginx on two ports, https with HTTP/2 and plain.
struct Nginx {
    child: Child,
    directory: PathBuf,
    https: u16,
    http: u16,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> TestResult<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn openssl(directory: &Path, arguments: &str) -> TestResult {
    let words = arguments.split(' ');
    let output = Command::new("openssl").args(words).current_dir(directory).output()?;
    assert!(output.status.success(), "openssl {arguments}: {output:?}");
    Ok(())
}

/// An authority, `ca.pem`, and a certificate of its for `localhost`.
fn make_certificates(directory: &Path) -> TestResult {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        directory,
        &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=Test-CA"),
    )?;
    openssl(
        directory,
        &format!("req {key} -keyout server.key -out server.csr -subj /CN=localhost"),
    )?;
    std::fs::write(directory.join("ext"), "subjectAltName=DNS:localhost\n")?;
    openssl(
        directory,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 2 -extfile ext -out server.pem",
    )
}

impl Nginx {
    /// Serves the mirror's site, if all that is needed is installed.
    fn start(mirror: &Mirror) -> TestResult<Option<Self>> {
        if !have_tools(&["nginx", "openssl"]) {
            return Ok(None);
        }
        let directory = mirror.env.root().join("tls");
        std::fs::create_dir_all(&directory)?;
        make_certificates(&directory)?;
        let (https, http) = (free_port()?, free_port()?);
        let place = directory.display();
        let root = mirror.site.root().display();
        // as root, its workers would otherwise be another user, who may not read the site
        let user = if rustix::process::getuid().is_root() {
            "user root;\n"
        } else {
            ""
        };
        let conf = format!(
            "daemon off;\nmaster_process off;\n{user}pid {place}/pid;\nerror_log {place}/error.log;\nevents {{}}\n\
             http {{ log_format short '$server_protocol $request_uri $status'; access_log {place}/access.log short;\n\
             client_body_temp_path {place}; proxy_temp_path {place}; fastcgi_temp_path {place};\n\
             uwsgi_temp_path {place}; scgi_temp_path {place}; root {root};\n\
             server {{ listen 127.0.0.1:{https} ssl http2; ssl_certificate {place}/server.pem;\n\
             ssl_certificate_key {place}/server.key;\n\
             location /down/ {{ return 302 http://127.0.0.1:{http}/; }}\n\
             location /round/ {{ return 302 https://localhost:{https}/round/x$request_uri; }} }}\n\
             server {{ listen 127.0.0.1:{http}; location /up/ {{\n\
             rewrite ^/up/(.*) https://localhost:{https}/$1 redirect; }} }} }}\n"
        );
        std::fs::write(directory.join("nginx.conf"), conf)?;
        let program = find_program("nginx").ok_or("no nginx")?;
        let child = Command::new(program)
            .arg("-e")
            .arg(directory.join("error.log"))
            .arg("-c")
            .arg(directory.join("nginx.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let nginx = Self {
            child,
            directory,
            https,
            http,
        };
        for _ in 0..500 {
            if std::net::TcpStream::connect(("127.0.0.1", https)).is_ok() {
                return Ok(Some(nginx));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = std::fs::read_to_string(nginx.directory.join("error.log")).unwrap_or_default();
        Err(format!("nginx does not start: {log}").into())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("access.log")).unwrap_or_default()
    }

    fn rule(&self, mirror: &Mirror, method: &str, lines: &str) -> TestResult {
        let method = method
            .replace("HTTPS", &format!("https://localhost:{}", self.https))
            .replace("HTTP", &format!("http://127.0.0.1:{}", self.http));
        mirror.rule(&format!("Method: {method}\n{lines}"))
    }

    fn authority(&self) -> String {
        format!("Config: Acquire::https::CaInfo={}/ca.pem", self.directory.display())
    }
}

const ALL: &str = "s|main|amd64: hello 1\n";

fn served() -> TestResult<Option<(Mirror, Nginx)>> {
    let Some(mirror) = Mirror::new("Update: u\n")? else {
        return Ok(None);
    };
    mirror.publish(&[Deb::new("hello", "1")])?;
    Ok(Nginx::start(&mirror)?.map(|nginx| (mirror, nginx)))
}

#[test]
fn https_needs_an_authority_that_is_trusted_and_speaks_http_2() -> TestResult {
    let Some((mirror, nginx)) = served()? else {
        return Ok(());
    };
    nginx.rule(&mirror, "HTTPS", "")?;
    mirror.assert_refused(&[
        "cannot trust the server of `https://localhost",
        "UnknownIssuer",
        "Acquire::https::CaInfo",
    ]);
    nginx.rule(&mirror, "HTTPS", &nginx.authority())?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s"), ALL);
    let log = nginx.log();
    assert!(log.lines().all(|line| line.starts_with("HTTP/2.0 /")), "{log}");
    assert!(log.contains("hello_1_amd64.deb 200"), "{log}");
    // the name must be that of the certificate
    nginx.rule(
        &mirror,
        &format!("https://127.0.0.1:{}", nginx.https),
        &nginx.authority(),
    )?;
    mirror.assert_refused(&["cannot trust the server", "127.0.0.1"]);
    Ok(())
}

#[test]
fn https_trusts_the_authorities_of_the_system() -> TestResult {
    let Some((mirror, nginx)) = served()? else {
        return Ok(());
    };
    nginx.rule(&mirror, "HTTPS", "")?;
    let mut command = mirror.env.command(["update", "s"]);
    // where the system's file of authorities is, for those who have it elsewhere
    command.env("SSL_CERT_FILE", nginx.directory.join("ca.pem"));
    let _ = mirror.env.finish(&mut command).ok();
    assert_eq!(mirror.env.list("s"), ALL);
    Ok(())
}

#[test]
fn a_machine_without_any_authority_can_use_http() -> TestResult {
    let Some(mirror) = Mirror::new("Update: u\n")? else {
        return Ok(());
    };
    mirror.publish(&[Deb::new("hello", "1")])?;
    let mut command = mirror.env.command(["update", "s"]);
    let empty = mirror.env.root().join("empty");
    std::fs::create_dir(&empty)?;
    command.env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", &empty);
    let _ = mirror.env.finish(&mut command).ok();
    assert_eq!(mirror.env.list("s"), ALL);
    Ok(())
}

#[test]
fn redirects_lead_to_https_only_and_not_round_and_round() -> TestResult {
    let Some((mirror, nginx)) = served()? else {
        return Ok(());
    };
    nginx.rule(&mirror, "HTTPS/down", &nginx.authority())?;
    mirror.assert_refused(&["redirects to `http:`"]);
    assert!(!nginx.log().contains("HTTP/1.1 /"), "{}", nginx.log());
    nginx.rule(&mirror, "HTTPS/round", &nginx.authority())?;
    mirror.assert_refused(&["too many redirects"]);
    assert!(nginx.log().lines().count() < 30, "{}", nginx.log());
    nginx.rule(&mirror, "HTTP/up", &nginx.authority())?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s"), ALL);
    Ok(())
}

#[test]
fn a_file_that_holds_no_certificate_is_told() -> TestResult {
    let Some(mirror) = Mirror::new("Update: u\n")? else {
        return Ok(());
    };
    let file = mirror.env.root().join("none.pem");
    std::fs::write(&file, "nothing\n")?;
    mirror.publish(&[])?;
    mirror.rule(&format!("Config: Acquire::https::CaInfo={}", file.display()))?;
    mirror.assert_refused(&["none.pem", "no file of PEM certificates"]);
    Ok(())
}
