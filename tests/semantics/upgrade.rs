//! What stands against an upgrade, and what may happen while it is under way (S105 to S108, S116,
//! S122).

use shardpoll::{Connect, Local, Pipelined, StartTlsError, TlsPlan};
use shardpoll_tests::{
    Call, Event, Peer, Setup, TlsPeer, Version, both_worlds, pattern, refused_addr, server_context,
};
use std::time::Duration;

both_worlds! {
    an_upgrade_is_refused_where_there_is_tls_already,
    an_upgrade_is_refused_once_the_end_was_asked_for,
    an_upgrade_is_refused_before_the_connection_stands,
    an_upgrade_of_a_context_that_cannot_work_leaves_the_line_as_it_was,
    a_long_answer_leaves_in_clear_to_its_last_byte,
    no_drain_is_told_of_what_left_in_clear,
    closing_before_the_answer_is_out_still_sends_it,
    aborting_in_the_middle_is_silent,
    a_peer_that_ends_instead_of_shaking_hands_is_told,
    an_answer_that_nobody_takes_ends_by_the_send_timeout,
    a_handshake_that_never_comes_ends_as_a_write_timeout,
    an_upgrade_from_elsewhere_is_carried_out,
    a_handler_that_takes_over_is_told_of_the_rest,
    closing_in_on_starttls_says_nothing_of_tls,
    what_is_left_over_is_the_hello_also_in_pieces,
}

const GO: &[u8] = b"go";

/// Answers and upgrades when it is told to.
fn upgrades(call: &mut Call<'_, '_>, answer: &[u8]) {
    if *call.event == Event::incoming(GO) {
        call.say(answer);
        call.start_tls(server_context()).expect("an open connection is upgraded");
    }
}

/// What an attempt says.
fn outcome(call: &mut Call<'_, '_>) -> String {
    let (available, result) = (call.start_tls_available(), call.start_tls(server_context()));
    assert_eq!(available, result.is_ok());
    result.map_or_else(|error| error.to_string(), |()| "upgraded".into())
}

fn an_upgrade_is_refused_where_there_is_tls_already() {
    // S116: in Prosody this spins (B29)
    let mut world = Setup::new().tls().start(|call: &mut Call<'_, '_>| {
        if matches!(call.event, Event::Starttls | Event::Connect | Event::Incoming(_)) {
            let said = outcome(call);
            call.note(said);
        }
    });
    let mut peer = world.connect_tls(Version::Tls13);
    peer.send(GO);
    let note = Event::note("TLS is there already, or was asked for");
    world.wait_for_each(3, |seen| seen.event == note);
    peer.finish();
    world.wait_for_end();
    drop(world.finish());
}

fn an_upgrade_is_refused_once_the_end_was_asked_for() {
    let mut world = Setup::new().start(|call: &mut Call<'_, '_>| match call.event.clone() {
        Event::Incoming(data) => {
            if data == b"close" {
                call.close();
            } else {
                call.half_close();
            }
            let said = outcome(call);
            call.note(said);
        }
        Event::Disconnect(_) => {
            let said = outcome(call);
            call.note(said);
        }
        _ => {}
    });
    let note = Event::note("the connection is closing or gone");
    for word in [&b"close"[..], b"half"] {
        let mut peer = world.connect();
        peer.send(word);
        world.wait_for_event(&note);
        peer.finish();
        world.wait_for_event(&note);
    }
    drop(world.finish());
}

fn an_upgrade_is_refused_before_the_connection_stands() {
    let mut world = Setup::new().echo();
    let (_held, nobody) = refused_addr();
    let said = world.run(move |local: &mut Local<'_>| {
        let handler = shardpoll::incoming(|_, _| {});
        let id = local.connect(Connect::to(nobody), handler).expect("room for it");
        let mut conn = local.conn(id).expect("asked for a moment ago");
        let early = conn.start_tls(server_context());
        matches!(early, Err(StartTlsError::NotConnected)) && !conn.start_tls_available()
    });
    assert!(said);
    let (peer, id) = world.connect_and_wait();
    assert!(world.conn(id, |conn| conn.start_tls_available()));
    drop(peer);
    world.wait_for_end();
    drop(world.finish());
}

