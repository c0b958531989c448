//! When a server is not asked any more: one that has fallen silent would else be waited for once for each of thousands of
//! files.

use std::collections::HashMap;

use super::Error;
use super::transfer::Wanted;

/// So many files in a row may fail that could have come.
const MOST_FAILURES: u32 = 20;

/// How often the servers of this run have failed, in a row.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failures: HashMap<String, u32>,
}

impl Patience {
    /// The server that is asked first for a file.
    pub fn host(wanted: &Wanted) -> &str {
        let url = wanted.urls.first().map_or("", String::as_str);
        let after_scheme = url.find("://").map_or(0, |at| at + 3);
        let rest = url.get(after_scheme..).unwrap_or_default();
        let length = rest.find('/').unwrap_or(rest.len());
        url.get(..after_scheme + length).unwrap_or(url)
    }

    /// Notes how a file came from a server, all tries and other addresses included.
    pub fn note(&mut self, host: String, error: Option<&Error>) {
        if error.is_some_and(Error::may_pass) {
            let count = self.failures.entry(host).or_default();
            *count = count.saturating_add(1);
        } else {
            self.failures.remove(&host);
        }
    }

    /// Why a file is not asked for any more, if it is not.
    pub fn is_over(&self, wanted: &Wanted) -> Option<Error> {
        let host = Self::host(wanted);
        let count = *self.failures.get(host)?;
        (count >= MOST_FAILURES).then(|| Error::GivenUp {
            url: wanted.urls.first().cloned().unwrap_or_default(),
            host: host.to_owned(),
            count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(url: &str) -> Wanted {
        Wanted {
            urls: vec![url.to_owned()],
            ..Wanted::default()
        }
    }

    #[test]
    fn a_server_that_fails_again_and_again_is_given_up_and_others_are_not() {
        let mut patience = Patience::default();
        let silence = Error::Transfer {
            url: String::new(),
            problem: String::new(),
        };
        let (silent, other) = (wanted("http://a:1/x/y"), wanted("http://b/x"));
        for _ in 0..MOST_FAILURES {
            assert!(patience.is_over(&silent).is_none());
            patience.note(Patience::host(&silent).into(), Some(&silence));
        }
        assert_eq!(
            patience.is_over(&silent).map(|error| error.to_string()).as_deref(),
            Some("did not ask for `http://a:1/x/y`: 20 files in a row failed at `http://a:1`")
        );
        assert!(patience.is_over(&other).is_none());
        patience.note(Patience::host(&silent).into(), None);
        assert!(patience.is_over(&silent).is_none());
    }
}
