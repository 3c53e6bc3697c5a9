//! Level-triggered: a connection is watched for input, or, while something is pending, for room.
//!
//! Never: reads more than once for an event; closes a silent client.

use crate::conns::{Conn, Conns};
use crate::rest::{self, Sent};
use crate::sys::{self, Epoll, Moved};
use crate::{LISTENER, READ_BYTES, STOP};
use libc::{EPOLLIN, EPOLLOUT};
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;

/// Serves until there is something to read, or the end, at `stop`: a pipe or a socket.
///
/// # Errors
/// When there is no epoll, or waiting fails.
pub fn serve(listener: &TcpListener, stop: &impl AsFd) -> io::Result<()> {
    serve_late(listener, stop, || {})
}

/// As [`serve`], but `hold` is called after each wait, before anything is done about what it has
/// brought: as long as it takes, nobody is answered.
///
/// # Errors
/// As [`serve`].
pub fn serve_late(
    listener: &TcpListener,
    stop: &impl AsFd,
    mut hold: impl FnMut(),
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new()?;
    epoll.add(listener.as_fd(), EPOLLIN, LISTENER)?;
    epoll.add(stop.as_fd(), EPOLLIN, STOP)?;
    let mut events = sys::no_events();
    let mut buffer = [0; READ_BYTES];
    let mut conns = Conns::default();
    loop {
        let count = epoll.wait(&mut events, -1)?;
        hold();
        for event in &events[..count] {
            match event.u64 {
                LISTENER => accept(listener, &epoll, &mut conns),
                STOP => return Ok(()),
                data => {
                    let Some(conn) = conns.of(data) else { continue };
                    if !turn(conn, data, &epoll, &mut buffer) {
                        conns.close(data);
                    }
                }
            }
        }
    }
}

fn accept(listener: &TcpListener, epoll: &Epoll, conns: &mut Conns) {
    while let Some(fd) = sys::accept(listener.as_fd()) {
        let (conn, data) = conns.insert(fd, 0);
        if epoll.add(conn.fd.as_fd(), EPOLLIN, data).is_err() {
            conns.close(data);
        }
    }
}

/// False when it is to be closed.
#[inline]
fn turn(conn: &mut Conn, data: u64, epoll: &Epoll, buffer: &mut [u8]) -> bool {
    if conn.rest.is_some() {
        return flush(conn, data, epoll);
    }
    match sys::recv(conn.fd.as_fd(), buffer) {
        Moved::Bytes(0) | Moved::Broken => false,
        Moved::Blocked => true,
        Moved::Bytes(count) => match rest::send(conn.fd.as_fd(), &buffer[..count]) {
            Sent::All => true,
            Sent::Some(rest) => {
                conn.rest = Some(rest);
                epoll.change(conn.fd.as_fd(), EPOLLOUT, data).is_ok()
            }
            Sent::Broken => false,
        },
    }
}

#[cold]
fn flush(conn: &mut Conn, data: u64, epoll: &Epoll) -> bool {
    let Some(rest) = conn.rest.take() else { return true };
    match rest.flush(conn.fd.as_fd()) {
        Sent::All => epoll.change(conn.fd.as_fd(), EPOLLIN, data).is_ok(),
        Sent::Some(rest) => {
            conn.rest = Some(rest);
            true
        }
        Sent::Broken => false,
    }
}