fn an_upgrade_of_a_context_that_cannot_work_leaves_the_line_as_it_was() {
    let mut config = shardpoll::tls::rustls::ServerConfig::clone(server_context().config());
    // Early data can be replayed, and is refused.
    config.max_early_data_size = 1;
    let broken = shardpoll::tls::ServerContext::new(config.into());
    let mut world = Setup::new().start(move |call: &mut Call<'_, '_>| {
        if *call.event == Event::incoming(GO) {
            call.say(b"still");
            let result = call.start_tls(&broken);
            assert!(matches!(result, Err(StartTlsError::Tls(_))), "{result:?}");
            call.say(b" in clear");
        }
    });
    let mut peer = world.connect();
    peer.send(GO);
    peer.expect(b"still in clear");
    peer.finish();
    world.wait_for_end();
    drop(world.finish());
}

fn a_long_answer_leaves_in_clear_to_its_last_byte() {
    // S106: it is sent in many pieces, over many turns
    const LONG: usize = 3 * 1024 * 1024;
    let mut world = Setup::new().start(|call: &mut Call<'_, '_>| {
        upgrades(call, &pattern(LONG));
        if *call.event == Event::incoming(GO) {
            call.say(b"sealed");
        }
    });
    let mut peer = Peer::connect_with_buffer(world.addr(), 4096);
    peer.send(GO);
    peer.expect(&pattern(LONG));
    let mut peer = TlsPeer::over(peer, Version::Tls12);
    peer.handshake().expect("a handshake in time");
    peer.expect(b"sealed");
    peer.finish();
    let end = world.wait_for_end();
    assert_eq!(end.event, Event::ended("closed"));
    drop(world.finish());
}

fn no_drain_is_told_of_what_left_in_clear() {
    // S77, S112: the pair of predrain and drain comes behind the handshake
    let mut world = Setup::new().start(|call: &mut Call<'_, '_>| upgrades(call, b"answer"));
    let mut peer = world.connect();
    peer.send(GO);
    peer.expect(b"answer");
    let mut peer = TlsPeer::over(peer, Version::Tls13);
    peer.handshake().expect("a handshake in time");
    world.wait_for_event(&Event::Drain);
    peer.finish();
    let end = world.wait_for_end();
    let established = Event::Status("ssl-handshake-complete".into());
    let want = [
        Event::Connect,
        Event::incoming(GO),
        Event::Starttls,
        established,
        Event::Predrain,
        Event::Drain,
        end.event,
    ];
    assert_eq!(world.finish().only(), want);
}

fn closing_before_the_answer_is_out_still_sends_it() {
    let mut world = Setup::new().start(|call: &mut Call<'_, '_>| {
        upgrades(call, b"in clear");
        if *call.event == Event::incoming(GO) {
            call.say(b"never to be sealed");
            call.close();
        }
    });
    let mut peer = world.connect();
    peer.send(GO);
    assert_eq!(peer.read_to_end(), b"in clear");
    drop(peer);
    let end = world.wait_for_end();
    assert_eq!(end.event, Event::ended("closed on request"));
    drop(world.finish());
}

fn aborting_in_the_middle_is_silent() {
    let mut world = Setup::new().start(|call: &mut Call<'_, '_>| {
        upgrades(call, b"answer");
        if *call.event == Event::incoming(GO) {
            call.abort();
        }
    });
    let mut peer = world.connect();
    peer.send(GO);
    assert_eq!(peer.read_all().0, b"", "nothing is sent after an abort");
    world.wait_for_event(&Event::Dropped);
    assert_eq!(world.finish().only(), [Event::Connect, Event::incoming(GO)]);
}

fn a_peer_that_ends_instead_of_shaking_hands_is_told() {
    // S113: it counts as a failure of the handshake
    let mut world = Setup::new().start(|call: &mut Call<'_, '_>| upgrades(call, b"answer"));
    let mut peer = world.connect();
    peer.send(GO);
    peer.expect(b"answer");
    world.wait_for_event(&Event::Starttls);
    peer.finish();
    let end = world.wait_for_end();
    assert_eq!(end.cause, "Tls(Truncated)");
    drop(world.finish());
}

