//! Edge-triggered under TLS: rustls' unbuffered connection, and buffers that all connections share.
//!
//! Never: has a limit for a handshake; takes early data.

use crate::rest::{self, Rest, Sent};
use crate::sys::{self, Epoll, Moved};
use crate::{LISTENER, STOP};
use libc::{EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP};
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Four records, as this engine reads at once under TLS.
const READ_BYTES: usize = 64 * 1024;

/// What a record adds to its payload at most.
const RECORD_EXTRA: usize = 32;

/// Milliseconds from one sweep to the next.
const SWEEP: i32 = 1000;

const INTEREST: i32 = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

/// After these a short read says nothing: the end comes behind the bytes.
const ENDS: u32 = (EPOLLRDHUP | EPOLLHUP | EPOLLERR).cast_unsigned();

const READS: u32 = EPOLLIN.cast_unsigned() | ENDS;

struct Conn {
    fd: OwnedFd,
    tls: Box<UnbufferedServerConnection>,
    /// Input that rustls has yet to be shown again, with more behind it.
    pending: Vec<u8>,
    ready: u32,
    heard: u64,
    rest: Option<Box<Rest>>,
}

/// What all connections share.
struct Buffers {
    input: Vec<u8>,
    plain: Vec<u8>,
    wire: Vec<u8>,
}

/// How a turn has ended.
#[derive(PartialEq, Eq)]
enum Turn {
    GoesOn,
    Over,
}

