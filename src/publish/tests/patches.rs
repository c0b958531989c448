//! Patches between the states of a distribution, as clients find and apply them.

use super::super::pdiff::lines::patched;
use super::*;

const PACKAGES: &str = "main/binary-amd64/Packages";
const CONTENTS: &str = "main/Contents-amd64";

/// An archive of 400 packages that keeps three patches of each index.
fn archive() -> Archive {
    let stanza = format!(
        "Codename: t\nPDiffs: 3\n{}",
        CONF.replace("Contents: .gz", "Contents: . .gz")
    );
    let archive = Archive::new(&stanza);
    let packages: Vec<String> = (0..400).map(|number| package(number, "first")).collect();
    change(&archive, &packages);
    archive
}

fn package(number: usize, section: &str) -> String {
    // a path that does not compress away
    let path = Sha256::of(&number.to_le_bytes());
    format!("p{number:03} {section} usr/share/{path}")
}

fn change(archive: &Archive, packages: &[String]) {
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    archive.change("main|amd64", &packages);
}

/// A night in which some packages change, one comes, and one goes.
fn night(archive: &mut Archive, number: usize) -> Outcome {
    let section = format!("night{number}");
    let mut packages: Vec<String> = (0..5).map(|at| package(11 * number + 37 * at, &section)).collect();
    packages.push(package(500 + number, &section));
    packages.push(format!("p{:03}", 399 - number));
    change(archive, &packages);
    archive.publish()
}

/// The lines of a field of a table: digest, size and name.
fn lines<'a>(table: &'a str, field: &str) -> Vec<[&'a str; 3]> {
    let (_, block) = table.split_once(&format!("{field}:\n")).unwrap();
    let block = block.lines().take_while(|line| line.starts_with(' '));
    let words = |line: &'a str| line.split_ascii_whitespace().collect::<Vec<_>>().try_into().unwrap();
    block.map(words).collect()
}

/// The text that a client gets that has `text`, as the table leads it; None if it has to fetch the index.
fn followed(archive: &Archive, index: &str, text: &str) -> Option<String> {
    let table = fs::read_to_string(archive.live(&format!("{index}.diff/Index"))).ok()?;
    let [scripts, files] = ["SHA256-Patches", "SHA256-Download"].map(|field| lines(&table, field));
    let digest = Sha256::of(text.as_bytes()).to_string();
    let history = lines(&table, "SHA256-History");
    let start = history.iter().rposition(|[from, _, _]| *from == digest)?;
    let mut text = text.as_bytes().to_vec();
    for ((step, [script_digest, _, _]), [file_digest, size, name]) in history.iter().zip(scripts).zip(files).skip(start)
    {
        let place = archive.live(&format!("{index}.diff/{name}"));
        let packed = fs::read(&place).unwrap();
        assert_eq!(
            (step[2].to_owned() + ".gz", packed.len().to_string()),
            (name.into(), size.into())
        );
        assert_eq!(Sha256::of(&packed).to_string(), file_digest);
        let script = unpacked(&place);
        assert_eq!(Sha256::of(script.as_bytes()).to_string(), script_digest);
        assert_eq!(Sha256::of(&text).to_string(), step[0], "the steps do not join");
        text = patched(&text, script.as_bytes());
    }
    let current = format!("SHA256-Current: {} {}\n", Sha256::of(&text), text.len());
    assert!(table.contains(&current), "{table}");
    Some(String::from_utf8(text).unwrap())
}

fn patch_files(archive: &Archive, index: &str) -> Vec<String> {
    let below = format!("{index}.diff/");
    let mut names = files_below(&archive.live(""));
    names.retain(|name| name.starts_with(&below) && !name.contains("by-hash"));
    names
}

#[test]
fn clients_of_the_last_states_are_led_to_the_present_one() {
    let mut archive = archive();
    archive.publish();
    archive.check_release();
    assert!(patch_files(&archive, PACKAGES).is_empty());
    let present = |archive: &Archive| [PACKAGES, CONTENTS].map(|index| archive.text(index));
    let mut states = vec![present(&archive)];
    for number in 0..6 {
        night(&mut archive, number);
        archive.check_release();
        states.push(present(&archive));
        for (age, state) in states.iter().rev().enumerate().skip(1) {
            for ((index, text), present) in [PACKAGES, CONTENTS].iter().zip(state).zip(present(&archive)) {
                let followed = followed(&archive, index, text);
                assert_eq!(followed.is_some(), age <= 3, "{index}, {age} states ago");
                assert!(followed.is_none_or(|text| text == present), "{index}, {age} states ago");
            }
        }
    }
    // an index in which nothing changes has no patches
    assert!(patch_files(&archive, "role/web/binary-amd64/Packages").is_empty());
}

