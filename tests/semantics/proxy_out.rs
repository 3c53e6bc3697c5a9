//! PROXY headers that are sent: in front of everything else, and what they say arrives.

use super::proxy::{believing, header, ip, options};
use shardpoll::{
    Connect, Handler, Local, Peer as Accepted, ProxyHeader, ProxyTlv, ProxyVersion, WhenFull,
};
use shardpoll_tests::{
    Call, Event, Peer, Recorder, Setup, World, both_worlds, client_context, refused_addr,
};
use std::net::SocketAddr;

both_worlds! {
    a_header_goes_before_what_was_written_before_and_after,
    a_header_goes_in_clear_before_tls,
    the_first_to_answer_has_the_header_once,
    a_proxy_says_for_whom_it_connects,
    a_header_that_does_not_fit_ends_the_connection,
}

fn checked() -> ProxyHeader {
    header().with_tlv(ProxyTlv::UNIQUE_ID, b"name").expect("it fits").with_checksum(true)
}

/// A backend that echoes, and notes what each connection's header says.
fn backend(world: &World, tls: bool) -> SocketAddr {
    let log = world.log();
    let accept = move |peer: &Accepted| -> Box<dyn Handler> {
        let said = peer.proxy.as_ref().map(|header| format!("{header:?}"));
        Box::new(Recorder::named("backend", log.clone(), move |call: &mut Call<'_, '_>| match call
            .event
        {
            Event::Connect => call.note(said.clone().unwrap_or_default()),
            Event::Incoming(data) => call.say(data),
            _ => {}
        }))
    };
    world.listen_having(options(believing(), tls), accept)
}

/// Says something as soon as it can, and hears the echo.
fn speaks(call: &mut Call<'_, '_>) {
    if *call.event == Event::Connect {
        call.say(b", and after");
    }
}

/// Waits until the backend has got this header, and the echo of this text is there.
fn wait_for_both(world: &mut World, header: &ProxyHeader, text: &[u8]) {
    let note = Event::Note(format!("{header:?}"));
    let (mut told, mut got) = (false, Vec::new());
    while !told || got.len() < text.len() {
        let seen = world.wait_for(|_| true);
        told |= seen.event == note;
        if let (Event::Incoming(data), "") = (seen.event, seen.by) {
            got.extend(data);
        }
    }
    assert_eq!(got, text);
}

fn dial(world: &World, to: Connect, early: &'static [u8]) {
    let log = world.log();
    world.run(move |local: &mut Local<'_>| {
        let id = local.connect(to, Recorder::new(log, speaks)).expect("room for it");
        local.conn(id).expect("asked for a moment ago").write(early);
    });
}

fn a_header_goes_before_what_was_written_before_and_after() {
    let mut world = Setup::new().echo();
    let addr = backend(&world, false);
    for header in [checked(), ProxyHeader::local()] {
        for fast_open in [false, true] {
            let to = Connect::to(addr).fast_open(fast_open).proxy_header(header.clone());
            dial(&world, to, b"before");
            wait_for_both(&mut world, &header, b"before, and after");
        }
    }
    let line = ProxyHeader::proxied(ip("[::1]:1"), ip("[::2]:2")).with_version(ProxyVersion::V1);
    dial(&world, Connect::to(addr).proxy_header(line.clone()), b"");
    wait_for_both(&mut world, &line, b", and after");
    drop(world.finish());
}

fn a_header_goes_in_clear_before_tls() {
    let mut world = Setup::new().echo();
    let addr = backend(&world, true);
    for fast_open in [false, true] {
        let name = "localhost".try_into().expect("a name");
        let to = Connect::to(addr).tls(client_context(), name).fast_open(fast_open);
        dial(&world, to.proxy_header(checked()), b"before");
        wait_for_both(&mut world, &checked(), b"before, and after");
    }
    drop(world.finish());
}

fn the_first_to_answer_has_the_header_once() {
    let mut world = Setup::new().echo();
    let addr = backend(&world, false);
    let (_held, nobody) = refused_addr();
    let to = Connect::to_any([nobody, addr]).expect("two").proxy_header(checked());
    dial(&world, to, b"before");
    wait_for_both(&mut world, &checked(), b"before, and after");
    drop(world.finish());
}

fn a_proxy_says_for_whom_it_connects() {
    let mut world = Setup::new().echo();
    let back = backend(&world, false);
    // It is behind a balancer itself, which has said for whom.
    let log = world.log();
    let front =
        world.listen_having(options(believing(), false), move |_: &Accepted| -> Box<dyn Handler> {
            Box::new(Recorder::named("front", log.clone(), move |call: &mut Call<'_, '_>| {
                if *call.event == Event::Connect {
                    let to = Connect::to(back).proxy_header(ProxyHeader::of(call));
                    let (front, handler) = (call.id(), shardpoll::incoming(|_, _| {}));
                    let back = call.local().connect(to, handler).expect("room for it");
                    call.local().link_both(front, back).expect("both are there");
                }
            }))
        });
    let mut peer = Peer::connect(front);
    let said = header();
    peer.send(&[&said.encode()[..], b"through"].concat());
    peer.expect(b"through");
    world.wait_for_event(&Event::Note(format!("{said:?}")));
    // Nobody has said for whom a health check is: its own addresses are.
    let mut peer = Peer::connect(front);
    peer.send(&[&ProxyHeader::local().encode()[..], b"check"].concat());
    peer.expect(b"check");
    let own = ProxyHeader::proxied(peer.addr(), front);
    world.wait_for_event(&Event::Note(format!("{own:?}")));
    drop(world.finish());
}

fn a_header_that_does_not_fit_ends_the_connection() {
    let mut world = Setup::new().config(|config| config.max_queued_bytes = 20).echo();
    let addr = backend(&world, false);
    for when_full in [WhenFull::Cut, WhenFull::Refuse] {
        let to = Connect::to(addr).when_full(when_full).proxy_header(checked());
        world.dial(to, |_: &mut Call<'_, '_>| {});
        world.wait_for_event(&Event::ended("no space left in buffer"));
    }
    drop(world.finish());
}
