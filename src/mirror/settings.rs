//! `Config` of an update rule, in apt's words: how its upstream is to be asked.

use std::path::PathBuf;
use std::time::Duration;

/// How long a connection may take to come up.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a server may send nothing.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// How a rule's `Config` wants its upstream to be asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TransferSettings {
    /// The proxy; `None`: that of the environment, if any. Empty: none.
    pub proxy: Option<String>,
    /// How long a connection may take to come up.
    pub connect_limit: Duration,
    /// How long the server may send nothing.
    pub stall_limit: Duration,
    /// How many bytes may come in a second, over all connections; `None`: as many as do.
    pub bytes_per_second: Option<u64>,
    /// The certificates that https trusts, a PEM file; `None`: those of the system.
    pub certificates: Option<PathBuf>,
}

impl Default for TransferSettings {
    fn default() -> Self {
        Self {
            proxy: None,
            connect_limit: CONNECT_LIMIT,
            stall_limit: STALL_LIMIT,
            bytes_per_second: None,
            certificates: None,
        }
    }
}

impl TransferSettings {
    /// Reads the lines of `Config`, such as `Acquire::http::Proxy=http://proxy:3128`; gives a warning for each line
    /// that has no effect.
    #[must_use]
    pub fn of_config(lines: &[String]) -> (Self, Vec<String>) {
        let mut settings = Self::default();
        let mut warnings = Vec::new();
        for line in lines {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            let value = value.trim().trim_end_matches(';').trim_matches('"');
            let name = name.trim().to_ascii_lowercase();
            // what apt knows for one of the two counts for both
            let word = name.strip_prefix("acquire::http::");
            let word = word.or_else(|| name.strip_prefix("acquire::https::"));
            if let Err(problem) = settings.set(word.unwrap_or_default(), value) {
                warnings.push(format!("`{line}` in `Config` {problem}"));
            }
        }
        (settings, warnings)
    }

    fn set(&mut self, word: &str, value: &str) -> Result<(), &'static str> {
        match word {
            "proxy" if value.eq_ignore_ascii_case("direct") => self.proxy = Some(String::new()),
            "proxy" => self.proxy = Some(value.to_owned()),
            "timeout" => match value.parse() {
                Ok(seconds @ 1..=3600) => {
                    self.stall_limit = Duration::from_secs(seconds);
                    self.connect_limit = self.stall_limit.min(CONNECT_LIMIT);
                }
                _ => return Err("is no number of seconds from 1 to 3600"),
            },
            "dl-limit" => match value.parse::<u64>() {
                Ok(kilobytes @ 0..=1_000_000_000) => {
                    self.bytes_per_second = (kilobytes > 0).then_some(kilobytes.saturating_mul(1024));
                }
                _ => return Err("is no number of kilobytes a second"),
            },
            "cainfo" if value.starts_with('/') => self.certificates = Some(value.into()),
            "cainfo" => return Err("has no effect: it must be an absolute path"),
            _ => return Err("has no effect"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_is_read_in_the_words_of_apt_and_what_has_no_effect_is_told() {
        let lines = [
            "Acquire::http::Proxy=http://p:1",
            "Acquire::HTTP::Timeout=5",
            "Acquire::http::Dl-Limit=12",
            "Acquire::https::CaInfo \"/etc/ca.pem\";",
            "Acquire::https::CaInfo=/etc/ca.pem",
            "Acquire::http::Pipeline-Depth=3",
        ];
        let (settings, warnings) = TransferSettings::of_config(&lines.map(str::to_owned));
        assert_eq!(settings.proxy.as_deref(), Some("http://p:1"));
        assert_eq!(settings.stall_limit, Duration::from_secs(5));
        assert_eq!(settings.bytes_per_second, Some(12 * 1024));
        assert_eq!(settings.certificates, Some("/etc/ca.pem".into()));
        assert_eq!(
            warnings,
            [
                "`Acquire::https::CaInfo \"/etc/ca.pem\";` in `Config` has no effect",
                "`Acquire::http::Pipeline-Depth=3` in `Config` has no effect"
            ]
        );
    }

    #[test]
    fn values_that_are_none_are_told() {
        for line in [
            "Acquire::http::Timeout=0",
            "Acquire::http::Dl-Limit=fast",
            "Acquire::https::CaInfo=ca.pem",
        ] {
            let (settings, warnings) = TransferSettings::of_config(&[line.to_owned()]);
            assert_eq!((settings, warnings.len()), (TransferSettings::default(), 1), "{line}");
        }
    }
}
