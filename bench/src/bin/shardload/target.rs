//! What is to be driven: `tcp://HOST:PORT` or `tls://HOST:PORT`.
//!
//! Never: looks a name up while the command line is read.

use crate::failure::Failure;
use shardpoll::tls::ClientContext;
use shardpoll::tls::rustls::pki_types::ServerName;
use std::fmt;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

/// A target as it is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    pub(crate) tls: bool,
    /// A name, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let tls = match scheme {
            "tcp" => false,
            "tls" => true,
            _ => return Err("it must begin with tcp:// or tls://".into()),
        };
        let (host, port) = rest.rsplit_once(':').ok_or("it must end with :PORT")?;
        let port = match port.parse() {
            Ok(0) | Err(_) => return Err(format!("{port:?} is no port from 1 to 65535")),
            Ok(port) => port,
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err("an IPv6 address must stand in brackets, as in tcp://[::1]:7000".into());
        }
        let host = bare.unwrap_or(host);
        if host.is_empty() || host.contains(['/', '@', '[', ']']) {
            return Err(format!("{host:?} is no host"));
        }
        Ok(Self { tls, host: host.into(), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "tls" } else { "tcp" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// A target that can be connected to.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// As it was asked for, to name it by.
    pub(crate) target: Target,
    pub(crate) addr: SocketAddr,
    pub(crate) tls: Option<(ClientContext, ServerName<'static>)>,
}

/// How long each address of a name with several may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

impl Endpoint {
    /// Looks the host up. Of a name with several addresses, the first one that answers is taken.
    pub(crate) fn resolve(target: Target, tls: Option<ClientContext>) -> Result<Self, Failure> {
        let unreachable = |why: String| Failure::Unreachable { target: target.to_string(), why };
        let host = (target.host.as_str(), target.port);
        let addrs: Vec<_> =
            host.to_socket_addrs().map_err(|error| unreachable(error.to_string()))?.collect();
        let addr = match *addrs {
            [only] => only,
            _ => answering(&addrs).map_err(unreachable)?,
        };
        let tls = match tls {
            Some(context) => {
                let name = ServerName::try_from(target.host.clone()).map_err(|_| {
                    Failure::Usage(format!("{target}: no certificate can be for such a name"))
                })?;
                Some((context, name))
            }
            None => None,
        };
        Ok(Self { target, addr, tls })
    }
}

fn answering(addrs: &[SocketAddr]) -> Result<SocketAddr, String> {
    let mut why = String::from("the name has no address");
    for addr in addrs {
        match TcpStream::connect_timeout(addr, PROBE_TIMEOUT) {
            Ok(_) => return Ok(*addr),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_scheme_a_host_and_a_port() {
        for text in ["tcp://127.0.0.1:7000", "tls://localhost:7443", "tcp://[::1]:1"] {
            let target: Target = text.parse().expect("sound");
            assert_eq!(target.to_string(), text);
        }
        let target: Target = "tls://[::1]:443".parse().expect("sound");
        assert_eq!(target, Target { tls: true, host: "::1".into(), port: 443 });
    }

    #[test]
    fn what_is_no_target_is_refused_with_the_part_that_is_wrong() {
        let error = |text: &str| text.parse::<Target>().expect_err(text);
        assert!(error("127.0.0.1:7000").contains("tcp://"));
        assert!(error("http://a:1").contains("tcp://"));
        assert!(error("tcp://localhost").contains(":PORT"));
        assert!(error("tcp://localhost:0").contains("\"0\""));
        assert!(error("tcp://localhost:65536").contains("\"65536\""));
        assert!(error("tcp://localhost:http").contains("\"http\""));
        assert!(error("tcp://::1:7000").contains("brackets"));
        assert!(error("tcp://:7000").contains("no host"));
        assert!(error("tcp://a/b:7000").contains("\"a/b\""));
    }
}
