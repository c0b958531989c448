//! Signing, verifying and the key directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::OnceLock;

use aptrepo::pgp::{
    Algorithm, Backend, Error, KeyHome, Keyring, NewKey, Passphrase, Signed, Status, Tolerance, read_maybe_signed,
    verify_clearsigned, verify_detached,
};

use crate::support::{self, GnupgHome, RELEASE, gpgv_accepts, native, new_key, now, sqv_accepts};

const DAY: i64 = 86_400;

fn sign(home: &KeyHome, keys: &[&str]) -> Signed {
    let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
    home.signer(&keys, None, now()).unwrap().sign(RELEASE, now()).unwrap()
}

fn signer_error(home: &KeyHome, keys: &[&str], passphrase: Option<&str>) -> Error {
    let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
    let passphrase = passphrase.map(|text| Passphrase::new(text.as_bytes()));
    home.signer(&keys, passphrase.as_ref(), now()).unwrap_err()
}

/// Both forms, by us and by what clients use.
fn assert_accepted(signed: &Signed, home: &KeyHome, signatures: usize) {
    let keyring = home.keyring().unwrap();
    let clear = verify_clearsigned(&signed.inrelease, &keyring, now()).unwrap();
    assert_eq!(clear.text, RELEASE);
    assert_eq!(clear.good().count(), signatures, "{:?}", clear.signatures);
    let detached = verify_detached(RELEASE, &signed.detached, &keyring, now()).unwrap();
    assert_eq!(detached.good().count(), signatures, "{:?}", detached.signatures);
    assert!(signed.detached.starts_with(b"-----BEGIN PGP SIGNATURE-----\n"));
    gpgv_accepts(&keyring, signed);
    sqv_accepts(&keyring, signed, signatures);
}

#[test]
fn a_key_of_ours_signs_what_gpgv_and_sqv_accept() {
    let (_directory, home) = native("Example archive <archive@example.org>");
    assert_accepted(&sign(&home, &[]), &home, 1);
    assert_accepted(&sign(&home, &["archive@example.org"]), &home, 1);
}

#[test]
fn the_same_text_key_and_time_give_the_same_bytes() {
    let (_directory, home) = native("Example archive");
    let signer = home.signer(&[], None, now()).unwrap();
    assert_eq!(
        signer.sign(RELEASE, 1_800_000_000).unwrap(),
        signer.sign(RELEASE, 1_800_000_000).unwrap()
    );
}

#[test]
fn an_rsa_key_and_an_ed25519_key_sign_together() {
    let (_directory, home) = native("Example archive one");
    let rsa = NewKey {
        algorithm: Algorithm::Rsa3072,
        valid_days: None,
        ..new_key("Example archive two")
    };
    home.generate(&rsa, now() - DAY).unwrap();
    let signed = sign(&home, &["archive one", "archive two", "archive one"]);
    assert_accepted(&signed, &home, 2);
    // A client that has only one of the keys is served as well.
    let one = home.export(&["archive two".into()]).unwrap();
    let one = Keyring::from_bytes(&one, "two").unwrap();
    let verified = verify_clearsigned(&signed.inrelease, &one, now()).unwrap();
    let statuses: Vec<_> = verified.signatures.iter().map(|signature| &signature.status).collect();
    assert_eq!(statuses, [&Status::UnknownKey, &Status::Good]);

    let yes = home.signer(&[], None, now()).unwrap();
    assert!(
        yes.warnings()[0].contains("signing with the oldest"),
        "{:?}",
        yes.warnings()
    );
    assert_eq!(yes.fingerprints(), [verified.signatures[1].issuer.clone()]);
}

