//! Who judges a peer's certificates: trusted roots, TLSA records, or both.
//!
//! Never: lets a certificate count that is not on the path to what vouches for it.
//!
//! Invariants:
//! 1. A verdict without an authority has findings, and one with an authority has none.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, Der, ServerName, TrustAnchor, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, OtherError};

use crate::dane::{DANE_EE, DANE_TA, PKIX_EE, PKIX_TA};
use crate::der::{self, Reader, SEQUENCE};
use crate::pkix::{Chain, NOT_AN_AUTHORITY, Pkix, Purpose, out_of_date};
use crate::verdict::{Authority, Finding, Problem, Verdict};
use crate::{DaneMode, Roots, Tlsa};

/// The records of one server that count, and what follows from them.
#[derive(Clone, Debug)]
pub(crate) struct Dane {
    pub(crate) records: Vec<Tlsa>,
    /// A name that the certificate may be for instead of the one asked for.
    pub(crate) base_domain: Option<ServerName<'static>>,
    pub(crate) mode: DaneMode,
}

/// All that a verdict depends on, but for the certificates, the name and the time.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    pub(crate) roots: Roots,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
    pub(crate) dane: Option<Dane>,
}

impl Judge {
    /// Judges a server that was asked for by `name`, or a client, which has none.
    pub(crate) fn judge(
        &self,
        chain: Chain<'_>,
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Verdict {
        let base = self.dane.as_ref().and_then(|dane| dane.base_domain.as_ref());
        let names: Vec<_> = name.into_iter().chain(base).collect();
        let purpose = name.map_or(Purpose::Client, |_| Purpose::Server(&names));
        let by_roots = || self.pkix(&self.roots.anchors().roots).findings(chain, purpose, now);
        let Some(dane) = &self.dane else { return verdict(by_roots(), Authority::Root) };
        match (dane.records.as_slice(), dane.mode) {
            ([], DaneMode::FallbackToPkix) => verdict(by_roots(), Authority::RootForWantOfTlsa),
            ([], DaneMode::Require | DaneMode::Record) => {
                let mut findings = vec![Finding::whole(Problem::NoUsableTlsa)];
                findings.extend(by_roots());
                Verdict::refuted(findings)
            }
            (records, _) => self.by_records(records, chain, purpose, now),
        }
    }

    fn pkix<'a>(&'a self, anchors: &'a [TrustAnchor<'a>]) -> Pkix<'a> {
        Pkix { anchors, lists: self.roots.lists(), algorithms: self.algorithms }
    }

    /// One record that matches is enough (RFC 6698, section 4.1).
    fn by_records(
        &self,
        records: &[Tlsa],
        chain: Chain<'_>,
        purpose: Purpose<'_>,
        now: UnixTime,
    ) -> Verdict {
        let of_leaf = |usage| {
            let mut records = records.iter().filter(move |record| record.usage == usage);
            records.find(|record| record.matches_certificate(chain.leaf))
        };
        let tlsa = |record: &Tlsa| Authority::Tlsa(record.clone());
        // RFC 7671, section 5.1: names and dates do not count.
        if let Some(record) = of_leaf(DANE_EE) {
            return Verdict::vouched(tlsa(record));
        }
        let all = with_authorities(records, chain.others);
        let chain = Chain { leaf: chain.leaf, others: &all };
        let by_roots = self.pkix(&self.roots.anchors().roots).findings(chain, purpose, now);
        let mut near = Vec::new();
        match self.by_own_anchors(records, chain, purpose, now) {
            Ok(record) => return Verdict::vouched(tlsa(record)),
            Err(findings) => near.extend(findings),
        }
        let constraint = of_leaf(PKIX_EE);
        if by_roots.is_empty() {
            let both = constraint.or_else(|| self.on_path(records, chain, purpose, now));
            if let Some(record) = both {
                return Verdict::vouched(tlsa(record));
            }
        } else if constraint.is_some() || self.is_shown(records, chain) {
            near.extend(by_roots.iter().cloned());
        }
        if near.is_empty() {
            near.push(Finding::whole(Problem::NoTlsaMatch));
            near.extend(by_roots);
        }
        Verdict::refuted(near)
    }

    /// Whether a record of usage 0 names an authority that is there: then it is not the record that
    /// speaks against the server.
    fn is_shown(&self, records: &[Tlsa], chain: Chain<'_>) -> bool {
        let there = || chain.others.iter().chain(self.roots.certificates());
        let mut records = records.iter().filter(|record| record.usage == PKIX_TA);
        records.any(|record| there().any(|shown| record.matches_certificate(shown)))
    }

    /// Usage 2: the authority that a record names is the root (RFC 7671, section 5.2).
    ///
    /// What was found out about authorities that match, where none leads to the peer.
    fn by_own_anchors<'r>(
        &self,
        records: &'r [Tlsa],
        chain: Chain<'_>,
        purpose: Purpose<'_>,
        now: UnixTime,
    ) -> Result<&'r Tlsa, Vec<Finding>> {
        let (mut anchors, mut named, mut findings) = (Vec::new(), Vec::new(), Vec::new());
        for record in records.iter().filter(|record| record.usage == DANE_TA) {
            for (place, shown) in (1..).zip(chain.others) {
                if !record.matches_certificate(shown) {
                    continue;
                }
                match fit_for_anchor(shown, now) {
                    Ok(anchor) => {
                        anchors.push(anchor);
                        named.push(record);
                    }
                    Err(problem) => findings.push(chain.finding(place, problem)),
                }
            }
            // RFC 7671, section 5.2.2 and 5.2.3: the server need not show what the record holds.
            let own =
                if record.matching == 0 { anchors_in(record, chain, now) } else { Vec::new() };
            named.extend(own.iter().map(|_| record));
            anchors.extend(own);
        }
        if anchors.is_empty() {
            return Err(findings);
        }
        let pkix = self.pkix(&anchors);
        let used = Cell::new(0);
        let found = pkix.path(chain, purpose, now, &|path| {
            used.set(anchors.iter().position(|anchor| anchor == path.anchor()).unwrap_or(0));
            Ok(())
        });
        let against = pkix.findings(chain, purpose, now);
        if found.is_ok() && against.is_empty() {
            return Ok(named[used.get()]);
        }
        findings.extend(against);
        Err(findings)
    }

    /// Usage 0: the authority that a record names is on the path to a trusted root.
    fn on_path<'r>(
        &self,
        records: &'r [Tlsa],
        chain: Chain<'_>,
        purpose: Purpose<'_>,
        now: UnixTime,
    ) -> Option<&'r Tlsa> {
        records.iter().filter(|record| record.usage == PKIX_TA).find(|record| {
            let anchors = &self.roots.anchors().roots;
            let path = self.pkix(anchors).path(chain, purpose, now, &|path| {
                let mut between = path.intermediate_certificates();
                let found = between
                    .any(|it| record.matches(&it.der(), &it.subject_public_key_info()))
                    || self.names_root(record, path.anchor(), chain);
                // Any error will do: it makes the search go on.
                if found { Ok(()) } else { Err(webpki::Error::UnknownIssuer) }
            });
            path.is_ok()
        })
    }

    /// Whether a record names this root. A store may hold no more of it than name and key; its
    /// certificate is then known only where the server shows it.
    fn names_root(&self, record: &Tlsa, anchor: &TrustAnchor<'_>, chain: Chain<'_>) -> bool {
        let spki = webpki::spki_for_anchor(anchor);
        let is_it = |root: &&CertificateDer<'_>| {
            webpki::anchor_from_trusted_cert(root).is_ok_and(|it| it == *anchor)
        };
        let mut certificates = self.roots.certificates().iter().chain(chain.others).filter(is_it);
        match record.selector {
            0 => certificates.any(|root| record.matches(root, &spki)),
            _ => record.matches(&[], &spki),
        }
    }
}

