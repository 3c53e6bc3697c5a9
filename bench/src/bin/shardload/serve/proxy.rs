//! The proxy: each connection is linked to one of its own to the server behind.
//!
//! Never: sees a byte that it carries; looks a name up while it serves.

use crate::failure::Failure;
use crate::target::host_and_port;
use shardpoll::{Addr, CloseReason, Conn, Connect, Handler, ProxyHeader, Refused, Silence, Tick};
use std::cell::Cell;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whom to carry connections on to, as it is written: `HOST:PORT` or `unix:PATH`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Behind {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl FromStr for Behind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            Connect::unix(path).map_err(|error| error.to_string())?;
            return Ok(Self::Unix(path.into()));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(format!("want HOST:PORT or unix:PATH, without {scheme}://"));
        }
        let (host, port) =
            host_and_port(text).map_err(|why| format!("{why}; want HOST:PORT or unix:PATH"))?;
        Ok(Self::Tcp { host, port })
    }
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The server behind, found, and how it is to be spoken to.
#[derive(Debug)]
pub(super) struct Backend {
    behind: Behind,
    /// None for a unix socket.
    addrs: Vec<SocketAddr>,
    send_proxy: bool,
    /// How long both sides may be silent.
    patience: Option<Duration>,
    /// The last connection to it failed, and that was said.
    down: AtomicBool,
}

impl Backend {
    /// Looks its name up.
    pub(super) fn find(
        behind: &Behind,
        send_proxy: bool,
        patience: Option<Duration>,
    ) -> Result<Self, Failure> {
        let addrs = match behind {
            Behind::Tcp { host, port } => {
                let unknown = |why| Failure::Unreachable { target: behind.to_string(), why };
                let found = (host.as_str(), *port).to_socket_addrs();
                let addrs: Vec<_> = found.map_err(|error| unknown(error.to_string()))?.collect();
                if addrs.is_empty() {
                    return Err(unknown("the name has no address".into()));
                }
                addrs
            }
            Behind::Unix(_) => Vec::new(),
        };
        let down = AtomicBool::new(false);
        Ok(Self { behind: behind.clone(), addrs, send_proxy, patience, down })
    }

    /// Whether it is the proxy itself, listening here: each connection would make another one.
    pub(super) fn is_at(&self, listening: &Addr) -> bool {
        match (&self.behind, listening) {
            (Behind::Unix(path), Addr::Unix(Some(here))) => **path == **here,
            (Behind::Tcp { .. }, Addr::Ip(here)) => self.addrs.iter().any(|addr| {
                let anywhere = here.ip().is_unspecified() && addr.ip().is_loopback();
                addr == here || (anywhere && addr.port() == here.port())
            }),
            _ => false,
        }
    }

    fn connect(&self) -> Connect {
        match (&self.behind, &*self.addrs) {
            (Behind::Unix(path), _) => Connect::unix(path).expect("it was looked at when read"),
            (_, [only]) => Connect::to(*only),
            (_, several) => {
                Connect::to_any(several.iter().copied()).expect("a name was found to have some")
            }
        }
    }

    /// Says it once, until one succeeds again.
    fn failed(&self, why: &CloseReason) {
        if !self.down.swap(true, Ordering::Relaxed) {
            eprintln!("shardload: cannot reach {self}: {why}; its clients are closed");
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.behind.fmt(f)
    }
}

/// The side of the client.
pub(super) struct Front {
    backend: Arc<Backend>,
    quiet: Rc<Quiet>,
}

/// The side of the server.
struct Back {
    backend: Arc<Backend>,
    quiet: Rc<Quiet>,
    stood: bool,
}

impl Front {
    pub(super) fn new(backend: &Arc<Backend>) -> Self {
        Self { backend: backend.clone(), quiet: Rc::default() }
    }

    fn carry_on(&self, conn: &mut Conn<'_>) -> Result<(), Refused> {
        let mut to = self.backend.connect();
        if self.backend.send_proxy {
            to = to.proxy_header(ProxyHeader::of(conn));
        }
        let (backend, quiet) = (self.backend.clone(), self.quiet.clone());
        let front = conn.id();
        let mut local = conn.local();
        let back = local.connect(to, Back { backend, quiet, stood: false })?;
        // What the client sends meanwhile waits for the server.
        local.link_both(front, back).expect("both have just begun, here");
        Ok(())
    }
}

impl Handler for Front {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        // Only an engine that is about to end opens no more.
        if self.carry_on(conn).is_err() {
            conn.close();
        }
    }

    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}

    fn on_read_timeout(&mut self, conn: &mut Conn<'_>) -> Silence {
        self.quiet.judge(Side::Front, self.backend.patience, conn.local().now())
    }
}