#[test]
fn a_changed_text_is_refused() {
    let (_directory, home) = native("Example archive");
    let keyring = home.keyring().unwrap();
    let signed = sign(&home, &[]);
    let inrelease = String::from_utf8(signed.inrelease).unwrap();
    let bad = Status::Bad {
        reason: "it was not made over this text".into(),
    };
    let tampered = inrelease.replace("Codename: stable", "Codename: evil00");
    let verified = verify_clearsigned(tampered.as_bytes(), &keyring, now()).unwrap();
    assert_eq!(verified.signatures[0].status, bad);
    assert_eq!(verified.good().count(), 0);
    let verified = verify_detached(b"Codename: evil\n", &signed.detached, &keyring, now()).unwrap();
    assert_eq!(verified.signatures[0].status, bad);
    // Blanks at the end of a line are not covered, and do not come out.
    let blanks = inrelease.replace("Codename: stable", "Codename: stable \t");
    let verified = verify_clearsigned(blanks.as_bytes(), &keyring, now()).unwrap();
    assert_eq!((verified.good().count(), verified.text.as_slice()), (1, RELEASE));

    let prefixed = format!("Origin: evil\n{inrelease}");
    assert!(verify_clearsigned(prefixed.as_bytes(), &keyring, now()).is_err());
    let half = &inrelease[..inrelease.len() - 60];
    assert!(verify_clearsigned(half.as_bytes(), &keyring, now()).is_err());
    assert!(matches!(
        verify_clearsigned(RELEASE, &keyring, now()),
        Err(Error::NotSigned)
    ));
    assert!(verify_detached(RELEASE, b"", &keyring, now()).is_err());
    assert!(verify_detached(RELEASE, b"-----BEGIN PGP SIGNATURE-----\n\n!!\n", &keyring, now()).is_err());
}

#[test]
fn an_upload_may_be_unsigned_or_by_an_unknown_key_but_not_broken() {
    let (_directory, home) = native("Uploader");
    let keyring = home.keyring().unwrap();
    let signed = sign(&home, &[]).inrelease;
    let unsigned = read_maybe_signed(RELEASE, &keyring, now()).unwrap();
    assert_eq!((unsigned.text.as_slice(), unsigned.signatures.len()), (RELEASE, 0));
    let unknown = read_maybe_signed(&signed, &Keyring::default(), now()).unwrap();
    assert_eq!(unknown.text, RELEASE);
    assert_eq!(unknown.signatures[0].status, Status::UnknownKey);
    assert!(unknown.broken().is_none());
    let broken = String::from_utf8(signed).unwrap().replace("stable", "evil00");
    let broken = read_maybe_signed(broken.as_bytes(), &keyring, now()).unwrap();
    let by = broken.broken().unwrap();
    let fingerprint = home.list(now()).unwrap()[0].fingerprint.clone();
    assert_eq!(
        by.to_string(),
        format!("signature of {fingerprint}: bad (it was not made over this text)")
    );
    assert!(by.is_by(&fingerprint[24..].to_lowercase(), false));
    assert!(!by.is_by("", true));
}

#[test]
fn an_expired_key_neither_signs_nor_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let home = KeyHome::open(directory.path()).unwrap();
    let short = NewKey {
        valid_days: Some(10),
        ..new_key("Short")
    };
    let made = home.generate(&short, now() - 20 * DAY).unwrap();
    let error = signer_error(&home, &[], None);
    let day = aptrepo::pgp::day(now() - 10 * DAY);
    assert_eq!(
        error.to_string(),
        format!("the key {} expired on {day}", made.fingerprint)
    );
    assert!(error.hint().unwrap().contains("aptrepo key generate"));
    let then = now() - 15 * DAY;
    let signed = home.signer(&[], None, then).unwrap().sign(RELEASE, then).unwrap();
    let keyring = home.keyring().unwrap();
    let verdict = |at| {
        verify_clearsigned(&signed.inrelease, &keyring, at).unwrap().signatures[0]
            .status
            .clone()
    };
    assert_eq!(verdict(then), Status::Good);
    let Status::ExpiredKey { expired } = verdict(now()) else {
        panic!("{:?}", verdict(now()))
    };
    assert_eq!(aptrepo::pgp::day(expired), day);
    assert!(
        matches!(verdict(then - 2 * DAY), Status::Bad { .. }),
        "made in the future"
    );
    // Expired does not hide that the text was changed.
    let tampered = String::from_utf8(signed.inrelease.clone())
        .unwrap()
        .replace("stable", "evil00");
    let verified = verify_clearsigned(tampered.as_bytes(), &keyring, now()).unwrap();
    assert!(matches!(verified.signatures[0].status, Status::Bad { .. }));
}

#[test]
fn a_revoked_key_neither_signs_nor_verifies() {
    let (_directory, home) = native("Example archive");
    let signed = sign(&home, &[]);
    let revoked = support::revoked(&home.export_secret(&[], None).unwrap());
    home.import(&revoked, "revoked.asc").unwrap();
    let error = signer_error(&home, &[], None);
    assert!(matches!(error, Error::KeyRevoked { .. }), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("is revoked: Key material has been compromised: stolen"),
        "{error}"
    );
    let verified = verify_clearsigned(&signed.inrelease, &home.keyring().unwrap(), now()).unwrap();
    assert!(
        matches!(verified.signatures[0].status, Status::RevokedKey { .. }),
        "{:?}",
        verified.signatures
    );
}

