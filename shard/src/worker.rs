//! What runs on one shard: a reactor and its mailbox.
//!
//! Never: starts a thread or pins one, so that it can be stepped from anywhere.

use crate::mailbox::{Inbox, Order};
use shardpoll_reactor::{Linux, Reactor, Turn};
use std::io;
use std::time::Duration;

pub(crate) struct Worker {
    reactor: Reactor<Linux>,
    inbox: Inbox,
}

impl Worker {
    pub(crate) fn new(reactor: Reactor<Linux>, inbox: Inbox) -> Self {
        Self { reactor, inbox }
    }

    /// One turn of the loop with the letters that have come.
    pub(crate) fn turn(&mut self) -> io::Result<Turn> {
        let Self { reactor, inbox } = self;
        let wait = if inbox.park() { None } else { Some(Duration::ZERO) };
        let turn = reactor.turn_with(wait, |local| {
            inbox.unpark();
            inbox.do_tasks(local);
        })?;
        while let Some(order) = inbox.next_order() {
            match order {
                Order::Listen(order) => order.carry_out(|id, socket, tls, accept| {
                    reactor.add_listener(id, socket, tls, accept)
                }),
                Order::CloseListener(id) => reactor.close_listener(id),
                Order::CloseAll => {
                    reactor.local(|local| local.close_all());
                }
                Order::Quit(deadline) => reactor.quit(deadline),
            }
        }
        Ok(turn)
    }
}
