//! What was found out about a peer's certificates, in words.
//!
//! Never: decides whether a handshake goes on; shows bytes of a peer unescaped.

use std::fmt;
use std::time::SystemTime;

use crate::Tlsa;
use crate::date::Words;

/// What was found out about the certificates a peer showed.
///
/// It is there for sessions whose context records (client or server), or uses DANE, once the
/// handshake is done: [`Info::verdict`](crate::Info::verdict). A resumed session shows no
/// certificates; its verdict is on those of the session it resumes, made anew at the time of the
/// resumption.
///
/// `Display` is a sentence for a log: "not verified: certificate 0 (a.example) expired at
/// 2026-01-31 00:00:00 UTC".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    pub(crate) authority: Option<Authority>,
    pub(crate) findings: Vec<Finding>,
}

/// Who vouches for a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Authority {
    /// A trusted root.
    Root,
    /// A trusted root, since none of the TLSA records that were given can be used
    /// ([`DaneMode::FallbackToPkix`](crate::DaneMode::FallbackToPkix)).
    RootForWantOfTlsa,
    /// This TLSA record; together with a trusted root where its usage is 0 or 1.
    Tlsa(Tlsa),
}

impl Verdict {
    pub(crate) fn vouched(authority: Authority) -> Self {
        Self { authority: Some(authority), findings: Vec::new() }
    }

    pub(crate) fn refuted(findings: Vec<Finding>) -> Self {
        Self { authority: None, findings }
    }

    /// Whether the peer is who it should be: the handshake would have passed without recording.
    pub fn is_ok(&self) -> bool {
        self.authority.is_some()
    }

    /// Who vouches for the peer; `None` when nobody does.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// The first problem, the one that a handshake fails with where it is not recorded.
    pub fn problem(&self) -> Option<&Problem> {
        self.findings.first().map(|finding| &finding.problem)
    }

    /// All that speaks against the peer, the whole before its parts; empty when nothing does.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What speaks against one certificate, by its place in the chain; 0 is the peer's own.
    pub fn problems_of(&self, certificate: usize) -> impl Iterator<Item = &Problem> {
        let findings = self.findings.iter();
        findings
            .filter(move |finding| finding.certificate == Some(certificate))
            .map(|finding| &finding.problem)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.authority {
            Some(Authority::Root) => return f.write_str("verified by a trusted root"),
            Some(Authority::RootForWantOfTlsa) => {
                return f.write_str("verified by a trusted root; no TLSA record is usable");
            }
            Some(Authority::Tlsa(record)) => return write!(f, "verified by TLSA {record}"),
            None => f.write_str("not verified: ")?,
        }
        for (index, finding) in self.findings.iter().enumerate() {
            let between = if index == 0 { "" } else { "; " };
            write!(f, "{between}{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Verdict {}

/// One thing that speaks against a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    pub(crate) certificate: Option<usize>,
    pub(crate) name: Box<str>,
    pub(crate) problem: Problem,
}

impl Finding {
    pub(crate) fn whole(problem: Problem) -> Self {
        Self { certificate: None, name: "".into(), problem }
    }

    /// The place in the chain of the certificate it is about; 0 is the peer's own. `None` when it
    /// is about the chain as a whole.
    pub fn certificate(&self) -> Option<usize> {
        self.certificate
    }

    /// What it is.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.certificate {
            Some(place) if self.name.is_empty() => write!(f, "certificate {place} ")?,
            Some(place) => write!(f, "certificate {place} ({}) ", self.name)?,
            None if self.problem.is_sentence() => {}
            None => f.write_str("a certificate ")?,
        }
        self.problem.fmt(f)
    }
}

/// What can be wrong with a peer's certificates.
///
/// `Display` is what follows "certificate 0 ...", or a sentence of its own where it is about all.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Problem {
    /// The peer showed no certificate.
    NoCertificate,
    /// It is used after its `notAfter`.
    Expired {
        /// The last moment it was valid.
        not_after: SystemTime,
    },
    /// It is used before its `notBefore`.
    NotYetValid {
        /// The first moment it will be valid.
        not_before: SystemTime,
    },
    /// Nobody who is trusted has issued it.
    UnknownIssuer {
        /// The name of its issuer, escaped.
        issuer: Box<str>,
    },
    /// It is for other names than the one that was asked for.
    WrongName {
        /// The name that was asked for.
        wanted: Box<str>,
        /// Names it is for, escaped; at most eight.
        presented: Vec<Box<str>>,
    },
    /// Its issuer has revoked it.
    Revoked,
    /// It may not be used for this: another extended key usage, not an authority, an authority
    /// in the place of a peer, a path too long, or names it may not issue for.
    NotFit {
        /// Which of them, in words.
        why: &'static str,
    },
    /// The signature of its issuer is false.
    BadSignature,
    /// It is not X.509, or contradicts itself.
    Unreadable,
    /// It uses what is not supported: an algorithm, a version, a critical extension.
    Unsupported {
        /// What the verifier says.
        what: Box<str>,
    },
    /// None of the TLSA records that can be used matches.
    NoTlsaMatch,
    /// None of the TLSA records that were given can be used.
    NoUsableTlsa,
    /// The dates could not be checked, since the time is not known.
    NoClock,
    /// The verifier gave up: the chain is too long or too tangled.
    TooComplex,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("the peer showed no certificate"),
            Self::Expired { not_after } => write!(f, "expired at {}", Words(*not_after)),
            Self::NotYetValid { not_before } => {
                write!(f, "is not valid before {}", Words(*not_before))
            }
            Self::UnknownIssuer { issuer } => write!(f, "has an unknown issuer ({issuer})"),
            Self::WrongName { wanted, presented } if presented.is_empty() => {
                write!(f, "is for no host name, not for {wanted}")
            }
            Self::WrongName { wanted, presented } => {
                write!(f, "is for {}, not for {wanted}", presented.join(", "))
            }
            Self::Revoked => f.write_str("is revoked"),
            Self::NotFit { why } => write!(f, "is not fit for its purpose: {why}"),
            Self::BadSignature => f.write_str("has a bad signature"),
            Self::Unreadable => f.write_str("cannot be read"),
            Self::Unsupported { what } => write!(f, "is not supported: {what}"),
            Self::NoTlsaMatch => f.write_str("no DANE record matches"),
            Self::NoUsableTlsa => f.write_str("no DANE record is usable"),
            Self::NoClock => f.write_str("the time is not known"),
            Self::TooComplex => f.write_str("the chain is too complex to be checked"),
        }
    }
}

impl Problem {
    /// Whether its words need no certificate in front of them.
    fn is_sentence(&self) -> bool {
        matches!(
            self,
            Self::NoCertificate
                | Self::NoTlsaMatch
                | Self::NoUsableTlsa
                | Self::NoClock
                | Self::TooComplex
        )
    }
}

/// Text of a peer as it may stand in a log: escaped, and not endless.
pub(crate) fn escaped(text: &str) -> Box<str> {
    const CHARS_MAX: usize = 80;
    let mut chars = text.chars();
    let mut escaped: String = chars.by_ref().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if chars.next().is_some() {
        escaped.push_str("...");
    }
    escaped.into()
}
