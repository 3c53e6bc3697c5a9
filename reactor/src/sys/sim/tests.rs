//! What the loop relies on, asked of the simulated kernel as the loop asks it.
//!
//! Never: uses a loop.

use super::*;
use crate::conn::Ready;

const KEY: u64 = 77;

fn addr() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 9], 7))
}

/// The keys and states of the next batch.
fn wait(sim: &mut Sim, millis: u64) -> Vec<(u64, Ready)> {
    let mut events = Events::default();
    let until = sim.time().saturating_add(Duration::from_millis(millis));
    Sys::wait(sim, &mut events, until).expect("the poller works");
    events.raw().iter().map(crate::sys::Event::of).map(|event| (event.key, event.ready)).collect()
}

fn ready(bits: &[Ready]) -> Ready {
    let mut all = Ready::NOTHING;
    bits.iter().for_each(|&bits| all.add(bits));
    all
}

/// A listener, a peer of it, and the accepted descriptor, registered and reported once.
fn pair(sim: &mut Sim) -> (SimFd, SimPeer, SimFd) {
    let listener = sim.listen(addr(), 4).expect("nobody is there yet");
    let peer = sim.peer(addr());
    assert_eq!(wait(sim, 10), [], "an unregistered listener says nothing");
    let (fd, _) = Sys::accept(sim, &listener).expect("one waits");
    sim.register(&fd, Interest::Stream, KEY).expect("no faults");
    assert_eq!(wait(sim, 10), [(KEY, Ready::WRITABLE)], "what is ready then is reported");
    assert_eq!(wait(sim, 10), [], "once");
    (listener, peer, fd)
}

fn dial(sim: &mut Sim, to: SocketAddr) -> io::Result<SimFd> {
    Sys::connect(sim, &Addr::Ip(to), None, None).map(|(fd, _)| fd)
}

fn code<T: fmt::Debug>(result: io::Result<T>) -> Option<i32> {
    result.expect_err("an error").raw_os_error()
}

#[test]
fn data_and_a_fin_that_came_before_the_wait_are_one_event_and_none_comes_after() {
    let mut sim = Sim::new(1, Faults::none());
    let (_listener, peer, fd) = pair(&mut sim);
    peer.send(b"abc");
    peer.shutdown();
    sim.advance(Duration::from_millis(10));
    let all = ready(&[Ready::READABLE, Ready::WRITABLE, Ready::ENDED]);
    assert_eq!(wait(&mut sim, 10), [(KEY, all)]);
    let mut buffer = [0; 16];
    assert_eq!(sim.recv(&fd, &mut buffer).ok(), Some(3), "short, since nothing is left");
    assert_eq!(wait(&mut sim, 100), []);
    assert_eq!(sim.recv(&fd, &mut buffer).ok(), Some(0));
    assert_eq!(sim.recv(&fd, &mut buffer).ok(), Some(0));
}

#[test]
fn an_edge_comes_for_new_input_and_not_for_old() {
    let mut sim = Sim::new(2, Faults::none());
    let (_listener, peer, fd) = pair(&mut sim);
    let readable = ready(&[Ready::READABLE, Ready::WRITABLE]);
    peer.send(b"a");
    assert_eq!(wait(&mut sim, 10), [(KEY, readable)]);
    assert_eq!(wait(&mut sim, 10), [], "unread, but not new");
    peer.send(b"b");
    assert_eq!(wait(&mut sim, 10), [(KEY, readable)]);
    let mut buffer = [0; 16];
    assert_eq!(sim.recv(&fd, &mut buffer).ok(), Some(2));
    assert_eq!(code(sim.recv(&fd, &mut buffer)), Some(libc::EAGAIN));
}

#[test]
fn a_full_window_takes_less_and_an_edge_comes_when_it_opens() {
    let mut sim = Sim::new(3, Faults::none());
    let listener = sim.listen(addr(), 4).expect("nobody is there yet");
    let peer = sim.peer_with_window(addr(), 10);
    wait(&mut sim, 10);
    let (fd, _) = Sys::accept(&mut sim, &listener).expect("one waits");
    sim.register(&fd, Interest::Stream, KEY).expect("no faults");
    assert_eq!(wait(&mut sim, 10), [(KEY, Ready::WRITABLE)]);
    assert_eq!(sim.send(&fd, &[7; 15]).ok(), Some(10));
    assert_eq!(code(sim.send(&fd, &[7; 5])), Some(libc::EAGAIN));
    assert_eq!(wait(&mut sim, 100), []);
    assert_eq!(peer.recv(1).len(), 1);
    assert_eq!(wait(&mut sim, 100), [], "less than a third is not room");
    assert_eq!(peer.recv(usize::MAX).len(), 9);
    assert_eq!(wait(&mut sim, 100), [(KEY, Ready::WRITABLE)]);
    assert_eq!(sim.send(&fd, &[7; 5]).ok(), Some(5));
}

#[test]
fn a_reset_is_told_once_and_then_it_is_the_end_and_a_broken_pipe() {
    let mut sim = Sim::new(4, Faults::none());
    let (_listener, peer, fd) = pair(&mut sim);
    peer.reset();
    let all = ready(&[Ready::READABLE, Ready::WRITABLE, Ready::ENDED]);
    assert_eq!(wait(&mut sim, 10), [(KEY, all)]);
    let mut buffer = [0; 16];
    assert_eq!(code(sim.recv(&fd, &mut buffer)), Some(libc::ECONNRESET));
    assert_eq!(sim.recv(&fd, &mut buffer).ok(), Some(0));
    assert_eq!(code(sim.send(&fd, b"x")), Some(libc::EPIPE));
    assert_eq!(code(sim.shutdown(&fd)), Some(libc::ENOTCONN));
}