#[test]
fn old_keys_verify_only_where_they_are_named() {
    let read = |name: &str| fs::read(Path::new("tests/fixtures/keys").join(name)).unwrap();
    let release = read("Release");
    let now = 1_790_000_000;
    let verdict = |key: &str, signature: &str, tolerance: Option<Tolerance>| {
        let mut keyring = Keyring::from_bytes(&read(key), key).unwrap();
        let verified = verify_detached(&release, &read(signature), &keyring, now).unwrap();
        assert!(
            matches!(verified.signatures[0].status, Status::Weak { .. }),
            "{:?}",
            verified.signatures
        );
        let primary = verified.signatures[0].primary.clone().unwrap();
        assert_eq!(
            keyring.tolerate(&primary[24..], Tolerance::WeakKey),
            None,
            "a key id is not enough"
        );
        if let Some(tolerance) = tolerance {
            keyring.tolerate(&primary, tolerance).unwrap();
        }
        let verified = verify_detached(&release, &read(signature), &keyring, now).unwrap();
        verified.good().count() == 1
    };
    for (key, signature) in [
        ("old-rsa1024.asc", "Release.rsa1024.asc"),
        ("old-rsa2048-sha1.asc", "Release.sha256.asc"),
    ] {
        assert!(!verdict(key, signature, None));
        assert!(verdict(key, signature, Some(Tolerance::WeakKey)), "{key}");
    }
    for (key, signature) in [
        ("old-dsa1024.asc", "Release.dsa.asc"),
        ("old-rsa2048-sha1.asc", "Release.sha1.asc"),
    ] {
        assert!(
            !verdict(key, signature, Some(Tolerance::WeakKey)),
            "{key}: SHA-1 is the other danger"
        );
        assert!(verdict(key, signature, Some(Tolerance::Sha1Signatures)), "{key}");
    }
}

#[test]
fn a_secret_key_open_to_others_is_refused() {
    let (directory, home) = native("Example archive");
    let secret = directory.path().join("gpg/secret");
    let file = fs::read_dir(&secret).unwrap().next().unwrap().unwrap().path();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (mode(&file), mode(&secret), mode(home.directory())),
        (0o600, 0o700, 0o700)
    );
    for (path, open, right) in [
        (file.as_path(), 0o644, 0o600),
        (&secret, 0o770, 0o700),
        (home.directory(), 0o777, 0o700),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(open)).unwrap();
        let error = signer_error(&home, &[], None);
        assert!(matches!(error, Error::TooOpen { .. }), "{error}");
        assert_eq!(
            error.hint().unwrap(),
            format!("run: chmod {right:o} {}", path.display())
        );
        fs::set_permissions(path, fs::Permissions::from_mode(right)).unwrap();
    }
    sign(&home, &[]);
}

#[test]
fn a_key_must_be_named_so_that_it_is_one() {
    let (_directory, home) = native("Example archive one");
    home.generate(&new_key("Example archive two"), now()).unwrap();
    let fingerprint = home.list(now()).unwrap()[0].fingerprint.clone();
    let error = signer_error(&home, &["example ARCHIVE"], None);
    assert!(
        error.to_string().starts_with("`example ARCHIVE` matches 2 keys: "),
        "{error}"
    );
    assert!(error.to_string().contains("(Example archive two)"), "{error}");
    assert!(matches!(
        signer_error(&home, &["nobody"], None),
        Error::NoSuchKey { .. }
    ));
    assert!(matches!(
        signer_error(&home, &[""], None),
        Error::InvalidSelector { .. }
    ));
    for name in [
        &fingerprint,
        &fingerprint[24..],
        &format!("0x{}", &fingerprint[24..].to_lowercase()),
    ] {
        let signer = home.signer(&[name.to_owned()], None, now()).unwrap();
        assert_eq!(signer.fingerprints(), std::slice::from_ref(&fingerprint));
        assert!(signer.warnings().is_empty());
    }
    let short = home.signer(&[fingerprint[32..].to_owned()], None, now()).unwrap();
    assert!(short.warnings()[0].contains("short key id"));
    let empty = KeyHome::open(Path::new("/nonexistent/keys")).unwrap();
    assert_eq!(empty.backend().unwrap(), Backend::Empty);
    assert!(matches!(signer_error(&empty, &[], None), Error::NoSecretKeys { .. }));
    assert!(empty.keyring().unwrap().is_empty());
}

