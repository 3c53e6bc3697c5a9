//! The loop under TLS gives back what it gets, whatever its size, and ends in order.

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const NAME: &str = "localhost";

/// Both ends of the same certificate.
fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("its key");
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

#[test]
fn what_comes_goes_back_whole_and_the_end_comes_after_it() {
    let (server, client) = configs();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a port");
    let addr = listener.local_addr().expect("it is bound");
    let (stop, stopped) = UnixStream::pair().expect("descriptors");
    let serve = move || {
        shardpoll_floor::rustls::serve(&listener, &stopped, Duration::from_secs(60), &server)
    };
    let serving = thread::Builder::new().spawn(serve).expect("a thread");
    for size in [1, 64, 16 * 1024, 16 * 1024 + 1, 60_000] {
        let name = NAME.try_into().expect("a name");
        let tls = ClientConnection::new(Arc::clone(&client), name).expect("a client");
        let socket = TcpStream::connect(addr).expect("it listens");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("it is not zero");
        let mut stream = StreamOwned::new(tls, socket);
        for round in 0..20_u8 {
            let sent: Vec<u8> = (0..size).map(|n: usize| n.to_le_bytes()[0] ^ round).collect();
            stream.write_all(&sent).expect("the server reads");
            let mut back = vec![0; size];
            stream.read_exact(&mut back).expect("it answers");
            assert!(back == sent, "{size} bytes, round {round}");
        }
        stream.conn.send_close_notify();
        stream.flush().expect("it is sent");
        let mut rest = Vec::new();
        // An error without the server's close_notify.
        stream.read_to_end(&mut rest).expect("the server closes in order");
        assert!(rest.is_empty());
    }
    drop(stop);
    serving.join().expect("it does not panic").expect("it waits without errors");
}
