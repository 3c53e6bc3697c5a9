//! TLS 1.3 handshakes without sockets: two sessions hand each other their bytes. Full (ECDSA P-256,
//! X25519 or what the provider prefers) and resumed by ticket; both sides are in the figure, and
//! the two tickets that the server then gives.
//!
//! Never: checks the certificate; `insecure` trusts anyone, so what a chain costs is not in it.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use shardpoll::tls::rustls::ProtocolVersion;
use shardpoll::tls::rustls::client::Resumption;
use shardpoll::tls::rustls::pki_types::ServerName;
use shardpoll::tls::{ClientContext, ServerContext, Session};
use std::sync::Arc;
use std::time::Duration;

fn server() -> ServerContext {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).expect("it is simple");
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    ServerContext::from_pem(cert.as_bytes(), key.as_bytes()).expect("just made")
}

/// A client that never resumes.
fn forgetful() -> ClientContext {
    let mut config = Arc::unwrap_or_clone(Arc::clone(ClientContext::insecure().config()));
    config.resumption = Resumption::disabled();
    ClientContext::new(Arc::new(config))
}

/// The sessions of a connection to be, boxed as the engine has them.
struct Pair {
    client: Box<Session>,
    server: Box<Session>,
}

impl Pair {
    fn new(client: &ClientContext, server: &ServerContext) -> Self {
        let name = ServerName::try_from("localhost").expect("it is a name");
        Self {
            client: Box::new(Session::client(client, name).expect("the context can work")),
            server: Box::new(Session::server(server).expect("the context can work")),
        }
    }

    /// Until neither side has anything to say; what was said last are the tickets.
    fn shake_hands(&mut self) {
        let (mut plain, mut to_server, mut to_client) = (Vec::new(), Vec::new(), Vec::new());
        self.client.start(&mut to_server).expect("nothing is wrong");
        while !to_server.is_empty() {
            self.server.receive(&mut to_server, &mut plain, &mut to_client).expect("sound");
            to_server.clear();
            self.client.receive(&mut to_client, &mut plain, &mut to_server).expect("sound");
            to_client.clear();
        }
    }

    /// Whether it went as the bench is called.
    fn check(&self, resumed: bool) {
        assert!(self.client.is_established() && self.server.is_established());
        let info = self.server.info();
        assert_eq!(info.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(info.resumed(), Some(resumed));
    }
}

fn handshake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handshake");
    let server = server();
    for (name, client, resumed) in
        [("full", forgetful(), false), ("resumed", ClientContext::insecure(), true)]
    {
        // Brings the first ticket; each resumption uses one up and brings the next.
        Pair::new(&client, &server).shake_hands();
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || (),
                |()| {
                    let mut pair = Pair::new(&client, &server);
                    pair.shake_hands();
                    pair.check(resumed);
                    pair
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = handshake
}
criterion_main!(benches);
