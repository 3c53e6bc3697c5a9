//! A process of its own for what would disturb the other tests.
//!
//! Never: outlives its test.

use crate::PATIENCE;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A child process that is told what to do by lines, and answers by lines.
#[derive(Debug)]
pub struct Alone {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Alone {
    /// Starts it.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was built with the tests");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (line, lines) = channel();
        std::thread::spawn(move || {
            for text in stdout.lines().map_while(Result::ok) {
                if line.send(text).is_err() {
                    return;
                }
            }
        });
        Self { child, stdin, lines }
    }

    /// The process' number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line it writes.
    #[must_use]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line in time")
    }

    /// The next line it writes; `None` when it ends without one.
    #[must_use]
    pub fn try_line(&self) -> Option<String> {
        self.lines.recv_timeout(PATIENCE).ok()
    }

    /// The next line it writes, if it comes soon.
    #[must_use]
    pub fn line_within(&self, wait: Duration) -> Option<String> {
        self.lines.recv_timeout(wait).ok()
    }

    /// Sends it a signal by name, such as "TERM".
    pub fn signal(&self, name: &str) {
        // The shell's own kill: the program of that name may be missing.
        let script = format!("kill -{name} {}", self.id());
        let status = Command::new("sh").args(["-c", &script]).status().expect("there is a shell");
        assert!(status.success(), "{script}");
    }

    /// Tells it something, and gives its answer.
    pub fn ask(&mut self, what: &str) -> String {
        let stdin = self.stdin.as_mut().expect("open until the end");
        writeln!(stdin, "{what}").expect("it listens");
        self.line()
    }

    /// Closes its input and gives its exit status; the status of a signal is `None`.
    #[must_use]
    pub fn end(mut self) -> Option<i32> {
        self.stdin = None;
        // Its output ends with it.
        while self.lines.recv_timeout(PATIENCE * 6).is_ok() {}
        self.child.wait().expect("our own child").code()
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _dead_already = self.child.kill();
        let _dead_already = self.child.wait();
    }
}
