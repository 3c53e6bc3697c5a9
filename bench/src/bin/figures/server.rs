//! The echo server in a child process: `shardload serve` with one shard, alone or under a tool.
//!
//! Never: waits for it without a limit, or leaves it behind: it ends with its standard input too.

use crate::failure::Failure;
use crate::tools;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime};

/// How long it may take to be ready, and to end: under callgrind all takes 50 times as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program: `shardload` in the folder of this one.
pub(crate) fn locate() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(Failure::io("this program's own path"))?;
    let path = own.with_file_name("shardload");
    if path.is_file() { Ok(path) } else { Err(Failure::NoServer { path }) }
}

/// A source of the server that was changed after it was built; `None` also when there are no
/// sources, since the programs have been copied elsewhere.
///
/// `cargo run --bin figures` builds this program and not the server, whose figures it gives.
pub(crate) fn source_newer_than(server: &Path) -> Option<PathBuf> {
    let built = modified(server)?;
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = bench.parent()?;
    let mut folders =
        ["timers/src", "tls/src", "reactor/src", "shard/src"].map(PathBuf::from).to_vec();
    folders.push("bench/src/bin/shardload".into());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).ok()?.map_while(Result::ok) {
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else if modified(&entry.path()).is_some_and(|time| time > built) {
                return Some(path);
            }
        }
    }
    None
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// A server that listens.
#[derive(Debug)]
pub(crate) struct Server {
    /// The tool, or the server itself.
    child: Child,
    /// The server's own, also under a tool.
    pub(crate) pid: u32,
    pub(crate) addr: SocketAddr,
    /// What it prints; closed when it has ended.
    lines: Receiver<String>,
}

impl Server {
    /// Starts it, `under` being the command line of a tool to run it with, and waits until it
    /// listens.
    pub(crate) fn start(
        program: &Path,
        under: &[OsString],
        options: &[&str],
    ) -> Result<Self, Failure> {
        let words: Vec<&OsStr> =
            under.iter().map(OsString::as_os_str).chain([program.as_os_str()]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        // `--child`: it ends when this process is gone, by whatever cause.
        command.args(["serve", "--child", "--addr", "127.0.0.1:0", "--shards", "1", "--no-pin"]);
        command.args(options).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(Failure::io("cannot start the server"))?;
        let stdout = child.stdout.take().expect("it was asked to be a pipe");
        let (sender, lines) = mpsc::channel();
        let read = move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _gone = sender.send(line);
            }
        };
        thread::Builder::new()
            .name("server output".into())
            .spawn(read)
            .map_err(Failure::io("cannot start a thread"))?;
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                let wrong = || failed(format!("said {line:?} instead of where it listens"));
                let (addr, pid) = ready_line(&line).ok_or_else(wrong)?;
                Ok(Self { child, pid, addr, lines })
            }
            Err(error) => Err(failed(format!("did not get ready: {error}"))),
        }
    }

    /// Ends it in order, and looks how it ended.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        tools::terminate(self.pid).map_err(Failure::io("cannot end the server"))?;
        match self.lines.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => {
                return Err(failed(format!("did not end within {PATIENCE:?}")));
            }
            Ok(line) => return Err(failed(format!("said {line:?}"))),
        }
        let status = self.child.wait().map_err(Failure::io("cannot wait for the server"))?;
        if status.success() { Ok(()) } else { Err(failed(format!("ended with {status}"))) }
    }
}

fn failed(why: String) -> Failure {
    Failure::Server { why }
}

/// The address and process in `listening ADDR pid PID shards 1`.
fn ready_line(line: &str) -> Option<(SocketAddr, u32)> {
    let words: Vec<_> = line.split(' ').collect();
    match words[..] {
        ["listening", addr, "pid", pid, "shards", "1"] => {
            Some((addr.parse().ok()?, pid.parse().ok()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_gives_address_and_process() {
        let parsed = ready_line("listening 127.0.0.1:7000 pid 12 shards 1");
        assert_eq!(parsed, Some((SocketAddr::from(([127, 0, 0, 1], 7000)), 12)));
        assert_eq!(ready_line("listening 127.0.0.1:7000 pid 12 shards 2"), None);
        assert_eq!(ready_line("listening everywhere pid 12 shards 1"), None);
    }

    #[test]
    fn a_program_as_old_as_time_is_older_than_its_sources() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(modified(&manifest).is_some());
        assert_eq!(source_newer_than(Path::new("/no such program")), None);
    }
}
