//! The process' limit of descriptors.
//!
//! Never: lowers it.

use super::check_int;
use std::io;

/// Raises the soft limit of open descriptors to the hard one, and gives the limit that holds now.
///
/// # Errors
/// The kernel's (getrlimit(2)); the limit is as before then.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives through the call, which fills it.
    check_int(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` lives through the call, which reads it.
        check_int(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    }
    Ok(limit.rlim_cur)
}
