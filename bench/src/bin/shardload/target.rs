//! What is to be driven: `tcp://HOST:PORT`, `tls://`, `starttls+smtp://`, `starttls+xmpp://` or
//! `unix:PATH`.
//!
//! Never: looks a name up while the command line is read.

use shardpoll::Connect;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A target as it is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    Tcp {
        security: Security,
        /// A name, or an address without brackets.
        host: String,
        port: u16,
    },
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// When TLS begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Security {
    Never,
    AtOnce,
    /// Behind what this protocol says before (RFC 3207).
    Smtp,
    /// The same (RFC 6120 section 5).
    Xmpp,
}

impl Security {
    const ALL: [Self; 4] = [Self::Never, Self::AtOnce, Self::Smtp, Self::Xmpp];

    fn scheme(self) -> &'static str {
        match self {
            Self::Never => "tcp",
            Self::AtOnce => "tls",
            Self::Smtp => "starttls+smtp",
            Self::Xmpp => "starttls+xmpp",
        }
    }
}

const SCHEMES: &str =
    "it must begin with tcp://, tls://, starttls+smtp://, starttls+xmpp:// or unix:";

impl Target {
    /// When its TLS begins, as far as that is said by the target itself.
    pub(crate) fn security(&self) -> Security {
        match self {
            Self::Tcp { security, .. } => *security,
            Self::Unix(_) => Security::Never,
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path).map(Self::Unix);
        }
        let (scheme, rest) = text.split_once("://").ok_or(SCHEMES)?;
        let known = Security::ALL.into_iter().find(|security| security.scheme() == scheme);
        let security = known.ok_or_else(|| format!("{scheme}:// is not known; {SCHEMES}"))?;
        let (host, port) = host_and_port(rest)?;
        Ok(Self::Tcp { security, host, port })
    }
}

/// `HOST:PORT`, an IPv6 address in brackets, which are left out.
pub(crate) fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("it must end with :PORT")?;
    let is_whole = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port.parse() {
        Ok(port) if port != 0 && is_whole => port,
        _ => return Err(format!("{port:?} is no port from 1 to 65535")),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains(':') {
        return Err("an IPv6 address must stand in brackets, as in [::1]:7000".into());
    }
    if let Some(address) = bare
        && address.parse::<std::net::Ipv6Addr>().is_err()
    {
        return Err(format!("{address:?} in brackets is no IPv6 address"));
    }
    let host = bare.unwrap_or(host);
    if host.is_empty() || host.contains(['/', '@', '[', ']', '?', '#', ' ']) {
        return Err(format!("{host:?} is no host"));
    }
    Ok((host.into(), port))
}

/// The path behind `unix:`; as a URL it has two slashes more.
fn unix(text: &str) -> Result<PathBuf, String> {
    let path = match text.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => {
            return Err("behind unix:// the path must be absolute, as in unix:///run/a.sock".into());
        }
        None => text,
    };
    let path = Path::new(path);
    Connect::unix(path).map_err(|error| error.to_string())?;
    Ok(path.into())
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { security, host, port } if host.contains(':') => {
                write!(f, "{}://[{host}]:{port}", security.scheme())
            }
            Self::Tcp { security, host, port } => {
                write!(f, "{}://{host}:{port}", security.scheme())
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        text.parse().expect(text)
    }

    #[test]
    fn a_target_is_a_scheme_a_host_and_a_port_or_a_path() {
        for text in [
            "tcp://127.0.0.1:7000",
            "tls://localhost:7443",
            "tcp://[::1]:1",
            "starttls+smtp://mail.example.org:25",
            "starttls+xmpp://[::1]:5222",
            "unix:/run/a.sock",
            "unix:here.sock",
        ] {
            assert_eq!(target(text).to_string(), text);
        }
        let (security, host) = (Security::AtOnce, "::1".to_string());
        assert_eq!(target("tls://[::1]:443"), Target::Tcp { security, host, port: 443 });
        assert_eq!(target("unix:///run/a.sock"), target("unix:/run/a.sock"));
        assert_eq!(target("starttls+xmpp://a:1").security(), Security::Xmpp);
        assert_eq!(target("unix:a").security(), Security::Never);
    }

    #[test]
    fn what_is_no_target_is_refused_with_the_part_that_is_wrong() {
        let error = |text: &str| text.parse::<Target>().expect_err(text);
        assert!(error("127.0.0.1:7000").contains("tcp://"));
        assert!(error("http://a:1").contains("http://"));
        assert!(error("starttls://a:1").contains("starttls+smtp://"));
        assert!(error("TCP://a:1").contains("TCP://"));
        assert!(error("tcp://localhost").contains(":PORT"));
        assert!(error("tcp://localhost:0").contains("\"0\""));
        assert!(error("tcp://localhost:+80").contains("\"+80\""));
        assert!(error("tcp://localhost:65536").contains("\"65536\""));
        assert!(error("tcp://localhost:http").contains("\"http\""));
        assert!(error("tcp://::1:7000").contains("brackets"));
        assert!(error("tcp://[localhost]:7000").contains("\"localhost\""));
        assert!(error("tcp://[::1%lo]:7000").contains("\"::1%lo\""));
        assert!(error("tcp://:7000").contains("no host"));
        assert!(error("tcp://a/b:7000").contains("\"a/b\""));
        assert!(error("tcp://me@a:7000").contains("\"me@a\""));
        assert!(error("unix:").contains("path"));
        assert!(error("unix://run/a.sock").contains("unix:///run/a.sock"));
        assert!(error(&format!("unix:/{}", "x".repeat(107))).contains("107"));
    }
}
