//! What ends the wait of a simulated loop from outside: an eventfd's double.
//!
//! Never: makes time pass.

use super::net::Net;
use crate::sys::Wake;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// Ends the wait of one loop of a [`Sim`](super::Sim).
#[derive(Clone)]
pub struct SimWaker {
    net: Rc<RefCell<Net>>,
    poller: usize,
}

impl SimWaker {
    pub(super) fn new(net: &Rc<RefCell<Net>>, poller: usize) -> Self {
        Self { net: Rc::clone(net), poller }
    }
}

impl Wake for SimWaker {
    fn wake(&self) {
        self.net.borrow_mut().files.wake_poller(self.poller);
    }
}

impl fmt::Debug for SimWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimWaker").field(&self.poller).finish()
    }
}
