//! A loop that upgrades a connection, whose peer's bytes are changed on the way: commands in clear,
//! then a handshake, then records.
//!
//! Never: leaves a connection behind: all must have ended when the world's patience has.

use super::Tally;
use super::change::Changer;
use super::crypto::{self, NAME};
use super::session::End;
use fastrand::Rng;
use shardpoll::tls::{ServerContext, Session};
use shardpoll::{CloseReason, Config, Conn, Handler, Pipelined, Status, TlsPlan};
use shardpoll_reactor::{SimPeer, Simulation};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const COMMAND: &[u8] = b"STARTTLS\n";

/// The handshake's, the silence's and the last words' together are less.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the handler was told.
#[derive(Default)]
struct Told {
    clear: Vec<u8>,
    sealed: Vec<u8>,
    upgrades: u64,
    established: bool,
    end: Option<String>,
}

struct Upgrader {
    context: ServerContext,
    told: Rc<RefCell<Told>>,
    pipelined: Pipelined,
    /// Whether it answers the command, and whether it hands over what it holds back.
    answers: bool,
    hands_over: bool,
}

impl Handler for Upgrader {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        let mut told = self.told.borrow_mut();
        if told.established {
            told.sealed.extend_from_slice(data);
            conn.write(data);
            return;
        }
        let from = told.clear.len().saturating_sub(COMMAND.len());
        told.clear.extend_from_slice(data);
        let windows = told.clear[from..].windows(COMMAND.len());
        let Some(at) = windows.into_iter().position(|window| window == COMMAND) else { return };
        let rest = told.clear.split_off(from + at + COMMAND.len());
        if self.answers {
            conn.write(b"go ahead\n");
        }
        let plan = TlsPlan::server(self.context.clone()).pipelined(self.pipelined);
        let plan = if self.hands_over { plan.leftover(&rest) } else { plan };
        told.upgrades += u64::from(conn.start_tls(plan).is_ok());
    }

    fn on_status(&mut self, _: &mut Conn<'_>, _: &Status) {
        self.told.borrow_mut().established = true;
    }

    fn on_disconnect(&mut self, _: &mut Conn<'_>, reason: &CloseReason) {
        self.told.borrow_mut().end = Some(reason.to_string());
    }
}

/// Plays a case: one connection, from the first command to the end.
pub(super) fn play(rng: &mut Rng) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let contexts = crypto::contexts(rng);
    let told = Rc::new(RefCell::new(Told::default()));
    let upgrader = Upgrader {
        context: contexts.server.clone(),
        told: Rc::clone(&told),
        pipelined: if rng.bool() { Pipelined::Refuse } else { Pipelined::FeedToHandshake },
        answers: rng.bool(),
        hands_over: rng.bool(),
    };
    let mut config = Config::default();
    config.read_timeout = Some(Duration::from_secs(20));
    let mut world = Simulation::new(config).expect("good settings");
    let peer = world.connect(upgrader);
    let name = NAME.try_into().expect("a name");
    let mut client = End::new(Session::client(&contexts.client, name));
    talk(rng, &mut world, &peer, &mut client, &mut tally)?;
    peer.shutdown();
    world.run_for(PATIENCE);

    let told = told.borrow();
    let Some(end) = &told.end else { return Err("a connection that does not end".into()) };
    let _last_words = peer.recv_all();
    if !peer.is_at_end() && !peer.is_reset() {
        return Err(format!("the peer is not told of the end by {end}"));
    }
    if !client.sent.starts_with(&told.sealed) {
        return Err(format!("{} bytes delivered that were not sent sealed", told.sealed.len()));
    }
    let resumed = client.session.info().resumed() == Some(true);
    tally.connections += 1;
    tally.established += u64::from(told.established);
    tally.resumed += u64::from(told.established && resumed);
    tally.upgrades += told.upgrades;
    tally.ended(end);
    Ok(tally)
}

/// The client's part: commands, then TLS, all of it changed on the way or none.
fn talk(
    rng: &mut Rng,
    world: &mut Simulation,
    peer: &SimPeer,
    client: &mut End,
    tally: &mut Tally,
) -> Result<(), String> {
    let mut changer = (rng.u8(..6) > 0).then(|| Changer::new(rng));
    let mut clear = b"hello\n".repeat(rng.usize(..3));
    clear.extend_from_slice(COMMAND);
    let start = client.session.start(&mut client.wire);
    start.map_err(|error| format!("a client cannot begin: {error}"))?;
    let pipelines = rng.u8(..3) == 0;
    if pipelines {
        clear.append(&mut client.wire);
    }
    // Commands that are changed ask for no upgrade, most of the time.
    if let Some(changer) = changer.as_mut().filter(|_| pipelines || rng.u8(..4) == 0) {
        changer.change(&mut clear);
    }
    deliver(rng, world, peer, &clear);
    let mut in_clear = true;
    for round in 0..12 {
        let mut answer = peer.recv_all();
        if in_clear && answer.starts_with(b"go ahead\n") {
            answer.drain(..b"go ahead\n".len());
        }
        in_clear &= answer.is_empty();
        client.receive(&mut answer, tally)?;
        if client.session.is_established() && rng.bool() {
            let data = vec![b'x'; rng.usize(1..2000)];
            if client.session.send(&data, &mut client.wire).is_ok() {
                client.sent.extend(data);
            }
        }
        if round > 6 && rng.u8(..4) == 0 {
            client.session.close(&mut client.wire);
        }
        let mut flight = std::mem::take(&mut client.wire);
        if let Some(changer) = &mut changer {
            changer.change(&mut flight);
        }
        deliver(rng, world, peer, &flight);
    }
    Ok(())
}

/// In one piece or in several, each served before the next.
fn deliver(rng: &mut Rng, world: &mut Simulation, peer: &SimPeer, bytes: &[u8]) {
    let pieces = rng.usize(1..8);
    for mut piece in bytes.chunks((bytes.len() / pieces).max(1)) {
        // Its window may be full; when nothing makes room, nobody reads any more.
        while !piece.is_empty() {
            let taken = peer.send(piece);
            world.settle();
            if taken == 0 {
                return;
            }
            piece = &piece[taken..];
        }
    }
    world.settle();
}
