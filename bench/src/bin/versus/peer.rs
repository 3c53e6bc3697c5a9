//! The engines: what each is called, and whether it is here.
//!
//! Never: serves; `peers` does, or a program of the peer's own.

use crate::peers::monoio;
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// An engine.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Peer {
    /// This one: one shard, all its timeouts on
    Shardpoll,
    /// No engine: bare level-triggered epoll, without a timeout
    Floor,
    /// No engine: bare edge-triggered epoll, with a read timeout; with TLS, bare rustls on it
    FloorEt,
    /// The same with a read buffer as large as this engine's
    #[value(name = "floor-et-64k")]
    FloorEt64,
    /// mio, with a tree of deadlines
    Mio,
    /// tokio's current-thread runtime; with TLS, tokio-rustls on it
    Tokio,
    /// tokio's multi-thread runtime, with one worker
    TokioMulti,
    /// monoio over epoll
    Monoio,
    /// monoio over io_uring
    MonoioUring,
    /// glommio, over io_uring
    Glommio,
    /// libuv: a C program of its own
    Libuv,
    /// libevent: a C program of its own
    Libevent,
    /// haproxy in mode tcp with one thread; for `link`
    Haproxy,
    /// The same with `option splice-request` and `option splice-response`
    HaproxySplice,
    /// nginx's stream proxy with one process; for `link`
    Nginx,
    /// This one with one shard, where it otherwise has two; for `shards`
    OneShard,
    /// tokio-util's wheel of timers; for `timers`
    #[value(skip)]
    DelayQueue,
    /// No engine: a crossbeam channel, an eventfd and epoll, and nothing else; for `letters`
    #[value(skip)]
    Bare,
}

/// Where Debian puts it.
pub(crate) const HAPROXY: &str = "/usr/sbin/haproxy";
pub(crate) const NGINX: &str = "/usr/sbin/nginx";

/// The same of its stream proxy.
pub(crate) const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Shardpoll => "shardpoll",
            Self::Floor => "floor",
            Self::FloorEt => "floor-et",
            Self::FloorEt64 => "floor-et-64k",
            Self::Mio => "mio",
            Self::Tokio => "tokio",
            Self::TokioMulti => "tokio-multi",
            Self::Monoio => "monoio",
            Self::MonoioUring => "monoio-uring",
            Self::Glommio => "glommio",
            Self::Libuv => "libuv",
            Self::Libevent => "libevent",
            Self::Haproxy => "haproxy",
            Self::HaproxySplice => "haproxy-splice",
            Self::Nginx => "nginx",
            Self::OneShard => "one-shard",
            Self::DelayQueue => "DelayQueue",
            Self::Bare => "channel, eventfd, epoll",
        }
    }

    /// Whether it is something that others build on: neither this engine nor what none could use.
    pub(crate) fn is_library(self) -> bool {
        !matches!(
            self,
            Self::Shardpoll
                | Self::Floor
                | Self::FloorEt
                | Self::FloorEt64
                | Self::Haproxy
                | Self::HaproxySplice
                | Self::Nginx
                | Self::OneShard
                | Self::Bare
        )
    }

    /// The program that serves in its place, if it is not this one.
    pub(crate) fn program(self) -> Option<PathBuf> {
        let name = match self {
            Self::Libuv => "libuv",
            Self::Libevent => "libevent",
            _ => return None,
        };
        // target/release/versus, target/peers/libuv.
        let own = std::env::current_exe().ok()?;
        Some(own.parent()?.parent()?.join("peers").join(name))
    }

    /// Why it cannot take part on this machine, if it cannot.
    pub(crate) fn missing(self) -> Option<String> {
        match self {
            Self::Haproxy | Self::HaproxySplice if !Path::new(HAPROXY).is_file() => {
                Some(format!("no {HAPROXY}; scripts/install-peers.sh installs it"))
            }
            Self::Nginx => [NGINX, NGINX_STREAM]
                .into_iter()
                .find(|file| !Path::new(file).is_file())
                .map(|file| format!("no {file}; scripts/install-peers.sh installs it")),
            Self::Glommio if cfg!(not(feature = "glommio")) => {
                Some("built without it: build with --features peers,glommio".into())
            }
            Self::MonoioUring | Self::Glommio if !monoio::has_uring() => {
                Some("the kernel has no io_uring, or forbids it (kernel.io_uring_disabled)".into())
            }
            _ => {
                let program = self.program().filter(|program| !program.is_file())?;
                Some(format!("no {}; scripts/install-peers.sh makes it", program.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_calls_them_by_their_names() {
        for peer in Peer::value_variants() {
            let value = peer.to_possible_value().expect("it is not skipped");
            assert_eq!(value.get_name(), peer.name());
        }
    }
}