#[test]
fn what_is_no_longer_offered_stays_for_those_who_read_an_earlier_table() {
    let mut archive = archive();
    archive.publish();
    let counts: Vec<usize> = (0..9)
        .map(|number| {
            night(&mut archive, number);
            patch_files(&archive, PACKAGES).len() - 1
        })
        .collect();
    // three offered, and those that the two states before this one offered
    assert_eq!(counts, [1, 2, 3, 4, 5, 5, 5, 5, 5]);
    archive.retain_seconds = 3600;
    night(&mut archive, 9);
    night(&mut archive, 10);
    assert_eq!(patch_files(&archive, PACKAGES).len() - 1, 7);
}

#[test]
fn a_state_without_change_keeps_the_patches_as_they_are() {
    let mut archive = archive();
    archive.publish();
    let text = archive.text(PACKAGES);
    night(&mut archive, 0);
    let inodes = |archive: &Archive| {
        let names = patch_files(archive, PACKAGES);
        names.iter().map(|name| archive.inode(name)).collect::<Vec<_>>()
    };
    let before = inodes(&archive);
    assert_eq!(before.len(), 2);
    archive.check = Check::Digest;
    archive.publish();
    archive.publish();
    assert_eq!(inodes(&archive), before);
    assert_eq!(followed(&archive, PACKAGES, &text).unwrap(), archive.text(PACKAGES));
}

#[test]
fn no_way_leads_past_the_present_state() {
    let mut archive = archive();
    archive.publish();
    let first = archive.text(PACKAGES);
    change(&archive, &[package(7, "second")]);
    archive.publish();
    let second = archive.text(PACKAGES);
    // as `undo` does it
    change(&archive, &[package(7, "first")]);
    archive.publish();
    assert_eq!(archive.text(PACKAGES), first);
    assert_eq!(followed(&archive, PACKAGES, &second).unwrap(), first);
    let table = archive.text(&format!("{PACKAGES}.diff/Index"));
    assert_eq!(lines(&table, "SHA256-History").len(), 1, "{table}");
    change(&archive, &[package(8, "third")]);
    archive.publish();
    for text in [&first, &second] {
        assert_eq!(followed(&archive, PACKAGES, text).unwrap(), archive.text(PACKAGES));
    }
}

#[test]
fn a_lost_or_damaged_patch_takes_those_before_it_along() {
    let mut archive = archive();
    archive.publish();
    let mut texts = Vec::new();
    for number in 0..3 {
        texts.push(archive.text(PACKAGES));
        night(&mut archive, number);
    }
    let names = patch_files(&archive, PACKAGES);
    fs::remove_file(archive.live(&names[0])).unwrap();
    // the same size, so only a check by digest finds it
    let damaged = archive.live(&names[1]);
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[20] ^= 1;
    fs::remove_file(&damaged).unwrap();
    fsio::write_new(&damaged, &bytes).unwrap();
    archive.publish();
    let offers = |archive: &Archive| {
        let table = archive.text(&format!("{PACKAGES}.diff/Index"));
        lines(&table, "SHA256-History").len()
    };
    assert_eq!(offers(&archive), 2);
    archive.check = Check::Digest;
    archive.publish();
    assert_eq!(offers(&archive), 1);
    assert_eq!(followed(&archive, PACKAGES, &texts[0]), None);
    assert_eq!(followed(&archive, PACKAGES, &texts[2]).unwrap(), archive.text(PACKAGES));
    archive.check_release();
}

#[test]
fn turned_off_they_are_gone_and_turned_on_they_begin_at_once() {
    let mut archive = archive();
    archive.publish();
    night(&mut archive, 0);
    let wanted = archive.distribution.clone();
    let mut without = archive.distribution.clone();
    without.deb_indices.patches = 0;
    without.contents.as_mut().unwrap().patches = 0;
    archive.distribution = without;
    archive.publish();
    archive.check_release();
    for index in [PACKAGES, CONTENTS] {
        assert!(patch_files(&archive, index).is_empty());
    }
    for _ in 0..3 {
        archive.publish();
    }
    assert!(
        files_below(&archive.live(""))
            .iter()
            .all(|name| !name.contains(".diff/"))
    );
    archive.distribution = wanted;
    let text = archive.text(PACKAGES);
    night(&mut archive, 1);
    assert_eq!(followed(&archive, PACKAGES, &text).unwrap(), archive.text(PACKAGES));
}

