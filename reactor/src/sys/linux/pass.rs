//! Descriptors on their way to another process: with a message, and across an exec.
//!
//! Never: knows what they are for.

use super::{check, check_int, own};
use libc::{c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first descriptor that is passed across an exec (sd_listen_fds(3)).
const FIRST_PASSED: RawFd = 3;

/// As many descriptors as go with one message (`SCM_MAX_FD` in unix(7)).
pub const MAX_PASSED: usize = 253;

/// Room for the control message of that many, aligned as its header.
const CONTROL_WORDS: usize = (MAX_PASSED * 4).div_ceil(8) + 2;

/// A message of these bytes, with room for descriptors.
fn message(bytes: &mut libc::iovec, control: &mut [u64]) -> libc::msghdr {
    libc::msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: bytes,
        msg_iovlen: 1,
        msg_control: control.as_mut_ptr().cast(),
        msg_controllen: size_of_val(control) as _,
        msg_flags: 0,
    }
}

/// Sends bytes, at least one, and with them descriptors, at most [`MAX_PASSED`]; gives how many of
/// the bytes were taken, which has the descriptors with it.
///
/// # Errors
/// `InvalidInput` for too many descriptors, or no byte to send them with; else the kernel's.
pub fn send_descriptors(
    to: &UnixStream,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    if descriptors.len() > MAX_PASSED || bytes.is_empty() {
        let text = format!("{} descriptors with {} bytes", descriptors.len(), bytes.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let numbers: Vec<c_int> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let mut control = [0_u64; CONTROL_WORDS];
    let mut iov = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut message = message(&mut iov, &mut control);
    let len = u32::try_from(size_of_val(&*numbers)).expect("at most MAX_PASSED of 4 bytes");
    // SAFETY: computes a length.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(len) } as _;
    if numbers.is_empty() {
        message.msg_controllen = 0;
    } else {
        // SAFETY: the control buffer is as long as `msg_controllen` says, and lives.
        let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        // SAFETY: computes a length.
        let cmsg_len = unsafe { libc::CMSG_LEN(len) } as _;
        let head =
            libc::cmsghdr { cmsg_len, cmsg_level: libc::SOL_SOCKET, cmsg_type: libc::SCM_RIGHTS };
        // SAFETY: `header` is the start of the control buffer, which is aligned to 8 bytes.
        unsafe { header.write(head) };
        // SAFETY: the control buffer has room for a header and what follows it.
        let data = unsafe { libc::CMSG_DATA(header) };
        // SAFETY: the control buffer has room for MAX_PASSED numbers behind the header.
        unsafe { ptr::copy_nonoverlapping(numbers.as_ptr().cast(), data, len as usize) };
    }
    // SAFETY: `message` points to buffers that live through the call.
    check(unsafe { libc::sendmsg(to.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) })
}

/// Receives bytes, and adds the descriptors that come with them, close-on-exec; gives how many
/// bytes there were, 0 at the end.
///
/// # Errors
/// `InvalidData` when descriptors were lost on the way, as when this process may open no more; else
/// the kernel's.
pub fn receive_descriptors(
    from: &UnixStream,
    bytes: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut control = [0_u64; CONTROL_WORDS];
    let mut iov = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut message = message(&mut iov, &mut control);
    let (fd, flags) = (from.as_raw_fd(), libc::MSG_CMSG_CLOEXEC);
    // SAFETY: `message` points to buffers that live through the call, and says how long they are.
    let got = check(unsafe { libc::recvmsg(fd, &raw mut message, flags) })?;
    // SAFETY: the kernel has written the control buffer and its length.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: a header that CMSG_FIRSTHDR or CMSG_NXTHDR gave lies in the buffer.
        let head = unsafe { header.read() };
        if (head.cmsg_level, head.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: as above; what follows the header lies in the buffer too.
            let data: *const c_void = unsafe { libc::CMSG_DATA(header) }.cast();
            // SAFETY: computes a length.
            let head_len = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = (head.cmsg_len as usize).saturating_sub(head_len) / size_of::<c_int>();
            for index in 0..count {
                let at = data.cast::<c_int>().wrapping_add(index);
                // SAFETY: the kernel has written `count` numbers there.
                let fd = unsafe { at.read_unaligned() };
                descriptors.push(own(fd)?);
            }
        }
        // SAFETY: the buffer is as the kernel has written it.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    if message.msg_flags & libc::MSG_CTRUNC != 0 {
        let text = "descriptors were lost on the way";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(got)
}

/// Whether the process at the other end ran as the same user when it made the connection
/// (`SO_PEERCRED` in unix(7)); gives that user's number if not.
///
/// # Errors
/// The kernel's.
pub fn same_user(stream: &UnixStream) -> io::Result<Result<(), u32>> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = libc::socklen_t::try_from(size_of_val(&peer)).expect("12 bytes");
    let (fd, room) = (stream.as_raw_fd(), (&raw mut peer).cast());
    let name = libc::SO_PEERCRED;
    // SAFETY: `room` has as many bytes as `len` says; both live through the call.
    check_int(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, name, room, &raw mut len) })?;
    // SAFETY: takes nothing, cannot fail.
    let own = unsafe { libc::geteuid() };
    Ok(if peer.uid == own { Ok(()) } else { Err(peer.uid) })
}

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The descriptors from 3 on that whoever has started this process has passed to it
/// (sd_listen_fds(3)), close-on-exec from now on; none when this is called once more.
///
/// That they are nobody else's is that protocol's promise, which the caller has seen announced.
///
/// # Errors
/// The kernel's, when one of them is not open.
pub fn take_passed_descriptors(count: usize) -> io::Result<Vec<OwnedFd>> {
    if TAKEN.swap(true, Ordering::AcqRel) {
        return Ok(Vec::new());
    }
    let count = RawFd::try_from(count).unwrap_or(RawFd::MAX - FIRST_PASSED);
    let numbers = FIRST_PASSED..FIRST_PASSED + count;
    for fd in numbers.clone() {
        // SAFETY: takes no pointer.
        check_int(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    }
    // SAFETY: each is open, was passed to this process to be its own, and is taken once.
    Ok(numbers.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect())
}

/// Passes descriptors to the process that a command will start: as its numbers 3, 4, and so on, in
/// this order.
///
/// # Errors
/// The kernel's, when a descriptor cannot be duplicated.
pub fn pass_descriptors(command: &mut Command, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let count = RawFd::try_from(descriptors.len()).unwrap_or(RawFd::MAX - FIRST_PASSED);
    let beyond = FIRST_PASSED + count;
    let mut copies = Vec::with_capacity(descriptors.len());
    for fd in descriptors {
        // Beyond the numbers they are to have, so that none is overwritten before its turn.
        // SAFETY: takes no pointer.
        let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, beyond) };
        copies.push(own(copy)?);
    }
    let place = move || {
        for (number, copy) in (FIRST_PASSED..).zip(&copies) {
            // SAFETY: takes no pointer. In the child nobody uses what had this number.
            check_int(unsafe { libc::dup2(copy.as_raw_fd(), number) })?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec `place` calls dup2 only, which is async-signal-safe.
    unsafe { command.pre_exec(place) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    #[test]
    fn descriptors_come_with_the_bytes_they_were_sent_with() {
        let (one, other) = UnixStream::pair().expect("a pair");
        assert_eq!(same_user(&one).expect("a unix socket"), Ok(()));
        let (mut ours, theirs) = UnixStream::pair().expect("a pair");
        let all = vec![theirs.as_fd(); MAX_PASSED];
        for passed in [&all[..], &all[..1], &[]] {
            assert_eq!(send_descriptors(&one, b"abc", passed).expect("room"), 3);
            let (mut bytes, mut got) = ([0; 8], Vec::new());
            let count = receive_descriptors(&other, &mut bytes, &mut got).expect("sent");
            assert_eq!((&bytes[..count], got.len()), (&b"abc"[..], passed.len()));
            if let Some(fd) = got.pop() {
                UnixStream::from(fd).write_all(b"x").expect("it is the other end of ours");
                ours.read_exact(&mut bytes[..1]).expect("written");
            }
        }
        let too_many = vec![theirs.as_fd(); MAX_PASSED + 1];
        assert!(send_descriptors(&one, b"abc", &too_many).is_err());
        assert!(send_descriptors(&one, b"", &[]).is_err());
        drop(one);
        let end = receive_descriptors(&other, &mut [0; 8], &mut Vec::new());
        assert_eq!(end.expect("the end"), 0);
    }

    #[test]
    fn a_child_finds_what_is_passed_to_it_from_3_on() {
        let path = std::env::temp_dir().join(format!("shardpoll-pass-{}", std::process::id()));
        let mut file = File::options().create_new(true).read(true).write(true).open(&path);
        let file = file.as_mut().expect("a new file");
        std::fs::remove_file(&path).expect("made a moment ago");
        let null = File::open("/dev/null").expect("there");
        let mut command = Command::new("sh");
        command.args(["-c", "echo third >&4"]);
        pass_descriptors(&mut command, &[null.as_fd(), file.as_fd()]).expect("two more");
        assert!(command.status().expect("a shell").success());
        file.rewind().expect("a file");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("text");
        assert_eq!(text, "third\n");
    }
}
