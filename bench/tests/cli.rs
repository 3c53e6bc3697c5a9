//! `shardload` from outside: what it prints, how it ends, and with which exit code.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

fn shardload(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardload"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    shardload(arguments).output().expect("the program runs")
}

/// Standard error of a command that must end with this code and say no more than one line.
fn one_line_with_code(code: i32, arguments: &[&str]) -> String {
    let output = output(arguments);
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    said
}

struct Server {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    addr: String,
}

impl Server {
    fn start(options: &[&str]) -> Self {
        let arguments = [&["serve", "--addr", "127.0.0.1:0", "--drain", "1s"], options].concat();
        let mut command = shardload(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("text");
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let (pid, addr) = (child.id().to_string(), words.get(1).copied().unwrap_or_default());
        let addr = addr.to_string();
        assert!(
            matches!(words[..], ["listening", _, "pid", said, "shards", _] if said == pid),
            "{line:?}"
        );
        Self { child, stdout, addr }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([name, &pid]).status().expect("there is a kill");
        assert!(status.success());
    }

    /// How it ended, and what else it had printed.
    fn wait(&mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("text");
        (self.child.wait().expect("it is ours"), rest)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// The one JSON object of a load that must have gone well.
fn good_report(arguments: &[&str]) -> Value {
    let output = output(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

fn assert_sound(report: &Value) {
    assert!(report["messages"].as_u64() > Some(0), "{report}");
    assert!(report["messages_per_second"].as_f64() > Some(0.0), "{report}");
    assert!(report["latency_p50_us"].as_f64() > Some(0.0), "{report}");
    assert!(report["latency_p50_us"].as_f64() <= report["latency_p99_9_us"].as_f64(), "{report}");
    assert!(report["client_cpu_us_per_message"].as_f64() > Some(0.0), "{report}");
    for none in ["errors", "lost_messages", "broken_connections", "wrong_connections"] {
        assert_eq!(report[none], 0, "{none}: {report}");
    }
}

/// A certificate for `localhost` and its key, in files of this name.
fn certificate_files(name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("it is simple");
    let file = |kind: &str, pem: String| {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{kind}.pem"));
        std::fs::write(&path, pem).expect("the folder is for this");
        path
    };
    (file("cert", made.cert.pem()), file("key", made.signing_key.serialize_pem()))
}

#[test]
fn serve_prints_one_line_and_ends_in_order_when_told_to() {
    for signal in ["-TERM", "-INT"] {
        let mut server = Server::start(&["--shards", "2"]);
        server.signal(signal);
        let (status, rest) = server.wait();
        assert_eq!(status.code(), Some(0), "{signal}");
        assert_eq!(rest, "", "{signal}");
    }
}

#[test]
fn a_plain_load_comes_back_whole() {
    let server = Server::start(&["--shards", "2", "--no-pin", "--read-timeout", "off"]);
    let target = format!("tcp://{}", server.addr);
    let base = ["run", "--target", &target, "--json", "--duration", "300ms"];
    for shape in [
        &["--connections", "5", "--depth", "3"][..],
        &["--connections", "200", "--size", "1", "--threads", "2"],
        &["--connections", "3", "--size", "100000", "--depth", "4"],
        &["--connections", "1", "--size", "1m", "--depth", "16"],
    ] {
        let report = good_report(&[&base[..], shape].concat());
        assert_sound(&report);
        assert_eq!(report["connections"].to_string(), shape[1], "{report}");
        assert_eq!(report["server_cpu_us_per_message"], Value::Null, "{report}");
    }
}

#[test]
fn a_tls_load_comes_back_whole_when_anyone_is_trusted() {
    let server = Server::start(&["--tls", "--shards", "1"]);
    let target = format!("tls://{}", server.addr);
    let base = ["run", "--target", &target, "--insecure", "--json", "--duration", "300ms"];
    for size in ["64", "40000"] {
        let report = good_report(&[&base[..], &["--size", size, "--depth", "4"]].concat());
        assert_sound(&report);
    }
}

#[test]
fn a_certificate_is_checked_against_the_named_ones() {
    let (cert, key) = certificate_files("trusted");
    let (other, _) = certificate_files("other");
    let [cert, key, other] = [&cert, &key, &other].map(|path| path.to_str().expect("text"));
    let server = Server::start(&["--cert", cert, "--key", key, "--shards", "1"]);
    let (_, port) = server.addr.rsplit_once(':').expect("an address has a port");
    let target = format!("tls://localhost:{port}");
    let base = ["run", "--target", &target, "--json", "--duration", "200ms", "--connections", "2"];
    assert_sound(&good_report(&[&base[..], &["--ca", cert]].concat()));

    let refused = one_line_with_code(3, &[&base[..], &["--ca", other]].concat());
    assert!(refused.contains(&target), "{refused}");
    // The certificate is for the name only.
    let target = format!("tls://127.0.0.1:{port}");
    let refused = one_line_with_code(3, &["run", "--target", &target, "--ca", cert]);
    assert!(refused.contains(&target), "{refused}");
}

#[test]
fn the_main_job_drives_both_servers_and_loses_nothing() {
    let report = good_report(&["--duration", "200ms", "--json"]);
    let runs = report["runs"].as_array().expect("a list");
    assert_eq!(runs.len(), 4, "{report}");
    for run in runs {
        assert_sound(run);
        assert!(run["server_cpu_us_per_message"].as_f64() > Some(0.0), "{run}");
    }
    assert!(runs[0]["target"].as_str().is_some_and(|target| target.starts_with("tcp://")));
    assert!(runs[3]["target"].as_str().is_some_and(|target| target.starts_with("tls://")));
}

#[test]
fn the_table_is_plain_text_in_columns() {
    let server = Server::start(&["--shards", "1"]);
    let target = format!("tcp://{}", server.addr);
    let output = output(&["run", "--target", &target, "--duration", "200ms"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(!text.contains('\u{1b}'), "{text}");
    let title = text.lines().find(|line| line.contains("messages/s")).expect("a title");
    let row = text.lines().find(|line| line.starts_with("plain")).expect("a row");
    // Figures end where their titles do.
    let end = title.find("messages/s").expect("just seen") + "messages/s".len();
    assert!(row.as_bytes()[end - 1].is_ascii_digit() && row.as_bytes()[end] == b' ', "{text}");
    assert!(!title.contains("server"), "{text}");
}

#[test]
fn a_target_that_is_not_there_ends_with_3() {
    let said = one_line_with_code(3, &["run", "--target", "tcp://127.0.0.1:1"]);
    assert!(said.contains("tcp://127.0.0.1:1") && said.contains("refused"), "{said}");
    let said = one_line_with_code(3, &["run", "--target", "tcp://name.invalid:7000"]);
    assert!(said.contains("name.invalid"), "{said}");
    let plain = Server::start(&["--shards", "1"]);
    let target = format!("tls://{}", plain.addr);
    let said = one_line_with_code(3, &["run", "--target", &target, "--insecure"]);
    assert!(said.contains(&target), "{said}");
}

#[test]
fn a_bad_value_ends_with_2_and_is_named() {
    let target = ["run", "--target", "tcp://127.0.0.1:1"];
    let with = |rest: &[&'static str]| [&target[..], rest].concat();
    for (named, arguments) in [
        ("fast", with(&["--duration", "fast"])),
        ("10q", with(&["--size", "10q"])),
        ("'0'", with(&["--connections", "0"])),
        ("'-3'", with(&["--depth=-3"])),
        ("64 KiB", with(&["--size", "1k", "--depth", "65537"])),
        ("16 MiB", with(&["--size", "1m", "--depth", "17"])),
        ("1024 MiB", with(&["--size", "1m", "--depth", "16", "--connections", "1000"])),
        ("10000000", with(&["--connections", "10000000", "--size", "1"])),
        ("--threads 9", with(&["--threads", "9", "--connections", "8"])),
        ("--insecure", with(&["--insecure"])),
        ("--colour", with(&["--colour"])),
        ("--target", vec!["run"]),
        ("127.0.0.1:1", vec!["run", "--target", "127.0.0.1:1"]),
        ("tls://localhost:1", vec!["run", "--target", "tls://localhost:1"]),
        ("/no/such.pem", vec!["run", "--target", "tls://a:1", "--ca", "/no/such.pem"]),
        ("localhost", vec!["serve", "--addr", "localhost"]),
        ("0 shards", vec!["serve", "--shards", "0"]),
        ("many", vec!["serve", "--shards", "many"]),
        ("--tls", vec!["serve", "--tls", "--cert", "a", "--key", "b"]),
        ("--key", vec!["serve", "--cert", "a"]),
        ("/no/such.pem", vec!["serve", "--cert", "/no/such.pem", "--key", "/no/such.key"]),
        ("dance", vec!["dance"]),
        ("0s", vec!["--duration", "0s"]),
    ] {
        // The second line of the table is refused by clap, which names the option's value.
        let named = if named == "64 KiB" { "65537" } else { named };
        let said = one_line_with_code(2, &arguments);
        assert!(said.contains(named), "{named}: {said}");
    }
}

#[test]
fn a_file_that_is_no_pem_is_named() {
    let (cert, key) = certificate_files("sound");
    let broken = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("broken.pem");
    std::fs::write(&broken, "no certificate\n").expect("the folder is for this");
    let [cert, key, broken] = [&cert, &key, &broken].map(|path| path.to_str().expect("text"));
    for (cert, key) in [(broken, key), (cert, broken)] {
        let said = one_line_with_code(2, &["serve", "--cert", cert, "--key", key]);
        assert!(said.contains(broken), "{said}");
    }
    let said = one_line_with_code(2, &["run", "--target", "tls://a:1", "--ca", broken]);
    assert!(said.contains(broken), "{said}");
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let addr = taken.local_addr().expect("it is bound").to_string();
    let said = one_line_with_code(2, &["serve", "--addr", &addr]);
    assert!(said.contains(&addr), "{said}");
}

#[test]
fn an_echo_with_a_wrong_byte_ends_with_1() {
    let liar = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let target = format!("tcp://{}", liar.local_addr().expect("it is bound"));
    let mut command = shardload(&["run", "--target", &target, "--connections", "1", "--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let (mut peer, _) = liar.accept().expect("it connects");
    let mut message = [0; 64];
    peer.read_exact(&mut message).expect("a message");
    message[63] ^= 1;
    peer.write_all(&message).expect("it reads");
    let output = child.wait_with_output().expect("it is ours");
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["wrong_connections"], 1, "{report}");
    assert_eq!(report["lost_messages"], 1, "{report}");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("byte 63"), "{said}");
}

#[test]
fn help_and_version_end_with_0() {
    let text = |arguments: &[&str]| {
        let output = output(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    for arguments in [&["--help"][..], &["serve", "--help"], &["run", "--help"]] {
        assert!(text(arguments).contains("Examples:"), "{arguments:?}");
    }
    assert_eq!(text(&["--version"]), format!("shardload {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn an_interrupt_ends_a_load_early_with_its_report() {
    let echo = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let target = format!("tcp://{}", echo.local_addr().expect("it is bound"));
    let arguments =
        ["run", "--target", &target, "--connections", "1", "--duration", "1h", "--json"];
    let mut command = shardload(&arguments);
    let child = command.stdout(Stdio::piped()).spawn().expect("the program runs");
    let (mut peer, _) = echo.accept().expect("it connects");
    let (mut message, mut echoed) = ([0; 64], 0);
    while peer.read_exact(&mut message).is_ok() {
        peer.write_all(&message).expect("it reads");
        echoed += 1;
        if echoed == 10 {
            let pid = child.id().to_string();
            let status = Command::new("kill").args(["-INT", &pid]).status();
            assert!(status.expect("there is a kill").success());
        }
    }
    let output = child.wait_with_output().expect("it is ours");
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["interrupted"], true, "{report}");
    assert_eq!(report["messages"], echoed, "{report}");
    assert_sound(&report);
}
