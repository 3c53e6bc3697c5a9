//! Paths for unix sockets, each of its own.
//!
//! Never: leaves a file behind.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static PATHS: AtomicU32 = AtomicU32::new(0);

/// A path at which nothing is yet; what is there in the end is removed.
#[derive(Debug)]
pub struct SocketPath(PathBuf);

impl SocketPath {
    /// A path that no other test has.
    #[must_use]
    pub fn new() -> Self {
        let (process, number) = (std::process::id(), PATHS.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(format!("shardpoll-{process}-{number}.sock")))
    }
}

impl Default for SocketPath {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for SocketPath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for SocketPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _never_was = fs::remove_file(&self.0);
    }
}