/// Serves until there is something to read, or the end, at `stop`: a pipe or a socket; cuts off who
/// is silent for `read_timeout`.
///
/// # Errors
/// When there is no epoll, waiting fails, or the configuration cannot work.
pub fn serve(
    listener: &TcpListener,
    stop: &impl AsFd,
    read_timeout: Duration,
    config: &Arc<ServerConfig>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let patience = u64::try_from(read_timeout.as_millis()).unwrap_or(u64::MAX);
    let epoll = Epoll::new()?;
    epoll.add(listener.as_fd(), EPOLLIN, LISTENER)?;
    epoll.add(stop.as_fd(), EPOLLIN, STOP)?;
    let mut events = sys::no_events();
    let mut buffers = Buffers { input: vec![0; READ_BYTES], plain: Vec::new(), wire: Vec::new() };
    let mut conns: Vec<Option<Conn>> = Vec::new();
    let mut swept = sys::now();
    loop {
        let count = epoll.wait(&mut events, SWEEP)?;
        let now = sys::now();
        for event in &events[..count] {
            match event.u64 {
                LISTENER => accept(listener, &epoll, &mut conns, now, config)?,
                STOP => return Ok(()),
                data => {
                    let Some(place) = usize::try_from(data).ok().and_then(|at| conns.get_mut(at))
                    else {
                        continue;
                    };
                    let Some(conn) = place else { continue };
                    if turn(conn, event.events, now, &mut buffers) == Turn::Over {
                        *place = None;
                    }
                }
            }
        }
        if now - swept >= u64::from(SWEEP.cast_unsigned()) {
            swept = now;
            let since = now.saturating_sub(patience);
            for place in &mut conns {
                if place.as_ref().is_some_and(|conn| conn.heard < since) {
                    *place = None;
                }
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    epoll: &Epoll,
    conns: &mut Vec<Option<Conn>>,
    now: u64,
    config: &Arc<ServerConfig>,
) -> io::Result<()> {
    while let Some(fd) = sys::accept(listener.as_fd()) {
        let at = usize::try_from(fd.as_raw_fd()).expect("descriptors are not negative");
        let tls = UnbufferedServerConnection::new(Arc::clone(config));
        let tls = Box::new(tls.map_err(io::Error::other)?);
        if epoll.add(fd.as_fd(), INTEREST, at as u64).is_ok() {
            if at >= conns.len() {
                conns.resize_with(at + 1, || None);
            }
            let conn = Conn { fd, tls, pending: Vec::new(), ready: 0, heard: now, rest: None };
            conns[at] = Some(conn);
        }
    }
    Ok(())
}

fn turn(conn: &mut Conn, events: u32, now: u64, buffers: &mut Buffers) -> Turn {
    conn.ready |= events & READS;
    if let Some(rest) = conn.rest.take() {
        match rest.flush(conn.fd.as_fd()) {
            Sent::All => {}
            Sent::Some(rest) => {
                conn.rest = Some(rest);
                return Turn::GoesOn;
            }
            Sent::Broken => return Turn::Over,
        }
    }
    while conn.ready != 0 {
        let count = match sys::recv(conn.fd.as_fd(), &mut buffers.input) {
            Moved::Bytes(0) | Moved::Broken => return Turn::Over,
            Moved::Bytes(count) => count,
            Moved::Blocked => {
                conn.ready = 0;
                return Turn::GoesOn;
            }
        };
        conn.heard = now;
        if count < buffers.input.len() && conn.ready & ENDS == 0 {
            conn.ready = 0;
        }
        let Ok(ended) = echo(conn, count, buffers) else { return Turn::Over };
        match rest::send(conn.fd.as_fd(), &buffers.wire) {
            Sent::All if ended => return Turn::Over,
            Sent::All => {}
            Sent::Some(rest) => {
                conn.rest = Some(rest);
                return Turn::GoesOn;
            }
            Sent::Broken => return Turn::Over,
        }
    }
    Turn::GoesOn
}

/// Leaves in `wire` what is to be sent; true when the peer has closed.
fn echo(conn: &mut Conn, count: usize, buffers: &mut Buffers) -> Result<bool, rustls::Error> {
    let Buffers { input, plain, wire } = buffers;
    wire.clear();
    if conn.pending.is_empty() {
        let input = &mut input[..count];
        let (taken, ended) = walk(&mut conn.tls, input, plain, wire)?;
        conn.pending.extend_from_slice(&input[taken..]);
        return Ok(ended);
    }
    conn.pending.extend_from_slice(&input[..count]);
    let (taken, ended) = walk(&mut conn.tls, &mut conn.pending, plain, wire)?;
    if taken == conn.pending.len() {
        conn.pending = Vec::new();
    } else {
        conn.pending.drain(..taken);
    }
    Ok(ended)
}

/// Gives how much of the input is done with, and whether the peer has closed.
fn walk(
    tls: &mut UnbufferedServerConnection,
    input: &mut [u8],
    plain: &mut Vec<u8>,
    wire: &mut Vec<u8>,
) -> Result<(usize, bool), rustls::Error> {
    let (mut taken, mut ended) = (0, false);
    loop {
        let UnbufferedStatus { mut discard, state } = tls.process_tls_records(&mut input[taken..]);
        let mut settled = false;
        match state? {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
            }
            ConnectionState::EncodeTlsData(mut record) => {
                let at = wire.len();
                if let Err(EncodeError::InsufficientSize(short)) = record.encode(&mut []) {
                    wire.resize(at + short.required_size, 0);
                }
                let encoded = record.encode(&mut wire[at..]);
                encoded.map_err(|_| rustls::Error::EncryptError)?;
            }
            ConnectionState::TransmitTlsData(sent) => sent.done(),
            ConnectionState::PeerClosed => ended = true,
            ConnectionState::WriteTraffic(mut traffic) => {
                let (at, records) = (wire.len(), plain.len() / 16_384 + 2);
                wire.resize(at + plain.len() + records * RECORD_EXTRA, 0);
                let sealed = traffic.encrypt(plain, &mut wire[at..]);
                let mut end = at + sealed.map_err(|_| rustls::Error::EncryptError)?;
                if ended {
                    let notice = traffic.queue_close_notify(&mut wire[end..]);
                    end += notice.map_err(|_| rustls::Error::EncryptError)?;
                }
                wire.truncate(end);
                plain.clear();
                settled = true;
            }
            _ => settled = true,
        }
        taken += discard;
        if settled {
            return Ok((taken, ended));
        }
    }
}
