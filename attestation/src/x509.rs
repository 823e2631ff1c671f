//! X.509, as much of it as attestation needs: strict parsing and one bounded chain walk for VEK, EK and AK.
//!
//! Why not `rustls-webpki`: it checks for TLS. It does not look at the dates of a root, hides which
//! certificate failed and by which rule, has no view of AMD's extensions, and refuses AMD's RSASSA-PSS
//! parameters (an explicit trailer field). `x509-parser` does the ASN.1 here; the rules of RFC 5280 that
//! apply to a chain of at most [`vouchsafe_protocol::limits::CERTIFICATES`] are written out in `chain`.

mod certificate;
mod chain;
mod envelope;

pub use certificate::{Certificate, CertificateError, Extension, KeyUsage, Validity, parse_spki};
pub(crate) use certificate::{rsa_spki, signature_scheme, without_leading_zeros};
pub(crate) use chain::check_dates;
pub use chain::{ChainError, VerifiedChain, verify_chain};
pub(crate) use envelope::check_envelope;
