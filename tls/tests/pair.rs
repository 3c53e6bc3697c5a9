//! Two sessions back to back: whatever way the bytes are cut, both sides see the same.
//!
//! Never: tests what a hostile peer can do; that is `hostile.rs`.

#![cfg(any(feature = "ring", feature = "aws-lc-rs"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod support;

use std::collections::VecDeque;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use shardpoll_tls::Progress;
use support::{ED25519, End, Identity, P256, Pair, VERSIONS};

on_each_provider! {
    any_single_cut_of_tls_1_3_with_p256_changes_nothing,
    any_single_cut_of_tls_1_3_with_ed25519_changes_nothing,
    any_single_cut_of_tls_1_2_with_p256_changes_nothing,
    any_single_cut_of_tls_1_2_with_ed25519_changes_nothing,
    single_bytes_change_nothing,
    coalescing_changes_nothing,
    random_cuts_change_nothing,
    established_data_and_close_may_come_in_one_input,
}

/// How a stream is cut into inputs.
enum Cuts {
    /// Once, after this many bytes.
    At(usize),
    Bytes,
    Nowhere,
    Random(fastrand::Rng),
}

/// One direction: bytes under way, and how many have arrived.
struct Stream<'a> {
    cuts: &'a mut Cuts,
    queue: VecDeque<u8>,
    arrived: usize,
}

impl<'a> Stream<'a> {
    fn new(cuts: &'a mut Cuts) -> Self {
        Self { cuts, queue: VecDeque::new(), arrived: 0 }
    }

    fn next(&mut self) -> Vec<u8> {
        let most = match self.cuts {
            Cuts::At(cut) if self.arrived < *cut => *cut - self.arrived,
            Cuts::At(_) | Cuts::Nowhere => usize::MAX,
            Cuts::Bytes => 1,
            Cuts::Random(rng) => {
                let longest = rng.choice([8, 64, 20_000]).expect("a choice of three");
                rng.usize(1..longest)
            }
        };
        let piece: Vec<u8> = self.queue.drain(..most.min(self.queue.len())).collect();
        self.arrived += piece.len();
        piece
    }
}

struct Plan<'a> {
    identity: &'a Identity,
    version: &'static SupportedProtocolVersion,
    up: &'a [u8],
    down: &'a [u8],
    client_closes: bool,
}

impl Plan<'_> {
    /// Plays the whole connection and returns how many bytes went up and down.
    fn play(&self, up: &mut Cuts, down: &mut Cuts) -> (usize, usize) {
        let mut pair = Pair::of(self.identity, self.version);
        let (mut up, mut down) = (Stream::new(up), Stream::new(down));
        let (mut client_sent, mut server_sent) = (false, false);
        let (mut client_closed, mut server_closed) = (false, false);
        loop {
            up.queue.extend(pair.client.owed());
            down.queue.extend(pair.server.owed());
            if up.queue.is_empty() && down.queue.is_empty() {
                break;
            }
            pair.server.feed(up.next());
            pair.client.feed(down.next());
            talk(&mut pair.client, self.up, &mut client_sent);
            talk(&mut pair.server, self.down, &mut server_sent);
            let client_done = pair.client.plain.len() == self.down.len() && client_sent;
            let server_done = pair.server.plain.len() == self.up.len() && server_sent;
            hang_up(&mut pair.client, self.client_closes && client_done, &mut client_closed);
            hang_up(&mut pair.server, !self.client_closes && server_done, &mut server_closed);
        }
        self.check(pair);
        (up.arrived, down.arrived)
    }

    fn check(&self, mut pair: Pair) {
        assert!(pair.server.plain == self.up, "what the client sent, in order");
        assert!(pair.client.plain == self.down, "what the server sent, in order");
        for end in [&mut pair.client, &mut pair.server] {
            assert_eq!(end.established, 1);
            assert_eq!(end.session.buffered(), 0);
            assert_eq!(end.session.info().protocol_version(), Some(self.version.version));
            end.session.end_of_input().expect("closed, not truncated");
        }
        // The side that closes first drops what comes, so only the other sees a close_notify.
        assert_eq!(pair.server.peer_closed, self.client_closes);
        assert_eq!(pair.client.peer_closed, !self.client_closes);
    }
}

