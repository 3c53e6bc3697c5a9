//! A connection of a crowd: one of them speaks, and the server tells all of them.
//!
//! Never: speaks before all have heard what was said before.

use crate::load::{News, Shared};
use shardpoll::{CloseReason, Conn, Handler};
use std::sync::Arc;

/// What is said at once.
pub(crate) const SAID_BYTES: usize = 64;

/// What the server says to each, alone, as soon as it is one of the crowd.
pub(crate) const WELCOME: [u8; SAID_BYTES] = [0; SAID_BYTES];

pub(crate) struct Hearer {
    shared: Arc<Shared>,
    /// Bytes heard so far: each byte of the welcome is 0, of the first message 1, and so on.
    heard: u64,
}

impl Hearer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, heard: 0 }
    }

    /// Says the next message.
    pub(crate) fn speak(&mut self, conn: &mut Conn<'_>) {
        conn.write(&[self.expected(); SAID_BYTES]);
    }

    #[expect(clippy::cast_possible_truncation, reason = "it begins anew")]
    fn expected(&self) -> u8 {
        (self.heard / SAID_BYTES as u64) as u8
    }
}

impl Handler for Hearer {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        for byte in data {
            if *byte != self.expected() {
                self.shared.tell(News::Wrong(format!("heard {byte}, not {}", self.expected())));
                return conn.abort();
            }
            self.heard += 1;
            if self.heard == SAID_BYTES as u64 {
                self.shared.tell(News::Up(conn.id()));
            } else if self.heard.is_multiple_of(SAID_BYTES as u64) {
                self.shared.another();
            }
        }
    }

    fn on_disconnect(&mut self, _conn: &mut Conn<'_>, reason: &CloseReason) {
        self.shared.tell(News::Wrong(reason.to_string()));
    }
}
