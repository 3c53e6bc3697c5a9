//! Edge-triggered: a connection is registered once, for input and for room, and is not read again
//! after a read that left room in the buffer.
//!
//! Its read timeout is the cheapest there is: a read stores the time, which is looked at once a
//! turn, and once a second a sweep closes who has been silent for too long; so up to a second late.
//!
//! Never: makes a system call for interest, or for time.

use crate::conns::{Conn, Conns};
use crate::rest::{self, Sent};
use crate::sys::{self, Epoll, Moved};
use crate::{LISTENER, STOP};
use libc::{EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP};
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::Duration;

/// Milliseconds from one sweep to the next.
const SWEEP: i32 = 1000;

const INTEREST: i32 = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

/// After these a short read says nothing: the end comes behind the bytes.
const ENDS: u32 = (EPOLLRDHUP | EPOLLHUP | EPOLLERR).cast_unsigned();

/// What there is to read for.
const READS: u32 = EPOLLIN.cast_unsigned() | ENDS;

/// Serves until there is something to read, or the end, at `stop`: a pipe or a socket; cuts off who
/// is silent for `read_timeout`. `READ` is how many bytes are read at once.
///
/// # Errors
/// When there is no epoll, or waiting fails.
pub fn serve<const READ: usize>(
    listener: &TcpListener,
    stop: &impl AsFd,
    read_timeout: Duration,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let patience = u64::try_from(read_timeout.as_millis()).unwrap_or(u64::MAX);
    let epoll = Epoll::new()?;
    epoll.add(listener.as_fd(), EPOLLIN, LISTENER)?;
    epoll.add(stop.as_fd(), EPOLLIN, STOP)?;
    let mut events = sys::no_events();
    let mut buffer = [0; READ];
    let mut conns = Conns::default();
    let mut swept = sys::now();
    loop {
        let count = epoll.wait(&mut events, SWEEP)?;
        let now = sys::now();
        for event in &events[..count] {
            match event.u64 {
                LISTENER => accept(listener, &epoll, &mut conns, now),
                STOP => return Ok(()),
                data => {
                    let Some(conn) = conns.of(data) else { continue };
                    if !turn(conn, event.events, now, &mut buffer) {
                        conns.close(data);
                    }
                }
            }
        }
        if now - swept >= u64::from(SWEEP.cast_unsigned()) {
            swept = now;
            conns.sweep(now.saturating_sub(patience));
        }
    }
}

fn accept(listener: &TcpListener, epoll: &Epoll, conns: &mut Conns, now: u64) {
    while let Some(fd) = sys::accept(listener.as_fd()) {
        let (conn, data) = conns.insert(fd, now);
        if epoll.add(conn.fd.as_fd(), INTEREST, data).is_err() {
            conns.close(data);
        }
    }
}

/// False when it is to be closed.
#[inline]
fn turn(conn: &mut Conn, events: u32, now: u64, buffer: &mut [u8]) -> bool {
    conn.ready |= events & READS;
    if conn.rest.is_some() {
        match flush(conn) {
            Flushed::All => {}
            Flushed::Some => return true,
            Flushed::Broken => return false,
        }
    }
    while conn.ready != 0 {
        let count = match sys::recv(conn.fd.as_fd(), buffer) {
            Moved::Bytes(0) | Moved::Broken => return false,
            Moved::Bytes(count) => count,
            Moved::Blocked => {
                conn.ready = 0;
                return true;
            }
        };
        conn.heard = now;
        if count < buffer.len() && conn.ready & ENDS == 0 {
            conn.ready = 0;
        }
        match rest::send(conn.fd.as_fd(), &buffer[..count]) {
            Sent::All => {}
            Sent::Some(rest) => {
                conn.rest = Some(rest);
                return true;
            }
            Sent::Broken => return false,
        }
    }
    true
}

/// How flushing has ended.
enum Flushed {
    All,
    Some,
    Broken,
}

#[cold]
fn flush(conn: &mut Conn) -> Flushed {
    let Some(rest) = conn.rest.take() else { return Flushed::All };
    match rest.flush(conn.fd.as_fd()) {
        Sent::All => Flushed::All,
        Sent::Some(rest) => {
            conn.rest = Some(rest);
            Flushed::Some
        }
        Sent::Broken => Flushed::Broken,
    }
}
