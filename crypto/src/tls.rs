//! The settings of the inner TLS session, shared by both of its ends so that they cannot differ.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::hybrid_kx::X25519_MLKEM768;
use crate::signature::{P256Key, SignatureError};

/// ring's TLS 1.3 suites with X25519MLKEM768 as the only key exchange: there is nothing to fall back to.
#[must_use]
pub fn inner_provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { kx_groups: vec![X25519_MLKEM768], ..ring::default_provider() })
}

/// ring's TLS 1.3 suites for the outer connection, which is transport and not trust; prefers the hybrid too.
#[must_use]
pub fn outer_provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.kx_groups.insert(0, X25519_MLKEM768);
    Arc::new(provider)
}

/// The private key of a P-256 identity in the form rustls takes. The copy is wiped by rustls-pki-types' user,
/// not here: it lives as long as the TLS configuration.
#[must_use]
pub fn private_key(key: &P256Key) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.expose_pkcs8().expose_secret().to_vec()))
}

/// A certificate chain (leaf first, DER) with its key.
///
/// # Errors
/// [`SignatureError::Key`] if rustls does not take the key.
pub fn certified_key(chain: Vec<Vec<u8>>, key: &P256Key) -> Result<CertifiedKey, SignatureError> {
    let signing = ring::sign::any_supported_type(&private_key(key)).map_err(|_| SignatureError::Key)?;
    Ok(CertifiedKey::new(chain.into_iter().map(CertificateDer::from).collect(), signing))
}
