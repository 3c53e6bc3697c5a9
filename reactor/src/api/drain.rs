//! The end of a loop as its users plan it, see it and have it reported.
//!
//! Never: decides when a loop ends; `drive/quit` and `drive/drain` do.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

/// How a drain goes: for how long new connections are still accepted, and how long those that are
/// there may take to end.
///
/// ```
/// use shardpoll_reactor::DrainPlan;
/// use std::time::Duration;
///
/// // Behind a load balancer that looks every 2 s whether we are ready.
/// let plan = DrainPlan::default()
///     .accept_for(Duration::from_secs(5))
///     .deadline(Duration::from_secs(60));
/// # assert_eq!(plan, DrainPlan { deadline: Duration::from_secs(60), ..DrainPlan::default() });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DrainPlan {
    /// How long the listeners go on after the drain has begun, so that whoever spreads connections
    /// can learn of it. Default 5 s; zero: they are closed at once.
    pub accept_for: Duration,
    /// How long connections may take to end after that; then they are cut. Default 30 s.
    pub deadline: Duration,
}

impl Default for DrainPlan {
    fn default() -> Self {
        Self { accept_for: Duration::from_secs(5), deadline: Duration::from_secs(30) }
    }
}

impl DrainPlan {
    /// With this [`accept_for`](Self::accept_for).
    #[must_use]
    pub fn accept_for(mut self, time: Duration) -> Self {
        self.accept_for = time;
        self
    }

    /// With this [`deadline`](Self::deadline), counted from the end of the other.
    #[must_use]
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = time;
        self
    }
}

/// How far an engine, or one loop of it, is on its way out. Each is further than the one before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum EngineState {
    /// Not on its way out.
    #[default]
    Serving,
    /// It drains: connections have been told, and new ones are still accepted.
    DrainingAccepting,
    /// It opens nothing more, and waits for what is there to end: the second half of a drain, or a
    /// quit.
    DrainingRefusing,
    /// Nothing is left.
    Closed,
}

impl EngineState {
    /// A word for each, as for a status page: "serving", "draining", "refusing", "closed".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::DrainingAccepting => "draining",
            Self::DrainingRefusing => "refusing",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for EngineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What has become of the connections of a loop since it was told to drain or quit.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ShardReport {
    /// Those that have ended before the deadline: by themselves, by their handlers, or closed after
    /// their output.
    pub finished: u64,
    /// Those that the deadline has cut: they were told
    /// [`CloseReason::Quitting`](crate::CloseReason).
    pub cut: u64,
}

impl AddAssign for ShardReport {
    fn add_assign(&mut self, other: Self) {
        self.finished += other.finished;
        self.cut += other.cut;
    }
}

/// "3 finished, 1 cut".
impl fmt::Display for ShardReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} finished, {} cut", self.finished, self.cut)
    }
}
