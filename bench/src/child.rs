//! A server in a child process, alone or under a tool: started, awaited, ended.
//!
//! Or the clients of one, which are told over their standard input what to do, a line each time.
//!
//! When it listens it prints one line, `listening ADDR pid PID` and perhaps more; it ends when its
//! standard input does, which also comes when this process is killed: no server stays behind.
//!
//! Never: waits for it without a limit.

use crate::tools;
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{self, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// How long it may take to be ready, and to end: under callgrind all takes 50 times as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that listens; dropping it ends it at once.
#[derive(Debug)]
pub struct Child {
    /// The tool, or the server itself.
    child: process::Child,
    /// The server's own, also under a tool.
    pub pid: u32,
    /// Where it listens.
    pub addr: SocketAddr,
    /// What it prints; closed when it has ended.
    lines: Receiver<String>,
}

/// Why a server could not be used; what it did, to be read behind "the server".
#[derive(Debug)]
pub struct ChildError(String);

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ChildError {}

impl Child {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started, or does not say where it listens within a minute.
    pub fn start(mut command: Command) -> Result<Self, ChildError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let cannot = |error: io::Error| ChildError(format!("cannot be started: {error}"));
        let mut child = command.spawn().map_err(cannot)?;
        let stdout = child.stdout.take().expect("it was asked to be a pipe");
        // From here on dropping it ends it.
        let (sender, lines) = mpsc::channel();
        let mut server = Self { child, pid: 0, addr: SocketAddr::from(([0; 4], 0)), lines };
        let read = move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _gone = sender.send(line);
            }
        };
        tools::thread("server output", read).map_err(cannot)?;
        match server.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                let wrong = || ChildError(format!("said {line:?} instead of where it listens"));
                (server.addr, server.pid) = ready_line(&line).ok_or_else(wrong)?;
                Ok(server)
            }
            Err(error) => Err(ChildError(format!("did not get ready: {error}"))),
        }
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// When it no longer reads.
    pub fn tell(&mut self, line: &str) -> Result<(), ChildError> {
        let input = self.child.stdin.as_mut().expect("it is taken when it ends");
        let written = input.write_all(format!("{line}\n").as_bytes());
        written.map_err(|error| ChildError(format!("cannot be told {line:?}: {error}")))
    }

    /// The next line that it prints.
    ///
    /// # Errors
    /// When there is none in this time, or it has ended.
    pub fn answer(&self, patience: Duration) -> Result<String, ChildError> {
        self.lines.recv_timeout(patience).map_err(|error| match error {
            RecvTimeoutError::Timeout => ChildError(format!("said nothing for {patience:?}")),
            RecvTimeoutError::Disconnected => ChildError("has ended".into()),
        })
    }

    /// Ends it in order, and looks how it ended.
    ///
    /// # Errors
    /// When it does not end within a minute, prints more, or ends with anything but 0.
    pub fn end(mut self) -> Result<(), ChildError> {
        drop(self.child.stdin.take());
        match self.lines.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => {
                return Err(ChildError(format!("did not end within {PATIENCE:?}")));
            }
            Ok(line) => return Err(ChildError(format!("said {line:?}"))),
        }
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(ChildError(format!("ended with {status}"))),
            Err(error) => Err(ChildError(format!("cannot be waited for: {error}"))),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both do nothing when it has ended and was waited for.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// The address and the process in `listening ADDR pid PID ...`.
fn ready_line(line: &str) -> Option<(SocketAddr, u32)> {
    let words: Vec<_> = line.split(' ').collect();
    match words[..] {
        ["listening", addr, "pid", pid, ..] => Some((addr.parse().ok()?, pid.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_ready_line_gives_address_and_process() {
        let expected = Some((SocketAddr::from(([127, 0, 0, 1], 7000)), 12));
        assert_eq!(ready_line("listening 127.0.0.1:7000 pid 12 shards 2"), expected);
        assert_eq!(ready_line("listening 127.0.0.1:7000 pid 12"), expected);
        assert_eq!(ready_line("listening everywhere pid 12"), None);
        assert_eq!(ready_line("127.0.0.1:7000"), None);
    }

    #[test]
    fn a_server_ends_with_its_standard_input() {
        let script = "echo listening 127.0.0.1:1 pid $$; read line; exit $?";
        let server = Child::start(shell(script)).expect("it says so");
        let error = server.end().expect_err("read fails at the end of input");
        assert!(error.to_string().contains("exit status: 1"), "{error}");
    }

    #[test]
    fn a_child_answers_what_it_is_told() {
        let script = "echo listening 127.0.0.1:1 pid $$; while read line; do echo got $line; done";
        let mut child = Child::start(shell(script)).expect("it says so");
        for line in ["one", "two words"] {
            child.tell(line).expect("it reads");
            let answer = child.answer(PATIENCE).expect("it answers");
            assert_eq!(answer, format!("got {line}"));
        }
        let error = child.answer(Duration::from_millis(1)).expect_err("it was not asked");
        assert!(error.to_string().contains("nothing for 1ms"), "{error}");
        child.end().expect("it ends with its input");
    }

    #[test]
    fn a_server_that_says_something_else_is_quoted() {
        let error = Child::start(shell("echo good morning")).expect_err("no address");
        assert!(error.to_string().contains("\"good morning\""), "{error}");
        let error = Child::start(shell("true")).expect_err("no word");
        assert!(error.to_string().contains("did not get ready"), "{error}");
    }
}
