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

/// A source of the server that was changed after it was built; `None` also when that cannot be
/// known, since the program has been copied elsewhere.
///
/// `cargo run --bin figures` builds this program and not the server, whose figures it gives. Cargo
/// writes what a program was made of to a file beside it (the Cargo book, "Build cache").
pub(crate) fn source_newer_than(server: &Path) -> Option<PathBuf> {
    let built = modified(server)?;
    let made_of = fs::read_to_string(server.with_extension("d")).ok()?;
    let newer = |source: &PathBuf| modified(source).is_some_and(|time| time > built);
    sources(&made_of).into_iter().map(PathBuf::from).find(newer)
}

/// The paths in `PROGRAM: PATH PATH`, where a space within a path is `\ `.
fn sources(made_of: &str) -> Vec<String> {
    let (_, paths) = made_of.split_once(": ").unwrap_or_default();
    let paths = paths.trim_end().replace("\\ ", "\0");
    paths.split(' ').map(|path| path.replace('\0', " ")).collect()
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
    fn the_sources_of_a_program_are_read_with_spaces_in_their_names() {
        let made_of = "/t/shardload: /s/a.rs /s/b\\ c.rs\n";
        assert_eq!(sources(made_of), ["/s/a.rs", "/s/b c.rs"]);
    }

    #[test]
    fn a_program_is_stale_when_a_source_is_newer() {
        let folder = tools::Scratch::new().expect("a folder");
        let (program, source) = (folder.file("program"), folder.file("source.rs"));
        for path in [&program, &source] {
            fs::write(path, "").expect("written");
        }
        let made_of = format!("{}: {}\n", program.display(), source.display());
        fs::write(folder.file("program.d"), made_of).expect("written");
        let date = |path, seconds| {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let file = fs::File::options().write(true).open(path).expect("it is there");
            file.set_modified(time).expect("it is ours");
        };
        date(&source, 1000);
        date(&program, 2000);
        assert_eq!(source_newer_than(&program), None);
        date(&source, 3000);
        assert_eq!(source_newer_than(&program), Some(source));
    }
}
