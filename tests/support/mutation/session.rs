//! Two sessions back to back, whose bytes are changed on the way: each must refuse, or go on as if
//! nothing had been, and never be made to take for the other's what the other has not sent.
//!
//! Never: lets a session go without the last word: its transport ends in every case.

use super::change::Changer;
use super::crypto::{self, Contexts, NAME};
use super::{KEPT_MOST, Tally};
use fastrand::Rng;
use shardpoll::tls::{Error, Session};

/// Flights that go back and forth at the most.
const ROUNDS: usize = 60;

/// Connections of a case, so that the later ones can resume.
const CONNECTIONS: usize = 3;

/// What a session owes at the most for a call: a flight of its own, and an answer for what it got.
const OWED_MOST: usize = 64 * 1024;

/// One side, and what it has been through.
pub(super) struct End {
    pub(super) session: Session,
    /// What it owes its peer.
    pub(super) wire: Vec<u8>,
    /// What it was given for the application.
    pub(super) got: Vec<u8>,
    /// What its application has sent.
    pub(super) sent: Vec<u8>,
    pub(super) failed: Option<String>,
    closed: bool,
    /// Changes its records before they are sealed.
    pub(super) bent: Option<Changer>,
}

impl End {
    pub(super) fn new(session: Result<Session, Error>) -> Self {
        let session = session.expect("the contexts are sound");
        let (wire, got, sent) = (Vec::new(), Vec::new(), Vec::new());
        Self { session, wire, got, sent, failed: None, closed: false, bent: None }
    }

    /// Gives it bytes, and looks at what it makes of them.
    pub(super) fn receive(&mut self, bytes: &mut [u8], tally: &mut Tally) -> Result<(), String> {
        let (owed, had, len) = (self.wire.len(), self.got.len(), bytes.len());
        let kept = self.session.buffered();
        let Self { session, wire, got, bent, .. } = self;
        let read = crypto::bent(bent, || session.receive(bytes, got, wire));
        let error = read.as_ref().err().map(Error::to_string);
        let (owes, has) = (self.wire.len() - owed, self.got.len() - had);
        let keeps = self.session.buffered();
        tally.kept_most = tally.kept_most.max(keeps);
        if keeps > KEPT_MOST {
            return Err(format!("keeps {keeps} bytes"));
        }
        if owes > OWED_MOST + 32 * len {
            return Err(format!("owes {owes} bytes for {len}"));
        }
        if has > kept + len {
            return Err(format!("has {has} bytes of plaintext from {len}, {kept} kept before"));
        }
        if let Err(Error::Internal { .. } | Error::Config { .. }) = read {
            return Err(format!("blames itself for what it was sent: {error:?}"));
        }
        if let Some(before) = &self.failed {
            if error.as_ref() != Some(before) || owes + has > 0 {
                return Err(format!("failed by {before}, and goes on: {error:?}, {owes}, {has}"));
            }
        } else if let Some(error) = error {
            self.failed = Some(error);
        }
        Ok(())
    }

    fn send(&mut self, data: &[u8]) {
        let Self { session, wire, bent, .. } = self;
        if crypto::bent(bent, || session.send(data, wire)).is_ok() {
            self.sent.extend_from_slice(data);
        }
    }

    fn close(&mut self) {
        self.closed = true;
        let Self { session, wire, bent, .. } = self;
        crypto::bent(bent, || session.close(wire));
    }

    /// Whatever it was, the transport ends.
    fn end(&mut self, tally: &mut Tally) {
        let ended = self.session.end_of_input();
        match (&self.failed, ended) {
            (Some(failed), _) => tally.ended(failed),
            (None, Err(error)) => tally.ended(&error),
            (None, Ok(())) => tally.ended(&"in order"),
        }
    }

    /// Whether what it was given is the beginning of what the other has sent.
    pub(super) fn believes_only(&self, other: &[u8]) -> Result<(), String> {
        if other.starts_with(&self.got) {
            return Ok(());
        }
        Err(format!("{} bytes were taken for the peer's, which are not", self.got.len()))
    }
}

/// What is changed in a connection.
struct Plan {
    up: Option<Changer>,
    down: Option<Changer>,
    /// Some side's records were changed before they were sealed: it may say anything.
    bent: bool,
}

/// Plays a case: some connections of the same contexts.
pub(super) fn play(rng: &mut Rng) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let contexts = crypto::contexts(rng);
    let mut poisoned = false;
    for _ in 0..rng.usize(1..=CONNECTIONS) {
        connection(rng, &contexts, &mut tally, &mut poisoned)?;
    }
    Ok(tally)
}

