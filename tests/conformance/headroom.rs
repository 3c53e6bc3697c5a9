//! A limit of descriptors that only the server side feels.
//!
//! All that the peers will need is opened first, above a floor of placeholders. Some placeholders
//! make room for the engine; once it listens, the room is filled up again but for the headroom, and
//! the floor becomes the limit. What the peers close lies above it and makes no room.
//!
//! Needs a process of its own. Never: raises the limit again.

use crate::fields::Outcome;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

/// Placeholders, and how many of them make room for the engine.
const FLOOR: usize = 192;
const ROOM: usize = 128;

pub(crate) struct Headroom {
    count: usize,
    floor: Vec<File>,
    top: i32,
}

fn placeholder() -> Outcome<File> {
    File::open("/dev/null").map_err(|error| format!("a placeholder: {error}"))
}

impl Headroom {
    /// Everything that is opened from now on lies above the floor.
    pub(crate) fn begin(count: usize) -> Outcome<Self> {
        let floor = (0..FLOOR).map(|_| placeholder()).collect::<Outcome<Vec<_>>>()?;
        let top = floor.iter().map(AsRawFd::as_raw_fd).max().unwrap_or(0);
        Ok(Self { count, floor, top })
    }

    /// What is opened from now on lies below it.
    pub(crate) fn make_room(mut self) -> Self {
        self.floor.truncate(FLOOR - ROOM);
        self
    }

    /// From now on exactly so many more can be opened.
    pub(crate) fn limit(mut self) -> Outcome<Self> {
        loop {
            let next = placeholder()?;
            if next.as_raw_fd() > self.top {
                break;
            }
            self.floor.push(next);
        }
        let left = self.floor.len().checked_sub(self.count);
        self.floor.truncate(left.ok_or("so much headroom cannot be had")?);
        let limit = self.top + 1;
        let status = Command::new("prlimit")
            .arg(format!("--pid={}", std::process::id()))
            .arg(format!("--nofile={limit}:"))
            .stdin(Stdio::null())
            .status()
            .map_err(|error| format!("prlimit (of util-linux): {error}"))?;
        if status.success() { Ok(self) } else { Err(format!("prlimit: {status}")) }
    }
}
