//! One fault per file of `tests/fixtures/bad`, and the message that its author gets.

use std::fmt::Write as _;
use std::fs;

use aptrepo::ingest::source::check_parts;
use aptrepo::model::{BinaryControl, Changes, SourceControl};

use super::chain;

fn messages(format: &str, parse: impl Fn(&[u8]) -> Result<(), Box<dyn std::error::Error>>) -> String {
    let directory = format!("{}/tests/fixtures/bad/{format}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 5);
    files.iter().fold(String::new(), |mut text, file| {
        let name = file.file_name().unwrap().to_string_lossy();
        let message = match parse(&fs::read(file).unwrap()) {
            Ok(()) => "ACCEPTED".to_owned(),
            Err(error) => chain(&*error),
        };
        writeln!(text, "{name}\n    {message}").unwrap();
        text
    })
}

#[test]
fn control_files() {
    insta::assert_snapshot!(messages("deb", |text| Ok(BinaryControl::parse(text).map(drop)?)));
}

#[test]
fn dsc_files() {
    insta::assert_snapshot!(messages("dsc", |text| Ok(check_parts(&SourceControl::parse(text)?)?)));
}

#[test]
fn changes_files() {
    insta::assert_snapshot!(messages("changes", |text| Ok(Changes::parse(text).map(drop)?)));
}
