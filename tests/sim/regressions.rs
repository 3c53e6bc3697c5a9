//! What the simulation once found, each kept for ever.

use shardpoll_reactor::{Config, Conn, Faults, Handler, ListenerId, Place, Reactor, Sim, incoming};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

#[test]
fn a_timer_without_delay_that_an_event_arms_runs_in_a_later_turn() {
    // S16: timers run behind the events of a batch, in the same turn.
    let sim = Sim::new(1, Faults::none());
    let mut reactor = Reactor::new(sim.clone(), Place::FIRST, Config::default()).expect("good");
    let turns = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&turns);
    let accept = move |_: &_| -> Box<dyn Handler> {
        let noted = Rc::clone(&noted);
        Box::new(incoming(move |conn: &mut Conn<'_>, _: &[u8]| {
            let mut local = conn.local();
            noted.borrow_mut().push(local.counters().turns);
            let noted = Rc::clone(&noted);
            local.add_timer(Duration::ZERO, move |local, _| {
                noted.borrow_mut().push(local.counters().turns);
                None
            });
        }))
    };
    let addr = SocketAddr::from(([10, 0, 0, 9], 7));
    let fd = sim.listen(addr, 4).expect("nobody is there yet");
    reactor.add_listener(ListenerId::new(0), fd, None, Box::new(accept)).expect("no faults");
    let peer = sim.peer(addr);
    while turns.borrow().len() < 2 {
        if peer.is_connected() && peer.sent() == 0 {
            peer.send(b"go");
        }
        reactor.turn(Some(Duration::from_millis(1))).expect("the poller works");
    }
    let turns = turns.borrow();
    assert_eq!(turns[1], turns[0] + 1, "the very next one, since it is due at once");
}
