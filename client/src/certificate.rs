//! What the client reads from X.509: the vault's authority, and identities under it.
//!
//! Certificates arrive from a hostile host. `rustls-webpki` builds chains; `x509-parser` reads the authority.

use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use vouchsafe_crypto::signature::P256PublicKey;
use vouchsafe_protocol::id::VaultId;
use vouchsafe_protocol::limits::CERTIFICATE_LEN;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The one signature algorithm of a vault's certificates.
const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[ring::ECDSA_P256_SHA256];

/// id-kp-jwt (RFC 9509), 1.3.6.1.5.5.7.3.37, in DER without tag and length.
const RESULTS_USAGE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 37];

/// Why a certificate is refused.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Authority 1.
    #[error("the certificate is malformed or longer than its limit")]
    Malformed,
    /// Authority 2.
    #[error("the authority's key is not a P-256 key")]
    AuthorityKey,
    /// Authority 3.
    #[error("the authority's certificate is not that of a certificate authority")]
    NotAuthority,
    /// Authority 4.
    #[error("the authority's certificate is not signed by its own key")]
    SelfSignature,
    /// Identity 1.
    #[error("the certificate is for another key")]
    AnotherKey,
    /// Identity 2.
    #[error("{}; check this machine's clock, or introduce again", chain_text(.0))]
    Chain(webpki::Error),
    /// Identity 3.
    #[error("the certificate does not have exactly one name, a SPIFFE id of this vault's trust domain")]
    Name,
}

/// The library's own text is for programmers.
fn chain_text(error: &webpki::Error) -> &'static str {
    match error {
        webpki::Error::CertExpired { .. } => "the certificate has expired",
        webpki::Error::CertNotValidYet { .. } => "the certificate is not valid yet",
        _ => "the certificate is not a valid one of this vault",
    }
}

/// A vault's authority: a self-signed P-256 certificate. Whether it is the right vault's is the caller's to
/// check, by its vault id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    key: P256PublicKey,
}

impl Authority {
    /// Reads an authority's certificate.
    ///
    /// 1. DER of one certificate, at most [`CERTIFICATE_LEN`] bytes;
    /// 2. with a P-256 key;
    /// 3. of a certificate authority;
    /// 4. signed by that key.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        // 1
        if der.len() > CERTIFICATE_LEN {
            return Err(CertificateError::Malformed);
        }
        let parsed = X509Certificate::from_der(der);
        let ([], certificate) = parsed.map_err(|_| CertificateError::Malformed)? else {
            return Err(CertificateError::Malformed);
        };
        // 2
        let key = P256PublicKey::from_spki(certificate.public_key().raw)
            .map_err(|_| CertificateError::AuthorityKey)?;
        // 3
        if !certificate.is_ca() {
            return Err(CertificateError::NotAuthority);
        }
        // 4
        key.verify(certificate.tbs_certificate.as_ref(), &certificate.signature_value.data)
            .map_err(|_| CertificateError::SelfSignature)?;
        Ok(Self { certificate: CertificateDer::from(der.to_vec()), key })
    }

    pub(crate) fn key(&self) -> &P256PublicKey {
        &self.key
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Checks the certificate of the key that signs attestation results, and returns the key.
    ///
    /// 1. it is for a P-256 key;
    /// 2. this authority issued it, for signing JSON web tokens, and it is valid at `now`;
    /// 3. its only name is that of the vault's results.
    pub(crate) fn check_results_key(
        &self,
        der: &[u8],
        vault_id: &VaultId,
        now_secs: u64,
    ) -> Result<P256PublicKey, CertificateError> {
        if der.len() > CERTIFICATE_LEN {
            return Err(CertificateError::Malformed);
        }
        let der = CertificateDer::from(der);
        let certificate = EndEntityCert::try_from(&der).map_err(|_| CertificateError::Malformed)?;
        // 1
        let key = P256PublicKey::from_spki(certificate.subject_public_key_info().as_ref())
            .map_err(|_| CertificateError::AnotherKey)?;
        // 2
        let anchor = anchor_from_trusted_cert(&self.certificate).map_err(CertificateError::Chain)?;
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now_secs));
        let usage = KeyUsage::required(RESULTS_USAGE);
        certificate
            .verify_for_usage(ALGORITHMS, &[anchor], &[], now, usage, None, None)
            .map_err(CertificateError::Chain)?;
        // 3
        let mut names = certificate.valid_uri_names();
        let expected = format!("spiffe://{}/vault/attestation-results", vault_id.trust_domain());
        let one_name = names.next() == Some(expected.as_str()) && names.next().is_none();
        if one_name && certificate.valid_dns_names().next().is_none() {
            Ok(key)
        } else {
            Err(CertificateError::Name)
        }
    }

    /// Checks a client identity and returns its SPIFFE id.
    ///
    /// 1. it is for exactly `key` (B1, B9);
    /// 2. this authority issued it, for client authentication, and it is valid at `now`;
    /// 3. its only URI is a SPIFFE id of the vault's trust domain, and it has no DNS name (V13).
    pub(crate) fn check_identity(
        &self,
        der: &[u8],
        key: &[u8],
        vault_id: &VaultId,
        now_secs: u64,
    ) -> Result<String, CertificateError> {
        if der.len() > CERTIFICATE_LEN {
            return Err(CertificateError::Malformed);
        }
        let der = CertificateDer::from(der);
        let certificate = EndEntityCert::try_from(&der).map_err(|_| CertificateError::Malformed)?;
        // 1
        if certificate.subject_public_key_info().as_ref() != key {
            return Err(CertificateError::AnotherKey);
        }
        // 2
        let anchor = anchor_from_trusted_cert(&self.certificate).map_err(CertificateError::Chain)?;
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now_secs));
        certificate
            .verify_for_usage(ALGORITHMS, &[anchor], &[], now, KeyUsage::client_auth(), None, None)
            .map_err(CertificateError::Chain)?;
        // 3
        let mut names = certificate.valid_uri_names();
        let (Some(name), None, None) = (names.next(), names.next(), certificate.valid_dns_names().next())
        else {
            return Err(CertificateError::Name);
        };
        let prefix = format!("spiffe://{}/", vault_id.trust_domain());
        match name.strip_prefix(&prefix) {
            Some(path) if !path.is_empty() => Ok(name.to_owned()),
            _ => Err(CertificateError::Name),
        }
    }
}
