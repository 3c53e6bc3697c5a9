//! What the black-box tests of `shardload` share: the program, its server, its documents.
//!
//! Never: leaves a server behind, or chooses a port; the kernel does.
#![allow(dead_code, reason = "each test program uses its own part of it")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// This package's `shardload`, with nothing to read.
pub(crate) fn shardload(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardload"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What it says and how it ends.
pub(crate) fn output(arguments: &[&str]) -> Output {
    shardload(arguments).output().expect("the program runs")
}

/// Standard error of a command that must end with this code and say no more than one line.
pub(crate) fn one_line_with_code(code: i32, arguments: &[&str]) -> String {
    let output = output(arguments);
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    said
}

/// A server that listens; dropping it ends it at once.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    /// Where, as it says itself.
    pub(crate) addr: String,
    /// Where it says how it is, with `--status`.
    pub(crate) status: Option<String>,
}

impl Server {
    /// `serve` with these options, on one shard where they say nothing else.
    pub(crate) fn start(options: &[&str]) -> Self {
        let mut command = shardload(&["serve"]);
        command.args(options).args(["--no-pin", "--drain", "1s"]);
        if !options.contains(&"--shards") {
            command.args(["--shards", "1"]);
        }
        if !options.contains(&"--unix") {
            command.args(["--addr", "127.0.0.1:0"]);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("text");
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let own = child.id().to_string();
        let (addr, status) = match words[..] {
            ["listening", addr, "pid", pid, "shards", _] if pid == own => (addr, None),
            ["listening", addr, "pid", pid, "shards", _, "status", url] if pid == own => {
                let addr_of = url.strip_prefix("http://").and_then(|url| url.strip_suffix('/'));
                (addr, Some(addr_of.expect("a URL").to_owned()))
            }
            _ => panic!("{line:?}"),
        };
        Self { child, stdout, addr: addr.into(), status }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, such as `-TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([name, &pid]).status().expect("there is a kill");
        assert!(status.success());
    }

    /// How it ended, and what else it had printed on standard output and on standard error.
    pub(crate) fn wait(&mut self) -> (ExitStatus, String, String) {
        let (mut rest, mut said) = (String::new(), String::new());
        self.stdout.read_to_string(&mut rest).expect("text");
        let mut stderr = self.child.stderr.take().expect("a pipe, once");
        stderr.read_to_string(&mut said).expect("text");
        (self.child.wait().expect("it is ours"), rest, said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// The one JSON object of a command that must have gone well.
pub(crate) fn good_document(arguments: &[&str]) -> Value {
    let output = output(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

/// The one run of such a command.
pub(crate) fn good_run(arguments: &[&str]) -> Value {
    let mut document = good_document(&[arguments, &["--quiet", "--json"]].concat());
    document["runs"][0].take()
}

pub(crate) fn assert_sound(run: &Value) {
    assert!(run["operations"].as_u64() > Some(0), "{run}");
    assert!(run["operations_per_second"].as_f64() > Some(0.0), "{run}");
    let latency = &run["latency"];
    assert!(latency["p50_us"].as_f64() > Some(0.0), "{run}");
    assert!(latency["p50_us"].as_f64() <= latency["p99_9_us"].as_f64(), "{run}");
    assert_eq!(latency["count"], run["operations"], "{run}");
    assert!(run["client"]["cpu_us_per_operation"].as_f64() > Some(0.0), "{run}");
    assert_eq!(run["errors"]["total"], 0, "{run}");
    assert_eq!(run["errors"]["lost"], 0, "{run}");
    assert_eq!(run["connects"].as_u64(), run["connect"]["count"].as_u64(), "{run}");
}

/// A certificate for `localhost` and its key, in files of this name.
pub(crate) fn certificate_files(name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("it is simple");
    let file = |kind: &str, pem: String| {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{kind}.pem"));
        std::fs::write(&path, pem).expect("the folder is for this");
        path
    };
    (file("cert", made.cert.pem()), file("key", made.signing_key.serialize_pem()))
}
