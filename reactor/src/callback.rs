//! The places from which user code is called, by name: what a panic or a stall is reported with.
//!
//! Never: calls any of it.

use std::fmt;

/// The places, and what they are called.
macro_rules! callbacks {
    ($($name:ident => $text:literal,)*) => {
        /// The places from which user code is called.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub(crate) enum Callback {
            $($name,)*
        }

        impl Callback {
            const ALL: &[Self] = &[$(Self::$name,)*];

            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

callbacks! {
    None => "no callback",
    Accept => "the acceptor",
    ListenerClosed => "the acceptor's on_close",
    Connect => "on_connect",
    Incoming => "on_incoming",
    Predrain => "on_predrain",
    Drain => "on_drain",
    HighWater => "on_high_water",
    LowWater => "on_low_water",
    ReadTimeout => "on_read_timeout",
    Status => "on_status",
    Starttls => "on_starttls",
    Attach => "on_attach",
    Detach => "on_detach",
    Moved => "on_moved",
    Panic => "on_panic",
    DrainBegin => "on_drain_begin",
    Disconnect => "on_disconnect",
    Timer => "a timer",
    Letter => "a task from outside",
    Readable => "on_readable",
    Writable => "on_writable",
    WatchClosed => "on_closed",
    Signal => "the callback of a signal",
    Drop => "the drop of a user's value",
}

impl Callback {
    /// The one of this number, `None` if there is none.
    #[inline]
    pub(crate) fn from_u8(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::None)
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_callback_is_found_by_its_number() {
        for callback in Callback::ALL {
            assert_eq!(Callback::from_u8(*callback as u8), *callback);
        }
        assert_eq!(Callback::from_u8(u8::MAX), Callback::None);
    }
}
