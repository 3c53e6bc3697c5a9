//! What is behind a world: an engine of threads, or a loop in the simulation.
//!
//! Never: looks at what was recorded.

use crate::{PATIENCE, lab};
use shardpoll::{ConnId, DrainPlan, Engine, EngineState, Local, Remote, ShardReport};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

/// What is behind a world.
#[derive(Debug)]
pub(crate) enum Side {
    Linux { engine: Option<Box<Engine>>, remote: Remote },
    Sim { shard: usize },
}

impl Side {
    pub(crate) fn linux(engine: Engine) -> Self {
        let remote = engine.remote();
        Self::Linux { engine: Some(Box::new(engine)), remote }
    }

    /// # Panics
    /// In the simulation: a test that needs an engine runs on Linux only.
    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Self::Linux { engine, .. } => engine.as_deref().expect("taken by `finish` only"),
            Self::Sim { .. } => panic!("the simulation has no engine"),
        }
    }

    /// # Panics
    /// As [`engine`](Self::engine).
    pub(crate) fn remote(&self) -> &Remote {
        match self {
            Self::Linux { remote, .. } => remote,
            Self::Sim { .. } => panic!("the simulation has no remote"),
        }
    }

    pub(crate) fn shards(&self) -> usize {
        match self {
            Self::Linux { remote, .. } => remote.shards(),
            Self::Sim { .. } => 1,
        }
    }

    pub(crate) fn run<R: Send + 'static>(
        &self,
        on: usize,
        f: impl FnOnce(&mut Local<'_>) -> R + Send + 'static,
    ) -> R {
        let (reply, result) = channel();
        self.post(on, move |local| drop(reply.send(f(local))));
        receive(&result).expect("a result in time")
    }

    pub(crate) fn post(&self, on: usize, f: impl FnOnce(&mut Local<'_>) + Send + 'static) {
        match self {
            Self::Linux { remote, .. } => remote.run(on, f).expect("the shard is there"),
            Self::Sim { shard } => {
                assert_eq!(on, 0, "the simulation has one shard");
                lab::post(*shard, Box::new(f));
            }
        }
    }

    pub(crate) fn write(&self, id: ConnId, data: Vec<u8>) {
        match self {
            Self::Linux { remote, .. } => remote.write(id, data).expect("the shard is there"),
            Self::Sim { shard } => lab::write(*shard, id, data),
        }
    }

    pub(crate) fn close(&self, id: ConnId) {
        match self {
            Self::Linux { remote, .. } => remote.close(id).expect("the shard is there"),
            Self::Sim { shard } => lab::close(*shard, id),
        }
    }

    pub(crate) fn close_all(&self) {
        match self {
            Self::Linux { remote, .. } => remote.close_all(),
            Self::Sim { shard } => lab::close_all(*shard),
        }
    }

    pub(crate) fn quit(&self, forced_after: Duration) {
        match self {
            Self::Linux { remote, .. } => remote.quit(forced_after),
            Self::Sim { shard } => lab::quit(*shard, forced_after),
        }
    }

    pub(crate) fn drain(&self, plan: DrainPlan) {
        match self {
            Self::Linux { remote, .. } => remote.drain(plan),
            Self::Sim { shard } => lab::drain(*shard, plan),
        }
    }

    pub(crate) fn cancel_quit(&self) {
        match self {
            Self::Linux { remote, .. } => remote.cancel_quit(),
            Self::Sim { shard } => lab::cancel_quit(*shard),
        }
    }

    pub(crate) fn state(&self) -> EngineState {
        match self {
            Self::Linux { remote, .. } => remote.state(),
            Self::Sim { shard } => lab::state(*shard),
        }
    }

    /// Keeps shard 0 busy until the sender is dropped.
    pub(crate) fn hold(&self) -> Sender<()> {
        let (release, released) = channel::<()>();
        match self {
            Self::Linux { remote, .. } => {
                let (reply, held) = channel();
                let task = move |_: &mut Local<'_>| {
                    let _gone = reply.send(());
                    let _released = released.recv_timeout(PATIENCE);
                };
                remote.run(0, task).expect("the shard is there");
                held.recv_timeout(PATIENCE).expect("the shard takes the task in time");
            }
            Self::Sim { shard } => lab::hold(*shard, released),
        }
        release
    }

    /// Waits until all is over that was told to end, and gives what it reports.
    pub(crate) fn join(&mut self) -> Vec<ShardReport> {
        match self {
            Self::Linux { engine, .. } => {
                let engine = engine.take().expect("ended once");
                let report = wait_for_reply(move || engine.join()).expect("no shard has failed");
                report.shards().to_vec()
            }
            Self::Sim { shard } => {
                vec![lab::wait_for(|| lab::report(*shard)).expect("over in time")]
            }
        }
    }

    /// Ends it, whatever is left.
    pub(crate) fn abandon(&self) {
        match self {
            Self::Linux { remote, .. } => remote.quit(Duration::ZERO),
            Self::Sim { shard } => lab::abandon(*shard),
        }
    }

    /// A name for what a listener of the simulation accepts at.
    pub(crate) fn shard(&self) -> Option<usize> {
        match self {
            Self::Linux { .. } => None,
            Self::Sim { shard } => Some(*shard),
        }
    }
}

/// Where a world listens when it listens nowhere yet.
pub(crate) const NOWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// The next thing that is sent here, by a callback or a timer.
///
/// # Errors
/// As those of a channel.
pub fn receive<T>(from: &Receiver<T>) -> Result<T, RecvTimeoutError> {
    if !lab::is_on() {
        return from.recv_timeout(PATIENCE);
    }
    let look = || match from.try_recv() {
        Ok(thing) => Some(Ok(thing)),
        Err(TryRecvError::Empty) => None,
        Err(TryRecvError::Disconnected) => Some(Err(RecvTimeoutError::Disconnected)),
    };
    lab::wait_for(look).unwrap_or(Err(RecvTimeoutError::Timeout))
}

/// Lets time pass.
pub fn pass(time: Duration) {
    if lab::is_on() {
        return lab::pass(time);
    }
    let (_never, nothing) = channel::<()>();
    let _time_passes = nothing.recv_timeout(time);
}

/// Runs a call that blocks on a thread of its own.
///
/// # Panics
/// When it does not return in time.
pub fn wait_for_reply<R: Send + 'static>(call: impl FnOnce() -> R + Send + 'static) -> R {
    let (reply, result) = channel();
    std::thread::spawn(move || {
        let _gone = reply.send(call());
    });
    result.recv_timeout(PATIENCE).expect("the call returns in time")
}
