//! The upgrade in every order: queued output or not, paused or not, limited or not, locked or not,
//! bytes that came too early or not, refused or fed, as server or client (S105 to S107, S122).
//!
//! In each cell the engine is asked for the upgrade, answers in clear if it shall, upgrades, and
//! writes once more, which must come encrypted. A pause, a limit and a lock are put on before that
//! and must be found in force after it.

use shardpoll::{ConnId, Pipelined, StartTlsError, TlsPlan};
use shardpoll_tests::{
    Call, Event, Peer, Seen, Setup, TlsPeer, Version, World, both_worlds, client_context,
    server_context,
};
use std::num::NonZeroU64;
use std::time::Duration;

both_worlds! {
    a_server_upgrades_in_every_order,
    a_client_upgrades_in_every_order,
}

const COMMAND: &[u8] = b"starttls";
const ANSWER: &[u8] = b"proceed";
const SEALED: &[u8] = b"what is written after the upgrade comes encrypted";

/// What is read of it takes a measurable time.
const RATE: NonZeroU64 = NonZeroU64::new(20_000).expect("not zero");
const PAID_FOR: usize = 2000;

/// Where the bytes are that came too early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Early {
    Nothing,
    /// In the chunk that the handler was given, which hands them over.
    Leftover,
    /// In the kernel.
    Unread,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    is_server: bool,
    queued: bool,
    paused: bool,
    limited: bool,
    locked: bool,
    early: Early,
    then: Pipelined,
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Upgraded,
    /// The bytes that came too early are an injection.
    Refused,
    /// They are no handshake: a server does not speak first.
    Garbage,
}

impl Cell {
    fn all(is_server: bool) -> impl Iterator<Item = Self> {
        (0..16_u8).flat_map(move |bits| {
            let bit = move |n: u8| bits & 1 << n != 0;
            [Early::Nothing, Early::Leftover, Early::Unread].into_iter().flat_map(move |early| {
                [Pipelined::Refuse, Pipelined::FeedToHandshake].map(move |then| Self {
                    is_server,
                    queued: bit(0),
                    paused: bit(1),
                    limited: bit(2),
                    locked: bit(3),
                    early,
                    then,
                })
            })
        })
    }

    fn fate(self) -> Fate {
        match (self.early, self.then) {
            (Early::Nothing, _) => Fate::Upgraded,
            (Early::Leftover, Pipelined::Refuse) => Fate::Refused,
            // It has nothing to answer with, so what lies there is the hello.
            (_, Pipelined::Refuse) if self.is_server && !self.queued => Fate::Upgraded,
            (_, Pipelined::Refuse) => Fate::Refused,
            _ if self.is_server => Fate::Upgraded,
            _ => Fate::Garbage,
        }
    }

    fn plan(self, leftover: &[u8]) -> TlsPlan {
        let name = "localhost".try_into().expect("a name");
        let plan = match self.is_server {
            true => TlsPlan::server(server_context()),
            false => TlsPlan::client(client_context(), name),
        };
        plan.pipelined(self.then).leftover(leftover)
    }

    fn react(self, call: &mut Call<'_, '_>) {
        match call.event.clone() {
            Event::Connect => call.read_size(match self.early {
                Early::Unread => COMMAND.len(),
                _ => 4096,
            }),
            Event::Incoming(data) => {
                let Some(rest) = data.strip_prefix(COMMAND) else { return };
                self.upgrade(call, rest);
            }
            _ => {}
        }
    }

    fn upgrade(self, call: &mut Call<'_, '_>, rest: &[u8]) {
        call.read_size(4096);
        if self.paused {
            call.pause();
        }
        if self.limited {
            call.limit(Some(RATE));
        }
        if self.locked {
            call.pause_writes();
        }
        if self.queued {
            call.say(ANSWER);
        }
        assert!(call.start_tls_available());
        match call.start_tls(self.plan(rest)) {
            Err(StartTlsError::Injected { bytes }) => {
                assert_eq!((bytes, self.fate()), (rest.len(), Fate::Refused), "{self:?}");
                return;
            }
            result => result.expect("an open connection is upgraded"),
        }
        assert!(!call.start_tls_available());
        let again = call.start_tls(self.plan(&[]));
        assert!(matches!(again, Err(StartTlsError::Already)), "{again:?}");
        call.say(SEALED);
    }

    fn peer(self, transport: Peer) -> TlsPeer {
        match self.is_server {
            true => TlsPeer::over(transport, Version::Tls13),
            false => TlsPeer::serve(transport),
        }
    }

    /// What is sent too early: of a client the first flight, of a server what it never says.
    fn too_early(self, peer: &mut TlsPeer) -> Vec<u8> {
        match (self.early, self.is_server) {
            (Early::Nothing, _) => Vec::new(),
            (_, true) => peer.hello(),
            (_, false) => b"220 I speak first".to_vec(),
        }
    }

