//! Unix sockets to listen on: a file of their own, made at the beginning and removed at the end.
//!
//! Never: removes a file that somebody listens behind, or that was put there by somebody else.

use super::address::RawAddr;
use super::option::stream_socket;
use super::socket::{bind, listen, share};
use crate::api::Addr;
use libc::c_int;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

/// The file of a listening unix socket; dropping it removes the file, if it is still the same.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Identity,
    stays: AtomicBool,
}

impl SocketFile {
    /// The file that is at this path now, such as another process has made and leaves to this one.
    ///
    /// # Errors
    /// The kernel's, when there is none.
    pub fn at(path: &Path) -> io::Result<Self> {
        let identity = identity(&fs::symlink_metadata(path)?);
        // Found again from another working directory.
        Ok(Self { path: std::path::absolute(path)?, identity, stays: AtomicBool::new(false) })
    }

    /// It is not removed: somebody else listens behind it from now on.
    pub fn stay(&self) {
        self.stays.store(true, Ordering::Release);
    }
}

/// Device, number and birth of a file; the number alone may be given out again.
type Identity = (u64, u64, Option<SystemTime>);

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino(), file.created().ok())
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = fs::symlink_metadata(&self.path).is_ok_and(|it| identity(&it) == self.identity);
        if !same || *self.stays.get_mut() {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            log::warn!("{} cannot be removed: {error}", self.path.display());
        }
    }
}

/// Opens a unix socket that listens at `path`, as `count` descriptors of it, and gives its file.
///
/// `SO_REUSEPORT` does not spread over unix sockets, so there is one for all; each connection goes
/// to whoever accepts it first. A socket's file behind which nobody listens, such as a crash leaves
/// behind, is replaced; one with a listener, and any other file, is "address already in use"
/// (S124). A relative path is one of the working directory that the process has now.
///
/// # Errors
/// `InvalidInput` for a path that no unix socket can have, such as one of more than 107 bytes; else
/// the kernel's.
pub fn bind_unix(
    path: &Path,
    count: usize,
    backlog: u32,
) -> io::Result<(Vec<OwnedFd>, SocketFile)> {
    let addr = RawAddr::new(&Addr::Unix(Some(path.into())))?;
    let fd = stream_socket(libc::AF_UNIX)?;
    match bind(&fd, &addr) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path, &addr) => {
            fs::remove_file(path)?;
            bind(&fd, &addr)?;
        }
        other => other?,
    }
    let file = SocketFile::at(path)?;
    listen(&fd, backlog)?;
    Ok((share(fd, count)?, file))
}

/// Whether a path is a socket's at which nobody listens. One that was bound and is about to listen
/// looks the same, for the microseconds in between.
fn is_stale(path: &Path, addr: &RawAddr) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    is_socket && connect(addr).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn connect(addr: &RawAddr) -> io::Result<c_int> {
    let fd = stream_socket(libc::AF_UNIX)?;
    // SAFETY: `addr` holds as many bytes as it says and lives through the call.
    super::check_int(unsafe { libc::connect(fd.as_raw_fd(), addr.as_ptr(), addr.len()) })
}
