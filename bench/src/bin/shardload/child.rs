//! A server in a child process: this very program, with `serve`.
//!
//! It is told to end by the end of its standard input, which also comes when this process is
//! killed: no server stays behind. It has a process group of its own, so that a Ctrl-C on the
//! terminal ends the load first and the server after it.
//!
//! Never: waits for it without a limit.

use crate::failure::Failure;
use crate::serve::helper;
use std::env;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// A server that listens.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// What it prints; closed when it has ended.
    lines: Receiver<String>,
    pub(crate) addr: SocketAddr,
}

/// How long it may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(5);

impl Server {
    /// Starts it and waits until it listens.
    pub(crate) fn start(tls: bool) -> Result<Self, Failure> {
        let program = env::current_exe().map_err(Failure::io("this program's own path"))?;
        let mut command = Command::new(program);
        command.args(["serve", "--child", "--addr", "127.0.0.1:0", "--drain", "1s"]);
        if tls {
            command.arg("--tls");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(Failure::io("cannot start a server"))?;
        let stdout = child.stdout.take().expect("it was asked to be a pipe");
        let (sender, lines) = mpsc::channel();
        helper("server output", move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _gone = sender.send(line);
            }
        })?;
        // From here on dropping it ends the child.
        let mut server = Self { child, lines, addr: SocketAddr::from(([0; 4], 0)) };
        server.addr = match server.lines.recv_timeout(PATIENCE) {
            Ok(line) => ready_line(&line).ok_or_else(|| server_failed(format!("said {line:?}")))?,
            Err(error) => return Err(server_failed(format!("did not get ready: {error}"))),
        };
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in order, and looks how it ended.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        match self.lines.recv_timeout(PATIENCE) {
            Err(mpsc::RecvTimeoutError::Disconnected) => {}
            Err(mpsc::RecvTimeoutError::Timeout) => {
                return Err(server_failed(format!("did not end within {PATIENCE:?}")));
            }
            Ok(line) => return Err(server_failed(format!("said {line:?}"))),
        }
        let status = self.child.wait().map_err(Failure::io("cannot wait for a server"))?;
        if status.success() { Ok(()) } else { Err(server_failed(format!("ended with {status}"))) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both do nothing when it has ended and was waited for.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

fn server_failed(why: String) -> Failure {
    Failure::Server { why }
}

/// The address in `listening ADDR pid PID shards N`.
fn ready_line(line: &str) -> Option<SocketAddr> {
    let mut words = line.split(' ');
    (words.next() == Some("listening")).then_some(())?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_gives_the_address() {
        let addr = ready_line("listening 127.0.0.1:7000 pid 12 shards 2");
        assert_eq!(addr, Some(SocketAddr::from(([127, 0, 0, 1], 7000))));
        assert_eq!(ready_line("listening everywhere pid 12 shards 2"), None);
        assert_eq!(ready_line("127.0.0.1:7000"), None);
    }
}
