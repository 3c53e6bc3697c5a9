//! What can go wrong, in one line each, and the exit code it ends with.
//!
//! Never: prints more than one line, or leaves out the value that was wrong.

use crate::units::show_size;
use shardpoll::{StartError, tls};
use shardpoll_bench::child::ChildError;
use shardpoll_bench::command_line::Unread;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Why the command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line cannot be understood; the text is clap's, in one line.
    Usage(String),
    /// `--help` or `--version` was asked for: no failure, but the end.
    Told,
    /// A file named on the command line cannot be read.
    File { option: &'static str, path: PathBuf, source: io::Error },
    /// What the files named on the command line hold is no certificate, key or pair of both.
    Pem { files: String, source: tls::Error },
    /// A certificate could not be made.
    SelfSigned(rcgen::Error),
    /// TLS without anything to check its certificate by.
    NoRoots { target: String },
    /// An option that only TLS has a use for.
    NotTls { option: &'static str, target: String },
    /// More in flight on a connection than a queue may hold.
    InFlight { depth: usize, size: usize, limit: usize },
    /// More in flight on all connections than this machine should be asked to hold.
    AllInFlight { connections: usize, depth: usize, size: usize, limit: usize },
    /// More threads than there are connections to share among them.
    IdleThreads { threads: usize, connections: usize },
    /// The engine could not start, listen or go on.
    Start(StartError),
    /// The target could not be reached, or did not stay until the load began.
    Unreachable { target: String, why: String },
    /// Something of this process or its children went wrong.
    Io { what: &'static str, source: io::Error },
    /// A server started by the main job did not behave.
    Server { why: String },
    /// A shard of the client did not answer in time: a bug in the engine, or an overloaded machine.
    Stuck { waiting_for: &'static str },
    /// Interrupted before there was anything to report.
    Interrupted,
    /// The load ran, but messages were lost or wrong; the report has told it.
    Wrong { faults: Vec<String> },
}

impl Failure {
    pub(crate) fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }

    /// Says it on standard error, if there is something to say.
    pub(crate) fn tell(&self) {
        if !matches!(self, Self::Told) {
            eprintln!("shardload: {self}");
        }
    }

    /// 0: done. 1: it went wrong on the way. 2: it cannot be done as asked. 3: nobody is there.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Told => 0,
            Self::Usage(_)
            | Self::File { .. }
            | Self::Pem { .. }
            | Self::NoRoots { .. }
            | Self::NotTls { .. }
            | Self::InFlight { .. }
            | Self::AllInFlight { .. }
            | Self::IdleThreads { .. }
            | Self::Start(
                StartError::Config(_)
                | StartError::Shards(_)
                | StartError::Cpu(_)
                | StartError::Listen { .. },
            ) => 2,
            Self::Unreachable { .. } => 3,
            Self::SelfSigned(_)
            | Self::Start(_)
            | Self::Io { .. }
            | Self::Server { .. }
            | Self::Stuck { .. }
            | Self::Interrupted
            | Self::Wrong { .. } => 1,
        })
    }
}

impl From<Unread> for Failure {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Told => Self::Told,
            Unread::Usage(line) => Self::Usage(line),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<ChildError> for Failure {
    fn from(error: ChildError) -> Self {
        Self::Server { why: error.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(line) => f.write_str(line),
            Self::Told => Ok(()),
            Self::File { option, path, source } => {
                write!(f, "{option} {}: {source}", path.display())
            }
            Self::Pem { files, source } => write!(f, "{files}: {source}"),
            Self::SelfSigned(source) => write!(f, "no certificate could be made: {source}"),
            Self::NoRoots { target } => write!(
                f,
                "{target}: no roots are built in: name them by --ca PEM, or trust anyone by \
                 --insecure"
            ),
            Self::NotTls { option, target } => {
                write!(f, "{option} has no meaning for {target}: there is no TLS")
            }
            Self::InFlight { depth, size, limit } => write!(
                f,
                "--size {} with {depth} in flight: a connection may have {} in flight at most",
                show_size(*size),
                show_size(*limit)
            ),
            Self::AllInFlight { connections, depth, size, limit } => write!(
                f,
                "--connections {connections} with {depth} in flight of --size {}: all together may \
                 have {} in flight at most",
                show_size(*size),
                show_size(*limit)
            ),
            Self::IdleThreads { threads, connections } => {
                write!(
                    f,
                    "--threads {threads}: there are only --connections {connections} to share"
                )
            }
            Self::Start(error) => error.fmt(f),
            Self::Unreachable { target, why } => write!(f, "cannot reach {target}: {why}"),
            Self::Io { what, source } => write!(f, "{what}: {source}"),
            Self::Server { why } => write!(f, "the server of the main job {why}"),
            Self::Stuck { waiting_for } => {
                write!(f, "the client's engine did not answer in time: {waiting_for}")
            }
            Self::Interrupted => {
                f.write_str("interrupted before the load began: nothing to report")
            }
            Self::Wrong { faults } => f.write_str(&faults.join("; ")),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File { source, .. } | Self::Io { source, .. } => Some(source),
            Self::Pem { source, .. } => Some(source),
            Self::SelfSigned(source) => Some(source),
            Self::Start(source) => Some(source),
            _ => None,
        }
    }
}