fn verdict(findings: Vec<Finding>, authority: Authority) -> Verdict {
    if findings.is_empty() { Verdict::vouched(authority) } else { Verdict::refuted(findings) }
}

/// The certificates shown, and those that records of usage 0 hold whole: the server need not show
/// what the client has.
fn with_authorities<'a>(
    records: &'a [Tlsa],
    shown: &'a [CertificateDer<'a>],
) -> Cow<'a, [CertificateDer<'a>]> {
    let is_whole =
        |record: &&Tlsa| (record.usage, record.selector, record.matching) == (PKIX_TA, 0, 0);
    let mut held = records.iter().filter(is_whole).peekable();
    if held.peek().is_none() {
        return shown.into();
    }
    let held = held.map(|record| CertificateDer::from(record.data.as_slice()));
    shown.iter().cloned().chain(held).collect::<Vec<_>>().into()
}

/// An authority's certificate as a root, if it is one's and within its dates.
fn fit_for_anchor(
    certificate: &CertificateDer<'_>,
    now: UnixTime,
) -> Result<TrustAnchor<'static>, Problem> {
    let anchor = webpki::anchor_from_trusted_cert(certificate);
    let (Some(parts), Ok(anchor)) = (der::parts(certificate), anchor) else {
        return Err(Problem::Unreadable);
    };
    if !parts.is_authority() {
        return Err(NOT_AN_AUTHORITY);
    }
    match out_of_date(certificate, now) {
        Some(problem) => Err(problem),
        None => Ok(anchor.to_owned()),
    }
}

