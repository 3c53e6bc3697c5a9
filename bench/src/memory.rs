//! What a process has in memory, and how many descriptors.
//!
//! Never: counts what the kernel keeps for a socket.

use std::fs;
use std::io;

/// What a process has in memory, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resident {
    /// Its resident set: Rss of `/proc/PID/smaps_rollup` (proc_pid_smaps(5)).
    pub all: u64,
    /// Without pages of files, such as the program itself.
    pub anonymous: u64,
}

/// What this process has in memory now.
///
/// # Errors
/// When there is no such process, or it is not ours.
pub fn resident(pid: u32) -> io::Result<Resident> {
    parse(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?)
}

/// The largest resident set this process has had, in bytes: VmHWM of `/proc/PID/status`
/// (proc_pid_status(5)).
///
/// # Errors
/// When there is no such process.
pub fn peak(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let none = || io::Error::other("no VmHWM in status");
    kilobytes(&text, "VmHWM:").map(|count| count * 1024).ok_or_else(none)
}

/// How many descriptors this process has open.
///
/// # Errors
/// When there is no such process, or it is not ours.
pub fn descriptors(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

fn parse(text: &str) -> io::Result<Resident> {
    let bytes = |field: &str| {
        let none = || io::Error::other(format!("no {field} in smaps_rollup"));
        kilobytes(text, field).map(|count| count * 1024).ok_or_else(none)
    };
    Ok(Resident { all: bytes("Rss:")?, anonymous: bytes("Anonymous:")? })
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollup_is_read_by_field() {
        let text = "5581 r-xp 00000000 [rollup]\nRss:    1234 kB\nAnonymous:       56 kB\n";
        let resident = parse(text).expect("both fields");
        assert_eq!(resident, Resident { all: 1234 * 1024, anonymous: 56 * 1024 });
        let error = parse("Rss: 5 kB\n").expect_err("one is missing");
        assert!(error.to_string().contains("Anonymous:"), "{error}");
    }

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let own = std::process::id();
        let now = resident(own).expect("it is ours").all;
        assert!(now > 0 && peak(own).expect("it is ours") > 0);
        assert!(descriptors(own).expect("it is ours") > 0);
    }
}
