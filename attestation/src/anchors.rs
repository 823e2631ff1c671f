//! Trust anchors, parsed once. Nothing that arrives later can add to them.

use vouchsafe_protocol::anchors::Anchors;
use vouchsafe_protocol::id::{AnchorClass, AnchorName};
use vouchsafe_protocol::limits::CERTIFICATES;
use vouchsafe_protocol::policy::TpmKind;

use crate::snp::roots::{AmdRoots, RootsError};
use crate::x509::{Certificate, CertificateError};

/// Why anchors cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// AMD's roots cannot be used.
    #[error("roots for SNP reports cannot be used")]
    Amd(#[source] RootsError),
    /// A certificate of a TPM set cannot be read.
    #[error("certificate of anchor '{name}' cannot be read")]
    Certificate {
        /// Set.
        name: AnchorName,
        /// Why.
        #[source]
        source: CertificateError,
    },
    /// A set, or a certificate in one, occurs twice.
    #[error("anchor '{name}' is given twice, or holds a certificate twice")]
    Duplicate {
        /// Set.
        name: AnchorName,
    },
    /// A set has no certificate: it would vouch for nothing, or, in a careless verifier, for everything.
    #[error("anchor '{name}' has no certificate")]
    Empty {
        /// Set.
        name: AnchorName,
    },
    /// A certificate of a set is not a certificate authority's.
    #[error("anchor '{name}' holds a certificate that is not an authority's")]
    NotAnAuthority {
        /// Set.
        name: AnchorName,
    },
    /// More sets, or certificates in one, than [`CERTIFICATES`].
    #[error("there are more than {CERTIFICATES} anchors, or certificates in one")]
    TooMany,
}

/// Every root that evidence is verified against.
#[derive(Clone, Debug)]
pub struct TrustAnchors {
    amd: AmdRoots,
    tpm: Vec<TpmAnchorSet>,
    class: AnchorClass,
}

/// A named set of certificate authorities for endorsement keys.
#[derive(Clone, Debug)]
pub(crate) struct TpmAnchorSet {
    pub(crate) name: AnchorName,
    pub(crate) class: AnchorClass,
    pub(crate) kind: TpmKind,
    pub(crate) certificates: Vec<Certificate>,
}

impl TrustAnchors {
    /// Parses anchors. Whatever is empty, given twice or unreadable is refused as a whole.
    ///
    /// # Errors
    /// [`AnchorError`].
    pub fn new(anchors: &Anchors) -> Result<Self, AnchorError> {
        let Anchors { amd, tpm } = anchors;
        let amd = AmdRoots::new(amd).map_err(AnchorError::Amd)?;
        if tpm.len() > CERTIFICATES {
            return Err(AnchorError::TooMany);
        }
        let mut sets: Vec<TpmAnchorSet> = Vec::with_capacity(tpm.len());
        for set in tpm {
            let name = set.name.clone();
            if set.certificates.is_empty() {
                return Err(AnchorError::Empty { name });
            }
            if set.certificates.len() > CERTIFICATES {
                return Err(AnchorError::TooMany);
            }
            if sets.iter().any(|seen| seen.name == name) {
                return Err(AnchorError::Duplicate { name });
            }
            let mut certificates: Vec<Certificate> = Vec::with_capacity(set.certificates.len());
            for der in &set.certificates {
                let certificate = Certificate::parse(der)
                    .map_err(|source| AnchorError::Certificate { name: name.clone(), source })?;
                if certificates.iter().any(|seen| seen.der() == certificate.der()) {
                    return Err(AnchorError::Duplicate { name });
                }
                if certificate.authority.is_none() {
                    return Err(AnchorError::NotAnAuthority { name });
                }
                certificates.push(certificate);
            }
            sets.push(TpmAnchorSet { name, class: set.class, kind: set.kind, certificates });
        }
        Ok(Self { amd, tpm: sets, class: anchors.class() })
    }

    /// Simulated as soon as one anchor is.
    #[must_use]
    pub fn class(&self) -> AnchorClass {
        self.class
    }

    /// Roots for SNP reports.
    #[must_use]
    pub fn amd(&self) -> &AmdRoots {
        &self.amd
    }

    pub(crate) fn tpm(&self) -> &[TpmAnchorSet] {
        &self.tpm
    }
}
