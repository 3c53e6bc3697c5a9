//! Why connections end, as a word to count by.
//!
//! Never: says more than the word; [`CloseReason`] does.

use super::CloseReason;

/// The kinds, and their words.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// What kind of reason a connection has ended for: a [`CloseReason`] without its details,
        /// to count by.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[non_exhaustive]
        pub enum CloseKind {
            $($(#[$doc])* $name,)*
        }

        impl CloseKind {
            /// All there are, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// A word of letters, digits and `_`, as a label of a metric.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

kinds! {
    /// [`CloseReason::Asked`].
    Asked => "asked",
    /// [`CloseReason::PeerClosed`].
    PeerClosed => "peer_closed",
    /// [`CloseReason::Reset`].
    Reset => "reset",
    /// [`CloseReason::Tls`].
    Tls => "tls",
    /// [`CloseReason::Silent`].
    Silent => "silent",
    /// [`CloseReason::NotDraining`].
    NotDraining => "not_draining",
    /// [`CloseReason::BufferFull`].
    BufferFull => "buffer_full",
    /// [`CloseReason::LinkEnded`].
    LinkEnded => "link_ended",
    /// [`CloseReason::HandlerPanic`].
    HandlerPanic => "handler_panic",
    /// [`CloseReason::Quitting`].
    Quitting => "quitting",
    /// [`CloseReason::Connect`].
    Connect => "connect",
    /// [`CloseReason::ConnectTimeout`].
    ConnectTimeout => "connect_timeout",
    /// [`CloseReason::HandshakeTimeout`].
    HandshakeTimeout => "handshake_timeout",
    /// [`CloseReason::TooManyHandshakes`].
    TooManyHandshakes => "too_many_handshakes",
    /// [`CloseReason::Injected`].
    Injected => "injected",
    /// [`CloseReason::Proxy`].
    Proxy => "proxy",
    /// [`CloseReason::TooSlow`].
    TooSlow => "too_slow",
    /// [`CloseReason::TooOld`].
    TooOld => "too_old",
    /// [`CloseReason::Io`].
    Io => "io",
    /// [`CloseReason::Internal`].
    Internal => "internal",
}

impl CloseReason {
    /// What kind of reason it is.
    #[must_use]
    pub fn kind(&self) -> CloseKind {
        match self {
            Self::Asked => CloseKind::Asked,
            Self::PeerClosed => CloseKind::PeerClosed,
            Self::Reset => CloseKind::Reset,
            Self::Tls(_) => CloseKind::Tls,
            Self::Silent => CloseKind::Silent,
            Self::NotDraining => CloseKind::NotDraining,
            Self::BufferFull => CloseKind::BufferFull,
            Self::LinkEnded => CloseKind::LinkEnded,
            Self::HandlerPanic => CloseKind::HandlerPanic,
            Self::Quitting => CloseKind::Quitting,
            Self::Connect(_) => CloseKind::Connect,
            Self::ConnectTimeout => CloseKind::ConnectTimeout,
            Self::HandshakeTimeout { .. } => CloseKind::HandshakeTimeout,
            Self::TooManyHandshakes => CloseKind::TooManyHandshakes,
            Self::Injected => CloseKind::Injected,
            Self::Proxy(_) => CloseKind::Proxy,
            Self::TooSlow { .. } => CloseKind::TooSlow,
            Self::TooOld => CloseKind::TooOld,
            Self::Io(_) => CloseKind::Io,
            Self::Internal => CloseKind::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_place_and_a_word_that_is_a_label() {
        for (number, kind) in CloseKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, number);
            assert!(kind.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            let others = CloseKind::ALL.iter().filter(|other| other.as_str() == kind.as_str());
            assert_eq!(others.count(), 1, "{kind:?}");
        }
    }
}
