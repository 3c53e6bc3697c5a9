//! The scenarios recorded from the reference (tests/scenarios), played by `conformance`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Scenarios mostly wait.
const AT_A_TIME: &str = "8";

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = folder.read_dir().expect("the fixtures are there");
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    found.retain(|path| {
        let name = path.file_name().expect("it is a file").to_string_lossy();
        name.ends_with(".json") && !name.ends_with(".trace.json")
    });
    found.sort();
    found
}

/// Plays files; gives what was said of those that failed.
fn play(files: &[PathBuf], at_a_time: &str) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conformance"));
    let output = command.args(["--jobs", at_a_time]).args(files).output();
    let output = output.expect("the program was built with the tests");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed: Vec<_> =
        text.lines().filter(|line| line.starts_with("FAIL")).map(str::to_owned).collect();
    let passed = text.lines().filter(|line| line.starts_with("PASS")).count();
    assert_eq!(passed + failed.len(), files.len(), "{text}");
    assert_eq!(output.status.code(), Some(i32::from(!failed.is_empty())), "{text}");
    failed
}

#[test]
fn every_recorded_scenario_plays_as_it_shall_with_one_shard_and_with_two() {
    let files = scenarios();
    assert!(files.len() >= 76, "{} scenarios", files.len());
    let mut failed = play(&files, AT_A_TIME);
    // Beside hundreds of other tests a connection may not even be accepted when a scenario's times
    // say that it is linked. Once, alone; `conformance` by itself forgives nothing.
    let is_failed = |path: &PathBuf| {
        let name = path.file_stem().expect("it is a file").to_string_lossy();
        failed.iter().any(|line| line.split(' ').nth(1) == Some(&*name))
    };
    let again: Vec<PathBuf> = files.iter().filter(|path| is_failed(path)).cloned().collect();
    if !again.is_empty() {
        failed = play(&again, "1");
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_file_that_is_no_scenario_is_told_from_one_that_fails() {
    let conformance = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_conformance")).args(args).output();
        output.expect("the program was built with the tests").status.code()
    };
    assert_eq!(conformance(&[]), Some(2));
    assert_eq!(conformance(&["no/such/file.json"]), Some(2));
    assert_eq!(conformance(&["--jobs", "none", "."]), Some(2));
    // A scenario without a trace beside it.
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert_eq!(conformance(&[manifest]), Some(1));
}
