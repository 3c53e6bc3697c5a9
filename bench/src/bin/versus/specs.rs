//! Each scenario's line of data.
//!
//! Never: computes anything.

use crate::peer::Peer;
use crate::scenario::{Goal, Kind, Lines, Spec};

/// Everybody who echoes without TLS.
pub(crate) const PLAIN: &[Peer] = &[
    Peer::Shardpoll,
    Peer::Floor,
    Peer::FloorEt,
    Peer::Mio,
    Peer::Tokio,
    Peer::TokioMulti,
    Peer::Monoio,
    Peer::MonoioUring,
    Peer::Glommio,
    Peer::Libuv,
    Peer::Libevent,
];

/// The same, and what a larger read buffer gives by itself.
const BULKY: &[Peer] = &[
    Peer::Shardpoll,
    Peer::Floor,
    Peer::FloorEt,
    Peer::FloorEt64,
    Peer::Mio,
    Peer::Tokio,
    Peer::TokioMulti,
    Peer::Monoio,
    Peer::MonoioUring,
    Peer::Glommio,
    Peer::Libuv,
    Peer::Libevent,
];

/// The cheapest of them, and those that callgrind can count.
pub(crate) const FEW: &[Peer] = &[
    Peer::Shardpoll,
    Peer::Floor,
    Peer::FloorEt,
    Peer::Mio,
    Peer::Tokio,
    Peer::Libuv,
    Peer::Libevent,
];

/// Everybody who echoes with TLS.
pub(crate) const TLS: &[Peer] = &[Peer::Shardpoll, Peer::FloorEt, Peer::Tokio];

/// Beside the level-triggered floor.
const BESIDE_FLOOR: Spec = Spec {
    name: "",
    title: "",
    unit: "us/echo",
    kind: Kind::Idle,
    peers: PLAIN,
    base: Peer::Floor,
    tls: false,
    behind: None,
    goal: None,
};

/// Beside tokio-rustls.
const BESIDE_TOKIO: Spec = Spec { peers: TLS, base: Peer::Tokio, tls: true, ..BESIDE_FLOOR };

const fn lines(connections: usize, size: usize, depth: usize) -> Kind {
    Kind::Lines(Lines { connections, size, depth })
}

const fn visits(resumed: bool) -> Kind {
    Kind::Visits { at_a_time: 16, resumed }
}

pub(crate) const ECHO50: Spec = Spec {
    name: "echo50",
    title: "64-byte echo, plain, 50 connections, one in flight on each",
    kind: lines(50, 64, 1),
    ..BESIDE_FLOOR
};

pub(crate) const ECHO1000: Spec = Spec {
    name: "echo1000",
    title: "64-byte echo, plain, 1,000 connections, one in flight on each",
    kind: lines(1000, 64, 1),
    ..BESIDE_FLOOR
};

/// Its last part has the goal.
pub(crate) const ECHO15000: Spec = Spec {
    name: "echo15000",
    title: "64-byte echo, plain, one in flight on each of 50 connections, and of 15,000",
    kind: Kind::Scale([50, 15_000]),
    peers: FEW,
    ..BESIDE_FLOOR
};

pub(crate) const PIPE: Spec = Spec {
    name: "pipe",
    title: "1 KiB echo, plain, 50 connections, 16 in flight on each",
    kind: lines(50, 1024, 16),
    ..BESIDE_FLOOR
};

pub(crate) const BULK: Spec = Spec {
    name: "bulk",
    title: "64 KiB echo, plain, 4 connections, 4 in flight on each",
    unit: "us/MB",
    kind: lines(4, 64 * 1024, 4),
    peers: BULKY,
    goal: Some(Goal::Ratio(0.65)),
    ..BESIDE_FLOOR
};

pub(crate) const CHURN: Spec = Spec {
    name: "churn",
    title: "connect, one 64-byte echo, close; 16 at a time",
    unit: "us/visit",
    kind: visits(false),
    ..BESIDE_FLOOR
};

pub(crate) const IDLE: Spec = Spec {
    name: "idle",
    title: "idle plain connections, each after one 64-byte echo",
    unit: "bytes",
    kind: Kind::Idle,
    goal: Some(Goal::Value(300.0)),
    ..BESIDE_FLOOR
};

