//! Every callback times every deed that may be done in one, on a plain and on a TLS connection
//! (O1, O2, S81, S31, S69, S142, S146).
//!
//! Each cell plays a world of its own: the callback is reached, the deed is done in it, and then
//! the rules that hold everywhere are looked at: one end for each connection and none after it,
//! nothing nested, the others and a newcomer served, nothing left, no spin.

mod cell;

use cell::{Cell, Deed, Door, PLACES, Place, WATER, flood};
use shardpoll::{ConnId, DrainPlan, PanicPolicy};
use shardpoll_tests::{
    Call, Event, Peer, Setup, TlsPeer, Trace, Version, World, both_worlds, pass, server_context,
};
use std::sync::Arc;
use std::time::Duration;

both_worlds! {
    closing_itself_is_safe_everywhere,
    aborting_itself_is_safe_everywhere,
    closing_every_other_connection_is_safe_everywhere,
    closing_the_listener_is_safe_everywhere,
    closing_everything_is_safe_everywhere,
    linking_is_safe_everywhere,
    changing_the_handler_is_safe_everywhere,
    panicking_is_safe_everywhere,
    panicking_and_going_on_is_safe_everywhere,
    writing_past_the_cap_is_safe_everywhere,
    upgrading_is_safe_everywhere,
}

/// The subject's client.
enum Client {
    Plain(Peer),
    Tls(Box<TlsPeer>),
}

impl Client {
    /// Connects, shakes hands as far as it gets, and sends something.
    fn begin(world_addr: std::net::SocketAddr, tls: bool, window: Option<usize>) -> Self {
        let peer = match window {
            Some(bytes) => Peer::connect_with_buffer(world_addr, bytes),
            None => Peer::connect(world_addr),
        };
        let mut client = if tls {
            Self::Tls(Box::new(TlsPeer::over(peer, Version::Tls13)))
        } else {
            Self::Plain(peer)
        };
        let shaken = match &mut client {
            Self::Plain(_) => Ok(()),
            Self::Tls(peer) => peer.handshake(),
        };
        if shaken.is_ok() {
            client.send(b"go");
        }
        client
    }

    fn send(&mut self, data: &[u8]) {
        match self {
            Self::Plain(peer) => peer.send_some(data),
            Self::Tls(peer) => peer.send_some(data),
        }
    }

    fn finish(&mut self) {
        match self {
            Self::Plain(peer) => peer.try_finish(),
            Self::Tls(peer) => {
                let end = peer.seal_end();
                peer.peer.send_some(&end);
            }
        }
    }

    /// Reads so much, or less if it ends before.
    fn drain(&mut self, bytes: usize) {
        match self {
            Self::Plain(peer) => peer.drain(bytes),
            Self::Tls(peer) => peer.drain(bytes),
        }
    }

    /// Reads until this has come; all before it is passed over.
    fn expect_at_last(&mut self, want: &[u8]) {
        match self {
            Self::Plain(peer) => peer.expect_at_last(want),
            Self::Tls(peer) => peer.expect_at_last(want),
        }
    }
}

/// What becomes of the subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It is told this.
    Told(&'static str),
    /// Its handler is dropped, and hears nothing more.
    Silent,
    /// It waits for a handshake that does not come.
    Upgrades,
    /// It serves on.
    Lives,
}

fn fate(place: Place, deed: Deed, tls: bool, goes_on: bool) -> Fate {
    let hurts_it = place.is_of_a_handler();
    match deed {
        // It has been told already, in the callback itself.
        _ if place == Place::Disconnect && deed != Deed::Panic => Fate::Told("closed"),
        Deed::CloseSelf | Deed::CloseAll => Fate::Told("closed on request"),
        Deed::WritePastTheCap => Fate::Told("no space left in buffer"),
        Deed::AbortSelf => Fate::Silent,
        Deed::Panic if place == Place::Disconnect => Fate::Told("closed"),
        Deed::Panic if !hurts_it => Fate::Lives,
        Deed::Panic if !goes_on || place == Place::Panic => Fate::Silent,
        // A callback that panics counts as returned, and this one as having said no.
        Deed::Panic if place == Place::ReadTimeout => Fate::Told("read timeout"),
        Deed::Panic | Deed::CloseOthers | Deed::CloseListener => Fate::Lives,
        Deed::StartTls if !tls => Fate::Upgrades,
        Deed::Link | Deed::ChangeHandler | Deed::StartTls => Fate::Lives,
    }
}

