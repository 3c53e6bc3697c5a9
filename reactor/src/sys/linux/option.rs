//! Options of sockets: setsockopt(2), getsockopt(2), and what they are called.
//!
//! Never: decides which are set.

use super::{check_int, own};
use crate::api::{BindOptions, SocketOption};
use libc::{c_int, socklen_t};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

const C_INT_LEN: socklen_t = 4;

const _: () = assert!(size_of::<c_int>() == C_INT_LEN as usize);

pub(super) fn stream_socket(family: c_int) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointer.
    own(unsafe { libc::socket(family, kind, 0) })
}

pub(super) fn set(fd: &OwnedFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let (value, len) = (ptr::from_ref(&value).cast(), C_INT_LEN);
    // SAFETY: `value` points to `len` bytes that live through the call.
    check_int(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value, len) }).map(drop)
}

pub(super) fn value(fd: &OwnedFd, level: c_int, name: c_int) -> io::Result<c_int> {
    let (mut value, mut len): (c_int, _) = (0, C_INT_LEN);
    let bytes = ptr::from_mut(&mut value).cast();
    // SAFETY: `bytes` has room for the bytes that `len` says; both live through the call.
    check_int(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, bytes, &raw mut len) })?;
    Ok(value)
}

/// The error that waits at a socket (SO_ERROR in socket(7)), taken from it.
pub(super) fn pending_error(fd: &OwnedFd) -> io::Result<()> {
    match value(fd, libc::SOL_SOCKET, libc::SO_ERROR)? {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Sets an option by name, so that the error of one that is refused says which, and of what value.
pub(super) fn set_named(
    fd: &OwnedFd,
    (level, name): (c_int, c_int),
    text: &str,
    value: c_int,
) -> io::Result<()> {
    set(fd, level, name, value)
        .map_err(|error| io::Error::new(error.kind(), format!("{text} {value}: {error}")))
}

/// Whole seconds, rounded up; what is too long for the kernel is refused by it.
fn seconds(time: Duration) -> c_int {
    let whole = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    c_int::try_from(whole).unwrap_or(c_int::MAX)
}

pub(super) fn set_option(fd: &OwnedFd, option: SocketOption) -> io::Result<()> {
    let keep_alive = (libc::SOL_SOCKET, libc::SO_KEEPALIVE);
    match option {
        SocketOption::NoDelay(on) => {
            let name = (libc::IPPROTO_TCP, libc::TCP_NODELAY);
            set_named(fd, name, "TCP_NODELAY", c_int::from(on))
        }
        SocketOption::KeepAlive(None) => set_named(fd, keep_alive, "SO_KEEPALIVE", 0),
        SocketOption::KeepAlive(Some(idle)) => {
            let name = (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE);
            set_named(fd, name, "TCP_KEEPIDLE", seconds(idle))?;
            set_named(fd, keep_alive, "SO_KEEPALIVE", 1)
        }
        SocketOption::ResetOnClose(on) => set_linger(fd, on),
    }
}

/// With 0 s to linger, close(2) resets what is connected (socket(7)).
fn set_linger(fd: &OwnedFd, on: bool) -> io::Result<()> {
    const LEN: socklen_t = 8;
    const _: () = assert!(size_of::<libc::linger>() == LEN as usize);
    let value = libc::linger { l_onoff: c_int::from(on), l_linger: 0 };
    let (level, name, value) = (libc::SOL_SOCKET, libc::SO_LINGER, ptr::from_ref(&value).cast());
    // SAFETY: `value` points to `LEN` bytes that live through the call.
    check_int(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value, LEN) }).map(drop)
}

