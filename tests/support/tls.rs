//! Certificates made at run time, and a TLS peer of rustls' buffered kind, not under test here.
//!
//! Never: keeps a key in a file.

use crate::peer::{drain, read_until};
use crate::{PATIENCE, Peer, Setup, Stream};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, HandshakeKind, ServerConnection};
use shardpoll::tls::{Certificate, ClientContext, Roots, ServerContext, rustls};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

/// A certificate for `localhost` and its key.
static PEM: LazyLock<(String, String)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("a name");
    (made.cert.pem(), made.signing_key.serialize_pem())
});

/// The certificate for `localhost` and its key, as PEM.
#[must_use]
pub fn pem() -> (&'static str, &'static str) {
    (&PEM.0, &PEM.1)
}

/// A certificate of its own for this host.
#[must_use]
pub fn certificate(host: &str) -> Certificate {
    let made = rcgen::generate_simple_self_signed([host.to_string()]).expect("a name");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    Certificate::from_pem(chain.as_bytes(), key.as_bytes()).expect("made a moment ago")
}

/// A server of that certificate.
#[must_use]
pub fn server_context() -> ServerContext {
    ServerContext::from_pem(PEM.0.as_bytes(), PEM.1.as_bytes()).expect("made a moment ago")
}

/// A client that trusts that certificate.
#[must_use]
pub fn client_context() -> ClientContext {
    ClientContext::from_roots_pem(PEM.0.as_bytes()).expect("made a moment ago")
}

impl Setup {
    /// With TLS from the first byte.
    #[must_use]
    pub fn tls(self) -> Self {
        self.tls_context(server_context())
    }

    /// With TLS from the first byte, of this context.
    #[must_use]
    pub fn tls_context(mut self, context: ServerContext) -> Self {
        self.options.tls = Some(context);
        self
    }
}

/// A protocol version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Version {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];

    /// As rustls calls it.
    #[must_use]
    pub fn of_rustls(self) -> &'static rustls::SupportedProtocolVersion {
        match self {
            Self::Tls12 => &rustls::version::TLS12,
            Self::Tls13 => &rustls::version::TLS13,
        }
    }

    /// A client that speaks this version only.
    #[must_use]
    pub fn client(self) -> ClientContext {
        let roots = Roots::from_pem(PEM.0.as_bytes()).expect("made a moment ago");
        let builder = ClientContext::builder(roots).versions(&[self.of_rustls()]);
        builder.build().expect("the provider knows both versions")
    }
}

/// A connection and its transport, as one blocking stream.
struct Pipe<'a> {
    tls: &'a mut Connection,
    transport: &'a mut Stream,
}

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            self.tls.complete_io(self.transport)?;
        }
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = self.tls.writer().write(data)?;
        self.flush().map(|()| taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(self.transport)?;
        }
        Ok(())
    }
}

/// A TLS client, or server.
#[derive(Debug)]
pub struct TlsPeer {
    /// The transport, for what is not TLS.
    pub peer: Peer,
    tls: Connection,
}

impl TlsPeer {
    /// Connects and shakes hands.
    #[must_use]
    pub fn connect(to: SocketAddr, version: Version) -> Self {
        let mut this = Self::begin(to, version);
        this.handshake().expect("a handshake in time");
        this
    }

    /// Connects; nothing of TLS is sent yet.
    #[must_use]
    pub fn begin(to: SocketAddr, version: Version) -> Self {
        Self::over(Peer::connect(to), version)
    }

    /// On a transport that stands; nothing of TLS is sent yet.
    #[must_use]
    pub fn over(peer: Peer, version: Version) -> Self {
        Self::client(peer, &version.client(), "localhost")
    }

    /// Connects, to ask for this host, or for none if it is an address; nothing of TLS is sent yet.
    #[must_use]
    pub fn asking(to: SocketAddr, context: &ClientContext, host: &str) -> Self {
        Self::client(Peer::connect(to), context, host)
    }