#[test]
fn dropping_a_descriptor_sends_a_fin_or_with_unread_input_a_reset() {
    for (unread, is_reset) in [(&b""[..], false), (b"unread", true)] {
        let mut sim = Sim::new(5, Faults::none());
        let (_listener, peer, fd) = pair(&mut sim);
        peer.send(unread);
        wait(&mut sim, 10);
        drop(fd);
        wait(&mut sim, 10);
        assert_eq!((peer.is_at_end(), peer.is_reset()), (!is_reset, is_reset));
        assert_eq!(sim.open_descriptors(), 1);
    }
}

#[test]
fn the_lowest_number_is_used_again_and_old_registrations_say_nothing() {
    let mut sim = Sim::new(6, Faults::none());
    let (_listener, peer, fd) = pair(&mut sim);
    let number = fd.number;
    peer.send(b"late");
    sim.advance(Duration::from_millis(10));
    drop(fd);
    let again = dial(&mut sim, addr()).expect("no limit");
    assert_eq!(again.number, number);
    assert_eq!(wait(&mut sim, 0), [], "what was ready belonged to the old owner");
}

#[test]
fn a_listener_is_reported_as_long_as_one_waits_unless_it_is_muted() {
    let mut sim = Sim::new(7, Faults::none());
    let listener = sim.listen(addr(), 4).expect("nobody is there yet");
    sim.register(&listener, Interest::Accept, KEY).expect("no faults");
    let _peer = sim.peer(addr());
    for _ in 0..3 {
        assert_eq!(wait(&mut sim, 10), [(KEY, Ready::READABLE)]);
    }
    sim.reregister(&listener, Interest::Muted, KEY).expect("it is registered");
    assert_eq!(wait(&mut sim, 10), []);
    sim.reregister(&listener, Interest::Accept, KEY).expect("it is registered");
    assert_eq!(wait(&mut sim, 10), [(KEY, Ready::READABLE)]);
    sim.set_descriptor_limit(1);
    assert_eq!(code(Sys::accept(&mut sim, &listener)), Some(libc::EMFILE));
    sim.set_descriptor_limit(2);
    let accepted = Sys::accept(&mut sim, &listener);
    assert!(accepted.is_ok());
    assert_eq!(wait(&mut sim, 10), []);
    assert_eq!(code(Sys::accept(&mut sim, &listener)), Some(libc::EMFILE));
}

#[test]
fn connecting_succeeds_is_refused_or_is_pending() {
    let mut sim = Sim::new(8, Faults::none());
    let listener = sim.listen(addr(), 4).expect("nobody is there yet");
    let fd = dial(&mut sim, addr()).expect("begun");
    sim.register(&fd, Interest::Stream, KEY).expect("no faults");
    assert_eq!(code(sim.connected(&fd)), Some(libc::EAGAIN));
    assert_eq!(wait(&mut sim, 10), [(KEY, Ready::WRITABLE)]);
    assert!(sim.connected(&fd).is_ok());
    drop(listener);
    assert!(wait(&mut sim, 10).iter().all(|(_, ready)| ready.has(Ready::ENDED)));
    let refused = dial(&mut sim, addr()).expect("begun");
    sim.register(&refused, Interest::Stream, 5).expect("no faults");
    let all = ready(&[Ready::READABLE, Ready::WRITABLE, Ready::ENDED]);
    assert_eq!(wait(&mut sim, 10), [(5, all)]);
    assert_eq!(code(sim.connected(&refused)), Some(libc::ECONNREFUSED));
}

#[test]
fn time_stands_still_while_there_is_something_to_report_and_jumps_when_there_is_not() {
    let mut sim = Sim::new(9, Faults::none());
    let (_listener, peer, _fd) = pair(&mut sim);
    peer.send(b"x");
    sim.advance(Duration::from_millis(10));
    let before = sim.time();
    assert_eq!(wait(&mut sim, 1000).len(), 1);
    assert_eq!(sim.time(), before);
    assert_eq!(wait(&mut sim, 1000), []);
    assert_eq!(sim.time(), before.saturating_add(Duration::from_secs(1)));
    let mut events = Events::default();
    assert!(Sys::wait(&mut sim, &mut events, Tick::MAX).is_err(), "it would wait for ever");
}

#[test]
fn two_loops_in_one_world_have_one_clock_and_events_of_their_own() {
    let mut first = Sim::new(12, Faults::none());
    let mut second = first.another_loop();
    let (_listener, peer, fd) = pair(&mut first);
    let other = SocketAddr::from(([10, 0, 0, 9], 8));
    let listener = second.listen(other, 4).expect("nobody is there yet");
    second.register(&listener, Interest::Accept, KEY).expect("no faults");
    let _client = first.peer(other);
    peer.send(b"for the first");
    let began = first.time();
    assert_eq!(wait(&mut second, 10), [(KEY, Ready::READABLE)], "its own only");
    assert!(first.time() > began && first.time() == second.time());
    drop(fd);
    assert_eq!(wait(&mut first, 10), [], "it has none any more");
    assert_eq!(wait(&mut second, 10), [(KEY, Ready::READABLE)], "level-triggered");
}
