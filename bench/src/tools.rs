//! The tools that count, and the small commands that std has no call for.
//!
//! Never: installs anything.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// Counts system calls.
pub const STRACE: &str = "strace";
/// Counts instructions.
pub const VALGRIND: &str = "valgrind";

/// Runs a program on a CPU that is named.
pub const TASKSET: &str = "taskset";

/// Why there is nothing counted.
#[derive(Debug)]
pub enum ToolError {
    /// It is not installed.
    Missing {
        /// Its name.
        tool: &'static str,
    },
    /// It is installed and did not do what was asked of it.
    Failed {
        /// Its name.
        tool: &'static str,
        /// What went wrong.
        why: String,
    },
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { tool } => {
                let package = if *tool == TASKSET { "util-linux" } else { tool };
                write!(f, "{tool} is missing: install it (Debian: apt-get install {package})")
            }
            Self::Failed { tool, why } => write!(f, "{tool}: {why}"),
        }
    }
}

impl std::error::Error for ToolError {}

/// The tool's name and version, as it says it.
///
/// # Errors
/// When it is not there.
pub fn version(tool: &'static str) -> Result<String, ToolError> {
    let output = match Command::new(tool).arg("--version").stdin(Stdio::null()).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ToolError::Missing { tool });
        }
        other => other.map_err(|error| ToolError::Failed { tool, why: error.to_string() })?,
    };
    if !output.status.success() {
        let why = format!("--version ended with {}", output.status);
        return Err(ToolError::Failed { tool, why });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or(tool).trim().to_owned())
}

/// Today, as YYYY-MM-DD in UTC.
///
/// # Errors
/// When there is no `date`.
pub fn today() -> io::Result<String> {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Starts a thread that ends with the process.
///
/// # Errors
/// When there are too many threads.
pub fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(body).map(drop)
}

/// A folder for what the tools write; it goes with the value.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// A folder of this process' own.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("shardpoll-bench-{}-{}", process::id(), number));
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is a few text files.
        let _left = fs::remove_dir_all(&self.folder);
    }
}

/// Reads what a tool has written.
///
/// # Errors
/// When it has not.
pub fn read(tool: &'static str, path: &Path) -> Result<String, ToolError> {
    let name = path.display();
    fs::read_to_string(path)
        .map_err(|error| ToolError::Failed { tool, why: format!("{name}: {error}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_missing_is_named() {
        let error = version("no-such-tool-anywhere").expect_err("it is not there");
        assert!(matches!(error, ToolError::Missing { .. }));
        assert!(error.to_string().contains("no-such-tool-anywhere"));
    }
}
