//! Signals as something to read, instead of handlers that interrupt.
//!
//! Never: installs a signal handler, or touches other signals than it is told.

use super::{check, check_int, own};
use libc::c_int;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

/// What the kernel says of one signal (`struct signalfd_siginfo`).
const INFO_BYTES: usize = size_of::<libc::signalfd_siginfo>();

/// Some signals, to be waited for (signalfd(2)).
///
/// Made before the engine starts, by the thread that starts it: threads inherit what is blocked,
/// and a thread in which the signals are not blocked would die of them. Children inherit it as
/// well.
#[derive(Debug)]
pub struct Signals {
    file: File,
}

/// A signal (signal(7)).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Signal {
    /// SIGHUP: the terminal is gone, or a daemon shall read its configuration again.
    Hangup,
    /// SIGINT: somebody pressed Ctrl-C.
    Interrupt,
    /// SIGQUIT: somebody pressed Ctrl-\.
    Quit,
    /// SIGUSR1: whatever the host says it means.
    User1,
    /// SIGUSR2: whatever the host says it means.
    User2,
    /// SIGALRM: a timer of the process.
    Alarm,
    /// SIGTERM: a supervisor asks to end.
    Terminate,
    /// SIGCHLD: a child has changed its state.
    Child,
    /// SIGWINCH: the terminal has another size.
    WindowChanged,
}

impl Signal {
    const ALL: [Self; 9] = [
        Self::Hangup,
        Self::Interrupt,
        Self::Quit,
        Self::User1,
        Self::User2,
        Self::Alarm,
        Self::Terminate,
        Self::Child,
        Self::WindowChanged,
    ];

    /// Its number on this machine.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Hangup => libc::SIGHUP,
            Self::Interrupt => libc::SIGINT,
            Self::Quit => libc::SIGQUIT,
            Self::User1 => libc::SIGUSR1,
            Self::User2 => libc::SIGUSR2,
            Self::Alarm => libc::SIGALRM,
            Self::Terminate => libc::SIGTERM,
            Self::Child => libc::SIGCHLD,
            Self::WindowChanged => libc::SIGWINCH,
        }
    }

    /// The number is the first field of what the kernel writes, 32 bits wide.
    fn from_info(info: [u8; INFO_BYTES]) -> io::Result<Self> {
        let number = i32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
        let known = Self::ALL.into_iter().find(|signal| signal.number() == number);
        known.ok_or_else(|| io::Error::other(format!("signal {number}, which was not asked for")))
    }
}

/// As in signal(7): "SIGTERM".
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hangup => "SIGHUP",
            Self::Interrupt => "SIGINT",
            Self::Quit => "SIGQUIT",
            Self::User1 => "SIGUSR1",
            Self::User2 => "SIGUSR2",
            Self::Alarm => "SIGALRM",
            Self::Terminate => "SIGTERM",
            Self::Child => "SIGCHLD",
            Self::WindowChanged => "SIGWINCH",
        })
    }
}

impl Signals {
    /// Blocks SIGINT and SIGTERM in the calling thread and those it starts from now on.
    ///
    /// # Errors
    /// The kernel's, such as running out of descriptors.
    pub fn block() -> io::Result<Self> {
        Self::block_these(&[Signal::Interrupt, Signal::Terminate])
    }

    /// Blocks these signals in the calling thread and those it starts from now on.
    ///
    /// What is blocked already stays so, even if this fails.
    ///
    /// # Errors
    /// The kernel's, such as running out of descriptors.
    pub fn block_these(signals: &[Signal]) -> io::Result<Self> {
        let mut storage = MaybeUninit::<libc::sigset_t>::uninit();
        let set = storage.as_mut_ptr();
        // SAFETY: `set` points to room for a signal set, which the call fills.
        check_int(unsafe { libc::sigemptyset(set) })?;
        for signal in signals {
            // SAFETY: `set` was filled above.
            check_int(unsafe { libc::sigaddset(set, signal.number()) })?;
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
        let mut info = [0; INFO_BYTES];
        self.file.read_exact(&mut info)?;
        Signal::from_info(info)
    }

    /// The descriptor, for a loop: reading it never blocks from now on.
    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        let fd = self.file.as_raw_fd();
        // SAFETY: takes no pointer.
        let flags = check_int(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
        let flags: c_int = flags | libc::O_NONBLOCK;
        // SAFETY: takes no pointer.
        check_int(unsafe { libc::fcntl(fd, libc::F_SETFL, flags) })?;
        Ok(self.file.into())
    }
}

/// Takes one signal that has come from the descriptor of a [`Signals`].
///
/// # Errors
/// `WouldBlock` when none has come; else the kernel's.
pub(crate) fn take_signal(fd: BorrowedFd<'_>) -> io::Result<Signal> {
    let mut info = [0_u8; INFO_BYTES];
    // SAFETY: `info` may be written for its whole length.
    check(unsafe { libc::read(fd.as_raw_fd(), info.as_mut_ptr().cast(), INFO_BYTES) })?;
    Signal::from_info(info)
}