fn talk(end: &mut End, message: &[u8], sent: &mut bool) {
    if end.session.is_established() && !std::mem::replace(sent, end.session.is_established()) {
        let (head, tail) = message.split_at(message.len() / 3);
        end.send(head);
        end.send(tail);
    }
}

fn hang_up(end: &mut End, done: bool, closed: &mut bool) {
    if (done || end.peer_closed) && !std::mem::replace(closed, true) {
        end.close();
    }
}

fn every_cut(identity: &Identity, version: &'static SupportedProtocolVersion) {
    for cut in 1.. {
        let plan = Plan {
            identity,
            version,
            up: &[b'u'; 30],
            down: &[b'd'; 40],
            client_closes: cut % 2 == 0,
        };
        let (up, down) = plan.play(&mut Cuts::At(cut), &mut Cuts::At(cut));
        if cut > up.max(down) {
            return;
        }
    }
}

fn any_single_cut_of_tls_1_3_with_p256_changes_nothing() {
    every_cut(&P256, &TLS13);
}

fn any_single_cut_of_tls_1_3_with_ed25519_changes_nothing() {
    every_cut(&ED25519, &TLS13);
}

fn any_single_cut_of_tls_1_2_with_p256_changes_nothing() {
    every_cut(&P256, &TLS12);
}

fn any_single_cut_of_tls_1_2_with_ed25519_changes_nothing() {
    every_cut(&ED25519, &TLS12);
}

/// All combinations of version, certificate and who closes first.
fn matrix(up: &[u8], down: &[u8], mut play: impl FnMut(&Plan<'_>)) {
    for version in VERSIONS {
        for identity in [&*P256, &*ED25519] {
            for client_closes in [false, true] {
                play(&Plan { identity, version, up, down, client_closes });
            }
        }
    }
}

fn single_bytes_change_nothing() {
    matrix(&[1; 20_000], &[2; 300], |plan| {
        plan.play(&mut Cuts::Bytes, &mut Cuts::Bytes);
    });
}

fn coalescing_changes_nothing() {
    matrix(&[1; 100_000], &[2; 100_000], |plan| {
        plan.play(&mut Cuts::Nowhere, &mut Cuts::Nowhere);
        plan.play(&mut Cuts::Nowhere, &mut Cuts::Bytes);
    });
}

fn random_cuts_change_nothing() {
    for seed in 0..12 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut up = vec![0; rng.usize(..70_000)];
        rng.fill(&mut up);
        let down: Vec<u8> = up.iter().rev().copied().collect();
        matrix(&up, &down, |plan| {
            let (mut up, mut down) = (Cuts::Random(rng.fork()), Cuts::Random(rng.fork()));
            plan.play(&mut up, &mut down);
        });
    }
}

fn established_data_and_close_may_come_in_one_input() {
    for version in VERSIONS {
        let Pair { mut client, mut server } = Pair::of(&P256, version);
        // The side that finishes first speaks along with its last flight.
        let (mut speaker, mut hearer) = loop {
            if server.feed(client.owed()) == Progress::Established {
                break (server, client);
            }
            if client.feed(server.owed()) == Progress::Established {
                break (client, server);
            }
        };
        speaker.send(b"last words");
        speaker.close();
        assert_eq!(hearer.feed(speaker.owed()), Progress::Established);
        assert!(hearer.session.peer_closed());
        assert_eq!(hearer.received(), b"last words");
        assert_eq!(hearer.feed(b"ignored".to_vec()), Progress::PeerClosed);
        // Only the other direction is closed: what is still to be said can be.
        hearer.send(b"answer");
        assert!(!hearer.wire.is_empty());
    }
}
