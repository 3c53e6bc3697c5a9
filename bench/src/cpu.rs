//! Processor time of a process, in nanoseconds; and of the whole machine, in ticks.
//!
//! Read from `/proc/PID/task/*/schedstat` (proc_pid_schedstat(5)), the first field: the time the
//! thread has run, user and system together, as the scheduler counts it. Of what safe Rust can read
//! of another process this is the most exact: `/proc/PID/stat` counts in ticks of 10 ms. Two limits
//! remain. A thread that is running at that moment is behind by at most one scheduler tick (1 to
//! 10 ms), so read it while the process is idle. And threads that have ended are not in it.
//!
//! Never: looks at another process' children.

use std::fs;
use std::io;
use std::time::Duration;

/// The processor time of the threads a process has now.
///
/// # Errors
/// When there is no such process, or the kernel keeps no such count (`CONFIG_SCHED_INFO`).
pub fn process_time(pid: u32) -> io::Result<Duration> {
    time_of_threads(&format!("/proc/{pid}/task"))
}

/// The processor time of the threads this process has now.
///
/// # Errors
/// When the kernel keeps no such count (`CONFIG_SCHED_INFO`).
pub fn own_time() -> io::Result<Duration> {
    time_of_threads("/proc/self/task")
}

fn time_of_threads(directory: &str) -> io::Result<Duration> {
    let (mut nanos, mut counted) = (0_u64, false);
    for thread in fs::read_dir(directory)? {
        match fs::read_to_string(thread?.path().join("schedstat")) {
            Ok(text) => {
                nanos += first_field(&text)?;
                counted |= text.trim_end() != NOT_COUNTED;
            }
            // It ended while we were reading.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if !counted {
        return Err(io::Error::other("the kernel does not count processor time by thread"));
    }
    Ok(Duration::from_nanos(nanos))
}

/// What all CPUs of this machine have done since it was started, in ticks of 10 ms (proc_stat(5)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MachineTime {
    /// They ran something: processes, the kernel, interrupts.
    pub busy: Duration,
    /// They had something to run, and the host ran somebody else.
    pub stolen: Duration,
}

/// What the CPUs of this machine have done so far.
///
/// # Errors
/// When `/proc/stat` cannot be read.
pub fn machine_time() -> io::Result<MachineTime> {
    machine_line(&fs::read_to_string("/proc/stat")?)
}

/// `cpu USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL ...`
fn machine_line(text: &str) -> io::Result<MachineTime> {
    let line = text.lines().next().unwrap_or_default();
    let wrong = || io::Error::other(format!("{line:?} is no line of /proc/stat"));
    let fields = line.strip_prefix("cpu ").ok_or_else(wrong)?.split_ascii_whitespace();
    let ticks: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else {
        return Err(wrong());
    };
    let time = |ticks| Duration::from_millis(10 * ticks);
    Ok(MachineTime { busy: time(user + nice + system + irq + softirq), stolen: time(steal) })
}

/// What a kernel without the count says of every thread. The last field is how often it was given
/// a CPU, so of a thread that has run it is never 0 where there is a count.
const NOT_COUNTED: &str = "0 0 0";

fn first_field(text: &str) -> io::Result<u64> {
    let wrong = || io::Error::other(format!("{text:?} is no schedstat"));
    let field = text.split_ascii_whitespace().next().ok_or_else(wrong)?;
    field.parse().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use std::process::{Child, Command};

    /// A child that does nothing but run; ended also when a test fails.
    struct Busy(Child);

    impl Drop for Busy {
        fn drop(&mut self) {
            let _ended = self.0.kill();
            let _waited = self.0.wait();
        }
    }

    #[test]
    fn a_busy_process_is_charged_for_what_it_uses() {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]);
        let clock = Clock::start();
        let busy = Busy(command.spawn().expect("there is a shell"));
        let enough = Duration::from_millis(50);
        let mut used = Duration::ZERO;
        while used < enough && clock.elapsed() < Duration::from_secs(30) {
            used = process_time(busy.0.id()).expect("it runs, and the kernel counts");
        }
        // It has one thread, so it cannot have had more than there was.
        let passed = clock.elapsed();
        assert!(used >= enough && used <= passed, "{used:?} in {passed:?}");
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        let error = process_time(u32::MAX).expect_err("no such process");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_line_of_the_machine_is_read() {
        let time = machine_line("cpu  1 2 3 400 500 6 7 8 0 0\ncpu0 1 2 3\n").expect("sound");
        let expected =
            MachineTime { busy: Duration::from_millis(190), stolen: Duration::from_millis(80) };
        assert_eq!(time, expected);
        assert!(machine_line("cpu0 1 2 3 4 5 6 7 8\n").is_err());
        assert!(machine_time().expect("there is one").busy > Duration::ZERO);
    }

    #[test]
    fn a_text_that_is_no_schedstat_is_named() {
        assert_eq!(first_field("12 3 4\n").expect("sound"), 12);
        let error = first_field("x").expect_err("no number");
        assert_eq!(error.to_string(), "\"x\" is no schedstat");
    }
}
