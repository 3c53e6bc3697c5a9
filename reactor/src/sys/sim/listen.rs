//! Listening descriptors of the simulated kernel: alone, or several at one address.
//!
//! Never: takes a connection from the queue of one listener for another.

use super::calls::{errno, queued};
use super::files::{Listener, What};
use super::flight::{Cargo, Target};
use super::net::{EndId, Net, RETRY_NANOS, Stage};
use super::{Sim, SimFd, SimPeer};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

impl Sim {
    /// Opens a listening descriptor with a queue of this length.
    ///
    /// # Errors
    /// EMFILE at the limit of descriptors, EADDRINUSE when somebody listens there.
    pub fn listen(&self, addr: SocketAddr, backlog: usize) -> io::Result<SimFd> {
        self.listen_as(addr, backlog, false)
    }

    /// As [`listen`](Self::listen), at an address that others share who ask for it as well, as with
    /// `SO_REUSEPORT`: the seed decides which of them has a connection. One that is closed takes
    /// with it those who wait at it: they are reset.
    ///
    /// # Errors
    /// As [`listen`](Self::listen); EADDRINUSE when somebody listens there who does not share.
    pub fn listen_shared(&self, addr: SocketAddr, backlog: usize) -> io::Result<SimFd> {
        self.listen_as(addr, backlog, true)
    }

    fn listen_as(&self, addr: SocketAddr, backlog: usize, shared: bool) -> io::Result<SimFd> {
        let net = &mut *self.net.borrow_mut();
        net.files.check_limit()?;
        if net.files.listeners_at(addr).iter().any(|(_, other)| !(shared && other.shared)) {
            return errno(libc::EADDRINUSE);
        }
        let listener = Listener { addr, backlog, queue: VecDeque::new(), shared };
        let number = net.files.insert(What::Listener(listener));
        Ok(self.fd(number))
    }

    /// Takes one connection that waits at a listener that no reactor has: the far side of what a
    /// handler connects to.
    #[must_use]
    pub fn accept_peer(&self, listener: &SimFd) -> Option<SimPeer> {
        let end = self.net.borrow_mut().files.get_mut(listener.number).and_then(queued)?;
        Some(SimPeer::new(&self.net, end))
    }
}

impl Net {
    /// A SYN arrives where its sender wants to go.
    pub(super) fn meet(&mut self, client: EndId) {
        let Some(end) = self.end(client) else { return };
        let (client_addr, to, client_window) = (end.local, end.remote, end.window);
        let listeners = self.files.listeners_at(to);
        // The kernel spreads by a hash over addresses, which a client cannot choose either.
        let number = match listeners[..] {
            [] => {
                let at = self.now + self.lag();
                return self.launch(at, Target::End(client, Cargo::Refusal));
            }
            [(only, _)] => only,
            _ => listeners[self.dice.index(listeners.len())].0,
        };
        let full = |&(of, listener): &(usize, &Listener)| {
            of == number && listener.queue.len() >= listener.backlog
        };
        if listeners.iter().any(full) {
            return self.launch(self.now + RETRY_NANOS, Target::End(client, Cargo::Syn));
        }
        let server_window = self.window;
        let server = self.add_end(client, to, client_addr, server_window);
        for (id, other, window) in
            [(server, client, client_window), (client, server, server_window)]
        {
            if let Some(end) = self.end_mut(id) {
                (end.other, end.credit, end.capacity) = (other, window, window);
            }
        }
        if let Some(end) = self.end_mut(server) {
            end.stage = Stage::Open;
        }
        self.files.enqueue(number, server);
        self.fly(server, Cargo::SynAck { from: server });
    }
}