    fn play(self, world: &mut World) {
        let mut peer = self.peer(world.connect());
        let id = world.wait_for(|seen| seen.event == Event::Connect).conn.expect("a connection");
        let mut first = COMMAND.to_vec();
        first.extend(self.too_early(&mut peer));
        peer.peer.send(&first);
        world.wait_for(|seen| seen.conn == Some(id) && is_command(seen));
        if self.locked {
            self.unlock(world, id);
        }
        if self.fate() == Fate::Upgraded {
            self.shake_hands(world, &mut peer, id);
            return;
        }
        let end = world.wait_for(|seen| seen.conn == Some(id) && seen.event.is_end());
        let injected = end.event == Event::ended("plaintext behind starttls");
        assert_eq!(injected, self.fate() == Fate::Refused, "{self:?}: {end:?}");
        assert!(injected || end.cause.starts_with("Tls("), "{self:?}: {end:?}");
    }

    /// The lock holds back what leaves in clear, and so the handshake behind it.
    fn unlock(self, world: &World, id: ConnId) {
        if self.queued && !(self.early == Early::Leftover && self.then == Pipelined::Refuse) {
            world.some_turns();
            assert!(world.conn(id, |conn| conn.tls().is_none()), "{self:?}");
        }
        // Whatever has become of it meanwhile.
        world.run(move |local| local.conn(id).map(|mut conn| conn.resume_writes()));
    }

    fn shake_hands(self, world: &mut World, peer: &mut TlsPeer, id: ConnId) {
        if self.queued {
            peer.peer.expect(ANSWER);
        }
        let shaken = peer.handshake();
        assert!(shaken.is_ok(), "{self:?}: {shaken:?}");
        peer.expect(SEALED);
        peer.send(&[1; PAID_FOR]);
        if self.paused {
            world.some_turns();
            // Nothing was given to it: what was sent is found behind this note.
            let log = world.log();
            world.conn(id, move |conn| {
                let (conn_id, at) = (conn.id(), conn.local().now());
                let event = Event::note("resumed");
                let seen = Seen { conn: Some(conn_id), by: "", event, at, cause: String::new() };
                log.send(seen).expect("the test is there");
                conn.resume();
            });
            let next = world.wait_for(|seen| seen.conn == Some(id) && is_input_or_note(seen));
            assert_eq!(next.event, Event::note("resumed"), "{self:?}");
        }
        let first = world.wait_for(|seen| seen.conn == Some(id) && is_payload(seen, 1)).at;
        peer.send(&[2; 1]);
        let second = world.wait_for(|seen| seen.conn == Some(id) && is_payload(seen, 2)).at;
        let took = Duration::from_nanos(second.as_nanos() - first.as_nanos());
        let owed = Duration::from_millis(1000 * PAID_FOR as u64 / RATE.get());
        assert!(!self.limited || took >= owed / 2, "{self:?}: the second came after {took:?}");
        peer.finish();
        let end = world.wait_for(|seen| seen.conn == Some(id) && seen.event.is_end());
        assert_eq!(end.event, Event::ended("closed"), "{self:?}");
    }
}

fn is_command(seen: &Seen) -> bool {
    matches!(&seen.event, Event::Incoming(data) if data.starts_with(COMMAND))
}

fn is_payload(seen: &Seen, byte: u8) -> bool {
    matches!(&seen.event, Event::Incoming(data) if data.contains(&byte))
}

fn is_input_or_note(seen: &Seen) -> bool {
    matches!(&seen.event, Event::Incoming(_) | Event::Note(_))
}

fn play_all(is_server: bool) {
    let mut count = 0;
    for cell in Cell::all(is_server) {
        let mut world = Setup::new().start(move |call: &mut Call<'_, '_>| cell.react(call));
        cell.play(&mut world);
        let events = world.finish().only();
        let of = |event: &Event| events.iter().filter(|seen| *seen == event).count();
        let upgraded = usize::from(cell.fate() == Fate::Upgraded);
        assert_eq!(of(&Event::Connect), 1, "{cell:?}: {events:?}");
        assert_eq!(of(&Event::Status("ssl-handshake-complete".into())), upgraded, "{cell:?}");
        let begun = usize::from(cell.fate() != Fate::Refused);
        assert_eq!(of(&Event::Starttls), begun, "{cell:?}: {events:?}");
        count += 1;
    }
    println!("{count} cells, as {}", if is_server { "server" } else { "client" });
}

fn a_server_upgrades_in_every_order() {
    play_all(true);
}

fn a_client_upgrades_in_every_order() {
    play_all(false);
}
