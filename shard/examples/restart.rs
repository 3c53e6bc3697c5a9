//! A server that replaces itself with a new version of its program, and loses no connection.
//!
//! `restart ADDR` echoes lines at ADDR. At SIGHUP it starts its program anew and hands its
//! listening sockets over; once the new process listens on them, the old one serves what it has for
//! at most 30 s, and ends. At SIGTERM it drains and ends without a successor. If the new process
//! fails, the old one goes on.
//!
//! Under systemd it may be of `Type=notify` with `NotifyAccess=all`, and with `ExecReload=kill -HUP
//! $MAINPID`.

use shardpoll::{
    Conn, DrainPlan, Engine, HandOverError, Handler, Inheritance, Listen, Pinning, Signal, Signals,
    Wait, notify,
};
use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

const NAME: &str = "echo";
const PATIENCE: Duration = Duration::from_secs(10);

/// Says to a new process that its standard input leads to the old one.
const SUCCEEDS: &str = "RESTART_SUCCEEDS";

#[derive(Clone)]
struct Echo;

impl Handler for Echo {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(data);
    }

    // A peer that waits for an answer gets it; then it may go to the new process.
    fn on_drain_begin(&mut self, conn: &mut Conn<'_>) {
        conn.set_read_timeout(Wait::After(Duration::from_secs(10)));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    serve(addr.parse()?, 2)
}

/// Serves until it is told to end, or has a successor.
pub fn serve(addr: SocketAddr, shards: usize) -> Result<(), Box<dyn Error>> {
    let mut signals =
        Signals::block_these(&[Signal::Hangup, Signal::Interrupt, Signal::Terminate])?;
    let engine = Engine::builder().shards(shards).pinning(Pinning::None).start()?;
    let mut old = predecessor()?;
    let taken = old.as_mut().and_then(|old| old.take(NAME));
    let id = engine.listen(taken.unwrap_or_else(|| Listen::on(addr).name(NAME)), |_| Echo)?;
    if let Some(old) = old {
        old.finish()?;
        notify::main_pid(std::process::id())?;
    }
    notify::ready()?;
    let addr = engine.addr(id).ok_or("an internet address")?;
    say(&format!("{} listens on {addr}", std::process::id()));
    loop {
        match signals.wait()? {
            Signal::Hangup => match replace(&engine) {
                Ok(()) => break,
                Err(error) => eprintln!("not replaced: {error}"),
            },
            _ => {
                notify::stopping()?;
                break;
            }
        }
    }
    engine.drain(DrainPlan::default().accept_for(Duration::ZERO));
    let report = engine.join()?;
    say(&format!("{} has ended: {report}", std::process::id()));
    Ok(())
}

/// Standard output may be gone, as that of a successor whose predecessor was started by a pipe.
fn say(line: &str) {
    let _gone = writeln!(std::io::stdout(), "{line}");
}

fn predecessor() -> Result<Option<Inheritance>, Box<dyn Error>> {
    if std::env::var_os(SUCCEEDS).is_none() {
        return Ok(None);
    }
    let stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    Ok(Some(Inheritance::receive(stream, PATIENCE)?))
}

fn replace(engine: &Engine) -> Result<(), HandOverError> {
    let (ours, theirs) = UnixStream::pair()?;
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(SUCCEEDS, "1");
    command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
    // Its end of the pair is the child's alone, so that this process hears of its end.
    drop(command);
    engine.hand_over(ours, PATIENCE).map(drop)
}
