//! Termination signals as something to read, instead of handlers that interrupt.
//!
//! Never: installs a signal handler, or touches other signals.

use super::{check_int, own};
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::ptr;

/// SIGINT and SIGTERM, to be waited for (signalfd(2)).
///
/// Made before the engine starts, by the thread that starts it: threads inherit what is blocked,
/// and a thread in which the signals are not blocked would die of them. Children inherit it as
/// well.
#[derive(Debug)]
pub struct Signals {
    file: File,
}

/// A request to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGINT: somebody pressed Ctrl-C.
    Interrupt,
    /// SIGTERM: a supervisor asks.
    Terminate,
}

impl Signals {
    /// Blocks SIGINT and SIGTERM in the calling thread and those it starts from now on.
    ///
    /// # Errors
    /// The kernel's, such as running out of descriptors.
    pub fn block() -> io::Result<Self> {
        let mut storage = MaybeUninit::<libc::sigset_t>::uninit();
        let set = storage.as_mut_ptr();
        // SAFETY: `set` points to room for a signal set, which the call fills.
        check_int(unsafe { libc::sigemptyset(set) })?;
        for signal in [libc::SIGINT, libc::SIGTERM] {
            // SAFETY: `set` was filled above.
            check_int(unsafe { libc::sigaddset(set, signal) })?;
        }
        // SAFETY: `set` was filled above; the old mask is not asked for.
        let failed = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set, ptr::null_mut()) };
        if failed != 0 {
            return Err(io::Error::from_raw_os_error(failed));
        }
        // SAFETY: `set` was filled above.
        let fd = own(unsafe { libc::signalfd(-1, set, libc::SFD_CLOEXEC) })?;
        Ok(Self { file: File::from(fd) })
    }

    /// Blocks the calling thread until one of the signals comes.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(&mut self) -> io::Result<Signal> {
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        self.file.read_exact(&mut info)?;
        // The number is the first field, 32 bits wide.
        let number = i32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
        Ok(if number == libc::SIGINT { Signal::Interrupt } else { Signal::Terminate })
    }
}
