//! What machine this is: figures without it say nothing.
//!
//! Never: runs a command; it reads `/proc`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::thread;

/// The machine that figures were got on. `Display` is one line of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name, as it gives it.
    pub cpu: String,
    /// How many CPUs this process may run on.
    pub cpus: usize,
    /// The kernel's release.
    pub kernel: String,
}

const UNKNOWN: &str = "unknown";

impl Machine {
    /// Reads what is known of this machine; what cannot be read is called "unknown".
    #[must_use]
    pub fn read() -> Self {
        let file = |path| fs::read_to_string(path).unwrap_or_default();
        let kernel = file("/proc/sys/kernel/osrelease");
        Self {
            cpu: cpu_name(&file("/proc/cpuinfo")).into(),
            cpus: thread::available_parallelism().map_or(1, Into::into),
            kernel: if kernel.is_empty() { UNKNOWN } else { kernel.trim() }.into(),
        }
    }
}

fn cpu_name(cpuinfo: &str) -> &str {
    // x86 says "model name"; what ARM has in its place is a number, and no help.
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == "model name")
        .map_or(UNKNOWN, |(_, value)| value.trim())
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cpus, kernel } = self;
        write!(f, "{cpus} CPUs ({cpu}), Linux {kernel}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named_as_it_names_itself() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 3.00GHz\n\nprocessor\t: 1\n";
        assert_eq!(cpu_name(text), "Some CPU @ 3.00GHz");
        assert_eq!(cpu_name("processor : 0\nCPU part : 0xd0c\n"), UNKNOWN);
    }

    #[test]
    fn this_machine_has_a_cpu_and_a_kernel() {
        let machine = Machine::read();
        assert!(machine.cpus >= 1);
        assert_ne!(machine.kernel, UNKNOWN);
        assert!(machine.to_string().contains(&machine.kernel));
    }
}