/// Names the cell of a test that fails.
struct Name(String);

impl Drop for Name {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("cell: {}", self.0);
        }
    }
}

/// All cells of one deed.
fn everywhere(deed: Deed, policy: PanicPolicy) {
    for place in PLACES {
        for tls in [false, true] {
            let needs_tls = matches!(place, Place::Starttls | Place::Status);
            // An acceptor is lent neither connection nor shard: all it can do is panic. And without
            // a panic that is survived on_panic is never called.
            let possible = (tls || !needs_tls)
                && (place != Place::Accept || deed == Deed::Panic)
                && (place != Place::Panic || policy == PanicPolicy::Continue);
            if possible {
                let _name = Name(format!("{place:?} x {deed:?}, TLS: {tls}, {policy:?}"));
                play(place, deed, tls, policy);
            }
        }
    }
}

/// Also the places that only `PanicPolicy::Continue` leads to.
fn in_every_policy(deed: Deed) {
    everywhere(deed, PanicPolicy::Close);
    let policy = PanicPolicy::Continue;
    for tls in [false, true] {
        let _name = Name(format!("Panic x {deed:?}, TLS: {tls}, {policy:?}"));
        play(Place::Panic, deed, tls, policy);
    }
}

fn setup(place: Place, policy: PanicPolicy) -> Setup {
    Setup::new().config(|c| {
        c.read_timeout = (place == Place::ReadTimeout).then_some(Duration::from_millis(40));
        c.max_queued_bytes = flood() * 3 / 2;
        (c.high_water_bytes, c.low_water_bytes) = (WATER, WATER / 2);
        c.panic_policy = policy;
    })
}

fn play(place: Place, deed: Deed, tls: bool, policy: PanicPolicy) {
    let (sender, _unused) = std::sync::mpsc::channel();
    let cell = Cell {
        place,
        deed,
        flood: flood(),
        done: Arc::default(),
        inside: Arc::default(),
        others: Arc::default(),
        subject: Arc::default(),
        log: sender,
    };
    let by = cell.clone();
    let react = move |call: &mut Call<'_, '_>| by.clone().react(call, |call| by.bystander(call));
    let mut world = setup(place, policy).start(react);
    let mut bystanders = [world.connect_and_wait().0, world.connect_and_wait().0];
    let cell = Cell { log: world.log(), ..cell };
    let context = tls.then(server_context);
    let door = world.listen_with(context, Door(cell));
    let goes_on = policy == PanicPolicy::Continue;
    let panics = u64::from(deed == Deed::Panic) + u64::from(place == Place::Panic);
    world.expect_panics(panics);
    if place == Place::Accept {
        let mut cut = Peer::connect(door);
        cut.expect_end();
        Client::begin(door, tls, None).expect_at_last(b"go");
        serve_others(&world, &mut bystanders, deed);
        return judge(world, None, Fate::Lives);
    }
    // One that reads slowly is what makes pressure.
    let pressed = matches!(place, Place::HighWater | Place::LowWater);
    let mut client = Client::begin(door, tls, pressed.then_some(4096));
    if place == Place::DrainBegin {
        // Those who connect later are served all the same.
        world.drain(DrainPlan::default().accept_for(Duration::from_secs(3600)));
    }
    if place == Place::Disconnect {
        client.finish();
    }
    if place == Place::LowWater {
        client.drain(flood());
    }
    let id = world.wait_for_event(&Event::note("done")).conn.expect("a connection");
    let fate = fate(place, deed, tls, goes_on);
    match fate {
        Fate::Lives => {
            client.send(b"again");
            client.expect_at_last(b"again");
        }
        // It was told before the deed.
        Fate::Told(_) if place == Place::Disconnect => {}
        Fate::Told(_) | Fate::Upgrades => {
            if fate == Fate::Upgrades {
                client.finish();
            }
            // What is queued before the end is read.
            client.drain(usize::MAX);
            world.wait_for(|seen| seen.conn == Some(id) && seen.event.is_end());
        }
        Fate::Silent => {
            world.wait_for(|seen| seen.conn == Some(id) && seen.event == Event::Dropped);
        }
    }
    serve_others(&world, &mut bystanders, deed);
    judge(world, Some(id), fate);
}

