//! A handler that is tested without a socket: minutes of silence pass in microseconds.
//!
//! `cargo run -p shardpoll --features sim --example simulated`

use shardpoll::sim::Simulation;
use shardpoll::{CloseReason, Config, Conn, Handler, Silence};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// Echoes; asks a silent peer once whether it is there, and then gives it up.
struct Patient {
    asked: bool,
    gave_up: Rc<Cell<bool>>,
}

impl Handler for Patient {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        self.asked = false;
        conn.write(data);
    }

    fn on_read_timeout(&mut self, conn: &mut Conn<'_>) -> Silence {
        if std::mem::replace(&mut self.asked, true) {
            return Silence::Close;
        }
        conn.write(b"still there?\n");
        Silence::Keep
    }

    fn on_disconnect(&mut self, _: &mut Conn<'_>, reason: &CloseReason) {
        self.gave_up.set(matches!(reason, CloseReason::Silent));
    }
}

pub(crate) fn main() -> Result<(), shardpoll::ConfigError> {
    let mut config = Config::default();
    config.read_timeout = Some(MINUTE);
    let mut world = Simulation::new(config)?;

    // A peer connects, and this handler has its connection.
    let gave_up = Rc::new(Cell::new(false));
    let peer = world.connect(Patient { asked: false, gave_up: Rc::clone(&gave_up) });

    peer.send(b"hello\n");
    world.settle(); // what is on its way arrives
    assert_eq!(peer.recv_all(), b"hello\n");

    world.run_for(MINUTE - SECOND); // the clock is told to move
    assert_eq!(peer.recv_all(), b"", "a second is left");
    world.run_for(2 * SECOND);
    assert_eq!(peer.recv_all(), b"still there?\n");

    peer.send(b"yes\n");
    world.run_for(MINUTE + SECOND);
    assert_eq!(peer.recv_all(), b"yes\nstill there?\n", "the answer has excused it");
    assert!(!gave_up.get() && !peer.is_at_end());

    world.run_for(MINUTE);
    assert!(gave_up.get() && peer.is_at_end());
    println!("{:?} have passed", world.now().saturating_since(shardpoll::Tick::ZERO));
    Ok(())
}
