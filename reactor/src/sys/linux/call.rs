//! The two system calls of every message, without the C library between: its wrappers shuffle
//! registers for some ten instructions a call, and its own `recv` and `send` are cancellation
//! points, which in a process with threads costs some fifty more.
//!
//! Never: looks at an error; -errno goes up as it came.

use std::os::fd::RawFd;

/// recv(2) without flags: the number of bytes, or -errno.
///
/// # Safety
/// `to` must be valid for writes of `len` bytes.
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
#[inline(always)]
pub(super) unsafe fn recv(fd: RawFd, to: *mut u8, len: usize) -> i64 {
    let result: i64;
    // SAFETY: the kernel's convention (syscall(2)): it changes rax, rcx and r11, and the memory
    // that the caller vouches for. No address is asked for, so the sixth argument is not looked at.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") libc::SYS_recvfrom => result,
            in("rdi") fd as isize,
            in("rsi") to,
            in("rdx") len,
            in("r10") 0_usize,
            in("r8") 0_usize,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, preserves_flags)
        );
    }
    result
}

/// send(2) without a signal: the number of bytes, or -errno.
///
/// # Safety
/// `from` must be valid for reads of `len` bytes.
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
#[inline(always)]
pub(super) unsafe fn send(fd: RawFd, from: *const u8, len: usize) -> i64 {
    let result: i64;
    // SAFETY: as above; nothing of ours is written.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") libc::SYS_sendto => result,
            in("rdi") fd as isize,
            in("rsi") from,
            in("rdx") len,
            in("r10") libc::MSG_NOSIGNAL as usize,
            in("r8") 0_usize,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, preserves_flags, readonly)
        );
    }
    result
}

/// recv(2) without flags: the number of bytes, or -errno.
///
/// # Safety
/// `to` must be valid for writes of `len` bytes.
#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64")))]
pub(super) unsafe fn recv(fd: RawFd, to: *mut u8, len: usize) -> i64 {
    // SAFETY: the caller vouches for `to`.
    or_errno(unsafe { libc::recv(fd, to.cast(), len, 0) })
}

/// send(2) without a signal: the number of bytes, or -errno.
///
/// # Safety
/// `from` must be valid for reads of `len` bytes.
#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64")))]
pub(super) unsafe fn send(fd: RawFd, from: *const u8, len: usize) -> i64 {
    // SAFETY: the caller vouches for `from`.
    or_errno(unsafe { libc::send(fd, from.cast(), len, libc::MSG_NOSIGNAL) })
}

#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64")))]
fn or_errno(result: isize) -> i64 {
    if result >= 0 {
        return result as i64;
    }
    let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    -i64::from(error)
}