/// The others are served on, unless they were closed; so is a newcomer; and the loop rests.
fn serve_others(world: &World, bystanders: &mut [Peer; 2], deed: Deed) {
    let closed = matches!(deed, Deed::CloseOthers | Deed::CloseAll);
    for (nth, peer) in bystanders.iter_mut().enumerate() {
        match deed {
            _ if closed => peer.expect_end(),
            // Its input goes to the subject.
            Deed::Link if nth == 0 => {}
            _ => peer.echo(b"still here"),
        }
    }
    if deed == Deed::CloseAll {
        // A connection's end may be seen before the listener's.
        world.some_turns();
        assert!(Peer::try_connect(world.addr()).is_err(), "the listener is closed");
    } else {
        world.connect().echo(b"a newcomer");
    }
    let turns = || world.run(|local| local.counters().turns);
    let before = turns();
    pass(Duration::from_millis(20));
    let turned = turns() - before;
    assert!(turned < 60, "{turned} turns in 20 ms in which nothing happens");
}

fn judge(world: World, subject: Option<ConnId>, fate: Fate) {
    let trace: Trace = world.finish();
    for id in trace.connections() {
        let events = trace.of(id);
        let ends: Vec<_> = events.iter().filter(|event| event.is_end()).collect();
        let want = match fate {
            Fate::Silent if subject == Some(id) => 0,
            _ => 1,
        };
        assert_eq!(ends.len(), want, "{id}: {events:?}");
        match fate {
            _ if subject != Some(id) => {}
            Fate::Told(text) => assert_eq!(ends, [&Event::ended(text)], "{events:?}"),
            Fate::Upgrades => {
                // By whether its end came before the last byte had left in clear, and whether its
                // first words, which are no TLS, had been read.
                let one = [
                    "closed",
                    "TLS stream truncated: no close_notify before its end",
                    "TLS peer: received corrupt message of type InvalidContentType",
                ];
                assert!(one.iter().any(|text| *ends[0] == Event::ended(text)), "{events:?}");
            }
            _ => {}
        }
    }
}

fn closing_itself_is_safe_everywhere() {
    in_every_policy(Deed::CloseSelf);
}

fn aborting_itself_is_safe_everywhere() {
    in_every_policy(Deed::AbortSelf);
}

fn closing_every_other_connection_is_safe_everywhere() {
    in_every_policy(Deed::CloseOthers);
}

fn closing_the_listener_is_safe_everywhere() {
    in_every_policy(Deed::CloseListener);
}

fn closing_everything_is_safe_everywhere() {
    in_every_policy(Deed::CloseAll);
}

fn linking_is_safe_everywhere() {
    in_every_policy(Deed::Link);
}

fn changing_the_handler_is_safe_everywhere() {
    in_every_policy(Deed::ChangeHandler);
}

fn panicking_is_safe_everywhere() {
    everywhere(Deed::Panic, PanicPolicy::Close);
}

fn panicking_and_going_on_is_safe_everywhere() {
    everywhere(Deed::Panic, PanicPolicy::Continue);
}

fn writing_past_the_cap_is_safe_everywhere() {
    in_every_policy(Deed::WritePastTheCap);
}

fn upgrading_is_safe_everywhere() {
    in_every_policy(Deed::StartTls);
}
