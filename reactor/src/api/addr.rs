//! Addresses: what the two ends of a connection are called.
//!
//! Never: looks a name up.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// The address of one end of a connection, or of a listener.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Addr {
    /// An internet address and port.
    Ip(SocketAddr),
    /// A unix socket, and the file it is bound to; `None` for one without, as clients are
    /// (unix(7)).
    Unix(Option<Arc<Path>>),
}

// It stands in every line.
const _: () = assert!(size_of::<Addr>() <= 32);

impl Addr {
    /// The internet address; `None` for a unix socket.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(addr) => Some(*addr),
            Self::Unix(_) => None,
        }
    }

    /// The port; `None` for a unix socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.ip().map(|addr| addr.port())
    }

    /// Whether a socket bound to it may be reached under several addresses.
    pub(crate) fn is_wildcard(&self) -> bool {
        matches!(self, Self::Ip(addr) if addr.ip().is_unspecified())
    }
}

impl From<SocketAddr> for Addr {
    fn from(addr: SocketAddr) -> Self {
        Self::Ip(addr)
    }
}

/// An internet address as usual, a unix socket as `unix:/its/path`, or `unix:` without one.
impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix:"),
        }
    }
}

/// The longest path of a unix socket, in bytes: `sun_path` has 108, one of them for the end
/// (unix(7)).
pub(crate) const MAX_PATH_BYTES: usize = 107;

/// A path that no unix socket can have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnixPathError {
    path: Box<Path>,
}

impl UnixPathError {
    /// Says whether a unix socket may have this path.
    pub(crate) fn check(path: &Path) -> Result<(), Self> {
        let bytes = path.as_os_str().as_encoded_bytes();
        if bytes.is_empty() || bytes.len() > MAX_PATH_BYTES || bytes.contains(&0) {
            return Err(Self { path: path.into() });
        }
        Ok(())
    }
}

impl fmt::Display for UnixPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_os_str();
        write!(
            f,
            "{path:?} is no path of a unix socket: it has {} bytes, and must have 1 to \
             {MAX_PATH_BYTES}, none of them 0",
            path.len()
        )
    }
}

impl std::error::Error for UnixPathError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_are_written() {
        let ip: SocketAddr = "[::1]:80".parse().expect("an address");
        assert_eq!(Addr::from(ip).to_string(), "[::1]:80");
        assert_eq!((Addr::from(ip).ip(), Addr::from(ip).port()), (Some(ip), Some(80)));
        let unix = Addr::Unix(Some(Path::new("/run/a").into()));
        assert_eq!(unix.to_string(), "unix:/run/a");
        assert_eq!((unix.ip(), unix.port()), (None, None));
        assert_eq!(Addr::Unix(None).to_string(), "unix:");
    }

    #[test]
    fn a_path_that_does_not_fit_is_named() {
        let longest = "x".repeat(MAX_PATH_BYTES);
        assert_eq!(UnixPathError::check(Path::new(&longest)), Ok(()));
        for path in [format!("{longest}y"), String::new(), "a\0b".into()] {
            let error = UnixPathError::check(Path::new(&path)).expect_err("no path of a socket");
            let text = error.to_string();
            assert!(text.contains(&format!("{path:?}")), "{text}");
            assert!(text.contains(&format!("{} bytes", path.len())), "{text}");
        }
    }
}
