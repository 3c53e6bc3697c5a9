//! A program under callgrind, counted twice: with few and with many of a unit. The difference is
//! what the units cost.
//!
//! strace, around callgrind, counts the program's waits: that says how many turns of a loop it was,
//! and by which call of the kernel, which under valgrind may be another than without.
//!
//! Never: counts what the kernel does, or a cache miss.

use crate::failure::Failure;
use crate::report::Held;
use shardpoll_bench::counted::{self, Calls, Trace};
use shardpoll_bench::profile::Profile;
use shardpoll_bench::tools::{self, STRACE, Scratch, VALGRIND};
use std::env::consts::ARCH;
use std::ffi::OsString;
use std::path::PathBuf;

/// Where the tools write what they have counted.
pub(crate) struct Counting {
    /// Goes with this.
    _scratch: Scratch,
    counts: PathBuf,
    complaints: PathBuf,
    waits: PathBuf,
}

/// What was counted in one run.
pub(crate) struct Count {
    profile: Profile,
    waits: Calls,
}

/// What one unit costs, be it an echo, a connection or a letter.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    /// User-space instructions.
    pub(crate) instructions: f64,
    /// Turns of the loop.
    pub(crate) turns: f64,
    /// How many units it is the average of.
    pub(crate) units: f64,
    path: String,
    profile: Profile,
}

impl Counting {
    pub(crate) fn new() -> Result<Self, Failure> {
        let scratch = Scratch::new().map_err(Failure::io("a folder for the tools' output"))?;
        let file = |name| scratch.file(name);
        let (counts, complaints, waits) = (file("callgrind"), file("complaints"), file("waits"));
        Ok(Self { _scratch: scratch, counts, complaints, waits })
    }

    /// The command line of the tools; `hold`: each wait is held, so that it finds all that is sent.
    pub(crate) fn tools(&self, hold: bool) -> Vec<OsString> {
        let mut under = counted::strace(&self.waits, Trace { only_waits: true, hold });
        under.extend(self.callgrind());
        under
    }

    /// The same for a program that never waits.
    pub(crate) fn callgrind(&self) -> Vec<OsString> {
        counted::callgrind(&self.counts, &self.complaints)
    }

    /// What the program that has ended was counted to do.
    pub(crate) fn read(&self, waits: bool) -> Result<Count, Failure> {
        let profile = Profile::parse(&tools::read(VALGRIND, &self.counts)?)?;
        let waits = match waits {
            true => Calls::parse(&tools::read(STRACE, &self.waits)?)?,
            false => Calls::default(),
        };
        Ok(Count { profile, waits })
    }
}

impl Cost {
    /// That of the units which one run has more than the other.
    pub(crate) fn between(few: &Count, many: &Count, units: u64) -> Self {
        let (profile, waits) = (many.profile.since(&few.profile), many.waits.since(&few.waits));
        let units = units as f64;
        let instructions = profile.total() as f64 / units;
        let turns = waits.total() as f64 / units;
        let wait = waits.most_frequent_wait().unwrap_or("no wait");
        Self { instructions, turns, units, path: format!("{wait}, {ARCH}"), profile }
    }

    /// Held to the budget of this name.
    pub(crate) fn held(&self, row: &'static str) -> Held {
        let functions = self.profile.per(self.units);
        Held { row, path: self.path.clone(), compiler: Some(COMPILER), functions }
    }
}

/// What this program, and the server that was built with it, are made by.
const COMPILER: &str = env!("BENCH_RUSTC");