pub(crate) const TLSECHO: Spec = Spec {
    name: "tlsecho",
    title: "64-byte echo, TLS 1.3, 50 connections, one in flight on each",
    kind: lines(50, 64, 1),
    goal: Some(Goal::Ratio(0.86)),
    ..BESIDE_TOKIO
};

pub(crate) const TLSCHURN: Spec = Spec {
    name: "tlschurn",
    title: "connect, full TLS 1.3 handshake, one 64-byte echo, close; 16 at a time",
    unit: "us/visit",
    kind: visits(false),
    goal: Some(Goal::Ratio(0.88)),
    ..BESIDE_TOKIO
};

pub(crate) const TLSRESUME: Spec = Spec {
    name: "tlsresume",
    title: "connect, resumed TLS 1.3 handshake, one 64-byte echo, close; 16 at a time",
    unit: "us/visit",
    kind: visits(true),
    ..BESIDE_TOKIO
};

pub(crate) const TLSBULK: Spec = Spec {
    name: "tlsbulk",
    title: "64 KiB echo, TLS 1.3, 4 connections, 4 in flight on each",
    unit: "us/MB",
    kind: lines(4, 64 * 1024, 4),
    goal: Some(Goal::Ratio(0.70)),
    ..BESIDE_TOKIO
};

pub(crate) const TLSIDLE: Spec = Spec {
    name: "tlsidle",
    title: "idle TLS 1.3 connections, each after one 64-byte echo",
    unit: "bytes",
    kind: Kind::Idle,
    goal: Some(Goal::Value(4100.0)),
    ..BESIDE_TOKIO
};

pub(crate) const LETTERS: Spec = Spec {
    name: "letters",
    title: "letters (boxed tasks) from a thread on the second CPU to the first",
    unit: "ns",
    kind: Kind::Letters,
    peers: &[Peer::Shardpoll, Peer::Tokio, Peer::Bare],
    base: Peer::Tokio,
    ..BESIDE_FLOOR
};

pub(crate) const FANOUT: Spec = Spec {
    name: "fanout",
    title: "64 bytes told to 10,000 connections; of tokio, by a broadcast channel",
    unit: "us/copy",
    kind: Kind::Fanout(10_000),
    peers: &[Peer::Shardpoll, Peer::Tokio],
    base: Peer::Tokio,
    goal: Some(Goal::Ratio(0.95)),
    ..BESIDE_FLOOR
};

/// Its instructions have the goal.
pub(crate) const SHARDS: Spec = Spec {
    name: "shards",
    title: "64-byte echo, plain, two shards with 50 connections each beside one with 50",
    kind: Kind::Shards,
    peers: &[Peer::Shardpoll, Peer::OneShard],
    base: Peer::OneShard,
    goal: Some(Goal::Ratio(1.02)),
    ..BESIDE_FLOOR
};

/// Proxies, beside haproxy.
const PROXIES: &[Peer] = &[Peer::Shardpoll, Peer::Haproxy, Peer::HaproxySplice, Peer::Nginx];

pub(crate) const LINK: Spec = Spec {
    name: "link",
    title: "64-byte echo through a proxy, 50 connections, one in flight on each",
    kind: lines(50, 64, 1),
    peers: PROXIES,
    base: Peer::Haproxy,
    behind: Some(Peer::Floor),
    goal: Some(Goal::Ratio(0.85)),
    ..BESIDE_FLOOR
};

pub(crate) const LINKBULK: Spec = Spec {
    name: "linkbulk",
    title: "64 KiB echo through a proxy, 4 connections, 4 in flight on each; twice forwarded",
    unit: "us/MB",
    kind: lines(4, 64 * 1024, 4),
    base: Peer::HaproxySplice,
    goal: Some(Goal::Ratio(1.0)),
    ..LINK
};

/// Its parts have goals of their own.
pub(crate) const TIMERS: Spec = Spec {
    name: "timers",
    title: "timers due within 60 s: the time of one operation, with so many pending",
    unit: "ns",
    kind: Kind::Timers,
    peers: &[Peer::Shardpoll, Peer::DelayQueue],
    base: Peer::DelayQueue,
    ..BESIDE_FLOOR
};

/// Its parts have goals and a base of their own.
pub(crate) const INSTRUCTIONS: Spec = Spec {
    name: "instructions",
    title: "user-space instructions (callgrind); TLS beside tokio-rustls",
    unit: "instr",
    kind: Kind::Instructions,
    ..BESIDE_FLOOR
};
