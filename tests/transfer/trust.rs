//! Whom a rule believes, and what: keyring files, digests, dates and names; and that a night without news is one
//! request.

use std::time::{Duration, SystemTime};

use aptrepo::model::DigestKind::{Md5, Sha1, Sha256};

use super::site::Manner;
use super::{Deb, GnupgHome, Mirror, TestResult, fingerprint, import, now};

const ALL: &str = "s|main|amd64: hello 1\n";

fn mirror() -> TestResult<Option<Mirror>> {
    let Some(mirror) = Mirror::new("Update: u\n")? else {
        return Ok(None);
    };
    mirror.publish(&[Deb::new("hello", "1")])?;
    Ok(Some(mirror))
}

#[test]
fn a_keyring_file_of_the_rule_is_enough() -> TestResult {
    let Some(mut mirror) = mirror()? else {
        return Ok(());
    };
    // a key that the archive does not know
    let other = GnupgHome::create(&mirror.env.root().join("o"))?;
    let armored = String::from_utf8(other.gpg(&["--armor", "--export"])?)?;
    std::fs::create_dir(mirror.env.base().join("conf/keys"))?;
    mirror.env.conf("keys/other.asc", &armored)?;
    let binary = mirror.env.root().join("other.gpg");
    std::fs::write(&binary, other.export()?)?;
    mirror.rule_with("VerifyRelease: keys/other.asc")?;
    mirror.assert_refused(&["no good signature", "VerifyRelease"]);
    mirror.site.publish(&[Deb::new("hello", "1")], &other)?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s"), ALL);

    mirror.rule_with(&format!("VerifyRelease: {}", binary.display()))?;
    mirror.site.date += 60;
    mirror.site.publish(&[Deb::new("hello", "2")], &other)?;
    let _ = mirror.update().ok();
    // one of the two is enough, whichever it is
    mirror.rule_with(&format!(
        "VerifyRelease: {} | keys/other.asc",
        fingerprint(&mirror.key)?
    ))?;
    for (version, key) in [("3", &other), ("4", &mirror.key)] {
        mirror.site.date += 60;
        mirror.site.publish(&[Deb::new("hello", version)], key)?;
        let _ = mirror.update().ok();
        assert_eq!(mirror.env.list("s"), format!("s|main|amd64: hello {version}\n"));
    }
    // the file makes its key known to nothing but itself
    let id = fingerprint(&other)?;
    mirror.rule_with(&format!("VerifyRelease: {id} | +b/conf/keys/mine.asc"))?;
    mirror.env.conf(
        "keys/mine.asc",
        &String::from_utf8(mirror.key.gpg(&["--armor", "--export"])?)?,
    )?;
    mirror.site.date += 60;
    mirror.site.publish(&[Deb::new("hello", "5")], &other)?;
    mirror.assert_refused(&["by an unknown key"]);
    Ok(())
}

#[test]
fn a_keyring_file_that_cannot_be_used_is_named() -> TestResult {
    let Some(mirror) = mirror()? else {
        return Ok(());
    };
    mirror.rule_with("VerifyRelease: keys/none.asc")?;
    mirror.assert_refused(&["$BASE/conf/keys/none.asc", "Hint: "]);
    mirror.env.conf("none.gpg", "no key\n")?;
    mirror.rule_with("VerifyRelease: none.gpg")?;
    mirror.assert_refused(&["$BASE/conf/none.gpg", "Hint: "]);
    Ok(())
}

#[test]
fn digests_that_can_be_forged_need_a_word() -> TestResult {
    for (release, packages, word, kind) in [
        (vec![Md5], vec![Sha256], "md5", "MD5"),
        (vec![Md5, Sha1], vec![Sha256], "sha1", "SHA-1"),
        (vec![Sha256], vec![Md5], "md5", "MD5"),
        (vec![Sha256], vec![Md5, Sha1], "sha1", "SHA-1"),
    ] {
        let Some(mut mirror) = mirror()? else {
            return Ok(());
        };
        (mirror.site.release_kinds, mirror.site.package_kinds) = (release, packages);
        mirror.publish(&[Deb::new("hello", "1")])?;
        let kind = kind.replace("SHA-1", "sha1").replace("MD5", "md5");
        mirror.assert_refused(&["alone, which can be forged", &format!("`Tolerate: {word}`")]);
        assert!(
            mirror
                .update()
                .stderr
                .to_lowercase()
                .contains(&format!("by {kind} alone"))
        );
        mirror.rule(&format!("Tolerate: {word}"))?;
        let _ = mirror.update().ok();
        assert_eq!(mirror.env.list("s"), ALL);
        mirror.env.assert_verified("s")?;
    }
    Ok(())
}

#[test]
fn where_nobody_signs_weak_digests_are_no_weaker() -> TestResult {
    let Some(mut mirror) = mirror()? else {
        return Ok(());
    };
    mirror.site.release_kinds = vec![Md5];
    mirror.publish(&[Deb::new("hello", "1")])?;
    mirror.rule_with("VerifyRelease: blindtrust")?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s"), ALL);
    Ok(())
}

