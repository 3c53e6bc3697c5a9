//! What a set of trusted roots says of a chain of certificates: all of it, not the first word.
//!
//! The verifier stops at the first thing it does not like. Who decides later wants the rest: so
//! each check is made by itself, and where dates fail, the path is tried again at a moment when
//! they do not.
//!
//! Never: takes a chain for good that the verifier refuses.

use std::time::{Duration, SystemTime};

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
};

use crate::der::{self, Parts};
use crate::verdict::{Finding, Problem, escaped};

/// Names of a certificate that a verdict repeats.
const NAMES_MAX: usize = 8;

/// The certificates a peer showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain<'a> {
    /// The peer's own.
    pub(crate) leaf: &'a CertificateDer<'a>,
    /// The others, in whatever order.
    pub(crate) others: &'a [CertificateDer<'a>],
}

impl<'a> Chain<'a> {
    /// All of them, the peer's own first.
    pub(crate) fn all(self) -> impl Iterator<Item = &'a CertificateDer<'a>> {
        std::iter::once(self.leaf).chain(self.others)
    }

    fn at(self, place: usize) -> Option<&'a CertificateDer<'a>> {
        self.all().nth(place)
    }

    /// The way from the peer's own certificate up, by names only, as far as it goes.
    fn links(self) -> Vec<usize> {
        let parts: Vec<_> = self.all().map(|certificate| der::parts(certificate)).collect();
        let mut links = vec![0];
        let issuer = |at: usize| parts.get(at).and_then(Option::as_ref).map(|parts| parts.issuer);
        while let Some(wanted) = links.last().and_then(|&last| issuer(last)) {
            let is_next = |place: &usize| {
                let subject = parts[*place].as_ref().map(|parts| parts.subject);
                !links.contains(place) && subject == Some(wanted)
            };
            let Some(next) = (1..parts.len()).find(is_next) else { break };
            links.push(next);
        }
        links
    }

    pub(crate) fn finding(self, place: usize, problem: Problem) -> Finding {
        let name = self.at(place).map_or_else(|| "".into(), name_of);
        Finding { certificate: Some(place), name, problem }
    }
}

/// What a certificate is called in a log.
fn name_of(certificate: &CertificateDer<'_>) -> Box<str> {
    let common = der::parts(certificate).and_then(|parts| der::common_name(parts.subject));
    let name = common.or_else(|| der::dns_names(certificate).first().copied());
    escaped(name.unwrap_or_default())
}

/// Whom the peer must be, and what its certificate must be good for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose<'a> {
    /// A server, by any of these names.
    Server(&'a [&'a ServerName<'a>]),
    /// A client, whoever it is.
    Client,
}

/// Trusted roots, and what is needed to follow a path to them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pkix<'a> {
    pub(crate) anchors: &'a [TrustAnchor<'a>],
    pub(crate) lists: &'a [CertRevocationList<'static>],
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

