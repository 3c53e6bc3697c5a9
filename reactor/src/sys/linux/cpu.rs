//! Which CPU's connections a socket of a group is for: `SO_INCOMING_CPU`.
//!
//! Never: binds a thread.

use super::option::set_named;
use std::io;
use std::os::fd::OwnedFd;

/// Prefers this listening socket, among those of its group, for connections whose first packet this
/// CPU has received (socket(7), `SO_INCOMING_CPU`). Without effect on groups before Linux 6.2.
///
/// # Errors
/// The kernel's; it names the option. `InvalidInput` for a number no CPU can have.
pub fn prefer_cpu(socket: &OwnedFd, cpu: usize) -> io::Result<()> {
    let Ok(cpu) = libc::c_int::try_from(cpu) else {
        let text = format!("there is no CPU {cpu}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    };
    set_named(socket, (libc::SOL_SOCKET, libc::SO_INCOMING_CPU), "SO_INCOMING_CPU", cpu)
}