/// The roots that a record holds whole: a certificate, or a key, whose name is then any issuer's.
fn anchors_in(record: &Tlsa, chain: Chain<'_>, now: UnixTime) -> Vec<TrustAnchor<'static>> {
    if record.selector == 0 {
        let certificate = CertificateDer::from(record.data.as_slice());
        return fit_for_anchor(&certificate, now).into_iter().collect();
    }
    let Some(spki) = Reader::new(&record.data).expect(SEQUENCE) else { return Vec::new() };
    let mut names: Vec<&[u8]> = Vec::new();
    for parts in chain.all().filter_map(|certificate| der::parts(certificate)) {
        let issuer = Reader::new(parts.issuer).expect(SEQUENCE).unwrap_or_default();
        if !names.contains(&issuer) {
            names.push(issuer);
        }
    }
    let anchor = |name: &[u8]| TrustAnchor {
        subject: Der::from(name.to_vec()),
        subject_public_key_info: Der::from(spki.to_vec()),
        name_constraints: None,
    };
    names.into_iter().map(anchor).collect()
}

impl Verdict {
    /// What a handshake fails with: an error that brings the alert that fits, where there is one.
    pub(crate) fn into_error(self, now: UnixTime) -> rustls::Error {
        let since = |time: std::time::SystemTime| {
            let since = time.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
            UnixTime::since_unix_epoch(since)
        };
        let error = match self.problem() {
            Some(&Problem::Expired { not_after }) => {
                CertificateError::ExpiredContext { time: now, not_after: since(not_after) }
            }
            Some(&Problem::NotYetValid { not_before }) => {
                CertificateError::NotValidYetContext { time: now, not_before: since(not_before) }
            }
            Some(Problem::UnknownIssuer { .. }) => CertificateError::UnknownIssuer,
            Some(Problem::WrongName { .. }) => CertificateError::NotValidForName,
            Some(Problem::Revoked) => CertificateError::Revoked,
            Some(Problem::NotFit { .. }) => CertificateError::InvalidPurpose,
            Some(Problem::BadSignature) => CertificateError::BadSignature,
            Some(Problem::Unreadable) => CertificateError::BadEncoding,
            _ => CertificateError::Other(OtherError(Arc::new(self))),
        };
        error.into()
    }
}

thread_local! {
    static HANDED_OVER: Cell<Option<Verdict>> = const { Cell::new(None) };
}

/// Leaves a verdict for the session in whose call the verifier runs: as in `sni.rs`, rustls shows
/// the verifier no connection.
pub(crate) fn hand_over(verdict: Verdict) {
    HANDED_OVER.set(Some(verdict));
}

/// A session's wish for a verdict, and then the verdict.
#[derive(Debug)]
pub(crate) struct Trial {
    judge: Arc<Judge>,
    /// Whom a client asked for; `None` on a server's side.
    name: Option<ServerName<'static>>,
    clock: Arc<dyn TimeProvider>,
    verdict: Option<Verdict>,
}

impl Trial {
    pub(crate) fn new(
        judge: &Arc<Judge>,
        name: Option<ServerName<'static>>,
        clock: &Arc<dyn TimeProvider>,
    ) -> Box<Self> {
        let (judge, clock) = (Arc::clone(judge), Arc::clone(clock));
        Box::new(Self { judge, name, clock, verdict: None })
    }

    pub(crate) fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// Before rustls runs: what another session left on this thread is not ours.
    pub(crate) fn begin() {
        HANDED_OVER.take();
    }

    /// After rustls ran: what the verifier said, if it did.
    pub(crate) fn hear(&mut self) {
        self.verdict = HANDED_OVER.take().or_else(|| self.verdict.take());
    }

    /// When the handshake is done: a resumed one has called no verifier, nor has a client's that
    /// showed nothing.
    pub(crate) fn conclude(&mut self, shown: Option<&[CertificateDer<'_>]>) {
        if self.verdict.is_none() {
            self.verdict = Some(self.anew(shown));
        }
    }

    fn anew(&self, shown: Option<&[CertificateDer<'_>]>) -> Verdict {
        let Some((leaf, others)) = shown.and_then(<[_]>::split_first) else {
            return Verdict::refuted(vec![Finding::whole(Problem::NoCertificate)]);
        };
        let Some(now) = self.clock.current_time() else {
            return Verdict::refuted(vec![Finding::whole(Problem::NoClock)]);
        };
        self.judge.judge(Chain { leaf, others }, self.name.as_ref(), now)
    }
}
