//! The far side of a connection, in the hands of a test.
//!
//! Never: makes time pass; a turn of the reactor does.

use super::net::{EndId, HOST, Net, Stage};
use super::{Fault, Sim};
use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

/// A peer of the loop; dropping it closes its side: a FIN, or a reset when input is unread.
pub struct SimPeer {
    net: Rc<RefCell<Net>>,
    end: EndId,
    addr: SocketAddr,
}

impl Sim {
    /// As [`peer`](Self::peer), from this address: nobody else shall use it at the same time.
    #[must_use]
    pub fn peer_from(&self, to: SocketAddr, from: SocketAddr) -> SimPeer {
        let end = self.net.borrow_mut().open(to, HOST, None, None);
        if let Some(end) = self.net.borrow_mut().end_mut(end) {
            end.local = from;
        }
        SimPeer::new(&self.net, end)
    }
}

impl SimPeer {
    pub(super) fn new(net: &Rc<RefCell<Net>>, end: EndId) -> Self {
        let addr = net.borrow().end(end).map(|end| end.local);
        let addr = addr.expect("an end is there as long as its peer is");
        Self { net: Rc::clone(net), end, addr }
    }

    fn look<R>(&self, f: impl FnOnce(&super::net::End) -> R) -> R {
        let net = self.net.borrow();
        f(net.end(self.end).expect("an end is there as long as its peer is"))
    }

    /// The peer's own address, as an acceptor sees it.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether the connection stands, or stood until it was reset.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.look(|end| end.stage != Stage::Connecting && end.other != 0)
    }

    /// Whether it was refused or reset.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        self.look(|end| end.stage == Stage::Dead)
    }

    /// Whether everything was read and the other side has ended in order.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.look(|end| end.inbox.is_empty() && end.fin_in)
    }

    /// How many bytes were accepted by [`send`](Self::send) so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.look(|end| end.sent)
    }

    /// Sends what the other side has room for; gives how much that was.
    pub fn send(&self, bytes: &[u8]) -> usize {
        let net = &mut *self.net.borrow_mut();
        let Some(end) = net.end(self.end) else { return 0 };
        if end.stage != Stage::Open || end.fin_out {
            return 0;
        }
        if !bytes.is_empty() && net.dice.strikes(Fault::HalfClose) {
            let part = net.dice.index(bytes.len());
            let taken = net.write(self.end, &bytes[..part]);
            // It is open, so it can be ended.
            return net.shutdown(self.end).map_or(taken, |()| taken);
        }
        net.write(self.end, bytes)
    }

    /// Takes at most so many bytes of what has arrived.
    #[must_use]
    pub fn recv(&self, most: usize) -> Vec<u8> {
        let net = &mut *self.net.borrow_mut();
        let there = net.end(self.end).map_or(0, |end| end.inbox.len());
        let mut bytes = vec![0; there.min(most)];
        net.read(self.end, &mut bytes);
        bytes
    }

    /// Takes all that has arrived.
    #[must_use]
    pub fn recv_all(&self) -> Vec<u8> {
        self.recv(usize::MAX)
    }

    /// Ends the peer's output by a FIN; no-op when it is not open.
    pub fn shutdown(&self) {
        // An end that is not open has no output to end.
        let _not_open = self.net.borrow_mut().shutdown(self.end);
    }

    /// Whether the peer's output was ended, by [`shutdown`](Self::shutdown) or a fault.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.look(|end| end.fin_out)
    }

    /// Resets the connection: what has arrived and was not read is lost.
    pub fn reset(&self) {
        self.net.borrow_mut().reset(self.end);
    }
}

impl Drop for SimPeer {
    fn drop(&mut self) {
        self.net.borrow_mut().close(self.end);
    }
}

impl fmt::Debug for SimPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimPeer").field("addr", &self.addr).finish_non_exhaustive()
    }
}
