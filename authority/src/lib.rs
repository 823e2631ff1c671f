//! The vault's certificate authority: X.509 SVIDs for attested keys, and the vault's own TLS certificate.
//!
//! Trusted for: certificates that say exactly what the caller gives, in the forms of SPIFFE X.509-SVID and RFC 5280.
//! Not trusted for: whom to issue what; names come from policy and from the vault id, never from a request.
//! Left to the caller: time, serial numbers, and to keep what [`Authority::restore`] needs.

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
};
use time::OffsetDateTime;
use vouchsafe_crypto::signature::{P256Key, P256PublicKey};
use vouchsafe_protocol::id::{AnchorClass, VaultId};

/// Certificates are valid from a little before they are made, so that a slow clock does not refuse them.
const CLOCK_SKEW_SECS: u64 = 60;
/// Life of the authority's certificate: ten years.
const AUTHORITY_SECS: u64 = 10 * 365 * 86_400;
/// Life of the vault's own TLS certificate; its key is new at every start.
const SERVER_SECS: u64 = 365 * 86_400;

/// id-kp-jwt (RFC 9509): the key signs JSON web tokens, and its certificate serves no TLS.
const RESULTS_USAGE: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 37];
/// SPIFFE path of that key.
const RESULTS_PATH: &str = "/vault/attestation-results";
/// Its certificates count from here: identities count from 1, and the vault's own are numbered by the time.
const RESULTS_SERIAL: u64 = 1 << 40;

/// A certificate could not be made: randomness failed, or a name is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a certificate could not be issued")]
pub struct IssueError;

/// The authority: its key and its self-signed certificate.
#[derive(Debug)]
pub struct Authority {
    key: P256Key,
    certificate: Vec<u8>,
    vault_id: VaultId,
}

/// What a certificate says besides its subject.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    /// Serial number.
    pub serial: u64,
    /// Begins with `/`; from policy, never from a request.
    pub spiffe_path: &'a str,
    /// What it is for.
    pub usage: Usage,
    /// End of its life, in seconds since 1970.
    pub not_after_secs: u64,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug)]
pub enum Usage {
    /// A client of the vault.
    Client,
    /// The key that signs attestation results.
    Results,
    /// The vault itself, under its DNS name.
    Server,
}

impl Authority {
    /// Makes the self-signed certificate for a new vault.
    pub fn create(key: P256Key, vault_id: VaultId, now: u64) -> Result<Self, IssueError> {
        let mut params = params(&vault_id, now, now.saturating_add(AUTHORITY_SECS))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![uri(&format!("spiffe://{}", vault_id.trust_domain()))?];
        let certificate = params.self_signed(&Signer(&key)).map_err(|_| IssueError)?.der().to_vec();
        Ok(Self { key, certificate, vault_id })
    }

    /// Takes up the authority of an existing vault.
    pub fn restore(key: P256Key, certificate: Vec<u8>, vault_id: VaultId) -> Self {
        Self { key, certificate, vault_id }
    }

    /// DER of the self-signed certificate.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// SubjectPublicKeyInfo.
    pub fn spki(&self) -> Vec<u8> {
        self.key.spki()
    }

    /// The key, to be sealed with the state.
    pub fn key(&self) -> &P256Key {
        &self.key
    }

    /// Issues a certificate for exactly `subject`.
    pub fn issue(&self, subject: &P256PublicKey, leaf: &Leaf<'_>, now: u64) -> Result<Vec<u8>, IssueError> {
        let Leaf { serial, spiffe_path, usage, not_after_secs } = *leaf;
        let mut params = params(&self.vault_id, now, not_after_secs)?;
        params.serial_number = Some(SerialNumber::from(serial));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let domain = self.vault_id.trust_domain();
        params.subject_alt_names = vec![uri(&format!("spiffe://{domain}{spiffe_path}"))?];
        params.extended_key_usages = vec![match usage {
            Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
            Usage::Results => ExtendedKeyUsagePurpose::Other(RESULTS_USAGE.to_vec()),
            Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        if matches!(usage, Usage::Server) {
            let name = Ia5String::try_from(self.vault_id.server_name()).map_err(|_| IssueError)?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name = name(&self.vault_id);
        issuer.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = Issuer::new(issuer, Signer(&self.key));
        let certificate = params.signed_by(&Subject(subject), &issuer).map_err(|_| IssueError)?;
        Ok(certificate.der().to_vec())
    }

    /// Issues the certificate of the key that signs attestation results: good for nothing else.
    pub fn issue_results(&self, subject: &P256PublicKey, now: u64) -> Result<Vec<u8>, IssueError> {
        let not_after_secs = now.saturating_add(SERVER_SECS);
        let serial = RESULTS_SERIAL.saturating_add(now);
        let leaf = Leaf { serial, spiffe_path: RESULTS_PATH, usage: Usage::Results, not_after_secs };
        self.issue(subject, &leaf, now)
    }

    /// Issues the vault's own TLS certificate.
    pub fn issue_server(&self, subject: &P256PublicKey, now: u64) -> Result<Vec<u8>, IssueError> {
        let not_after_secs = now.saturating_add(SERVER_SECS);
        let leaf = Leaf { serial: now, spiffe_path: "/vault", usage: Usage::Server, not_after_secs };
        self.issue(subject, &leaf, now)
    }
}

fn params(vault_id: &VaultId, now: u64, not_after: u64) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    params.not_before = instant(now.saturating_sub(CLOCK_SKEW_SECS))?;
    params.not_after = instant(not_after)?;
    params.distinguished_name = name(vault_id);
    Ok(params)
}

/// Says `simulated` in every certificate of a simulated vault.
fn name(vault_id: &VaultId) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    let organisation = match vault_id.class {
        AnchorClass::Hardware => "Vouchsafe",
        AnchorClass::Simulated => "Vouchsafe (simulated, not for production)",
    };
    name.push(DnType::OrganizationName, organisation);
    name.push(DnType::CommonName, vault_id.trust_domain());
    name
}

fn uri(text: &str) -> Result<SanType, IssueError> {
    Ia5String::try_from(text).map(SanType::URI).map_err(|_| IssueError)
}

fn instant(secs: u64) -> Result<OffsetDateTime, IssueError> {
    let secs = i64::try_from(secs).map_err(|_| IssueError)?;
    OffsetDateTime::from_unix_timestamp(secs).map_err(|_| IssueError)
}

/// The authority's key as rcgen wants it.
struct Signer<'a>(&'a P256Key);

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.point()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

/// A subject's public key as rcgen wants it: the point.
struct Subject<'a>(&'a P256PublicKey);

impl PublicKeyData for Subject<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.point()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}
