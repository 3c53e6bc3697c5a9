//! A server in a child process: this very program, with `serve`.
//!
//! It has a process group of its own, so that a Ctrl-C on the terminal ends the load first and the
//! server after it.
//!
//! Never: chooses the port.

use crate::failure::Failure;
use shardpoll_bench::child::Child;
use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Starts it and waits until it listens.
pub(crate) fn start(tls: bool) -> Result<Child, Failure> {
    let program = env::current_exe().map_err(Failure::io("this program's own path"))?;
    let mut command = Command::new(program);
    command.args(["serve", "--child", "--addr", "127.0.0.1:0", "--drain", "1s"]);
    if tls {
        command.arg("--tls");
    }
    command.process_group(0);
    Ok(Child::start(command)?)
}
