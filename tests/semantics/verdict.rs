//! Certificates that are recorded, not enforced: who decides later is told all of it (S119).

use shardpoll::Connect;
use shardpoll::tls::{ClientContext, Roots};
use shardpoll_tests::{Event, Family, Setup, both_worlds};

both_worlds! {
    a_client_that_records_connects_and_knows_what_is_wrong,
    a_client_that_does_not_record_has_no_verdict,
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
