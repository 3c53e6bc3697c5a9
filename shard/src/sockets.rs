//! The sockets of a listener: opened, inherited, or taken over.
//!
//! Never: waits for a shard.

use crate::error::StartError;
use crate::listen::{Listen, Place, is_name};
use shardpoll_reactor::{
    Addr, BindOptions, Config, ListenerOptions, SocketFile, bind_group, bind_unix, is_group_member,
    share_listener,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

/// The sockets of a listener as another process had them.
#[derive(Debug)]
pub(crate) struct Passed {
    /// One, or a group in its order.
    pub(crate) sockets: Vec<OwnedFd>,
    /// A program spreads over the group already, or others may be in it.
    pub(crate) steered: bool,
    /// The file of a unix socket is this process's to remove.
    pub(crate) owns_file: bool,
}

/// How the sockets of a listener belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Each is one of its own, and has a queue of its own.
    Group,
    /// All are one.
    Shared,
}

/// What listens now.
pub(crate) struct Sockets {
    /// One for each shard, or more, in the order of their group.
    pub(crate) each: Vec<OwnedFd>,
    pub(crate) kind: Kind,
    pub(crate) steered: bool,
    pub(crate) name: Option<String>,
    pub(crate) addr: Addr,
    pub(crate) options: ListenerOptions,
    /// Removed when the last of those who hold it lets go.
    pub(crate) file: Option<Arc<SocketFile>>,
}

impl Listen {
    /// Opens the sockets, one for each shard.
    pub(crate) fn open(self, shards: usize, config: &Config) -> Result<Sockets, StartError> {
        let Self { place, options, mut bind, no_delay, keep_alive, handshake_grace, name } = self;
        if let Some(name) = name.as_ref().filter(|name| !is_name(name)) {
            return Err(StartError::Name(name.clone()));
        }
        options.check().map_err(StartError::Config)?;
        bind.no_delay = no_delay.unwrap_or(config.no_delay);
        bind.keep_alive = keep_alive.unwrap_or(config.keep_alive);
        let mut sockets = match place {
            Place::Ip(addr) => {
                let (each, bound) = bind_group(addr, shards, &bind)
                    .map_err(|source| StartError::Listen { addr: Addr::Ip(addr), source })?;
                Sockets { steered: bind.share, ..Sockets::group(each, Addr::Ip(bound)) }
            }
            Place::Unix(path) => {
                let addr = Addr::Unix(Some(path.as_path().into()));
                let (each, file) = bind_unix(&path, shards, bind.backlog)
                    .map_err(|source| StartError::Listen { addr: addr.clone(), source })?;
                Sockets { file: Some(Arc::new(file)), ..Sockets::shared(each, addr) }
            }
            Place::Inherited(listener) => {
                let fd = listener.as_raw_fd();
                let shared = own(listener).and_then(|own| share_listener(own, shards, &bind));
                let (each, addr) = shared.map_err(|source| StartError::Inherited { fd, source })?;
                Sockets::shared(each, addr)
            }
            Place::Passed(passed) => open_passed(passed, shards, bind)?,
        };
        sockets.options = options;
        if sockets.kind == Kind::Group {
            sockets.options.handshake_grace = Some(handshake_grace);
        }
        sockets.name = name;
        Ok(sockets)
    }
}

impl Sockets {
    fn shared(each: Vec<OwnedFd>, addr: Addr) -> Self {
        Self {
            each,
            kind: Kind::Shared,
            steered: true,
            name: None,
            addr,
            options: ListenerOptions::default(),
            file: None,
        }
    }

    fn group(each: Vec<OwnedFd>, addr: Addr) -> Self {
        Self { kind: Kind::Group, steered: false, ..Self::shared(each, addr) }
    }
}

/// A group goes on as it is, with as many more as there are shards without one; a single socket is
/// shared.
fn open_passed(
    passed: Arc<Passed>,
    shards: usize,
    mut bind: BindOptions,
) -> Result<Sockets, StartError> {
    let mut each = Vec::new();
    let mut bound = None;
    let mut is_group = true;
    for socket in &passed.sockets {
        let fd = socket.as_raw_fd();
        let failed = |source| StartError::Inherited { fd, source };
        let own = socket.try_clone().map_err(failed)?;
        is_group &= is_group_member(&own).map_err(failed)?;
        let share = if is_group { 1 } else { shards };
        let (shared, addr) = share_listener(own, share, &bind).map_err(failed)?;
        each.extend(shared);
        bound = Some(addr);
    }
    let addr = bound.ok_or(StartError::NoDescriptor)?;
    let Some(ip) = addr.ip().filter(|_| is_group) else {
        let file = match &addr {
            Addr::Unix(Some(path)) if passed.owns_file => SocketFile::at(path).map(Arc::new).ok(),
            _ => None,
        };
        return Ok(Sockets { file, ..Sockets::shared(each, addr) });
    };
    let missing = shards.saturating_sub(each.len());
    if missing > 0 {
        bind.share = true;
        let (more, _) = bind_group(ip, missing, &bind)
            .map_err(|source| StartError::Listen { addr: addr.clone(), source })?;
        each.extend(more);
    }
    Ok(Sockets { steered: passed.steered, ..Sockets::group(each, addr) })
}

/// The descriptor itself, or one of the same socket while a clone of the [`Listen`] lives.
fn own(listener: Arc<OwnedFd>) -> io::Result<OwnedFd> {
    Arc::try_unwrap(listener).or_else(|shared| shared.try_clone())
}
