//! The one chain walk: it selects issuers, checks every rule and every signature, and returns what it used.

use vouchsafe_crypto::verify::{VerifyError, verify};
use vouchsafe_protocol::limits::CERTIFICATES;

use super::certificate::{Certificate, Validity};

/// Most signatures checked for one chain, however many certificates share a name: bounds the work that
/// crafted evidence can cause to a few hundred microseconds.
const SIGNATURES: usize = 16;

/// Why a certificate does not chain to an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A signature in the chain does not verify under the key of the issuer it names.
    #[error("certificate is not signed by the issuer it names")]
    BadSignature,
    /// A certificate has an extension that must be understood and is not.
    #[error("certificate has a critical extension that is not understood")]
    CriticalExtension,
    /// `now` is after the last second of a certificate.
    #[error("certificate has expired")]
    Expired,
    /// No anchor to chain to.
    #[error("no trust anchor is configured")]
    NoAnchor,
    /// An issuer is not a certificate authority, or may not sign certificates.
    #[error("issuer is not a certificate authority")]
    NotAnAuthority,
    /// `now` is before the first second of a certificate.
    #[error("certificate is not yet valid")]
    NotYetValid,
    /// An issuer allows fewer intermediates below it.
    #[error("chain is longer than an issuer allows")]
    PathTooLong,
    /// The certificate was issued by itself and is no anchor.
    #[error("certificate is self-signed")]
    SelfSigned,
    /// More certificates, or more signatures to try, than are allowed.
    #[error("chain has too many certificates")]
    TooMany,
    /// Nobody offered has the issuer's name: the chain ends before an anchor.
    #[error("chain does not reach a trust anchor")]
    UnknownIssuer,
    /// A signature algorithm that is not accepted.
    #[error("signature algorithm is not accepted")]
    UnsupportedAlgorithm,
}

/// A chain that holds: every link of it was checked at one time.
#[derive(Clone, Debug)]
pub struct VerifiedChain {
    /// Index of the anchor it ends at.
    pub anchor: usize,
    /// Number of intermediates used.
    pub intermediates: usize,
    /// The dates that every certificate of the chain, anchor included, covers.
    pub validity: Validity,
}

/// Verifies that `leaf` chains through some of `intermediates` to one of `anchors` at `now` (seconds since
/// 1970). The caller still checks what the leaf is for, and its key.
///
/// For each link, starting at the leaf:
/// 1. the certificate is within its dates;
/// 2. it has no extension that must be understood and is not;
/// 3. it is not self-issued;
/// 4. somebody with the issuer's name exists, anchors first;
/// 5. that issuer is an authority that may sign certificates, with room for the intermediates below it;
/// 6. its key verifies the signature.
///
/// The anchor itself passes steps 1, 2 and 5.
///
/// # Errors
/// [`ChainError`], the failure of the link that got furthest.
pub fn verify_chain(
    leaf: &Certificate,
    intermediates: &[Certificate],
    anchors: &[Certificate],
    now: i64,
) -> Result<VerifiedChain, ChainError> {
    if anchors.is_empty() {
        return Err(ChainError::NoAnchor);
    }
    if intermediates.len() >= CERTIFICATES {
        return Err(ChainError::TooMany);
    }
    let mut walk = Walk { budget: SIGNATURES, now };
    let mut unused: Vec<&Certificate> = intermediates.iter().collect();
    let mut current = leaf;
    let mut validity = leaf.validity;
    for depth in 0..=intermediates.len() {
        walk.check_subject(current)?;
        let mut failure = ChainError::UnknownIssuer;
        for (anchor, issuer) in anchors.iter().enumerate() {
            match walk.issued(current, issuer, depth) {
                Ok(()) => {
                    let validity = validity.intersect(issuer.validity);
                    return Ok(VerifiedChain { anchor, intermediates: depth, validity });
                }
                Err(ChainError::TooMany) => return Err(ChainError::TooMany),
                Err(error) => failure = more_specific(failure, error),
            }
        }
        let mut next = None;
        for (index, issuer) in unused.iter().enumerate() {
            match walk.issued(current, issuer, depth) {
                Ok(()) => {
                    next = Some(index);
                    break;
                }
                Err(ChainError::TooMany) => return Err(ChainError::TooMany),
                Err(error) => failure = more_specific(failure, error),
            }
        }
        current = unused.swap_remove(next.ok_or(failure)?);
        validity = validity.intersect(current.validity);
    }
    Err(ChainError::UnknownIssuer)
}

/// Checks dates against a time, for a chain that was verified at another.
///
/// # Errors
/// [`ChainError::NotYetValid`], [`ChainError::Expired`].
pub(crate) fn check_dates(validity: Validity, now: i64) -> Result<(), ChainError> {
    if now < validity.not_before {
        return Err(ChainError::NotYetValid);
    }
    if now > validity.not_after {
        return Err(ChainError::Expired);
    }
    Ok(())
}

struct Walk {
    budget: usize,
    now: i64,
}

impl Walk {
    /// Steps 1 to 3.
    fn check_subject(&self, certificate: &Certificate) -> Result<(), ChainError> {
        check_dates(certificate.validity, self.now)?;
        if certificate.not_understood {
            return Err(ChainError::CriticalExtension);
        }
        if certificate.issuer == certificate.subject {
            return Err(ChainError::SelfSigned);
        }
        Ok(())
    }

    /// Steps 4 to 6: whether `issuer` signed `certificate`, with `below` intermediates under the issuer.
    fn issued(
        &mut self,
        certificate: &Certificate,
        issuer: &Certificate,
        below: usize,
    ) -> Result<(), ChainError> {
        if certificate.issuer != issuer.subject {
            return Err(ChainError::UnknownIssuer);
        }
        check_dates(issuer.validity, self.now)?;
        if issuer.not_understood {
            return Err(ChainError::CriticalExtension);
        }
        let authority = issuer.authority.ok_or(ChainError::NotAnAuthority)?;
        if issuer.key_usage.is_some_and(|usage| !usage.cert_sign) {
            return Err(ChainError::NotAnAuthority);
        }
        if authority.path_len.is_some_and(|most| usize::try_from(most).is_ok_and(|most| below > most)) {
            return Err(ChainError::PathTooLong);
        }
        self.budget = self.budget.checked_sub(1).ok_or(ChainError::TooMany)?;
        let scheme = certificate.scheme.ok_or(ChainError::UnsupportedAlgorithm)?;
        let key = issuer.key.as_ref().ok_or(ChainError::UnsupportedAlgorithm)?;
        verify(key, scheme, &certificate.tbs, &certificate.signature).map_err(|error| match error {
            VerifyError::Unsupported => ChainError::UnsupportedAlgorithm,
            VerifyError::BadSignature | VerifyError::OutOfRange => ChainError::BadSignature,
        })
    }
}

/// Of two failures to find an issuer, the one that says more than "nobody has that name".
fn more_specific(one: ChainError, other: ChainError) -> ChainError {
    if one == ChainError::UnknownIssuer { other } else { one }
}
