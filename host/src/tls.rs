//! The outer TLS: transport, not trust.
//!
//! TLS 1.3 only, no tickets, no resumption, no early data. The certificate is self-signed and made at first
//! start; agents do not trust it, they verify the vault inside. The one decision that matters here is the
//! gate's: a session's client certificate is required and must chain to the vault's authority.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};
use vouchsafe_protocol::limits::CERTIFICATE_LEN;
use vouchsafe_protocol::link::{ALPN_INTRODUCE, ALPN_RELAY};

use crate::data_dir::{DataDir, DataDirError, private_dir, write_private};

/// The host's certificate and key, from which the two configurations are made.
#[derive(Debug)]
pub(crate) struct OuterTls {
    provider: Arc<CryptoProvider>,
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

/// Why the outer TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The key or certificate of the host cannot be made.
    #[error("cannot generate the host's TLS certificate")]
    Generate(#[from] rcgen::Error),
    /// They cannot be read.
    #[error("cannot read {path}; restore it, or remove the directory tls beside it to get a new certificate")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// They are not usable.
    #[error("the host's TLS certificate or key is damaged; remove the directory tls in the data directory")]
    Unusable(#[source] rustls::Error),
    /// They cannot be written.
    #[error("cannot keep the host's TLS certificate")]
    Write(#[from] DataDirError),
}

/// Why the certificate that the enclave announced is no authority.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    #[error("the enclave's authority certificate has {len} bytes; the limit is {CERTIFICATE_LEN}")]
    TooLong { len: usize },
    #[error("the enclave's authority certificate cannot be used as a trust anchor")]
    Anchor(#[source] rustls::Error),
    #[error("no verifier can be made for the enclave's authority certificate")]
    Verifier(#[from] VerifierBuilderError),
    #[error("no TLS configuration can be made for the enclave's authority certificate")]
    Config(#[source] rustls::Error),
}

impl OuterTls {
    /// Loads the host's certificate, or makes and keeps one at first start.
    pub(crate) fn load_or_generate(data: &DataDir) -> Result<Self, TlsError> {
        let (certificate_path, key_path) = (data.join("tls/certificate.der"), data.join("tls/key.der"));
        if !certificate_path.exists() {
            let dir = data.join("tls");
            private_dir(&dir).map_err(|source| DataDirError::Create { path: dir, source })?;
            let (certificate, key) = generate()?;
            // The certificate last: its presence says that both are there.
            write_private(&key_path, key.secret_pkcs8_der())?;
            write_private(&certificate_path, &certificate)?;
        }
        let read = |path: PathBuf| std::fs::read(&path).map_err(|source| TlsError::Read { path, source });
        let certificate = CertificateDer::from(read(certificate_path)?);
        let key = PrivatePkcs8KeyDer::from(read(key_path)?);
        Ok(Self { provider: Arc::new(rustls::crypto::ring::default_provider()), certificate, key })
    }

    /// For introductions: no client certificate, as the agent has none yet.
    pub(crate) fn introduce(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = self.builder().map_err(TlsError::Unusable)?.with_no_client_auth();
        let config = builder.with_single_cert(vec![self.certificate.clone()], self.private_key());
        Ok(Arc::new(harden(config.map_err(TlsError::Unusable)?, ALPN_INTRODUCE)))
    }

    /// For sessions: a client certificate under `authority` (DER) is required.
    pub(crate) fn relay(&self, authority: &[u8]) -> Result<Arc<ServerConfig>, AuthorityError> {
        if authority.len() > CERTIFICATE_LEN {
            return Err(AuthorityError::TooLong { len: authority.len() });
        }
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(authority.to_vec())).map_err(AuthorityError::Anchor)?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
                .build()?;
        let builder = self.builder().map_err(AuthorityError::Config)?.with_client_cert_verifier(verifier);
        let config = builder.with_single_cert(vec![self.certificate.clone()], self.private_key());
        Ok(Arc::new(harden(config.map_err(AuthorityError::Config)?, ALPN_RELAY)))
    }

    fn builder(&self) -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, rustls::Error> {
        ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from(self.key.clone_key())
    }
}

/// One protocol, no resumption in any form, no early data.
fn harden(mut config: ServerConfig, alpn: &[u8]) -> ServerConfig {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config
}

fn generate() -> Result<(CertificateDer<'static>, PrivatePkcs8KeyDer<'static>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["vouchsafe-host".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "vouchsafe-host (transport only)");
    let certificate = params.self_signed(&key)?;
    Ok((certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outer() -> (tempfile::TempDir, OuterTls) {
        let dir = tempfile::tempdir().unwrap();
        let tls = OuterTls::load_or_generate(&DataDir::open(dir.path()).unwrap()).unwrap();
        (dir, tls)
    }

    #[test]
    fn the_certificate_is_kept_and_its_key_is_private() {
        let (dir, tls) = outer();
        let again = OuterTls::load_or_generate(&DataDir::open(dir.path()).unwrap()).unwrap();
        assert_eq!(tls.certificate, again.certificate);
        let mode = dir.path().join("tls/key.der").metadata().unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    }

    #[test]
    fn an_authority_beyond_the_limit_or_not_a_certificate_is_refused() {
        let (_dir, tls) = outer();
        let long = tls.relay(&[0x30; CERTIFICATE_LEN + 1]);
        assert!(matches!(long, Err(AuthorityError::TooLong { len }) if len == CERTIFICATE_LEN + 1));
        assert!(matches!(tls.relay(&[0x30; CERTIFICATE_LEN]), Err(AuthorityError::Anchor(_))));
        assert!(matches!(tls.relay(&[]), Err(AuthorityError::Anchor(_))));
    }

    #[test]
    fn b8_no_configuration_resumes_or_takes_early_data() {
        let (_dir, tls) = outer();
        for config in [tls.introduce().unwrap(), tls.relay(&tls.certificate).unwrap()] {
            assert!(!config.session_storage.can_cache() && !config.ticketer.enabled());
            assert_eq!((config.send_tls13_tickets, config.max_early_data_size), (0, 0));
        }
    }
}
