//! Certificates that are recorded, not enforced: who decides later is told all of it (S119).

use shardpoll::Connect;
use shardpoll::tls::{Certificate, Certificates, ClientAuth, ClientContext, Roots, ServerContext};
use shardpoll_tests::{Event, Family, Setup, Version, both_worlds};

both_worlds! {
    a_client_that_records_connects_and_knows_what_is_wrong,
    a_client_that_does_not_record_has_no_verdict,
    a_server_that_records_knows_who_called_also_when_it_calls_again,
}

fn a_client_that_records_connects_and_knows_what_is_wrong() {
    let family = Family::shared();
    let cases = [
        (family.roots(), "localhost", "verified by a trusted root"),
        (
            Roots::none(),
            "localhost",
            "not verified: certificate 1 (Inter) has an unknown issuer (Root)",
        ),
        (
            family.roots(),
            "elsewhere.test",
            "not verified: certificate 0 (localhost) is for localhost, not for elsewhere.test",
        ),
    ];
    for (roots, name, words) in cases {
        let mut world = Setup::new().tls_context(family.server()).echo();
        let context = ClientContext::builder(roots).record(true).build();
        let to = Connect::to(world.addr());
        let name = name.try_into().expect("a name");
        let to = to.tls(context.expect("a good configuration"), name);
        let id = world.dial(to, |call| match call.event {
            Event::Status(_) | Event::Incoming(_) => {
                let verdict = call.tls().and_then(|info| info.verdict().map(ToString::to_string));
                call.note(verdict.expect("it is there from the end of the handshake on"));
            }
            Event::Connect => {
                call.write(b"hello");
            }
            _ => {}
        });
        world.wait_for_each(2, |seen| seen.conn == Some(id) && seen.event == Event::note(words));
        let _trace = world.finish();
    }
}

fn a_client_that_does_not_record_has_no_verdict() {
    let family = Family::shared();
    let mut world = Setup::new().tls_context(family.server()).echo();
    let context = ClientContext::builder(family.roots()).build().expect("a good configuration");
    let name = "localhost".try_into().expect("a name");
    world.dial(Connect::to(world.addr()).tls(context, name), |call| {
        if matches!(call.event, Event::Status(_)) {
            let none = call.tls().is_some_and(|info| info.verdict().is_none());
            call.note(none);
        }
    });
    world.wait_for_event(&Event::note("true"));
    let _trace = world.finish();
}

fn a_server_that_records_knows_who_called_also_when_it_calls_again() {
    let family = Family::shared();
    let cases = [
        (Some(family.issue("known.test")), "verified by a trusted root"),
        (
            // Another root of the same name.
            Some(Family::make().issue("stranger.test")),
            "not verified: certificate 1 (Inter) has a bad signature",
        ),
        (None, "not verified: the peer showed no certificate"),
    ];
    for (own, words) in cases {
        for version in Version::ALL {
            calls_twice(own.as_ref(), version, words);
        }
    }
}

fn calls_twice(own: Option<&Certificate>, version: Version, words: &str) {
    let family = Family::shared();
    let served = Certificates::single(family.certificate());
    let server = ServerContext::builder(served).client_auth(ClientAuth::Record(family.roots()));
    let server = server.build().expect("a good configuration");
    let mut world = Setup::new().tls_context(server).start(|call| match call.event {
        Event::Status(_) => {
            let info = call.tls().expect("TLS is in place");
            let verdict = info.verdict().expect("the server records").to_string();
            let resumed = info.resumed();
            call.note(verdict);
            call.note(format!("{resumed:?}"));
        }
        Event::Incoming(data) => {
            call.write(data);
        }
        _ => {}
    });
    let client = ClientContext::builder(family.roots()).versions(&[version.of_rustls()]);
    let client = own.iter().fold(client, |client, &own| client.client_certificate(own.clone()));
    let client = client.build().expect("a good configuration");
    for resumed in ["Some(false)", "Some(true)"] {
        let name = "localhost".try_into().expect("a name");
        let to = Connect::to(world.addr()).tls(client.clone(), name);
        let id = world.dial(to, |call| {
            if *call.event == Event::Connect {
                call.write(b"hello");
            }
        });
        world.wait_for_event(&Event::note(words));
        world.wait_for_event(&Event::note(resumed));
        // By then it has its ticket.
        world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::incoming(b"hello"));
        world.close(id);
        world.wait_for(|seen| seen.conn == Some(id) && seen.event.is_end());
    }
    let _trace = world.finish();
}