    fn client(peer: Peer, context: &ClientContext, host: &str) -> Self {
        let name = ServerName::try_from(host.to_owned()).expect("a name");
        let config = Arc::clone(context.config());
        let tls = ClientConnection::new(config, name).expect("a good configuration");
        Self { peer, tls: tls.into() }
    }

    /// The certificate that the engine has shown, if this is it.
    #[must_use]
    pub fn was_shown(&self, certificate: &Certificate) -> bool {
        let shown = self.tls.peer_certificates();
        shown.is_some_and(|shown| shown == certificate.chain())
    }

    /// Whether the engine has resumed an earlier session.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// As the server, on a transport that stands.
    #[must_use]
    pub fn serve(peer: Peer) -> Self {
        let config = Arc::clone(server_context().config());
        let tls = ServerConnection::new(config).expect("a good configuration");
        Self { peer, tls: tls.into() }
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// TLS' or the kernel's.
    pub fn handshake(&mut self) -> io::Result<()> {
        self.tls.complete_io(&mut self.peer.stream).map(drop)
    }

    fn stream(&mut self) -> Pipe<'_> {
        Pipe { tls: &mut self.tls, transport: &mut self.peer.stream }
    }

    /// Sends all of it.
    pub fn send(&mut self, data: &[u8]) {
        self.stream().write_all(data).expect("the engine reads");
        self.stream().flush().expect("the engine reads");
    }

    /// Sends what can be sent; the engine may end it.
    pub fn send_some(&mut self, data: &[u8]) {
        let mut stream = self.stream();
        let _refused = stream.write_all(data).and_then(|()| stream.flush());
    }

    /// Reads until this has come, and passes over what is before it.
    pub fn expect_at_last(&mut self, want: &[u8]) {
        read_until(&mut self.stream(), want);
    }

    /// Reads so much, or less if it ends before.
    pub fn drain(&mut self, bytes: usize) {
        drain(&mut self.stream(), bytes);
    }

    /// The records that carry these pieces, one each, to be sent in one go.
    #[must_use]
    pub fn seal(&mut self, pieces: &[&[u8]]) -> Vec<u8> {
        for piece in pieces {
            self.tls.writer().write_all(piece).expect("room for it");
        }
        self.wire()
    }

    /// The record that ends our side.
    #[must_use]
    pub fn seal_end(&mut self) -> Vec<u8> {
        self.tls.send_close_notify();
        self.wire()
    }

    /// The first flight of the handshake.
    #[must_use]
    pub fn hello(&mut self) -> Vec<u8> {
        self.wire()
    }

    fn wire(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut wire).expect("memory takes everything");
        }
        wire
    }

    /// Reads exactly these bytes.
    pub fn expect(&mut self, want: &[u8]) {
        let mut got = vec![0; want.len()];
        self.stream().read_exact(&mut got).expect("an answer in time");
        assert!(got == want, "got other bytes than those {} expected", want.len());
    }

    /// Sends, and reads the same bytes back.
    pub fn echo(&mut self, data: &[u8]) {
        self.send(data);
        self.expect(data);
    }

    /// Ends our side by a close_notify; the transport stays open.
    pub fn finish(&mut self) {
        let wire = self.seal_end();
        self.peer.send(&wire);
    }

    /// Reads to the end, which must be a close_notify.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut got = Vec::new();
        self.stream().read_to_end(&mut got).expect("close_notify in time");
        got
    }

    /// Reads to the end; whether it came without a close_notify.
    pub fn ends_without_notice(&mut self) -> bool {
        self.stream().read_to_end(&mut Vec::new()).is_err_and(|error| {
            let kind = error.kind();
            kind == io::ErrorKind::UnexpectedEof || kind == io::ErrorKind::ConnectionReset
        })
    }

    /// Goes on until the engine ends the connection, one way or the other.
    pub fn play_out(mut self, data: &[u8]) {
        self.peer.stream.set_patience(PATIENCE);
        if self.handshake().is_ok() && self.stream().write_all(data).is_ok() {
            let _end = self.stream().read_to_end(&mut Vec::new());
        }
        let _end = self.peer.stream.read_to_end(&mut Vec::new());
    }
}