/// Says no to a path that is good but not wanted, so that others are tried.
type Accept<'a> = &'a dyn Fn(&VerifiedPath<'_>) -> Result<(), webpki::Error>;

impl Pkix<'_> {
    /// Whether there is a path to an anchor that `accept` takes.
    pub(crate) fn path(
        &self,
        chain: Chain<'_>,
        purpose: Purpose<'_>,
        now: UnixTime,
        accept: Accept<'_>,
    ) -> Result<(), webpki::Error> {
        let leaf = EndEntityCert::try_from(chain.leaf)?;
        let usage = match purpose {
            Purpose::Server(_) => KeyUsage::server_auth(),
            Purpose::Client => KeyUsage::client_auth(),
        };
        let lists: Vec<_> = self.lists.iter().collect();
        // No list is no error, it is none.
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|builder| {
            builder
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Allow)
                .with_expiration_policy(ExpirationPolicy::Ignore)
                .build()
        });
        let algorithms = self.algorithms.all;
        let (anchors, others) = (self.anchors, chain.others);
        leaf.verify_for_usage(algorithms, anchors, others, now, usage, revocation, Some(accept))
            .map(drop)
    }

    /// All that speaks against a chain; nothing when it is good.
    pub(crate) fn findings(
        &self,
        chain: Chain<'_>,
        purpose: Purpose<'_>,
        now: UnixTime,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Err(error) = self.path(chain, purpose, now, &|_| Ok(())) {
            self.explain(error, chain, purpose, now, &mut findings);
        }
        if let Purpose::Server(names) = purpose {
            findings.extend(wrong_name(chain, names));
        }
        findings
    }

    fn explain(
        &self,
        error: webpki::Error,
        chain: Chain<'_>,
        purpose: Purpose<'_>,
        now: UnixTime,
        findings: &mut Vec<Finding>,
    ) {
        let dated: Vec<_> =
            (0..).zip(chain.all()).map(|(at, cert)| (at, dates(cert, now))).collect();
        let is_wrong = |&(_, (_, ref problem)): &(usize, (_, Option<Problem>))| problem.is_some();
        let only = |place: usize| {
            let problem = dated.get(place).and_then(|(_, (_, problem))| problem.clone());
            problem.map(|problem| chain.finding(place, problem))
        };
        if !dated.iter().any(is_wrong) {
            return findings.extend(self.locate(error, chain));
        }
        // The latest beginning is the one moment that may suit all of them.
        let begins = dated.iter().filter_map(|(_, (begin, _))| *begin).max();
        let retried = begins.map(|begin| {
            let on_path = std::cell::RefCell::new(Vec::new());
            let accept = |path: &VerifiedPath<'_>| {
                let of_path = path.intermediate_certificates().map(|found| found.der());
                on_path.replace(of_path.map(|der| der.to_vec()).collect());
                Ok(())
            };
            let tried = self.path(chain, purpose, UnixTime::since_unix_epoch(begin), &accept);
            tried.map(|()| on_path.into_inner())
        });
        match retried {
            Some(Ok(path)) => {
                // Certificates that are not on the way do not matter.
                let matters = |place: &usize| {
                    let certificate = chain.at(*place).map(AsRef::as_ref);
                    *place == 0 || path.iter().any(|der| Some(der.as_slice()) == certificate)
                };
                findings.extend((0..dated.len()).filter(matters).filter_map(only));
            }
            retried => {
                findings.extend((0..dated.len()).filter_map(only));
                let error = retried.and_then(Result::err).unwrap_or(error);
                if !is_date(&error) {
                    findings.extend(self.locate(error, chain));
                }
            }
        }
    }

    /// Which certificate it was that the verifier did not like: it does not say.
    fn locate(&self, error: webpki::Error, chain: Chain<'_>) -> Vec<Finding> {
        use webpki::Error as E;
        let links = chain.links();
        let last = links.last().copied().unwrap_or(0);
        let at = |place, problem| vec![chain.finding(place, problem)];
        match error {
            E::CertRevoked => {
                let revoked = |&place: &usize| chain.at(place).is_some_and(|it| self.revoked(it));
                let found = links.into_iter().filter(revoked);
                let found: Vec<_> = found.map(|at| chain.finding(at, Problem::Revoked)).collect();
                if found.is_empty() { vec![Finding::whole(Problem::Revoked)] } else { found }
            }
            E::UnknownIssuer => at(last, unknown_issuer(chain, last)),
            E::InvalidSignatureForPublicKey => {
                let signed = |pair: &[usize]| self.signed(chain.at(pair[0]), chain.at(pair[1]));
                let bad = links.windows(2).find(|pair| !signed(pair)).map_or(last, |pair| pair[0]);
                at(bad, Problem::BadSignature)
            }
            E::CaUsedAsEndEntity => at(0, NOT_A_PEER),
            E::EndEntityUsedAsCa => {
                let is_none = |&place: &usize| {
                    let parts = chain.at(place).and_then(|it| der::parts(it));
                    !parts.is_some_and(|parts| parts.is_authority())
                };
                at(links.into_iter().skip(1).find(is_none).unwrap_or(last), NOT_AN_AUTHORITY)
            }
            E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => {
                at(0, Problem::NotFit { why: "its extended key usage is another" })
            }
            error => vec![Finding::whole(problem(&error))],
        }
    }

    fn revoked(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok(read) = EndEntityCert::try_from(certificate) else { return false };
        let lists = self.lists.iter().filter(|list| list.issuer() == read.issuer());
        lists.into_iter().any(|list| matches!(list.find_serial(read.serial()), Ok(Some(_))))
    }

    /// Whether a certificate bears the signature of this issuer.
    fn signed(
        &self,
        certificate: Option<&CertificateDer<'_>>,
        issuer: Option<&CertificateDer<'_>>,
    ) -> bool {
        let Some(Parts { tbs, signature, .. }) = certificate.and_then(|it| der::parts(it)) else {
            return false;
        };
        let Some(Ok(issuer)) = issuer.map(EndEntityCert::try_from) else { return false };
        let mut algorithms = self.algorithms.all.iter();
        algorithms.any(|&algorithm| issuer.verify_signature(algorithm, tbs, signature).is_ok())
    }
}

