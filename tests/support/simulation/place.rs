//! What a world is made of before anything happens: addresses, listeners, certificates, settings,
//! and the bytes that each sender has to say.
//!
//! Never: plays.

use super::actor::{Actor, planned_panic};
use super::balancer;
use super::history::Shared;
use super::relay::Relay;
use fastrand::Rng;
use shardpoll_reactor::tls::rustls::client::Resumption;
use shardpoll_reactor::tls::rustls::server::ServerSessionMemoryCache;
use shardpoll_reactor::tls::rustls::{ClientConfig, ServerConfig};
use shardpoll_reactor::tls::{ClientContext, ServerContext};
use shardpoll_reactor::{
    Accept, Addr, Config, Handler, Local, PanicPolicy, Peer, Sim, Tick, WhenFull,
};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The addresses of a world.
#[derive(Debug)]
pub struct Place {
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    /// Where peers listen, not the loop.
    pub outside: SocketAddr,
    /// Where a peer listens that never answers.
    pub silent: SocketAddr,
    /// Where relays accept; they connect to the outside.
    pub relayed: SocketAddr,
    /// Where the loop answers in clear and is then a TLS server.
    pub upgraded: SocketAddr,
    /// Where a peer listens that answers in clear, and then never.
    pub half_upgraded: SocketAddr,
    /// Where connections begin with a PROXY header, and go on plain or with TLS.
    pub proxied: SocketAddr,
    pub proxied_tls: SocketAddr,
    pub nowhere: SocketAddr,
    pub with_tls: bool,
    pub server: ServerContext,
    pub client: ClientContext,
}

/// What a sender has at a place of its stream, up to some length: a stranger's byte shows, and soon
/// after one that was lost. The first eight bytes name the sender.
pub fn stream(sender: u64, at: u64) -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut rng = Rng::with_seed(0);
        (0..NOISE_BYTES).map(|_| rng.u8(..)).collect()
    });
    let from = sender.wrapping_mul(0x9E37_79B9).wrapping_add(at) % NOISE_BYTES;
    &noise[usize::try_from(from).expect("below the length")..]
}

/// A prime, so that no two places of a stream are alike for long.
const NOISE_BYTES: u64 = 65_521;

/// A server and a client of it, whose sessions nobody else can resume: a world that is played again
/// shakes hands as it did.
pub fn contexts() -> (ServerContext, ClientContext) {
    let (server, client) = certificate();
    let mut server = ServerConfig::clone(server.config());
    server.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    let mut client = ClientConfig::clone(client.config());
    client.resumption = Resumption::in_memory_sessions(SESSIONS);
    (ServerContext::new(Arc::new(server)), ClientContext::new(Arc::new(client)))
}

/// More than a world has connections.
const SESSIONS: usize = 64;

/// Ed25519, whose signatures have one length.
fn certificate() -> &'static (ServerContext, ClientContext) {
    static MADE: OnceLock<(ServerContext, ClientContext)> = OnceLock::new();
    MADE.get_or_init(|| {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a known algorithm");
        let params = rcgen::CertificateParams::new(["localhost".to_string()]).expect("a name");
        let cert = params.self_signed(&key).expect("its own key").pem();
        let key = key.serialize_pem();
        let server = ServerContext::from_pem(cert.as_bytes(), key.as_bytes());
        let client = ClientContext::from_roots_pem(cert.as_bytes());
        (server.expect("made a moment ago"), client.expect("made a moment ago"))
    })
}

/// What a listener's connections are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Serve,
    Relay,
    Upgrade,
    Proxied,
}

/// Decides on the connections of a listener.
pub struct Gatekeeper {
    pub shared: Shared,
    pub place: Rc<Place>,
    pub number: usize,
    pub kind: Kind,
    pub sim: Sim,
}

impl Accept for Gatekeeper {
    fn accept(&mut self, peer: &Peer) -> Box<dyn Handler> {
        let Addr::Ip(addr) = peer.addr else { panic!("the simulation has internet addresses") };
        {
            let mut history = self.shared.borrow_mut();
            history.note(u64::from(addr.port()));
            // One that had come before a pause may have its header in it.
            let now = if self.kind == Kind::Proxied { Tick::MAX } else { self.sim.time() };
            history.accept(self.number, now);
            if self.kind == Kind::Proxied {
                balancer::judge(&mut history, peer, addr);
            }
        }
        if self.shared.borrow_mut().rng.u32(0..200) == 0 {
            planned_panic(&self.shared);
        }
        if self.kind == Kind::Relay {
            return Box::new(Relay::front(&self.shared, &self.place));
        }
        let actor = Actor::new(&self.shared, &self.place);
        if self.kind == Kind::Upgrade {
            actor.plan_upgrade();
        }
        Box::new(actor)
    }

    fn on_close(&mut self, _: &mut Local<'_>) {
        self.shared.borrow_mut().close_door(self.number);
    }
}

/// The settings of a loop, tight enough that each limit is met.
pub fn config(rng: &mut Rng) -> Config {
    let mut config = Config::default();
    config.read_timeout = Some(Duration::from_millis(rng.u64(300..3000)));
    config.send_timeout = Some(Duration::from_millis(rng.u64(300..2000)));
    config.connect_timeout = Duration::from_millis(rng.u64(50..1000));
    config.handshake_timeout = Duration::from_millis(rng.u64(100..1000));
    config.read_size_bytes = [7, 700, 4096, 16_384][rng.usize(0..4)];
    config.max_queued_bytes = rng.usize(20_000..100_000);
    config.max_shard_queued_bytes = rng.usize(60_000..300_000);
    config.high_water_bytes = rng.usize(0..30_000);
    config.low_water_bytes = rng.usize(0..=config.high_water_bytes);
    config.when_full = [WhenFull::Cut, WhenFull::Refuse, WhenFull::PausePeer][rng.usize(0..3)];
    config.panic_policy = [PanicPolicy::Close, PanicPolicy::Continue][rng.usize(0..2)];
    config
}
