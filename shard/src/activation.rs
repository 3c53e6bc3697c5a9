//! Listening sockets that whoever started this process has passed to it: systemd's socket
//! activation, or an engine that starts its successor (sd_listen_fds(3)).
//!
//! Never: takes a descriptor that was not announced to this very process.

use crate::engine::Engine;
use crate::error::StartError;
use crate::listen::Listen;
use crate::sockets::Passed;
use parking_lot::Mutex;
use shardpoll_reactor::{is_group_member, pass_descriptors, take_passed_descriptors};
use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, id};

/// What was passed and not yet taken; `None` as long as nobody has looked.
static POOL: Mutex<Option<Activation>> = Mutex::new(None);

/// What a descriptor is called that nobody has given a name.
const NO_NAME: &str = "unknown";

/// The sockets that were passed to this process at its start. Dropping it closes them.
#[derive(Default, Debug)]
pub struct Activation {
    descriptors: Vec<(String, OwnedFd)>,
}

/// Why there is no such socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum ActivationError {
    /// This variable of the environment says what makes no sense: the fault of whoever started
    /// this process.
    Variable {
        /// Its name.
        name: &'static str,
        /// What it says.
        value: String,
    },
    /// No socket of this name was passed, or it was taken.
    NoSocket {
        /// The name asked for.
        name: String,
        /// Those that are left.
        left: Vec<String>,
    },
    /// A descriptor that was announced is not open.
    Io(std::io::Error),
}

impl fmt::Display for ActivationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable { name, value } => write!(f, "{name}={value:?} makes no sense"),
            Self::NoSocket { name, left } if left.is_empty() => {
                write!(f, "no socket was passed, and none named {name:?}")
            }
            Self::NoSocket { name, left } => {
                write!(f, "no socket named {name:?} was passed; there are {left:?}")
            }
            Self::Io(error) => write!(f, "LISTEN_FDS: {error}"),
        }
    }
}

impl std::error::Error for ActivationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

fn variable(name: &'static str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

fn number(name: &'static str) -> Result<Option<u32>, ActivationError> {
    let Some(value) = variable(name) else { return Ok(None) };
    let number = value.parse().map_err(|_| ActivationError::Variable { name, value })?;
    Ok(Some(number))
}

impl Activation {
    /// All that was passed to this process and not taken yet; nothing, if nobody has passed any.
    ///
    /// # Errors
    /// [`ActivationError`] when the environment announces what makes no sense.
    pub fn take() -> Result<Self, ActivationError> {
        let mut pool = POOL.lock();
        let found = pool.take().map_or_else(Self::look, Ok)?;
        *pool = Some(Self::default());
        Ok(found)
    }

    fn look() -> Result<Self, ActivationError> {
        let (for_us, count) = (number("LISTEN_PID")?, number("LISTEN_FDS")?);
        let (Some(pid), Some(count)) = (for_us, count) else { return Ok(Self::default()) };
        // Inherited from a parent that was meant.
        if pid != id() {
            return Ok(Self::default());
        }
        let names = match variable("LISTEN_FDNAMES") {
            Some(value) => {
                let names: Vec<_> = value.split(':').map(str::to_owned).collect();
                if names.len() != count as usize {
                    return Err(ActivationError::Variable { name: "LISTEN_FDNAMES", value });
                }
                names
            }
            None => vec![NO_NAME.to_owned(); count as usize],
        };
        let descriptors = take_passed_descriptors(count as usize).map_err(ActivationError::Io)?;
        Ok(Self { descriptors: names.into_iter().zip(descriptors).collect() })
    }

    /// What the sockets that are left are called.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.descriptors.iter().map(|(name, _)| name.as_str())
    }

    /// Where to listen: the first socket of this name, and all others of this name that form a
    /// group with it on the same address (`ReusePort` in systemd.socket(5)).
    pub fn listen(&mut self, name: &str) -> Option<Listen> {
        let at = self.descriptors.iter().position(|(known, _)| known == name)?;
        let (_, first) = self.descriptors.remove(at);
        let group = group_addr(&first);
        let belongs = |other: &(String, OwnedFd)| {
            group.is_some() && other.0 == name && group_addr(&other.1) == group
        };
        let (others, left) = std::mem::take(&mut self.descriptors).into_iter().partition(belongs);
        self.descriptors = left;
        let others: Vec<_> = others;
        let mut sockets = vec![first];
        sockets.extend(others.into_iter().map(|(_, socket)| socket));
        // Others may be in the group, in whatever order.
        let passed = Passed { sockets, steered: true, owns_file: false };
        Some(Listen::passed(passed).name(name))
    }

    /// The descriptors that are left, with their names.
    #[must_use]
    pub fn into_descriptors(self) -> Vec<(String, OwnedFd)> {
        self.descriptors
    }
}

/// The address of a socket of a group.
fn group_addr(socket: &OwnedFd) -> Option<SocketAddr> {
    if !is_group_member(socket).unwrap_or(false) {
        return None;
    }
    TcpListener::from(socket.try_clone().ok()?).local_addr().ok()
}

impl Listen {
    /// Listens on the sockets of this name that were passed to this process at its start
    /// (`FileDescriptorName` in systemd.socket(5); the name of one that was given none is
    /// `unknown`). Each can be had once.
    ///
    /// A group of sockets goes on as it is, one for each shard; a single socket is shared by all
    /// shards. What systemd holds too it listens on after this process, so at the end none of it is
    /// told to refuse anybody.
    ///
    /// # Errors
    /// [`ActivationError`] when there is none, or the environment makes no sense; an application
    /// that listens by itself then says so: `Listen::activated("web").or_else(|_| ...)`.
    pub fn activated(name: &str) -> Result<Self, ActivationError> {
        let mut all = Activation::take()?;
        let listen = all.listen(name);
        let left = all.names().map(str::to_owned).collect();
        *POOL.lock() = Some(all);
        listen.ok_or_else(|| ActivationError::NoSocket { name: name.into(), left })
    }
}

impl Engine {
    /// A command that starts a program with all listening sockets of this engine, as systemd would:
    /// it finds them by [`Listen::activated`]. Add arguments, and start it.
    ///
    /// Both processes listen then. When the new one has said that it does, such as by a line on its
    /// standard output, call [`release_listener`](Self::release_listener) for each, and
    /// [`quit`](Self::quit). [`hand_over`](Self::hand_over) does that by itself.
    ///
    /// `LISTEN_PID` has to be the child's number, which only the child can know: the command is a
    /// `sh` that sets it and becomes the program.
    ///
    /// # Errors
    /// [`StartError`] when the engine has ended, or when called from a callback.
    pub fn successor(&self, program: impl AsRef<OsStr>) -> Result<Command, StartError> {
        if crate::worker::is_shard() {
            return Err(StartError::OnShard);
        }
        let (mut names, mut sockets) = (Vec::new(), Vec::new());
        for (id, listening) in self.listeners.alive() {
            let name = listening.name.unwrap_or_else(|| id.number().to_string());
            self.set_handshake_grace(id, None)?;
            for socket in self.descriptors(id)? {
                names.push(name.clone());
                sockets.push(socket);
            }
        }
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""]).arg(program);
        command.env("LISTEN_FDS", sockets.len().to_string());
        command.env("LISTEN_FDNAMES", names.join(":"));
        let passed: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        let placed = pass_descriptors(&mut command, &passed);
        placed.map_err(|source| StartError::Shard { shard: 0, source })?;
        Ok(command)
    }
}