#[test]
fn a_release_of_another_distribution_is_refused_on_first_contact() -> TestResult {
    for (asked, fields, outcome) in [
        ("s", "Suite: unstable\nCodename: sid\n", Err(())),
        ("precise-security", "Suite: jaunty\nCodename: jaunty\n", Err(())),
        ("wheezy/updates", "Suite: oldstable\nCodename: squeeze\n", Err(())),
        ("wheezy/updates", "Suite: stable\nCodename: wheezy\n", Ok(false)),
        ("debian/stable", "Suite: stable\nCodename: wheezy\n", Ok(false)),
        ("stable", "Suite: stable\nCodename: wheezy\n", Ok(false)),
        ("wheezy", "Suite: oldoldstable\nCodename: wheezy\n", Ok(false)),
        (
            "precise-updates",
            "Suite: precise-updates\nCodename: precise\n",
            Ok(false),
        ),
        ("precise-updates", "Suite: precise\nCodename: precise\n", Ok(true)),
        ("s", "Codename: vendor\n", Ok(true)),
        ("s", "Origin: vendor\n", Ok(false)),
    ] {
        let Some(mut mirror) = Mirror::new("Update: u\n")? else {
            return Ok(());
        };
        (mirror.site.suite, mirror.site.fields) = (asked.into(), fields.into());
        mirror.publish(&[Deb::new("hello", "1")])?;
        mirror.rule(&format!("Suite: {asked}"))?;
        match outcome {
            Ok(warns) => {
                let output = mirror.update().ok();
                assert_eq!(
                    output.stderr.contains("was asked for"),
                    warns,
                    "{asked} {fields}: {output}"
                );
                assert_eq!(mirror.env.list("s"), ALL);
            }
            Err(()) => {
                mirror.assert_refused(&["of another distribution", "`Tolerate: othername`"]);
                mirror.rule(&format!("Suite: {asked}\nTolerate: othername"))?;
                let _ = mirror.update().ok();
                assert_eq!(mirror.env.list("s"), ALL);
            }
        }
    }
    Ok(())
}

#[test]
fn a_release_that_is_never_renewed_needs_a_word() -> TestResult {
    let Some(mut mirror) = mirror()? else {
        return Ok(());
    };
    let past = super::support::upstream::rfc_date(now() - 60);
    mirror.site.fields += &format!("Valid-Until: {past}\n");
    mirror.publish(&[Deb::new("hello", "1")])?;
    mirror.assert_refused(&["was valid until", "`Tolerate: expired`"]);
    mirror.rule("Tolerate: expired")?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s"), ALL);
    Ok(())
}

#[test]
fn an_unknown_word_is_told_with_its_place() -> TestResult {
    let Some(mirror) = mirror()? else {
        return Ok(());
    };
    mirror.rule("Tolerate: all")?;
    let output = mirror.update().refused();
    assert!(
        output.stderr.contains("$BASE/conf/updates:") && output.stderr.contains("`othername`"),
        "{output}"
    );
    Ok(())
}

/// The requests of a second run, to which nothing is new. `is_later`: a day has passed since.
fn second_run(mirror: &Mirror, is_later: bool) -> TestResult<Vec<String>> {
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s"), ALL);
    if is_later {
        for entry in std::fs::read_dir(mirror.env.base().join("lists"))? {
            let file = std::fs::File::options().append(true).open(entry?.path())?;
            file.set_modified(SystemTime::now() - Duration::from_secs(86_400))?;
        }
    }
    mirror.server.requests();
    let output = mirror.update().ok();
    assert_eq!(output.text(), "");
    Ok(mirror.server.requests())
}

#[test]
fn nothing_new_is_one_request_whatever_the_server_tells() -> TestResult {
    let (inline, release) = ("/dists/s/InRelease", "/dists/s/Release");
    for (has_no_etag, is_inline, asks_inline, path) in [
        (false, true, true, inline),
        (false, true, false, release),
        (false, false, true, release),
        (true, true, true, inline),
        (true, true, false, release),
        (true, false, true, release),
    ] {
        let Some(mut mirror) = Mirror::new("Update: u\n")? else {
            return Ok(());
        };
        mirror.site.date = now() - 60;
        mirror.site.is_inline = is_inline;
        mirror.server.behave(Manner {
            has_no_etag,
            ..Manner::default()
        });
        mirror.publish(&[Deb::new("hello", "1")])?;
        for file in ["Release", "InRelease"] {
            // long enough ago that the second in which it was written is over
            if let Ok(file) = std::fs::File::options()
                .append(true)
                .open(mirror.site.directory().join(file))
            {
                file.set_modified(SystemTime::now() - Duration::from_secs(50))?;
            }
        }
        let word = if asks_inline { "yes" } else { "no" };
        mirror.rule(&format!("GetInRelease: {word}"))?;
        let what = format!("{has_no_etag} {is_inline} {asks_inline}");
        // soon after the first run a time alone is not relied on, and it is still one request
        let soon = if has_no_etag { 200 } else { 304 };
        assert_eq!(second_run(&mirror, false)?, [format!("{path} {soon}")], "{what}");
        assert_eq!(second_run(&mirror, true)?, [format!("{path} 304")], "{what}");
    }
    Ok(())
}

#[test]
fn an_upstream_that_begins_or_ceases_to_have_inrelease_is_followed() -> TestResult {
    let Some(mut mirror) = mirror()? else {
        return Ok(());
    };
    let _ = mirror.update().ok();
    for (night, is_inline) in [false, false, true, true].into_iter().enumerate() {
        mirror.site.date += 3600;
        mirror.site.is_inline = is_inline;
        mirror.publish(&[Deb::new("hello", &format!("2.{night}"))])?;
        mirror.server.requests();
        let _ = mirror.update().ok();
        assert_eq!(mirror.env.list("s"), format!("s|main|amd64: hello 2.{night}\n"));
    }
    let directory = mirror.site.directory();
    mirror.site.date += 3600;
    mirror.publish(&[Deb::new("hello", "3")])?;
    std::fs::remove_file(directory.join("Release"))?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s"), "s|main|amd64: hello 3\n");
    import(&mirror.env, &mirror.key)
}
