//! How a TLS connection ends: close_notify is output like any other, and what was written before
//! an end is delivered or reported (S118).

use shardpoll::tls::rustls::{ServerConnection, StreamOwned};
use shardpoll::{Config, Conn, Connect, Handler, Written};
use shardpoll_tests::{
    Call, Event, Peer, Rig, Setup, TlsPeer, Version, both_worlds, client_context, is_simulated,
    pattern, server_context,
};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener};
use std::sync::Arc;
use std::time::Duration;

both_worlds! {
    what_was_written_before_the_peers_close_notify_is_delivered,
    the_peers_close_notify_is_not_waited_for,
    a_peer_that_takes_nothing_does_not_hold_up_close_notify_for_ever,
    what_a_reset_took_away_is_reported_as_no_orderly_end,
    a_failed_handshake_is_known_at_the_end_with_what_was_asked_for,
    the_queue_counts_what_tls_has_added,
}

/// More than the kernel takes of a client that does not read.
fn much() -> usize {
    if is_simulated() { 400_000 } else { 12 * 1024 * 1024 }
}

fn slow_tls(world: &shardpoll_tests::World) -> TlsPeer {
    let peer = Peer::connect_with_buffer(world.addr(), 4096);
    let mut peer = TlsPeer::over(peer, Version::Tls13);
    peer.handshake().expect("a handshake in time");
    peer
}

fn what_was_written_before_the_peers_close_notify_is_delivered() {
    let much = much();
    let mut world = Setup::new().tls().start(move |call: &mut Call<'_, '_>| {
        if let Event::Incoming(_) = call.event {
            call.say(&pattern(much));
        }
    });
    let mut peer = slow_tls(&world);
    // The question and the end in one go: the answer is queued when the end is met.
    let mut question = peer.seal(&[b"?"]);
    question.extend(peer.seal_end());
    peer.peer.send(&question);
    assert!(peer.read_to_end() == pattern(much), "other bytes, or not all of them");
    let end = world.wait_for_end();
    assert_eq!(end.event, Event::ended("closed"));
    drop(world.finish());
}

fn the_peers_close_notify_is_not_waited_for() {
    let mut world = Setup::new().tls().start(|call: &mut Call<'_, '_>| {
        if let Event::Incoming(_) = call.event {
            call.say(b"bye");
            call.close();
        }
    });
    let mut peer = world.connect_tls(Version::Tls12);
    peer.send(b"?");
    // Told while the peer has not yet looked.
    let end = world.wait_for_end();
    assert_eq!(end.event, Event::ended("closed on request"));
    assert_eq!(peer.read_to_end(), b"bye");
    drop(world.finish());
}

fn a_peer_that_takes_nothing_does_not_hold_up_close_notify_for_ever() {
    let short = |config: &mut Config| config.send_timeout = Some(Duration::from_millis(300));
    let much = much();
    let react = move |call: &mut Call<'_, '_>| {
        if let Event::Incoming(_) = call.event {
            call.say_vec(pattern(much));
            call.close();
        }
    };
    let mut world = Setup::new().tls().config(short).start(react);
    let mut stuck = slow_tls(&world);
    stuck.send(b"?");
    // The loop goes on meanwhile.
    let other = world.connect_tls(Version::Tls13);
    drop(other);
    let end = world.wait_for(|seen| seen.cause == "NotDraining");
    assert_eq!(end.event, Event::ended("write timeout"));
    drop(world.finish());
}

fn what_a_reset_took_away_is_reported_as_no_orderly_end() {
    let much = much();
    let mut world = Setup::new().tls().start(move |call: &mut Call<'_, '_>| {
        if let Event::Incoming(_) = call.event {
            call.say_vec(pattern(much));
            call.note("written");
        }
    });
    let mut peer = slow_tls(&world);
    peer.send(b"?");
    world.wait_for_event(&Event::note("written"));
    peer.peer.reset();
    let end = world.wait_for_end();
    assert_eq!(end.cause, "Reset");
    drop(world.finish());
}