#[test]
fn keys_exported_from_gnupg_sign_here() {
    let Some(gnupg) = GnupgHome::new() else { return };
    gnupg.make_key("Plain archive", "", "never");
    gnupg.make_key("Locked archive", "correct horse", "never");
    gnupg.add_signing_subkey("Plain archive");
    let directory = tempfile::tempdir().unwrap();
    let home = KeyHome::open(directory.path()).unwrap();
    let plain = gnupg.export_secret("Plain archive", "");
    let locked = gnupg.export_secret("Locked archive", "correct horse");
    let imported = home.import(&[plain.clone(), locked].concat(), "keys.asc").unwrap();
    assert_eq!(imported.len(), 2);
    assert!(imported.iter().all(|key| key.secret && key.new), "{imported:?}");
    assert!(!home.import(&plain, "keys.asc").unwrap()[0].new);
    assert_eq!(home.list(now()).unwrap().len(), 2);

    let signed = sign(&home, &["Plain archive"]);
    assert_accepted(&signed, &home, 1);
    let verified = verify_clearsigned(&signed.inrelease, &home.keyring().unwrap(), now()).unwrap();
    let signature = &verified.signatures[0];
    let primary = signature.primary.clone().unwrap();
    assert_ne!(signature.issuer, primary, "the subkey signs, as with gpg");
    assert!(signature.is_by(&primary, true) && !signature.is_by(&primary, false));
    let exactly = home.signer(&[format!("{primary}!")], None, now()).unwrap();
    assert_eq!(exactly.fingerprints(), [primary]);

    let locked = ["Locked archive"];
    assert!(matches!(
        signer_error(&home, &locked, None),
        Error::PassphraseNeeded { .. }
    ));
    let wrong = signer_error(&home, &locked, Some("battery staple"));
    assert!(
        wrong
            .to_string()
            .starts_with("the passphrase does not open the secret key "),
        "{wrong}"
    );
    let right = Passphrase::new(b"correct horse");
    let signer = home.signer(&["Locked archive".into()], Some(&right), now()).unwrap();
    assert_accepted(&signer.sign(RELEASE, now()).unwrap(), &home, 1);
}

#[test]
fn a_secret_key_that_gnupg_left_out_is_named_as_such() {
    let Some(gnupg) = GnupgHome::new() else { return };
    gnupg.make_key("Offline archive", "", "never");
    let directory = tempfile::tempdir().unwrap();
    let home = KeyHome::open(directory.path()).unwrap();
    gnupg.add_signing_subkey("Offline archive");
    home.import(&gnupg.export_secret_subkeys("Offline archive"), "keys.asc")
        .unwrap();
    assert_accepted(&sign(&home, &[]), &home, 1);
    let primary = home.list(now()).unwrap()[0].fingerprint.clone();
    let error = signer_error(&home, &[&format!("{primary}!")], None);
    assert!(error.to_string().contains("left out of the export"), "{error}");
}

#[test]
fn a_gnupg_home_signs_without_keys_of_ours() {
    let Some(gnupg) = GnupgHome::new() else { return };
    gnupg.make_key("First archive", "", "never");
    gnupg.make_key("Second archive", "", "never");
    let home = KeyHome::open(gnupg.path()).unwrap();
    assert_eq!(home.backend().unwrap(), Backend::Gnupg);
    assert!(home.hint().unwrap().unwrap().contains("aptrepo key import"));
    let rows = home.list(now()).unwrap();
    assert!(
        rows.len() == 2 && rows.iter().all(|row| row.secret && row.can_sign),
        "{rows:?}"
    );
    assert_accepted(&sign(&home, &[]), &home, 1);
    let both = [rows[0].fingerprint.as_str(), &rows[1].fingerprint, &rows[0].fingerprint];
    assert_accepted(&sign(&home, &both), &home, 2);
    assert!(matches!(
        signer_error(&home, &["nobody"], None),
        Error::NoSuchKey { .. }
    ));
    assert!(matches!(
        signer_error(&home, &["archive"], None),
        Error::AmbiguousKey { .. }
    ));

    // A public key of ours beside it changes neither who signs nor which keys are known.
    let (_directory, upstream) = native("Upstream");
    home.import(&upstream.export(&[]).unwrap(), "upstream.asc").unwrap();
    assert_eq!(home.backend().unwrap(), Backend::Gnupg);
    assert_accepted(&sign(&home, &["First archive"]), &home, 1);
    assert_eq!(home.list(now()).unwrap().len(), 3);

    // With a secret key of ours, gpg signs no more.
    home.import(
        &home.export_secret(&["First archive".into()], None).unwrap(),
        "first.asc",
    )
    .unwrap();
    assert_eq!(home.backend().unwrap(), Backend::Native);
    assert!(matches!(
        signer_error(&home, &["Second archive"], None),
        Error::NoSuchKey { .. }
    ));
    assert_accepted(&sign(&home, &[]), &home, 1);
}

