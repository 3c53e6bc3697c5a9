//! Options of sockets, and the names of a connection's two ends.
//!
//! Never: calls the kernel; an option is a wish, carried out when the callback has returned.

use super::{Addr, Config, Conn};
use crate::core::Wish;
use std::fmt;
use std::time::Duration;

/// An option of one connection's socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SocketOption {
    /// Whether small pieces are sent at once (`TCP_NODELAY`, tcp(7)).
    NoDelay(bool),
    /// After how much silence the kernel probes whether the peer is still there (`SO_KEEPALIVE`,
    /// socket(7), and `TCP_KEEPIDLE`, tcp(7)); whole seconds, rounded up, 1 to 32767. `None`:
    /// never.
    KeepAlive(Option<Duration>),
    /// Whether the connection is reset when its socket is closed (`SO_LINGER` with 0 s, socket(7)):
    /// cut ([`Conn::cut`], [`Conn::abort`], an error), the peer hears of no orderly end, what is on
    /// its way may be lost, and no `TIME_WAIT` is left on this side. One that is closed in order
    /// has had its orderly end before. For one that is to be thrown out, or a test of others;
    /// nothing to a unix socket. Set in an earlier callback than the one that ends the connection.
    ResetOnClose(bool),
}

/// Options to be set on a socket; what is `None` stays as it is.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Options {
    no_delay: Option<bool>,
    keep_alive: Option<Option<Duration>>,
    reset_on_close: Option<bool>,
}

impl Options {
    pub(crate) fn set(&mut self, option: SocketOption) {
        match option {
            SocketOption::NoDelay(on) => self.no_delay = Some(on),
            SocketOption::KeepAlive(idle) => self.keep_alive = Some(idle),
            SocketOption::ResetOnClose(on) => self.reset_on_close = Some(on),
        }
    }

    /// What a fresh socket is to be told: the configuration's choice where there is none of its
    /// own, and nothing that a fresh socket has anyway.
    pub(crate) fn of_fresh(self, config: &Config) -> Self {
        let no_delay = self.no_delay.unwrap_or(config.no_delay);
        let keep_alive = self.keep_alive.unwrap_or(config.keep_alive);
        let (no_delay, keep_alive) = (no_delay.then_some(true), keep_alive.map(Some));
        Self { no_delay, keep_alive, ..self }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = SocketOption> {
        let no_delay = self.no_delay.map(SocketOption::NoDelay);
        let keep_alive = self.keep_alive.map(SocketOption::KeepAlive);
        let reset_on_close = self.reset_on_close.map(SocketOption::ResetOnClose);
        no_delay.into_iter().chain(keep_alive).chain(reset_on_close)
    }
}

/// How listening sockets are opened; the options of TCP are inherited by what is accepted, so they
/// cost no call for each connection (S130).
///
/// ```
/// let mut options = shardpoll_reactor::BindOptions::default();
/// options.backlog = 4096;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BindOptions {
    /// How many connections may wait to be accepted, for each socket; Linux caps it by
    /// `net.core.somaxconn`. Default 1024.
    pub backlog: u32,
    /// `TCP_NODELAY`. Default: on.
    pub no_delay: bool,
    /// As [`SocketOption::KeepAlive`]. Default: never.
    pub keep_alive: Option<Duration>,
    /// How many may wait that have sent data with their first packet (`TCP_FASTOPEN`, RFC 7413);
    /// the system must allow it (`net.ipv4.tcp_fastopen`, bit 1). `None`, the default: off.
    pub fast_open: Option<u32>,
    /// For how long a connection that sends nothing is not reported (`TCP_DEFER_ACCEPT`); whole
    /// seconds, rounded up. `None`, the default: not at all.
    pub defer_accept: Option<Duration>,
    /// Whether the address may be had although another process of the same user listens on it, and
    /// shares it (`SO_REUSEPORT`). Default: no.
    pub share: bool,
}

impl Default for BindOptions {
    fn default() -> Self {
        Self {
            backlog: 1024,
            no_delay: true,
            keep_alive: None,
            fast_open: None,
            defer_accept: None,
            share: false,
        }
    }
}

impl Conn<'_> {
    /// Our address on this connection; `None` before it is established (S152).
    #[must_use]
    pub fn local_addr(&self) -> Option<&Addr> {
        self.line().local.as_deref()
    }

    /// The port of the side that has connected: the peer's of an accepted connection, ours of an
    /// outgoing one (S152). `None` when it has none, or is not known yet.
    #[must_use]
    pub fn client_port(&self) -> Option<u16> {
        let addr = if self.is_accepted() { Some(self.peer()) } else { self.local_addr() };
        addr.and_then(Addr::port)
    }

    /// The port of the side that was connected to: ours of an accepted connection, the peer's of an
    /// outgoing one (S152). `None` when it has none, or is not known yet.
    #[must_use]
    pub fn server_port(&self) -> Option<u16> {
        let addr = if self.is_accepted() { self.local_addr() } else { Some(self.peer()) };
        addr.and_then(Addr::port)
    }

    fn is_accepted(&self) -> bool {
        self.listener().is_some()
    }

    /// Whether small pieces are sent at once; see [`SocketOption::NoDelay`].
    pub fn no_delay(&mut self, on: bool) {
        self.set_option(SocketOption::NoDelay(on));
    }

    /// After how much silence the peer is probed; see [`SocketOption::KeepAlive`].
    pub fn keep_alive(&mut self, idle: Option<Duration>) {
        self.set_option(SocketOption::KeepAlive(idle));
    }

    /// Sets an option of the socket, when the callback has returned (S156).
    ///
    /// One that the kernel refuses is logged and counted
    /// ([`Counters::refused_options`](crate::Counters)); the connection goes on.
    pub fn set_option(&mut self, option: SocketOption) {
        self.core.wishes.push(Wish::Option(self.id, option));
    }
}

/// Its id, the peer's address, and ours once it is established, for logs (S157).
impl fmt::Display for Conn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (peer {}", self.id(), self.peer())?;
        if let Some(local) = self.local_addr() {
            write!(f, ", local {local}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_socket_is_told_only_what_it_has_not_anyway() {
        let told =
            |options: Options, config: &Config| options.of_fresh(config).iter().collect::<Vec<_>>();
        let mut config = Config::default();
        assert_eq!(told(Options::default(), &config), [SocketOption::NoDelay(true)]);
        let mut own = Options::default();
        own.set(SocketOption::NoDelay(false));
        assert_eq!(told(own, &config), []);
        let minute = Some(Duration::from_secs(60));
        config.keep_alive = minute;
        assert_eq!(told(own, &config), [SocketOption::KeepAlive(minute)]);
        own.set(SocketOption::KeepAlive(None));
        assert_eq!(told(own, &config), []);
        // One that is adopted is told all that was asked for.
        assert_eq!(own.iter().count(), 2);
    }
}
