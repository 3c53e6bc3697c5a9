//! What a service tells its manager (sd_notify(3)): that it is ready, that it ends, how it is.
//!
//! Each is a datagram to the socket that `NOTIFY_SOCKET` names. Without that variable nobody wants
//! to know, and nothing is done: `Ok(false)`.
//!
//! ```
//! use shardpoll::notify;
//!
//! notify::ready()?;
//! notify::status("42 connections")?;
//! notify::stopping()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Never: waits for an answer; unsets the variable, so a child that shall not speak for its parent
//! must be started without it.

use shardpoll_reactor::monotonic_now;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service listens; or, after [`reloading`], does so again.
///
/// # Errors
/// As [`send`].
pub fn ready() -> io::Result<bool> {
    send("READY=1")
}

/// The service ends: call it before [`Engine::quit`](crate::Engine::quit).
///
/// # Errors
/// As [`send`].
pub fn stopping() -> io::Result<bool> {
    send("STOPPING=1")
}

/// The service reads its configuration anew, and will say [`ready`] again (`Type=notify-reload`).
///
/// # Errors
/// As [`send`].
pub fn reloading() -> io::Result<bool> {
    let micros = monotonic_now().as_nanos() / 1000;
    send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"))
}

/// How the service is, in one line for people; line breaks become blanks.
///
/// # Errors
/// As [`send`].
pub fn status(text: &str) -> io::Result<bool> {
    send(&format!("STATUS={}", text.replace(['\n', '\r'], " ")))
}

/// The service is alive; to be said at least once in [`watchdog_interval`].
///
/// # Errors
/// As [`send`].
pub fn watchdog() -> io::Result<bool> {
    send("WATCHDOG=1")
}

/// This process is the service's main one from now on: said by a successor
/// (`NotifyAccess=all` in systemd.service(5)).
///
/// # Errors
/// As [`send`].
pub fn main_pid(pid: u32) -> io::Result<bool> {
    send(&format!("MAINPID={pid}"))
}

/// How often at least the manager wants to hear [`watchdog`] from this process, if it does
/// (`WatchdogSec` in systemd.service(5)); half of it is a good interval (sd_watchdog_enabled(3)).
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let micros = number("WATCHDOG_USEC").filter(|micros| *micros > 0 && for_us)?;
    Some(Duration::from_micros(micros))
}

/// Tells the manager something else, as lines `NAME=value`; false when nobody wants to know.
///
/// # Errors
/// The kernel's, when the manager's socket cannot be reached; `InvalidInput` for a socket that is
/// none of this machine's.
pub fn send(text: &str) -> io::Result<bool> {
    let Some(place) = env::var_os("NOTIFY_SOCKET").filter(|place| !place.is_empty()) else {
        return Ok(false);
    };
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &manager(&place)?)?;
    Ok(true)
}

/// A path, or with `@` a name in the abstract namespace (unix(7)).
fn manager(place: &OsStr) -> io::Result<SocketAddr> {
    match place.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(place),
        _ => {
            let text = format!("NOTIFY_SOCKET={} is no unix socket", place.to_string_lossy());
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_has_a_path_or_an_abstract_name() {
        let path = manager(OsStr::new("/run/notify")).expect("a path");
        assert_eq!(path.as_pathname(), Some(std::path::Path::new("/run/notify")));
        let name = manager(OsStr::new("@abc")).expect("a name");
        assert_eq!(name.as_abstract_name(), Some(&b"abc"[..]));
        let error = manager(OsStr::new("vsock:2:1")).expect_err("another machine's");
        assert!(error.to_string().contains("vsock:2:1"), "{error}");
    }
}