fn an_answer_that_nobody_takes_ends_by_the_send_timeout() {
    // S106: until it is out, the connection is one that sends
    const STUCK: usize = 12 * 1024 * 1024;
    let short = |config: &mut shardpoll::Config| {
        config.send_timeout = Some(Duration::from_millis(300));
    };
    let react = |call: &mut Call<'_, '_>| upgrades(call, &vec![7; STUCK]);
    let mut world = Setup::new().config(short).start(react);
    let mut peer = Peer::connect_with_buffer(world.addr(), 4096);
    peer.send(GO);
    let end = world.wait_for_end();
    assert_eq!(end.cause, "NotDraining");
    assert!(!world.finish().only().contains(&Event::Starttls), "the handshake has begun");
}

fn a_handshake_that_never_comes_ends_as_a_write_timeout() {
    // S93, S105
    let short = |config: &mut shardpoll::Config| {
        config.handshake_timeout = Duration::from_millis(300);
    };
    let react = |call: &mut Call<'_, '_>| upgrades(call, b"answer");
    let mut world = Setup::new().config(short).start(react);
    let mut peer = world.connect();
    peer.send(GO);
    peer.expect(b"answer");
    let end = world.wait_for_end();
    assert_eq!(end.event, Event::ended("write timeout"));
    drop(world.finish());
}

fn an_upgrade_from_elsewhere_is_carried_out() {
    let mut world = Setup::new().echo();
    let (peer, id) = world.connect_and_wait();
    world.conn(id, |conn| {
        conn.write(b"now");
        conn.start_tls(server_context()).expect("an open connection is upgraded");
    });
    let mut peer = peer;
    peer.expect(b"now");
    let mut peer = TlsPeer::over(peer, Version::Tls13);
    peer.handshake().expect("a handshake in time");
    peer.echo(b"hello");
    peer.finish();
    world.wait_for_end();
    drop(world.finish());
}

fn a_handler_that_takes_over_is_told_of_the_rest() {
    // S31: as a protocol does that begins anew behind the upgrade
    let mut world = Setup::new().start(|call: &mut Call<'_, '_>| {
        upgrades(call, b"answer");
        if *call.event == Event::incoming(GO) {
            call.hand_to("secure", |call: &mut Call<'_, '_>| {
                if let Event::Incoming(data) = call.event.clone() {
                    call.say(&data);
                }
            });
        }
    });
    let mut peer = world.connect();
    peer.send(GO);
    peer.expect(b"answer");
    let mut peer = TlsPeer::over(peer, Version::Tls13);
    peer.handshake().expect("a handshake in time");
    peer.echo(b"hello");
    peer.finish();
    world.wait_for_end();
    let trace = world.finish();
    let told = |event: &Event| {
        let found = trace.seen.iter().find(|seen| seen.event == *event);
        found.map(|seen| seen.by)
    };
    assert_eq!(told(&Event::Starttls), Some("secure"));
    assert_eq!(told(&Event::incoming(b"hello")), Some("secure"));
}

fn closing_in_on_starttls_says_nothing_of_tls() {
    // Who has not yet heard the answer would take it for plaintext.
    let mut world = Setup::new().start(|call: &mut Call<'_, '_>| {
        upgrades(call, b"answer");
        if *call.event == Event::Starttls {
            call.close();
        }
    });
    let mut peer = world.connect();
    peer.send(GO);
    assert_eq!(peer.read_to_end(), b"answer");
    drop(peer);
    world.wait_for_end();
    drop(world.finish());
}

fn what_is_left_over_is_the_hello_also_in_pieces() {
    // S122: half of the ClientHello came with the command, the rest later
    let mut world = Setup::new().start(|call: &mut Call<'_, '_>| {
        let Event::Incoming(data) = call.event.clone() else { return };
        if let Some(rest) = data.strip_prefix(GO) {
            let plan = TlsPlan::server(server_context()).pipelined(Pipelined::FeedToHandshake);
            let (one, other) = rest.split_at(rest.len() / 2);
            call.start_tls(plan.leftover(one).leftover(other)).expect("an open connection");
        } else {
            call.say(&data);
        }
    });
    let mut peer = TlsPeer::over(world.connect(), Version::Tls13);
    let hello = peer.hello();
    let (half, rest) = hello.split_at(100);
    peer.peer.send(&[GO, half].concat());
    world.wait_for_event(&Event::Starttls);
    peer.peer.send(rest);
    peer.handshake().expect("a handshake in time");
    peer.echo(b"hello");
    peer.finish();
    world.wait_for_end();
    drop(world.finish());
}