#[test]
fn a_gnupg_home_says_what_is_wrong_with_its_keys() {
    let Some(gnupg) = GnupgHome::new() else { return };
    gnupg.make_key_at("20200101T000000!", "Old archive", "20200201T000000");
    let home = KeyHome::open(gnupg.path()).unwrap();
    let error = signer_error(&home, &[], None);
    assert!(error.to_string().ends_with("expired on 2020-02-01"), "{error}");
    assert_eq!(
        signer_error(&home, &["Old archive"], None).to_string(),
        error.to_string()
    );

    gnupg.make_key("Locked archive", "correct horse", "never");
    gnupg.forget_passphrases();
    let wrong = Passphrase::new(b"battery staple");
    let sign = |passphrase: &Passphrase| {
        home.signer(&["Locked archive".into()], Some(passphrase), now())
            .unwrap()
            .sign(RELEASE, now())
    };
    let error = sign(&wrong).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the passphrase does not open the secret key"),
        "{error}"
    );
    assert_accepted(&sign(&Passphrase::new(b"correct horse")).unwrap(), &home, 1);
}

#[test]
fn only_key_files_are_imported() {
    let (_directory, home) = native("Example archive");
    let signed = sign(&home, &[]);
    let error = |bytes: &[u8]| home.import(bytes, "file").unwrap_err().to_string();
    assert_eq!(
        error(&signed.detached),
        "`file` is a signature, not an exported OpenPGP key"
    );
    assert_eq!(
        error(b"\0\0\0\x20\x01\x01\0\x02KBXf"),
        "`file` is a GnuPG keybox, not an exported OpenPGP key"
    );
    assert_eq!(error(b"hello"), "`file` is not an OpenPGP key file");
    assert_eq!(error(b""), "`file` holds no OpenPGP key");
}

#[test]
fn a_passphrase_comes_from_a_file_that_is_not_open_to_everybody() {
    let directory = tempfile::tempdir().unwrap();
    let file = support::passphrase_file(directory.path(), "correct horse\r\n");
    let home = KeyHome::open(directory.path()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
    assert!(matches!(
        Passphrase::from_file(&file),
        Err(Error::PassphraseTooOpen { .. })
    ));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let passphrase = Passphrase::from_file(&file).unwrap();
    let locked = NewKey {
        passphrase: Some(&passphrase),
        ..new_key("Locked")
    };
    home.generate(&locked, now()).unwrap();
    assert!(matches!(signer_error(&home, &[], None), Error::PassphraseNeeded { .. }));
    home.signer(&[], Some(&Passphrase::new(b"correct horse")), now())
        .unwrap();
    assert_eq!(format!("{passphrase:?}"), "Passphrase(…)");
}

#[test]
fn several_keyrings_become_one() {
    let ((_one, first), (_two, second)) = (native("First"), native("Second"));
    let keyring = first.keyring().unwrap().merged(second.keyring().unwrap());
    for home in [&first, &second] {
        let verified = verify_clearsigned(&sign(home, &[]).inrelease, &keyring, now()).unwrap();
        assert_eq!(verified.good().count(), 1);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(200))]

    /// A file changed anywhere either fails, or still gives exactly the text that was signed.
    #[test]
    fn no_change_of_a_signed_file_changes_its_text(position in 0_usize..2000, byte: u8, cut: bool) {
        let (signed, keyring) = fixed_signature();
        let mut file = signed.inrelease.clone();
        let position = position % file.len();
        if cut {
            file.remove(position);
        } else {
            file[position] = byte;
        }
        if let Ok(verified) = verify_clearsigned(&file, keyring, now())
            && verified.good().count() > 0
        {
            proptest::prop_assert_eq!(verified.text.as_slice(), RELEASE);
        }
        let _ = Keyring::from_bytes(&file, "file");
        let _ = verify_detached(RELEASE, &file, keyring, now());
    }
}

fn fixed_signature() -> &'static (Signed, Keyring) {
    static FIXED: OnceLock<(Signed, Keyring)> = OnceLock::new();
    FIXED.get_or_init(|| {
        let (_directory, home) = native("Example archive");
        (sign(&home, &[]), home.keyring().unwrap())
    })
}
