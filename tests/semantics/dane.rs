//! DANE: outgoing connections whose servers TLSA records vouch for (S110).

use shardpoll::tls::{ClientContext, DaneMode, Roots, Tlsa};
use shardpoll::{ConnId, Connect, TlsPlan};
use shardpoll_tests::{Event, Family, Setup, Version, World, both_worlds};

both_worlds! {
    a_server_that_a_record_names_is_connected_to_whatever_its_name,
    a_server_that_no_record_names_is_refused_before_connect,
    records_that_cannot_be_used_fall_back_only_where_that_is_asked_for,
    a_recorded_mismatch_is_for_the_handler_to_judge,
    an_upgrade_is_held_to_the_records_too,
    the_next_connection_is_vouched_for_by_the_same_record,
}

/// An echo server of the family's, and its address.
fn serving() -> World {
    Setup::new().tls_context(Family::shared().server()).echo()
}

fn base(roots: Roots) -> ClientContext {
    ClientContext::builder(roots).build().expect("a good configuration")
}

/// Connects, asking for this name; the verdict is noted when the handshake is done.
fn dial(world: &World, context: &ClientContext, name: &'static str) -> ConnId {
    let name = name.try_into().expect("a name");
    let to = Connect::to(world.addr()).tls(context.clone(), name);
    world.dial(to, |call| match call.event {
        Event::Status(_) => {
            let verdict = call.tls().and_then(|info| info.verdict().map(ToString::to_string));
            call.note(verdict.expect("such a context has verdicts"));
        }
        Event::Connect => {
            call.write(b"hello");
        }
        _ => {}
    })
}

fn stranger() -> Tlsa {
    Family::make().names_server()
}

fn a_server_that_a_record_names_is_connected_to_whatever_its_name() {
    for version in [Version::Tls12, Version::Tls13] {
        let mut world = serving();
        let only = ClientContext::builder(Roots::none()).versions(&[version.of_rustls()]);
        let only = only.build().expect("a good configuration");
        let family = Family::shared();
        for (record, name) in
            [(family.names_server(), "elsewhere.test"), (family.names_authority(), "localhost")]
        {
            let words = format!("verified by TLSA {record}");
            let context = only.with_dane([record, stranger()], DaneMode::Require);
            let id = dial(&world, &context.expect("a usable record"), name);
            world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::note(&words));
            let hello = Event::incoming(b"hello");
            world.wait_for(|seen| seen.conn == Some(id) && seen.event == hello);
        }
        let _trace = world.finish();
    }
}

fn a_server_that_no_record_names_is_refused_before_connect() {
    // S113: even where a trusted root vouches for it
    for mode in [DaneMode::Require, DaneMode::FallbackToPkix] {
        let mut world = serving();
        let context = base(Family::shared().roots()).with_dane([stranger()], mode);
        let id = dial(&world, &context.expect("a usable record"), "localhost");
        let end = world.wait_for(|seen| seen.conn == Some(id) && seen.event.is_end());
        let words = "TLS policy: not verified: no DANE record matches";
        assert_eq!(end.event, Event::ended(words), "{mode:?}");
        assert_eq!(world.finish().of(id)[..], [Event::Starttls, end.event], "{mode:?}");
    }
}

fn records_that_cannot_be_used_fall_back_only_where_that_is_asked_for() {
    let unusable = || Tlsa { usage: 9, ..Family::shared().names_server() };
    let trusting = base(Family::shared().roots());
    let refused = trusting.with_dane([unusable()], DaneMode::Require).expect_err("no record");
    assert!(refused.to_string().contains("TLSA usage 9 is unknown"), "{refused}");
    let mut world = serving();
    let context = trusting.with_dane([unusable()], DaneMode::FallbackToPkix);
    dial(&world, &context.expect("it has roots to fall back to"), "localhost");
    let words = "verified by a trusted root; no TLSA record is usable";
    world.wait_for_event(&Event::note(words));
    let context = base(Roots::none()).with_dane([unusable()], DaneMode::FallbackToPkix);
    let id = dial(&world, &context.expect("roots that trust nobody"), "localhost");
    world.wait_for(|seen| seen.conn == Some(id) && seen.event.is_end());
    let _trace = world.finish();
}

fn a_recorded_mismatch_is_for_the_handler_to_judge() {
    let mut world = serving();
    let context = base(Family::shared().roots()).with_dane([stranger()], DaneMode::Record);
    let id = dial(&world, &context.expect("a usable record"), "localhost");
    world.wait_for_event(&Event::note("not verified: no DANE record matches"));
    world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::incoming(b"hello"));
    let _trace = world.finish();
}

fn an_upgrade_is_held_to_the_records_too() {
    // S105, S110
    for (record, passes) in [(Family::shared().names_server(), true), (stranger(), false)] {
        let mut world = Setup::new().start(|call| match call.event {
            Event::Incoming(data) if data == b"starttls" => {
                call.write(b"proceed");
                let plan = TlsPlan::server(Family::shared().server());
                call.start_tls(plan).expect("it is to be had once");
            }
            Event::Incoming(data) => {
                call.write(data);
            }
            _ => {}
        });
        let context = base(Roots::none()).with_dane([record], DaneMode::Require);
        let context = context.expect("a usable record");
        let id = world.dial(Connect::to(world.addr()), move |call| match call.event {
            Event::Connect => {
                call.write(b"starttls");
            }
            Event::Incoming(data) if data == b"proceed" => {
                let name = "localhost".try_into().expect("a name");
                call.start_tls(TlsPlan::client(context.clone(), name)).expect("once");
            }
            Event::Status(_) => {
                call.write(b"secret");
            }
            _ => {}
        });
        let secret = Event::incoming(b"secret");
        let fits = |event: &Event| if passes { *event == secret } else { event.is_end() };
        world.wait_for(|seen| seen.conn == Some(id) && fits(&seen.event));
        let _trace = world.finish();
    }
}

fn the_next_connection_is_vouched_for_by_the_same_record() {
    // A resumed session shows no certificate; its verdict is on those of the first.
    let mut world = serving();
    let record = Family::shared().names_authority();
    let words = format!("verified by TLSA {record}");
    let context = base(Roots::none()).with_dane([record], DaneMode::Require);
    let context = context.expect("a usable record");
    for _ in 0..3 {
        let id = dial(&world, &context, "localhost");
        world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::note(&words));
        world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::incoming(b"hello"));
        world.close(id);
        world.wait_for(|seen| seen.conn == Some(id) && seen.event.is_end());
    }
    let _trace = world.finish();
}