#[test]
fn without_a_record_a_new_history_begins() {
    let mut archive = archive();
    archive.publish();
    let text = archive.text(PACKAGES);
    night(&mut archive, 0);
    let snapshot = archive.database().snapshot().unwrap();
    let outcome = archive.publish_into(&snapshot, None, &archive.dists()).unwrap();
    archive.check_release();
    assert!(patch_files(&archive, PACKAGES).is_empty());
    assert_eq!(followed(&archive, PACKAGES, &text), None);
    // and so it does if the objects of the recorded state are lost
    let root = outcome
        .published
        .files
        .get(&ArchivePath::new(PACKAGES).unwrap())
        .unwrap()
        .root
        .unwrap();
    change(&archive, &[package(3, "other")]);
    let lost = archive
        .directory
        .path()
        .join("db/objects")
        .join(root.0.to_string().split_at(2).0);
    fs::remove_file(lost.join(&root.0.to_string()[2..])).unwrap();
    let snapshot = archive.database().snapshot().unwrap();
    archive
        .publish_into(&snapshot, Some(&outcome.published), &archive.dists())
        .unwrap();
    archive.check_release();
    assert!(patch_files(&archive, PACKAGES).is_empty());
}

#[test]
fn patches_of_reprepro_go_and_what_others_put_beside_them_stays() {
    let mut archive = archive();
    let directory = archive.live(&format!("{PACKAGES}.diff"));
    for name in [
        "Index",
        "2026-11-23-2033.41+2026-11-23-2033.44.gz",
        "2026-11-23-2033.44.gz",
        "notes",
    ] {
        write(&directory.join(name), "theirs");
    }
    archive.publish();
    assert_eq!(patch_files(&archive, PACKAGES), [format!("{PACKAGES}.diff/notes")]);
}

#[test]
fn patches_that_are_not_worth_their_size_are_not_made() {
    let mut archive = archive();
    archive.publish();
    night(&mut archive, 0);
    assert!(!patch_files(&archive, PACKAGES).is_empty());
    // all is new
    let packages: Vec<String> = (0..400).map(|number| package(number, "replaced")).collect();
    change(&archive, &packages);
    archive.publish();
    archive.check_release();
    assert!(!archive.live(&format!("{PACKAGES}.diff/Index")).exists());
    // each is worth it, all of them are not
    archive.distribution.deb_indices.patches = 100;
    for number in 0..16 {
        let packages: Vec<String> = (0..60)
            .map(|at| package((40 * number + at) % 400, &format!("again{number}")))
            .collect();
        change(&archive, &packages);
        archive.publish();
    }
    let table = archive.text(&format!("{PACKAGES}.diff/Index"));
    let sizes = lines(&table, "SHA256-Download")
        .into_iter()
        .map(|[_, size, _]| size.parse::<u64>().unwrap());
    let (count, sum) = sizes.fold((0, 0), |(count, sum), size| (count + 1, sum + size));
    assert!((2..16).contains(&count), "{table}");
    assert!(sum <= fs::metadata(archive.live(&format!("{PACKAGES}.gz"))).unwrap().len());
}

#[test]
fn an_index_comes_from_nothing_and_goes_to_nothing() {
    let mut archive = Archive::new(&format!("Codename: t\nPDiffs: 3\n{CONF}"));
    archive.publish();
    for packages in [vec![package(1, "x")], vec!["p001".to_owned()], vec![package(2, "x")]] {
        let text = archive.text(PACKAGES);
        change(&archive, &packages);
        archive.publish();
        archive.check_release();
        assert!(followed(&archive, PACKAGES, &text).is_none_or(|text| text == archive.text(PACKAGES)));
    }
}

#[test]
fn a_table_has_the_digests_that_all_its_states_have() {
    let mut archive = archive();
    archive.distribution.digests = vec![DigestKind::Sha256];
    archive.publish();
    let text = archive.text(PACKAGES);
    night(&mut archive, 0);
    let has = |archive: &Archive, kind: &str| {
        let table = archive.text(&format!("{PACKAGES}.diff/Index"));
        ["Current", "History", "Patches", "Download"].map(|field| table.contains(&format!("{kind}-{field}:")))
    };
    assert_eq!(
        (has(&archive, "SHA1"), has(&archive, "SHA256")),
        ([false; 4], [true; 4])
    );
    archive.distribution.digests = vec![DigestKind::Sha1, DigestKind::Sha256, DigestKind::Sha512];
    night(&mut archive, 1);
    assert_eq!(
        (has(&archive, "SHA512"), has(&archive, "SHA256")),
        ([false; 4], [true; 4])
    );
    assert_eq!(followed(&archive, PACKAGES, &text).unwrap(), archive.text(PACKAGES));
    for number in 2..5 {
        night(&mut archive, number);
    }
    assert_eq!((has(&archive, "SHA1"), has(&archive, "SHA512")), ([true; 4], [true; 4]));
}
