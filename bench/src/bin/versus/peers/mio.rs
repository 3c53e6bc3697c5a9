//! mio: one thread, edge-triggered, no read after a short read; and what mio has not, the deadline
//! of each connection, in a tree that every read moves it in.
//!
//! Never: looks at the clock more than once a turn.

use crate::failure::Failure;
use crate::serve::{Patience, listen, ready};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use shardpoll_bench::clock::Clock;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// As much as every peer reads at once.
const READ_BYTES: usize = 16 * 1024;

/// As many as this engine takes in one turn, and more than enough.
const EVENTS: usize = 1024;

const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);

struct Conn {
    stream: TcpStream,
    deadline: Duration,
    /// There may be something to read.
    ready: bool,
    /// The client has finished: its end is behind what is there to read.
    ended: bool,
    /// What the kernel had no room for, and how much of it is sent.
    rest: Vec<u8>,
    sent: usize,
}

struct Server {
    conns: Vec<Option<Conn>>,
    /// Places that are free.
    free: Vec<usize>,
    deadlines: BTreeSet<(Duration, usize)>,
    patience: Duration,
    buffer: Box<[u8]>,
}

pub(crate) fn serve(patience: Patience) -> Result<(), Failure> {
    let (listener, addr) = listen()?;
    ready(addr);
    let serve = || {
        listener.set_nonblocking(true)?;
        run(TcpListener::from_std(listener), patience.read)
    };
    serve().map_err(Failure::io("mio's loop"))
}

fn run(mut listener: TcpListener, patience: Duration) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(EVENTS);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    poll.registry().register(&mut SourceFd(&io::stdin().as_raw_fd()), STOP, Interest::READABLE)?;
    let clock = Clock::start();
    let mut server = Server {
        conns: Vec::new(),
        free: Vec::new(),
        deadlines: BTreeSet::new(),
        patience,
        buffer: vec![0; READ_BYTES].into(),
    };
    loop {
        let next = server.deadlines.first().map(|(at, _)| at.saturating_sub(clock.elapsed()));
        match poll.poll(&mut events, next) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let now = clock.elapsed();
        for event in &events {
            match event.token() {
                LISTENER => server.accept(&listener, poll.registry(), now)?,
                STOP => return Ok(()),
                Token(at) => server.turn(at, event, now),
            }
        }
        while let Some(&(deadline, at)) = server.deadlines.first() {
            if deadline > now {
                break;
            }
            server.close(at);
        }
    }
}

impl Server {
    fn accept(&mut self, listener: &TcpListener, to: &Registry, now: Duration) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let at = self.free.pop().unwrap_or(self.conns.len());
            to.register(&mut stream, Token(at), Interest::READABLE | Interest::WRITABLE)?;
            let deadline = now + self.patience;
            self.deadlines.insert((deadline, at));
            let (ready, ended) = (false, false);
            let conn = Some(Conn { stream, deadline, ready, ended, rest: Vec::new(), sent: 0 });
            match self.conns.get_mut(at) {
                Some(place) => *place = conn,
                None => self.conns.push(conn),
            }
        }
    }

    fn close(&mut self, at: usize) {
        if let Some(conn) = self.conns[at].take() {
            self.deadlines.remove(&(conn.deadline, at));
            self.free.push(at);
        }
    }

    fn turn(&mut self, at: usize, event: &Event, now: Duration) {
        // One that was closed in this turn may have had more events in it.
        let Some(conn) = &mut self.conns[at] else { return };
        conn.ready |= event.is_readable();
        conn.ended |= event.is_read_closed() || event.is_error();
        let open = conn.flush().and_then(|()| {
            while conn.ready && conn.rest.is_empty() {
                let count = match conn.stream.read(&mut self.buffer) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(count) => count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        conn.ready = false;
                        break;
                    }
                    Err(error) => return Err(error),
                };
                self.deadlines.remove(&(conn.deadline, at));
                conn.deadline = now + self.patience;
                self.deadlines.insert((conn.deadline, at));
                conn.ready = count == self.buffer.len() || conn.ended;
                conn.send(&self.buffer[..count])?;
            }
            Ok(())
        });
        if open.is_err() {
            self.close(at);
        }
    }
}

impl Conn {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = match self.stream.write(bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.rest.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        match self.stream.write(&self.rest[self.sent..]) {
            Ok(count) => self.sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if self.sent == self.rest.len() {
            self.rest.clear();
            self.sent = 0;
        }
        Ok(())
    }
}
