//! What came of a run, as figures with their units: what every report shows, and what JSON holds.
//!
//! Never: measures or draws; `measure` fills it, `report` shows it, `compare` reads it again.
//!
//! Invariants:
//! 1. The names of the fields are those of the JSON, and stay.
//! 2. What cannot be known is absent (`null`), never 0.

use serde::{Deserialize, Serialize};
use shardpoll_bench::machine::Machine;

/// A whole document: what `--json` prints and `compare` reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    /// That of the program which made it.
    pub(crate) version: String,
    pub(crate) machine: Machine,
    /// The command as it was given, the program's name first.
    pub(crate) command: Vec<String>,
    /// When the first run began, RFC 3339, in UTC.
    pub(crate) started: String,
    /// Which of several instances this was.
    pub(crate) instance: Option<Instance>,
    pub(crate) runs: Vec<Run>,
}

/// `--instance 2/3`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Instance {
    /// From 1 on.
    pub(crate) number: usize,
    pub(crate) of: usize,
}

/// What was done, over and over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    Echo,
    Churn,
    Idle,
    Bulk,
    Script,
    /// A script whose rounds are what is measured.
    Rounds,
    Abuse,
}

impl Workload {
    /// What one operation of it is, in the plural.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Echo | Self::Abuse => "messages",
            Self::Churn | Self::Idle => "connections",
            Self::Bulk => "chunks",
            Self::Script => "conversations",
            Self::Rounds => "rounds",
        }
    }
}

/// One run of one workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// What a table calls it.
    pub(crate) name: String,
    pub(crate) workload: Workload,
    pub(crate) targets: Vec<String>,
    pub(crate) connections: usize,
    pub(crate) client_threads: usize,
    /// Only of workloads that have messages of one size.
    pub(crate) message_size_bytes: Option<usize>,
    pub(crate) depth_messages: Option<usize>,
    /// Operations a second that were asked for; absent in a closed loop.
    pub(crate) asked_per_second: Option<f64>,
    /// The window that was measured: without warm-up, and without what came after the end.
    pub(crate) seconds: f64,
    /// It was ended before its time, by a signal.
    pub(crate) interrupted: bool,
    /// It was ended before its time, since nobody was there any more.
    pub(crate) deserted: bool,

    /// Operations that went well, also of those that were under way at the end of the window.
    pub(crate) operations: u64,
    /// Of those that went well within the window.
    pub(crate) operations_per_second: f64,
    /// By the million; of what the workload sends (not counting TLS, PROXY and STARTTLS).
    pub(crate) sent_megabytes_per_second: f64,
    pub(crate) received_megabytes_per_second: f64,
    /// Connections that came to be usable, over the whole run.
    pub(crate) connects: u64,
    /// Of those that were made at once at the beginning, or within the window, by what they took.
    pub(crate) connects_per_second: Option<f64>,

    /// Of an operation. In an open loop from its intended start, whenever it was really begun.
    pub(crate) latency: Option<Latency>,
    /// In an open loop, from the real start: what a naive tool would say.
    pub(crate) uncorrected: Option<Latency>,
    /// How much later than intended the generator itself has begun, when nothing but it was in the
    /// way; open loops only.
    pub(crate) lateness: Option<Latency>,
    /// Until TCP (or the unix socket) stood.
    pub(crate) connect: Option<Latency>,
    /// Of TLS alone.
    pub(crate) handshake: Option<Latency>,
    /// TLS handshakes, and how many of them resumed an earlier session.
    pub(crate) handshakes: u64,
    pub(crate) resumed_handshakes: u64,

    /// Operations that were due and not begun when the window ended, since their connections were
    /// still waiting: the rate was more than this server took. Open loops only.
    pub(crate) unsent: u64,
    pub(crate) errors: Errors,
    /// What was the first to go wrong, in words.
    pub(crate) first_error: Option<String>,

    pub(crate) server: Option<Server>,
    pub(crate) client: Client,
    /// What the abusers were answered; only of that workload.
    pub(crate) attacks: Vec<Attack>,
    /// Second by second, within the window.
    pub(crate) intervals: Vec<Interval>,
}

/// A distribution of times, in microseconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) min_us: f64,
    pub(crate) mean_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p75_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p99_9_us: f64,
    pub(crate) p99_99_us: f64,
    pub(crate) max_us: f64,
    /// The whole of it in nanoseconds, as an HdrHistogram (V2, deflated) in base 64.
    pub(crate) histogram: String,
}

impl Latency {
    /// All figures, from the least to the greatest but for the mean, which comes second.
    pub(crate) fn figures(&self) -> [f64; 9] {
        let Self { min_us, mean_us, p50_us, p75_us, p90_us, p99_us, .. } = *self;
        let Self { p99_9_us, p99_99_us, max_us, .. } = *self;
        [min_us, mean_us, p50_us, p75_us, p90_us, p99_us, p99_9_us, p99_99_us, max_us]
    }
}

/// What went wrong, by kind; each counts once.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Errors {
    /// All that follow, but for `lost`: these are messages, and of connections that are counted.
    pub(crate) total: u64,
    /// Connections that nobody accepted.
    pub(crate) refused: u64,
    /// Connections that the peer reset.
    pub(crate) reset: u64,
    /// Connections that the peer closed before we had done with them.
    pub(crate) closed: u64,
    /// Connects, handshakes and answers that took too long.
    pub(crate) timeout: u64,
    /// TLS: alerts, certificates that do not hold, bytes that are none.
    pub(crate) tls: u64,
    /// Connections on which a byte was not the one that should have come.
    pub(crate) wrong: u64,
    /// Whatever else the kernel said.
    pub(crate) other: u64,
    /// Messages that did not come back.
    pub(crate) lost: u64,
}

/// The server's process, from `--server-pid`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) pid: u32,
    /// User and system; absent without operations or without a count by the kernel.
    pub(crate) cpu_us_per_operation: Option<f64>,
    /// Of one CPU: 200 is two of them.
    pub(crate) cpu_percent: Option<f64>,
    /// Resident, before the first connection, and with all of them.
    pub(crate) memory_before_bytes: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
    /// The difference of both for each connection.
    pub(crate) memory_per_connection_bytes: Option<f64>,
}

/// This process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) cpu_us_per_operation: Option<f64>,
    /// Of the time that its threads could have had.
    pub(crate) cpu_percent: Option<f64>,
    /// It had no time left, or was late by itself: the figures are rather its than the server's.
    pub(crate) was_the_limit: bool,
}

/// One kind of abuse.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attack {
    /// Such as `slow-reader`.
    pub(crate) kind: String,
    /// Attempts that reached the server.
    pub(crate) connections: u64,
    /// Of these, ended by the server before the end of the run.
    pub(crate) ended_by_server: u64,
    /// How long those lived, the median.
    pub(crate) ended_after_seconds: Option<f64>,
    /// Nobody accepted these.
    pub(crate) refused: u64,
}

/// What happened within about a second.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Interval {
    /// When it began, since the beginning of the window.
    pub(crate) at_seconds: f64,
    pub(crate) seconds: f64,
    pub(crate) operations: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) connects: u64,
    pub(crate) errors: u64,
    /// Absent where nothing came back.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) max_us: Option<f64>,
    pub(crate) uncorrected_p99_us: Option<f64>,
}
