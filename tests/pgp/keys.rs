//! The `key` commands.

use std::path::{Path, PathBuf};

use aptrepo::model::ErrorKind;
use aptrepo::ops::keys::{self, Algorithm, Generate};

use crate::support::now;

const DAY: i64 = 86_400;
/// After the day on which sqv stopped to accept SHA-1, before all others.
const IN_2026: i64 = 1_790_000_000;

fn fixture(name: &str) -> PathBuf {
    Path::new("tests/fixtures/keys").join(name)
}

fn generate(directory: &Path, valid_days: Option<u32>, at: i64) -> String {
    let new = Generate {
        user_id: "Example archive <archive@example.org>",
        algorithm: Algorithm::default(),
        valid_days,
        passphrase_file: None,
    };
    keys::generate(directory, &new, at).unwrap().fingerprint
}

fn check(key: &str) -> (String, Option<ErrorKind>) {
    let home = tempfile::tempdir().unwrap();
    keys::import(home.path(), &[fixture(key)]).unwrap();
    let report = keys::check(home.path(), &[], IN_2026).unwrap();
    (report.text(), report.kind())
}

#[test]
fn a_new_key_is_accepted_by_every_client() {
    let home = tempfile::tempdir().unwrap();
    let fingerprint = generate(home.path(), Some(keys::DEFAULT_VALID_DAYS), IN_2026);
    let report = keys::check(home.path(), &[], IN_2026).unwrap();
    assert_eq!(report.kind(), None);
    assert_eq!(
        report.text(),
        format!(
            "{fingerprint}\n    Example archive <archive@example.org>\n    ed25519, self-signature with SHA512\n    \
             expires on 2029-09-20, 1095 days left\n    apt up to 2.6 (Debian 12): accepts it\n    \
             apt 2.8 (Ubuntu 24.04): accepts it\n    apt 3 (Debian 13): accepts it\n    apt 3 in a year: accepts it\n    \
             clients as old as Ubuntu 16.04 and Debian 8 (GnuPG 1.4) do not read it; they need an RSA key\n"
        )
    );
}

#[test]
fn an_end_within_the_year_is_told_and_an_end_in_the_past_is_a_failure() {
    let home = tempfile::tempdir().unwrap();
    generate(home.path(), Some(300), IN_2026);
    let soon = keys::check(home.path(), &[], IN_2026 + 10 * DAY).unwrap();
    assert_eq!(soon.kind(), None);
    assert!(
        soon.text().contains("expires on 2027-07-18, 290 days left"),
        "{}",
        soon.text()
    );
    assert!(
        soon.text()
            .contains("in a year: accepts it until then: expires on 2027-07-18"),
        "{}",
        soon.text()
    );
    let late = keys::check(home.path(), &[], IN_2026 + 301 * DAY).unwrap();
    assert_eq!(late.kind(), Some(ErrorKind::Signing));
    assert!(
        late.text().contains("(Debian 12): refuses it: expired on 2027-07-18"),
        "{}",
        late.text()
    );
}

#[test]
fn old_keys_are_refused_by_the_clients_that_refuse_them() {
    let (text, kind) = check("old-rsa2048-sha1.asc");
    assert_eq!(kind, Some(ErrorKind::Signing));
    assert!(
        text.contains("rsa2048, self-signature with SHA1\n    never expires"),
        "{text}"
    );
    assert!(
        text.contains("(Debian 12): accepts it\n    apt 2.8 (Ubuntu 24.04): accepts it"),
        "{text}"
    );
    assert!(
        text.contains("(Debian 13): refuses it: ") && text.contains("SHA1 is not considered secure since 2026-02-01"),
        "{text}"
    );
    assert!(
        text.contains("gpg --cert-digest-algo SHA512 --quick-set-expire"),
        "{text}"
    );

    let (text, _) = check("old-rsa1024.asc");
    assert!(text.contains("(Debian 12): accepts it"), "{text}");
    assert!(
        text.contains("(Ubuntu 24.04): accepts it with a warning: rsa1024 is weak"),
        "{text}"
    );
    assert!(text.contains("(Debian 13): refuses it"), "{text}");

    let (text, _) = check("old-dsa1024.asc");
    assert!(text.contains("(Ubuntu 24.04): refuses it: dsa1024"), "{text}");
    assert!(text.contains("aptrepo key generate"), "{text}");
}

#[test]
fn an_old_key_still_signs_for_the_clients_that_have_it() {
    let home = tempfile::tempdir().unwrap();
    keys::import(home.path(), &[fixture("old-rsa2048-sha1.secret.asc")]).unwrap();
    let row = &keys::list(home.path(), IN_2026).unwrap().keys[0];
    assert!(row.secret && row.can_sign, "{row:?}");
}

#[test]
fn a_listing_tells_secret_from_public_and_what_can_sign() {
    let home = tempfile::tempdir().unwrap();
    let secret = generate(home.path(), Some(10), IN_2026);
    keys::import(home.path(), &[fixture("old-rsa1024.asc")]).unwrap();
    let listing = keys::list(home.path(), IN_2026).unwrap();
    assert_eq!(listing.hint, None);
    let mut blocks = [
        format!(
            "{secret}\n    secret ed25519, made 2026-09-21, expires 2026-10-01, can sign\n    Example archive \
             <archive@example.org>\n"
        ),
        "6F833E63D3C8650BDCE8CFC92FE36242302D7B8F\n    public rsa1024, made 2012-03-01, never expires, no secret key\n    \
         Old short RSA\n"
            .to_owned(),
    ];
    blocks.sort();
    assert_eq!(listing.text(), blocks.concat());
    let json = serde_json::to_value(&listing).unwrap();
    assert_eq!(json["keys"][0]["storage"], "aptrepo");
    let expired = keys::list(home.path(), IN_2026 + 11 * DAY).unwrap().text();
    assert!(
        expired.contains("expires 2026-10-01, expired on 2026-10-01"),
        "{expired}"
    );
}

#[test]
fn what_is_exported_can_be_imported() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let fingerprint = generate(home.path(), None, now());
    let public = keys::export(home.path(), &[]).unwrap();
    assert!(public.starts_with(b"-----BEGIN PGP PUBLIC KEY BLOCK-----"));
    let imported = keys::import_bytes(other.path(), &public, "stdin").unwrap();
    assert_eq!(
        (imported[0].fingerprint.as_str(), imported[0].secret),
        (fingerprint.as_str(), false)
    );
    let secret = keys::export_secret(home.path(), &[fingerprint], None).unwrap();
    assert!(keys::import_bytes(other.path(), &secret, "stdin").unwrap()[0].secret);
    let again = keys::export_secret(other.path(), &[], None).unwrap();
    assert_eq!(again, secret);
}

#[test]
fn an_empty_directory_is_told_with_a_way_out() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(keys::list(home.path(), now()).unwrap().text(), "");
    let error = keys::check(home.path(), &[], now()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("there is no secret key in `{}`", home.path().display())
    );
    assert!(error.hint().unwrap().contains("aptrepo key generate"));
    let missing = keys::import(home.path(), &[PathBuf::from("/nonexistent.asc")]).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::FileMissing);
}
