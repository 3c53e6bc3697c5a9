//! What runs on one shard: a reactor and its mailbox.
//!
//! Never: starts a thread or pins one, so that it can be stepped from anywhere.

use crate::mailbox::{Inbox, Order, TASKS_PER_TURN};
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
        let mut tasks = TASKS_PER_TURN;
        let turn = reactor.turn_with(wait, |local| {
            inbox.unpark();
            tasks = tasks.saturating_sub(1);
            inbox.do_task(local) && tasks > 0
        })?;
        while let Some(order) = inbox.next_order() {
            // What its sender posted before it is waiting by now; an order overtakes nothing.
            for _ in 0..inbox.waiting() {
                reactor.local(|local| inbox.do_task(local));
            }
            carry_out(reactor, order);
        }
        if turn == Turn::Drained {
            // Whoever was told that they would be read shall not have been told wrong.
            for _ in 0..inbox.waiting() {
                reactor.local(|local| inbox.do_task(local));
            }
        }
        Ok(turn)
    }
}

fn carry_out(reactor: &mut Reactor<Linux>, order: Order) {
    match order {
        Order::Listen(order) => {
            order.carry_out(|id, socket, how, accept| reactor.add_listener(id, socket, how, accept))
        }
        Order::CloseListener(id) => reactor.close_listener(id),
        Order::CloseAll => {
            reactor.local(|local| local.close_all());
        }
        Order::Quit(deadline) => reactor.quit(deadline),
    }
}
