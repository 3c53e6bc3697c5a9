//! The tools that count, and the small commands that std has no call for.
//!
//! Never: installs anything.

use crate::failure::Failure;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

pub(crate) const STRACE: &str = "strace";
pub(crate) const VALGRIND: &str = "valgrind";

/// The tool's name and version, as it says it; an error when it is not there.
pub(crate) fn version(tool: &'static str) -> Result<String, Failure> {
    let output = match Command::new(tool).arg("--version").stdin(Stdio::null()).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::NoTool { tool });
        }
        other => other.map_err(|error| Failure::Tool { tool, why: error.to_string() })?,
    };
    if !output.status.success() {
        let why = format!("--version ended with {}", output.status);
        return Err(Failure::Tool { tool, why });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or(tool).trim().to_owned())
}

/// Today, as YYYY-MM-DD in UTC.
pub(crate) fn today() -> Result<String, Failure> {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    let output = output.map_err(Failure::io("date"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Asks a process to end: SIGTERM.
pub(crate) fn terminate(pid: u32) -> io::Result<()> {
    // The shell's own kill: the program of that name is in a package that may be missing.
    let script = ["-c", "kill -TERM \"$1\"", "kill"];
    let status = Command::new("sh").args(script).arg(pid.to_string()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("kill: {status}"))) }
}

/// A folder for what the tools write; it goes with the value.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    pub(crate) fn new() -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("shardpoll-figures-{}", process::id()));
        fs::create_dir_all(&folder).map_err(Failure::io("a folder for the tools' output"))?;
        Ok(Self { folder })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
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
pub(crate) fn read(tool: &'static str, path: &Path) -> Result<String, Failure> {
    let name = path.display();
    fs::read_to_string(path)
        .map_err(|error| Failure::Tool { tool, why: format!("{name}: {error}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_missing_is_named() {
        let error = version("no-such-tool-anywhere").expect_err("it is not there");
        assert!(matches!(error, Failure::NoTool { .. }));
        assert!(error.to_string().contains("no-such-tool-anywhere"));
    }

    #[test]
    fn a_terminated_process_ends_by_the_signal() {
        use std::os::unix::process::ExitStatusExt;
        // cat reads a pipe that stays open: only a signal ends it.
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat is there");
        let pipe = child.stdin.take();
        terminate(child.id()).expect("it is ours");
        let status = child.wait().expect("it ends");
        drop(pipe);
        assert_eq!(status.signal(), Some(15));
    }
}