pub(crate) const NOT_AN_AUTHORITY: Problem = Problem::NotFit { why: "it is not an authority's" };
const NOT_A_PEER: Problem = Problem::NotFit { why: "it is an authority's" };

/// The beginning of its validity, and what is wrong with the dates of a certificate now.
fn dates(certificate: &CertificateDer<'_>, now: UnixTime) -> (Option<Duration>, Option<Problem>) {
    let Some(validity) = der::validity(certificate) else { return (None, None) };
    let now = system(now);
    let (not_before, not_after) = (validity.not_before, validity.not_after);
    let begin = not_before.duration_since(SystemTime::UNIX_EPOCH).ok();
    let problem = if now < not_before {
        Some(Problem::NotYetValid { not_before })
    } else {
        (now > not_after).then_some(Problem::Expired { not_after })
    };
    (begin, problem)
}

/// What is wrong with the dates of a certificate now.
pub(crate) fn out_of_date(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<Problem> {
    dates(certificate, now).1
}

fn is_date(error: &webpki::Error) -> bool {
    use webpki::Error as E;
    matches!(error, E::CertExpired { .. } | E::CertNotValidYet { .. } | E::InvalidCertValidity)
}

fn wrong_name(chain: Chain<'_>, names: &[&ServerName<'_>]) -> Option<Finding> {
    // What cannot be read has been found by then.
    let leaf = EndEntityCert::try_from(chain.leaf).ok()?;
    if names.iter().any(|name| leaf.verify_is_valid_for_subject_name(name).is_ok()) {
        return None;
    }
    let wanted = names.first().map_or_else(|| "".into(), |name| escaped(&name.to_str()));
    let presented = der::dns_names(chain.leaf).into_iter().take(NAMES_MAX).map(escaped).collect();
    Some(chain.finding(0, Problem::WrongName { wanted, presented }))
}

fn unknown_issuer(chain: Chain<'_>, place: usize) -> Problem {
    let parts = chain.at(place).and_then(|it| der::parts(it));
    let issuer = parts.map(|parts| match der::common_name(parts.issuer) {
        _ if parts.issuer == parts.subject => "itself".into(),
        name => escaped(name.unwrap_or("without a name")),
    });
    Problem::UnknownIssuer { issuer: issuer.unwrap_or_default() }
}

fn problem(error: &webpki::Error) -> Problem {
    use webpki::Error as E;
    match error {
        E::BadDer
        | E::BadDerTime
        | E::ExtensionValueInvalid
        | E::InvalidCertValidity
        | E::InvalidSerialNumber
        | E::MalformedExtensions
        | E::SignatureAlgorithmMismatch
        | E::TrailingData(_) => Problem::Unreadable,
        E::CertExpired { not_after, .. } => Problem::Expired { not_after: system(*not_after) },
        E::CertNotValidYet { not_before, .. } => {
            Problem::NotYetValid { not_before: system(*not_before) }
        }
        E::MaximumNameConstraintComparisonsExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumPathDepthExceeded
        | E::MaximumSignatureChecksExceeded => Problem::TooComplex,
        E::NameConstraintViolation => {
            Problem::NotFit { why: "an issuer may not issue for its names" }
        }
        E::PathLenConstraintViolated => Problem::NotFit { why: "the path to a root is too long" },
        error => Problem::Unsupported { what: escaped(&error.to_string()) },
    }
}

fn system(time: UnixTime) -> SystemTime {
    let since = Duration::from_secs(time.as_secs());
    // Beyond what the system can count nothing is valid any more, so 1970 is as good.
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}