impl Handler for Back {
    fn on_connect(&mut self, _conn: &mut Conn<'_>) {
        self.stood = true;
        if self.backend.down.load(Ordering::Relaxed) {
            self.backend.down.store(false, Ordering::Relaxed);
        }
    }

    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}

    fn on_read_timeout(&mut self, conn: &mut Conn<'_>) -> Silence {
        self.quiet.judge(Side::Back, self.backend.patience, conn.local().now())
    }

    fn on_disconnect(&mut self, _conn: &mut Conn<'_>, reason: &CloseReason) {
        let ours = matches!(reason, CloseReason::LinkEnded | CloseReason::Quitting);
        if !self.stood && !ours {
            self.backend.failed(reason);
        }
    }
}

#[derive(Clone, Copy)]
enum Side {
    Front,
    Back,
}

/// How long each side of a pair is known to have been silent. A pair ends when both were at the
/// same time: one that only receives is not idle.
#[derive(Default)]
struct Quiet([Cell<Option<Stretch>>; 2]);

/// From a time to a time.
type Stretch = (Tick, Tick);

/// By how much a timeout may come late and still be taken for the one after the last.
const LATE: Duration = Duration::from_millis(20);

impl Quiet {
    /// One side's read timeout has passed.
    fn judge(&self, side: Side, patience: Option<Duration>, now: Tick) -> Silence {
        let Some(patience) = patience else { return Silence::Keep };
        let [own, other] = match side {
            Side::Front => [&self.0[0], &self.0[1]],
            Side::Back => [&self.0[1], &self.0[0]],
        };
        let began = match own.get() {
            Some((began, end)) if now.saturating_since(end) <= patience.saturating_add(LATE) => {
                began
            }
            _ => Tick::from_nanos(now.as_nanos().saturating_sub(nanos(patience))),
        };
        own.set(Some((began, now)));
        let both = other.get().map(|(other_began, other_end)| {
            other_end.min(now).saturating_since(other_began.max(began))
        });
        if both.is_some_and(|both| both.saturating_add(LATE) >= patience) {
            Silence::Close
        } else {
            Silence::Keep
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_to_carry_on_to_is_a_name_with_a_port_or_a_path() {
        let read = |text: &str| text.parse::<Behind>().map(|behind| behind.to_string());
        for good in ["localhost:7000", "127.0.0.1:1", "[::1]:65535", "unix:/run/a.sock"] {
            assert_eq!(read(good), Ok(good.into()));
        }
        for wrong in ["", "7000", "a:", "a:0", "a:65536", ":1", "::1:7000", "[::1]", "tcp://a:1"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        let error = read(&format!("unix:/{}", "x".repeat(120))).expect_err("too long");
        assert!(error.contains("121 bytes"), "{error}");
    }

    #[test]
    fn a_proxy_to_itself_is_seen() {
        let find = |text: &str| {
            let behind = text.parse().expect("it is written well");
            Backend::find(&behind, false, None).expect("it is a number")
        };
        let at = |text: &str| Addr::Ip(text.parse().expect("an address"));
        assert!(find("127.0.0.1:7000").is_at(&at("127.0.0.1:7000")));
        assert!(find("127.0.0.1:7000").is_at(&at("0.0.0.0:7000")));
        assert!(!find("127.0.0.1:7000").is_at(&at("127.0.0.1:7001")));
        assert!(!find("10.0.0.1:7000").is_at(&at("0.0.0.0:7000")));
    }

    #[test]
    fn a_pair_is_idle_when_both_sides_have_been_silent_at_the_same_time() {
        let patience = Some(Duration::from_secs(60));
        let at = |seconds: u64| Tick::from_nanos(seconds * 1_000_000_000);
        // Both since 0.
        let quiet = Quiet::default();
        assert_eq!(quiet.judge(Side::Front, patience, at(60)), Silence::Keep);
        assert_eq!(quiet.judge(Side::Back, patience, at(60)), Silence::Close);
        // The server talks until 50, the client never: 60 s of common silence are over at 110.
        let quiet = Quiet::default();
        assert_eq!(quiet.judge(Side::Front, patience, at(60)), Silence::Keep);
        assert_eq!(quiet.judge(Side::Back, patience, at(110)), Silence::Keep);
        assert_eq!(quiet.judge(Side::Front, patience, at(120)), Silence::Close);
        // The client never says anything, the server goes on.
        let quiet = Quiet::default();
        for minute in 1..100 {
            assert_eq!(quiet.judge(Side::Front, patience, at(minute * 60)), Silence::Keep);
        }
        // It said something between: what was known before is over.
        let quiet = Quiet::default();
        assert_eq!(quiet.judge(Side::Front, patience, at(60)), Silence::Keep);
        assert_eq!(quiet.judge(Side::Front, patience, at(130)), Silence::Keep);
        assert_eq!(quiet.judge(Side::Back, patience, at(100)), Silence::Keep);
        assert_eq!(quiet.judge(Side::Back, Some(Duration::MAX), at(100)), Silence::Keep);
        assert_eq!(quiet.judge(Side::Back, None, at(100)), Silence::Keep);
    }
}