fn a_failed_handshake_is_known_at_the_end_with_what_was_asked_for() {
    // S119: whom the peer had in mind is what an operator wants to know of a failure
    let mut world = Setup::new().tls().start(|call: &mut Call<'_, '_>| {
        if let Event::Disconnect(_) = call.event {
            let asked = call.tls().and_then(|info| info.server_name().map(str::to_owned));
            call.note(format!("{asked:?}"));
        }
    });
    let mut peer = TlsPeer::begin(world.addr(), Version::Tls13);
    let hello = peer.hello();
    peer.peer.send(&hello);
    // Its answer is no TLS.
    peer.peer.send(b"GET / HTTP/1.1\r\n\r\n");
    world.wait_for_event(&Event::note("Some(\"localhost\")"));
    drop(world.finish());
}

fn the_queue_counts_what_tls_has_added() {
    const CAP: usize = 100_000;
    let set = |config: &mut Config| {
        config.max_queued_bytes = CAP;
        config.when_full = shardpoll::WhenFull::Refuse;
    };
    let fill = |call: &mut Call<'_, '_>| {
        if let Event::Incoming(_) = call.event {
            // Byte by byte what is left of the kernel's room and of the queue is filled.
            let mut size = 16 * 1024;
            while size > 0 {
                while call.write(&vec![b'.'; size]) != Written::Full {}
                size /= 2;
            }
            assert!(call.backlog() <= CAP, "{} bytes are queued", call.backlog());
            call.note("full");
        }
    };
    let mut world = Setup::new().tls().config(set).start(fill);
    let mut peer = slow_tls(&world);
    for _ in 0..4 {
        peer.send(b"?");
        let id = world.wait_for_event(&Event::note("full")).conn.expect("a connection");
        world.some_turns();
        let backlog = world.conn(id, |conn| conn.backlog());
        // One record was sealed when the queue was full.
        assert!(backlog <= CAP + 64, "{backlog} bytes are queued");
        peer.drain(30_000);
    }
    drop(peer);
    world.wait_for_end();
    drop(world.finish());
}

/// Whether the end of the connection that was accepted at this port has been acknowledged
/// (FIN_WAIT2, proc_net_tcp).
fn is_acknowledged(port: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/self/net/tcp").expect("it is there");
    let local = format!("0100007F:{port:04X}");
    let mut lines = sockets.lines().map(|line| line.split_whitespace().skip(1));
    lines.any(|mut columns| columns.next() == Some(&local) && columns.nth(1) == Some("05"))
}

#[test]
fn whose_peer_has_finished_is_let_go_in_the_turn_that_hears_of_it() {
    // O8: nothing is left to wait for
    struct Asks;
    impl Handler for Asks {
        fn on_connect(&mut self, conn: &mut Conn<'_>) {
            conn.write(b"?");
        }
        fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let answer = move || {
        let (socket, _) = listener.accept().expect("the loop connects");
        let tls = ServerConnection::new(Arc::clone(server_context().config())).expect("good");
        let mut peer = StreamOwned::new(tls, socket);
        peer.read_exact(&mut [0]).expect("a question");
        peer
    };
    let answering = std::thread::spawn(answer);
    let mut rig = Rig::linux(Config::default());
    let to = Connect::to(addr).tls(client_context(), "localhost".try_into().expect("a name"));
    rig.local(|local| local.connect(to, Asks)).expect("an address");
    while !answering.is_finished() {
        rig.turn();
    }
    let mut peer = answering.join().expect("no panic");
    rig.settle();
    assert_eq!(rig.live(), 1);
    peer.conn.send_close_notify();
    peer.flush().expect("a connection");
    peer.sock.shutdown(Shutdown::Write).expect("a connection");
    while !is_acknowledged(addr.port()) {
        std::thread::yield_now();
    }
    rig.turn();
    assert_eq!(rig.live(), 0, "it lingers");
    // An error without close_notify.
    assert_eq!(peer.read_to_end(&mut Vec::new()).expect("an end in order"), 0);
}
