//! What is known of one side of a connection, and what it may be told now.
//!
//! Never: plays; it is told and judges.

use super::history::Callback;
use super::upgrade::Upgrade;
use shardpoll_reactor::{ConnId, Credit, Tick};
use std::net::SocketAddr;

/// One side of a connection: a handler's or a peer's.
#[derive(Default, Debug)]
pub struct Record {
    pub id: Option<ConnId>,
    /// A handler's; else a simulated peer's.
    pub is_handler: bool,
    /// A peer's own address.
    pub addr: Option<SocketAddr>,
    /// The handler that serves it now, by its number.
    pub handler: Option<usize>,
    pub connects: u32,
    pub disconnects: u32,
    pub aborted: bool,
    /// A panic has ended it.
    pub panicked: bool,
    /// A panic that does not end it is about to be told.
    pub panic_due: bool,
    /// The turn in which a panic was last told, and whether the one that is due may end it.
    pub told_of_panic_in: u64,
    pub may_end_silently: bool,
    /// `connect` was refused at once: no callbacks.
    pub refused: bool,
    pub closing: bool,
    pub tls: bool,
    /// It carries the bytes of others, and has none of its own.
    pub is_relay: bool,
    pub half_closed: bool,
    pub upgrade: Upgrade,
    pub flow: Flow,
    /// Bytes given to the connection, and whether all of them must arrive at an orderly end.
    pub written: u64,
    pub graceful: bool,
    /// Bytes that came, the side that sent them (their first eight), and whether it has ended.
    pub got: u64,
    pub header: [u8; 8],
    pub clean_end: bool,
}

/// What was asked of the flow of a connection.
#[derive(Default, Debug)]
pub struct Flow {
    pub paused: bool,
    /// Until when it is paused; [`Tick::MAX`]: for ever.
    pub paused_until: Option<Tick>,
    /// Bytes a second, and when what was read is paid for.
    pub rate: Option<(u64, Tick)>,
    /// What was queued when it was locked or last looked at.
    pub locked: Option<usize>,
    /// What may still be delivered.
    pub credit: Option<Credit>,
    /// More is queued than the high water mark, as far as was told.
    pub high: bool,
    /// When silence may be told at the earliest.
    pub silence_due: Tick,
}

impl Record {
    /// What is wrong with calling this now.
    pub fn wrong(&self, callback: Callback, now: Tick) -> Vec<&'static str> {
        let mut wrong = Vec::new();
        let mut unless = |holds: bool, text| {
            if !holds {
                wrong.push(text);
            }
        };
        unless(self.disconnects == 0, "after on_disconnect");
        unless(!self.aborted, "after abort");
        unless(!self.panicked, "after a panic");
        unless(self.panic_due == (callback == Callback::Panic), "and on_panic is another thing");
        unless(callback != Callback::Connect || self.connects == 0, "twice");
        let early = matches!(
            callback,
            Callback::Starttls
                | Callback::Status
                | Callback::Connect
                | Callback::Disconnect
                | Callback::Attach
                | Callback::Detach
                | Callback::Panic
                | Callback::Predrain
        );
        unless(early || self.connects > 0, "before on_connect");
        let late = callback.may_come_late();
        unless(late || !self.closing, "after close");
        self.flow.judge(callback, now, self.tls, &mut unless);
        wrong
    }
}

impl Flow {
    fn judge(
        &self,
        callback: Callback,
        now: Tick,
        tls: bool,
        unless: &mut impl FnMut(bool, &'static str),
    ) {
        match callback {
            Callback::Incoming => {
                unless(!self.paused, "while paused");
                unless(self.paused_until.is_none_or(|until| until <= now), "in a timed pause");
                // What TLS has decrypted already may still be delivered.
                let paid = self.rate.is_none_or(|(_, paid)| paid <= now);
                unless(tls || paid, "before the last is paid for");
            }
            Callback::HighWater => unless(!self.high, "twice"),
            Callback::LowWater => unless(self.high, "without on_high_water"),
            Callback::ReadTimeout => {
                unless(!self.paused, "while paused");
                unless(self.has_credit(), "without credit");
                // Under TLS a wait ends with bytes that are never delivered.
                unless(tls || self.silence_due <= now, "early");
            }
            _ => {}
        }
    }

    /// Takes note of bytes that were delivered; whether they might be.
    pub fn charge(&mut self, bytes: usize, now: Tick) -> bool {
        if let Some((bytes_per_second, paid)) = &mut self.rate {
            let nanos = bytes as u64 * 1_000_000_000 / *bytes_per_second;
            *paid = (*paid).max(now).saturating_add(std::time::Duration::from_nanos(nanos));
        }
        let (left, cost) = match &mut self.credit {
            None => return true,
            Some(Credit::Bytes(left)) => (left, bytes),
            Some(Credit::Chunks(left)) => (left, 1),
        };
        let enough = *left >= cost;
        *left = left.saturating_sub(cost);
        enough
    }

    fn has_credit(&self) -> bool {
        !matches!(self.credit, Some(Credit::Bytes(0) | Credit::Chunks(0)))
    }

    /// Takes note of what is queued on a connection that is locked.
    pub fn look_at_queue(&mut self, backlog: usize) -> bool {
        match &mut self.locked {
            Some(before) => std::mem::replace(before, backlog) <= backlog,
            None => true,
        }
    }
}
