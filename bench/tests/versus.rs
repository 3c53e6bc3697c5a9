//! `versus` from outside: its command line, and that every server that is here echoes right.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

fn versus(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_versus"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    versus(arguments).output().expect("the program runs")
}

/// Standard error of a command that must end with 2 and say no more than one line.
fn refused(arguments: &[&str]) -> String {
    let output = output(arguments);
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    said
}

fn told(arguments: &[&str]) -> String {
    let output = output(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

const PROXIES: [&str; 3] = ["haproxy", "haproxy-splice", "nginx"];

/// Those that are here and echo, by name; some always are.
fn peers() -> Vec<String> {
    let text = told(&["peers"]);
    let here = |line: &str| {
        let (name, told) = line.split_once(' ').expect("a name and what is told of it");
        let here = told.trim() == "here";
        assert!(here || told.trim().starts_with("not here: "), "{line}");
        here.then(|| name.to_owned())
    };
    let here: Vec<_> = text.lines().filter_map(here).collect();
    for always in ["shardpoll", "floor", "floor-et", "tokio"] {
        assert!(here.iter().any(|name| name == always), "{text}");
    }
    // Proxies serve only in front of a server.
    here.into_iter().filter(|name| !PROXIES.contains(&name.as_str())).collect()
}

/// A server; it ends with the value.
struct Server {
    child: Child,
    addr: String,
}

impl Server {
    fn start(peer: &str, options: &[&str]) -> Self {
        let mut command = versus(&[&["serve", peer], options].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("text");
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let pid = child.id().to_string();
        assert!(
            matches!(words[..], ["listening", _, "pid", said] if said == pid),
            "{peer}: {line:?}"
        );
        Self { child, addr: words[1].to_owned() }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.addr).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("it is not zero");
        stream
    }

    /// In order, with its standard input.
    fn end(mut self, peer: &str) {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("it is ours");
        assert!(status.success(), "{peer} ended with {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// So many bytes, no two stretches alike.
fn bytes(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
fn every_server_gives_back_what_it_gets_and_closes_after_the_end() {
    for peer in peers() {
        let server = Server::start(&peer, &[]);
        for size in [1, 64, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 100_000, 4 << 20] {
            let mut stream = server.connect();
            let sent = bytes(size);
            let (mut writer, all) = (stream.try_clone().expect("a descriptor"), sent.clone());
            // The end is sent with the last bytes.
            let write = thread::Builder::new().spawn(move || {
                writer.write_all(&all).expect("the server reads");
                writer.shutdown(Shutdown::Write).expect("it is open");
            });
            let mut back = Vec::new();
            let read = stream.read_to_end(&mut back);
            read.unwrap_or_else(|error| panic!("{peer}: {size} bytes: {error}"));
            write.expect("a thread").join().expect("it has written");
            assert!(back == sent, "{peer}: {size} bytes, {} came back", back.len());
        }
        server.end(&peer);
    }
}

#[test]
fn every_server_serves_many_at_once_and_those_who_come_later() {
    for peer in peers() {
        let server = Server::start(&peer, &[]);
        let mut streams: Vec<_> = (0..100).map(|_| server.connect()).collect();
        for round in 0..3_u8 {
            for (number, stream) in streams.iter_mut().enumerate() {
                let wrote = stream.write_all(&[round, number.to_be_bytes()[7]]);
                wrote.unwrap_or_else(|error| panic!("{peer}: {error}"));
            }
            for (number, stream) in streams.iter_mut().enumerate() {
                let mut back = [0; 2];
                stream.read_exact(&mut back).unwrap_or_else(|error| panic!("{peer}: {error}"));
                assert_eq!(back, [round, number.to_be_bytes()[7]], "{peer}");
            }
            for stream in streams.iter_mut().step_by(3) {
                *stream = server.connect();
            }
        }
        server.end(&peer);
    }
}

#[test]
fn every_server_but_the_bare_one_cuts_off_who_is_silent() {
    for peer in peers().into_iter().filter(|peer| peer != "floor") {
        let server = Server::start(&peer, &["--read-timeout", "1"]);
        let mut silent = server.connect();
        silent.write_all(b"here").unwrap_or_else(|error| panic!("{peer}: {error}"));
        silent.read_exact(&mut [0; 4]).unwrap_or_else(|error| panic!("{peer}: {error}"));
        let cut = silent.read(&mut [0; 1]);
        assert!(matches!(cut, Ok(0)), "{peer}: {cut:?}");
        server.end(&peer);
    }
}

#[test]
fn a_bad_value_ends_with_2_and_is_named() {
    for (named, arguments) in [
        ("echo51", &["echo51"][..]),
        ("'1'", &["--rounds", "1"]),
        ("'20'", &["--window", "20"]),
        ("openssl", &["--provider", "openssl"]),
        ("--colour", &["--colour"]),
        ("apache", &["serve", "apache"]),
        ("localhost", &["load", "localhost"]),
        ("floor", &["serve", "floor", "--provider", "ring"]),
    ] {
        let said = refused(arguments);
        assert!(said.contains(named), "{named}: {said}");
    }
}

#[test]
fn an_unoptimised_build_measures_nothing() {
    if cfg!(debug_assertions) {
        let said = refused(&["echo50"]);
        assert!(said.contains("--release"), "{said}");
    }
}

#[test]
fn clients_refuse_an_order_that_is_none() {
    let mut command = versus(&["load", "127.0.0.1:1"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"dance\n").expect("it reads");
    let output = child.wait_with_output().expect("it is ours");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("dance"), "{said}");
}

#[test]
fn help_and_version_end_with_0() {
    assert!(told(&["--help"]).contains("Examples:"));
    assert_eq!(told(&["--version"]), format!("versus {}\n", env!("CARGO_PKG_VERSION")));
}
