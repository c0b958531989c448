//! The least HTTP/1.1 client that reads a file: one request a connection, answers with a Content-Length.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Nothing that a small archive holds is longer.
const MOST_BYTES: u64 = 256 << 20;

/// The body of `path` below `base`, nothing if the server says that it has none.
pub fn get(base: &str, path: &str) -> Result<Option<Vec<u8>>, String> {
    let (head, body) = exchange(base, path).map_err(|error| format!("{path}: {error}"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    match status {
        "200" => {}
        "404" => return Ok(None),
        _ => {
            return Err(format!(
                "{path}: answered with `{}`",
                head.lines().next().unwrap_or_default()
            ));
        }
    }
    if header(&head, "Content-Encoding").is_some() {
        return Err(format!("{path}: sent with a Content-Encoding"));
    }
    let length = header(&head, "Content-Length").and_then(|value| value.parse().ok());
    if length != Some(body.len()) {
        return Err(format!("{path}: {} bytes where {length:?} were announced", body.len()));
    }
    Ok(Some(body))
}

fn exchange(base: &str, path: &str) -> std::io::Result<(String, Vec<u8>)> {
    let other = |what: &str| std::io::Error::other(what.to_owned());
    let rest = base
        .strip_prefix("http://")
        .ok_or_else(|| other("the URL must be of http"))?;
    let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    let slash = if prefix.is_empty() { "" } else { "/" };
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "GET {slash}{prefix}/{} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
        path.replace('~', "%7e").replace('+', "%2b")
    )?;
    let mut bytes = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut bytes)?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| other("the answer has no end of its header"))?;
    let body = bytes.split_off(end + 4);
    Ok((String::from_utf8_lossy(&bytes).into_owned(), body))
}

fn header<'head>(head: &'head str, name: &str) -> Option<&'head str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}