/// Sets what a TCP listener's connections inherit, and what is the listener's own.
pub(super) fn set_listener_options(fd: &OwnedFd, options: &BindOptions) -> io::Result<()> {
    set_option(fd, SocketOption::NoDelay(options.no_delay))?;
    set_option(fd, SocketOption::KeepAlive(options.keep_alive))?;
    if let Some(queue) = options.fast_open {
        let queue = c_int::try_from(queue).unwrap_or(c_int::MAX);
        set_named(fd, (libc::IPPROTO_TCP, libc::TCP_FASTOPEN), "TCP_FASTOPEN", queue)?;
    }
    if let Some(time) = options.defer_accept {
        let name = (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT);
        set_named(fd, name, "TCP_DEFER_ACCEPT", seconds(time))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use libc::{IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_KEEPIDLE, TCP_NODELAY};

    fn socket() -> OwnedFd {
        stream_socket(libc::AF_INET).expect("a socket")
    }

    fn read(fd: &OwnedFd, level: c_int, name: c_int) -> c_int {
        value(fd, level, name).expect("an option that can be read")
    }

    #[test]
    fn an_option_that_is_set_is_what_the_kernel_reads_back() {
        // S130, S156
        let fd = socket();
        for on in [true, false] {
            set_option(&fd, SocketOption::NoDelay(on)).expect("a TCP socket");
            assert_eq!(read(&fd, IPPROTO_TCP, TCP_NODELAY) != 0, on);
        }
        let idle = Some(Duration::from_millis(41_001));
        set_option(&fd, SocketOption::KeepAlive(idle)).expect("a TCP socket");
        assert_eq!(read(&fd, SOL_SOCKET, SO_KEEPALIVE), 1);
        assert_eq!(read(&fd, IPPROTO_TCP, TCP_KEEPIDLE), 42, "rounded up");
        set_option(&fd, SocketOption::KeepAlive(None)).expect("a TCP socket");
        assert_eq!(read(&fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    }

    #[test]
    fn an_option_that_is_refused_is_named_with_its_value() {
        let fd = socket();
        for idle in [Duration::ZERO, Duration::from_secs(32_768), Duration::MAX] {
            let refused = set_option(&fd, SocketOption::KeepAlive(Some(idle)));
            let error = refused.expect_err("beyond what tcp(7) takes");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            let text = format!("TCP_KEEPIDLE {}", seconds(idle));
            assert!(error.to_string().starts_with(&text), "{error}");
        }
        assert_eq!(read(&fd, SOL_SOCKET, SO_KEEPALIVE), 0, "nothing was set");
        let unix = stream_socket(libc::AF_UNIX).expect("a socket");
        let error = set_option(&unix, SocketOption::NoDelay(true)).expect_err("not TCP");
        assert!(error.to_string().starts_with("TCP_NODELAY 1"), "{error}");
    }

    #[test]
    fn a_listeners_options_are_those_asked_for() {
        // S130
        let fd = socket();
        let options = BindOptions {
            no_delay: false,
            keep_alive: Some(Duration::from_secs(77)),
            fast_open: Some(5),
            defer_accept: Some(Duration::from_secs(1)),
            ..BindOptions::default()
        };
        set_listener_options(&fd, &options).expect("a TCP socket");
        assert_eq!(read(&fd, IPPROTO_TCP, TCP_NODELAY), 0);
        assert_eq!(read(&fd, IPPROTO_TCP, TCP_KEEPIDLE), 77);
        assert_eq!(read(&fd, IPPROTO_TCP, libc::TCP_FASTOPEN), 5);
        // In retransmissions, so at least what was asked for (tcp(7)).
        assert!(read(&fd, IPPROTO_TCP, libc::TCP_DEFER_ACCEPT) >= 1);
        let fresh = socket();
        set_listener_options(&fresh, &BindOptions::default()).expect("a TCP socket");
        assert_ne!(read(&fresh, IPPROTO_TCP, TCP_NODELAY), 0);
        for (level, name) in [
            (SOL_SOCKET, SO_KEEPALIVE),
            (IPPROTO_TCP, libc::TCP_FASTOPEN),
            (IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
        ] {
            assert_eq!(read(&fresh, level, name), 0);
        }
    }
}
