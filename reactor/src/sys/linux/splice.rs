//! From one stream to another through a pipe, without a copy here: splice(2).
//!
//! Never: blocks; keeps count of what lies in a pipe.

use super::{check, check_int, own};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

const FLAGS: libc::c_uint = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;

/// Both ends of a pipe.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// Opens a pipe of the kernel's usual size: 16 buffers, of up to 32 KiB each when they come from a
/// stream. A larger one was measured, and moves no more.
pub(super) fn pipe() -> io::Result<Pipe> {
    if kills_writers()? {
        let text = "splice(2) would raise SIGPIPE, which ends this process";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for two descriptors.
    check_int(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    Ok(Pipe { read: own(ends[0])?, write: own(ends[1])? })
}

/// Whether a write to a stream that is over ends the process (signal(7)). A send is told not to
/// raise the signal; a splice cannot be.
fn kills_writers() -> io::Result<bool> {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: `action` has room for what is asked for; nothing is changed.
    check_int(unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), action.as_mut_ptr()) })?;
    // SAFETY: the call above has filled it in.
    Ok(unsafe { action.assume_init() }.sa_sigaction == libc::SIG_DFL)
}

pub(super) fn splice_in(pipe: &Pipe, from: &OwnedFd, most: usize) -> io::Result<usize> {
    splice(from, &pipe.write, most)
}

pub(super) fn splice_out(pipe: &Pipe, to: &OwnedFd, count: usize) -> io::Result<usize> {
    splice(&pipe.read, to, count)
}

fn splice(from: &OwnedFd, to: &OwnedFd, most: usize) -> io::Result<usize> {
    let (from, to, none) = (from.as_raw_fd(), to.as_raw_fd(), ptr::null_mut());
    // SAFETY: takes no pointer but two that are null: neither descriptor has an offset.
    check(unsafe { libc::splice(from, none, to, none, most, FLAGS) })
}

pub(super) fn read_pipe(pipe: &Pipe, buffer: &mut [u8]) -> io::Result<usize> {
    let (fd, bytes, len) = (pipe.read.as_raw_fd(), buffer.as_mut_ptr(), buffer.len());
    // SAFETY: `buffer` may be written for its whole length.
    check(unsafe { libc::read(fd, bytes.cast(), len) })
}