/// `poisoned` is whether an earlier one may have left a ticket that the server does not know.
fn connection(
    rng: &mut Rng,
    contexts: &Contexts,
    tally: &mut Tally,
    poisoned: &mut bool,
) -> Result<(), String> {
    let name = NAME.try_into().expect("a name");
    let mut client = End::new(Session::client(&contexts.client, name));
    let mut server = End::new(Session::server(&contexts.server));
    let mut plan = Plan { up: None, down: None, bent: false };
    match rng.u8(..8) {
        0 => {}
        1 | 2 => plan.up = Some(Changer::new(rng)),
        3 | 4 => plan.down = Some(Changer::new(rng)),
        5 => (plan.up, plan.down) = (Some(Changer::new(rng)), Some(Changer::new(rng))),
        6 => (client.bent, plan.bent) = (Some(Changer::new(rng)), true),
        _ => (server.bent, plan.bent) = (Some(Changer::new(rng)), true),
    }
    *poisoned |= plan.bent;
    let honest = plan.up.is_none() && plan.down.is_none() && !*poisoned;
    let started = crypto::bent(&mut client.bent, || client.session.start(&mut client.wire));
    started.map_err(|error| format!("a client cannot begin: {error}"))?;
    let goodbye = rng.usize(2..12);
    for round in 0..ROUNDS {
        if client.wire.is_empty() && server.wire.is_empty() && round > goodbye {
            break;
        }
        carry(rng, &mut client, &mut server, &mut plan.up, tally)?;
        carry(rng, &mut server, &mut client, &mut plan.down, tally)?;
        for end in [&mut client, &mut server] {
            if rng.u8(..3) == 0 {
                let most = [10, 300, 20_000][rng.usize(..3)];
                let len = rng.usize(1..most);
                end.send(&(0..len).map(|_| rng.u8(..)).collect::<Vec<_>>());
            }
            if round >= goodbye && rng.bool() {
                end.close();
            }
        }
    }
    judge(&client, &server, &plan)?;
    if honest {
        client.close();
        carry(rng, &mut client, &mut server, &mut None, tally)?;
        judge_honest(&client, &server)?;
    }
    let established = client.session.is_established() || server.session.is_established();
    tally.connections += 1;
    tally.established += u64::from(established);
    tally.resumed += u64::from(established && server.session.info().resumed() == Some(true));
    client.end(tally);
    server.end(tally);
    Ok(())
}

/// Carries what one owes to the other, changed and in pieces.
fn carry(
    rng: &mut Rng,
    from: &mut End,
    to: &mut End,
    changer: &mut Option<Changer>,
    tally: &mut Tally,
) -> Result<(), String> {
    let mut flight = std::mem::take(&mut from.wire);
    if let Some(changer) = changer {
        changer.change(&mut flight);
    }
    // Single bytes of a short flight; of a long one they would take too long.
    let least = 1 + flight.len() / 2000;
    let piece = [least, least + rng.usize(..100), flight.len().max(1)][rng.usize(..3)];
    flight.chunks_mut(piece).try_for_each(|piece| to.receive(piece, tally))
}

/// Nothing was changed, so everything must have been done.
fn judge_honest(client: &End, server: &End) -> Result<(), String> {
    if !(client.session.is_established() && server.session.is_established()) {
        return Err(format!("an honest handshake: {:?} {:?}", client.failed, server.failed));
    }
    // Who closes first drops the rest unread.
    let all_came = server.session.peer_closed() && server.got == client.sent;
    if !server.closed && !all_came {
        let (got, sent) = (server.got.len(), client.sent.len());
        return Err(format!("an honest end: {:?}, {got} bytes of {sent}", server.failed));
    }
    Ok(())
}

fn judge(client: &End, server: &End, plan: &Plan) -> Result<(), String> {
    if !plan.bent {
        client.believes_only(&server.sent)?;
        server.believes_only(&client.sent)?;
    }
    if client.session.is_established() && server.session.is_established() {
        let bindings = [client, server].map(|end| end.session.info().tls_exporter());
        if bindings[0] != bindings[1] || bindings[0].is_err() {
            return Err(format!("bound to other values: {bindings:?}"));
        }
        let points = [client, server].map(|end| end.session.info().tls_server_end_point());
        // Ed25519 has no hash of its own.
        if points[0] != points[1] {
            return Err(format!("bound to other certificates: {points:?}"));
        }
    }
    Ok(())
}
