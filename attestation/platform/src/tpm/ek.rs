//! The endorsement key: which one, its certificates, and opening credentials with it.
//!
//! TCG EK Credential Profile 2.5: section 2.2.1.4 (NV indices), annex B.3 (templates and policy A).

use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tss_esapi::constants::CapabilityType;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind;
use tss_esapi::handles::{AuthHandle, KeyHandle, PersistentTpmHandle, TpmHandle};
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::structures::{CapabilityData, Digest, EncryptedSecret, IdObject, Nonce, Public};
use vouchsafe_crypto::secret::Key32;
use vouchsafe_protocol::evidence::CredentialBlob;
use vouchsafe_protocol::limits::{CERTIFICATE_LEN, CERTIFICATES};
use x509_parser::oid_registry::OID_PKCS1_RSAENCRYPTION;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::connection::{Connection, Encrypt};
use super::error::{KeysError, TpmError};
use super::key::{self, EkKind, Name};
use super::nv;
use crate::files;

/// Handles asked for at once.
const MAX_HANDLES: u32 = 64;
/// Largest file of EK certificates in bytes: the chain in base64 with headers.
const CHAIN_FILE_LEN: usize = 2 * CERTIFICATES * CERTIFICATE_LEN;

impl EkKind {
    /// Where the certificate is (section 2.2.1.4).
    fn certificate_index(self) -> u32 {
        match self {
            Self::EccP256 => 0x01C0_000A,
            Self::Rsa2048 => 0x01C0_0002,
        }
    }

    /// Where a manufacturer or provisioning keeps the key (TCG TPM v2.0 Provisioning Guidance 1.0, 7.8).
    fn persistent_handle(self) -> u32 {
        match self {
            Self::EccP256 => 0x8101_0002,
            Self::Rsa2048 => 0x8101_0001,
        }
    }
}

/// Which endorsement key this machine shows, and its certificates, leaf first.
#[derive(Clone, Debug)]
pub(crate) struct Endorsement {
    pub(crate) kind: EkKind,
    pub(crate) chain: Vec<Vec<u8>>,
}

/// Certificates from the TPM, followed by those of the file; if the TPM holds none, those of the file.
pub(crate) fn endorsement(
    connection: &mut Connection,
    chain_file: Option<&Path>,
) -> Result<Endorsement, TpmError> {
    let from_file = chain_file.map(read_chain).transpose()?.unwrap_or_default();
    for kind in [EkKind::EccP256, EkKind::Rsa2048] {
        if let Some(leaf) = read_certificate(connection, kind)? {
            let above = from_file.into_iter().filter(|certificate| *certificate != leaf);
            return Ok(Endorsement { kind, chain: core::iter::once(leaf.clone()).chain(above).collect() });
        }
    }
    let leaf = from_file.first().ok_or(KeysError::NoEkCertificate)?;
    let path = chain_file.unwrap_or(Path::new("")).to_owned();
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| KeysError::EkChainDamaged { path })?;
    let rsa = certificate.public_key().algorithm.algorithm == OID_PKCS1_RSAENCRYPTION;
    Ok(Endorsement { kind: if rsa { EkKind::Rsa2048 } else { EkKind::EccP256 }, chain: from_file })
}

fn read_chain(path: &Path) -> Result<Vec<Vec<u8>>, KeysError> {
    let file = |source: io::Error| KeysError::EkChainFile { path: path.to_owned(), source };
    let bytes = files::read(path, CHAIN_FILE_LEN).map_err(file)?;
    let damaged = || KeysError::EkChainDamaged { path: path.to_owned() };
    let chain = split_chain(&bytes).ok_or_else(damaged)?;
    let fits = chain.iter().all(|certificate| certificate.len() <= CERTIFICATE_LEN);
    if chain.is_empty() || chain.len() > CERTIFICATES || !fits {
        return Err(damaged());
    }
    Ok(chain)
}

/// One certificate in DER, or any number in PEM.
fn split_chain(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    if bytes.first() == Some(&0x30) {
        return Some(vec![bytes.to_vec()]);
    }
    let text = core::str::from_utf8(bytes).ok()?;
    text.split("-----BEGIN CERTIFICATE-----")
        .skip(1)
        .map(|part| {
            let (body, _) = part.split_once("-----END CERTIFICATE-----")?;
            let body: String = body.split_whitespace().collect();
            STANDARD.decode(body).ok()
        })
        .collect()
}

/// `None` if the TPM has no such index. The certificate is checked by whoever verifies it, not here.
fn read_certificate(connection: &mut Connection, kind: EkKind) -> Result<Option<Vec<u8>>, TpmError> {
    let bytes = nv::read(connection, kind.certificate_index(), CERTIFICATE_LEN)?;
    Ok(bytes.as_deref().and_then(der_prefix).map(<[u8]>::to_vec))
}

/// The one DER element that the bytes begin with: an index may be longer than its certificate.
pub(crate) fn der_prefix(bytes: &[u8]) -> Option<&[u8]> {
    let (header, len) = match bytes {
        [0x30, len, ..] if *len < 0x80 => (2, usize::from(*len)),
        [0x30, 0x81, len, ..] => (3, usize::from(*len)),
        [0x30, 0x82, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        _ => return None,
    };
    bytes.get(..header + len)
}

/// The endorsement key: the persistent one if it has the default template, else made again from it.
pub(crate) fn load(connection: &mut Connection, kind: EkKind) -> Result<(KeyHandle, Public), TpmError> {
    let persistent = kind.persistent_handle();
    let template =
        kind.template().map_err(|source| TpmError::Command { command: "TPM2_CreatePrimary", source })?;
    if handles_from(connection, persistent)?.contains(&persistent) {
        let handle = connection.bare("TPM2_ReadPublic", |context| {
            context.tr_from_tpm_public(TpmHandle::Persistent(PersistentTpmHandle::new(persistent)?))
        })?;
        let handle = KeyHandle::from(handle);
        let (public, _, _) = connection.bare("TPM2_ReadPublic", |context| context.read_public(handle))?;
        if follows(&public, &template) {
            return Ok((handle, public));
        }
    }
    connection.create_primary(Hierarchy::Endorsement, Ok(template))
}

/// Name of the ECC P-256 endorsement key. Not authenticated: good for telling machines apart in a message.
pub(crate) fn machine_name(connection: &mut Connection) -> Result<Name, TpmError> {
    let (handle, public) = connection.create_primary(Hierarchy::Endorsement, EkKind::EccP256.template())?;
    connection.flush(handle.into())?;
    key::name(&public)
}

/// Whether everything but the key itself is as in the template.
fn follows(public: &Public, template: &Public) -> bool {
    match (public, template) {
        (
            Public::Rsa {
                object_attributes: a,
                name_hashing_algorithm: h,
                auth_policy: p,
                parameters: r,
                ..
            },
            Public::Rsa {
                object_attributes: ta,
                name_hashing_algorithm: th,
                auth_policy: tp,
                parameters: tr,
                ..
            },
        ) => a == ta && h == th && p == tp && r == tr,
        (
            Public::Ecc {
                object_attributes: a,
                name_hashing_algorithm: h,
                auth_policy: p,
                parameters: e,
                ..
            },
            Public::Ecc {
                object_attributes: ta,
                name_hashing_algorithm: th,
                auth_policy: tp,
                parameters: te,
                ..
            },
        ) => a == ta && h == th && p == tp && e == te,
        _ => false,
    }
}

/// Handles that the TPM says exist, from `first` upwards. A hint: it only decides what to try.
pub(crate) fn handles_from(connection: &mut Connection, first: u32) -> Result<Vec<u32>, TpmError> {
    let (handles, _) = connection.bare("TPM2_GetCapability", |context| {
        context.get_capability(CapabilityType::Handles, first, MAX_HANDLES)
    })?;
    match handles {
        CapabilityData::Handles(handles) => Ok(handles.iter().map(|&handle| handle.into()).collect()),
        _ => Err(TpmError::UnexpectedAnswer { command: "TPM2_GetCapability" }),
    }
}

/// `TPM2_ActivateCredential`: the attestation key authorises as administrator, the endorsement key by policy A
/// (PolicySecret of the endorsement hierarchy). The secret comes back encrypted by the salted session.
pub(crate) fn activate(
    connection: &mut Connection,
    ak: KeyHandle,
    kind: EkKind,
    blob: &CredentialBlob,
) -> Result<Key32, TpmError> {
    let id_object = unsized_buffer(&blob.id_object).ok_or(TpmError::Credential)?;
    let secret = unsized_buffer(&blob.encrypted_secret).ok_or(TpmError::Credential)?;
    let id_object = IdObject::try_from(id_object).map_err(|_| TpmError::Credential)?;
    let secret = EncryptedSecret::try_from(secret).map_err(|_| TpmError::Credential)?;

    let (ek, _) = load(connection, kind)?;
    let policy = connection.policy_session(Encrypt::NoneButAuthorize)?;
    connection.command("TPM2_PolicySecret", Encrypt::NoneButAuthorize, |context| {
        context.policy_secret(
            policy,
            AuthHandle::Endorsement,
            Nonce::default(),
            Digest::default(),
            Nonce::default(),
            None,
        )
    })?;
    let session = connection.session();
    let opened = connection.command("TPM2_ActivateCredential", Encrypt::Both, |context| {
        context.execute_with_sessions((Some(session), Some(policy.into()), None), |context| {
            context.activate_credential(ak, ek, id_object, secret)
        })
    });
    let opened = opened.map_err(|error| match error.refused_with() {
        Some(
            Tss2ResponseCodeKind::Integrity
            | Tss2ResponseCodeKind::Value
            | Tss2ResponseCodeKind::Size
            | Tss2ResponseCodeKind::Insufficient
            | Tss2ResponseCodeKind::EccPoint
            // What libtpms says when RSA-OAEP does not open. A TPM in failure mode would not come this far.
            | Tss2ResponseCodeKind::Failure,
        ) => TpmError::Credential,
        _ => error,
    })?;
    // The wrapper wipes its copy on drop; the C library's buffer is beyond our reach.
    let unexpected = TpmError::UnexpectedAnswer { command: "TPM2_ActivateCredential" };
    let bytes: &[u8; 32] = opened.value().try_into().map_err(|_| unexpected)?;
    Key32::fill_with(|key| {
        key.copy_from_slice(bytes);
        Ok(())
    })
}

/// The contents of a `TPM2B`: two bytes of big-endian length, then exactly that many.
fn unsized_buffer(bytes: &[u8]) -> Option<&[u8]> {
    let (len, contents) = bytes.split_first_chunk::<2>()?;
    (usize::from(u16::from_be_bytes(*len)) == contents.len()).then_some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_after_a_certificate_is_cut() {
        assert_eq!(der_prefix(&[0x30, 2, 1, 2, 0xFF]), Some(&[0x30, 2, 1, 2][..]));
        assert_eq!(der_prefix(&[0x30, 0x82, 0, 1, 9, 0]), Some(&[0x30, 0x82, 0, 1, 9][..]));
        assert_eq!(der_prefix(&[0x30, 0x82, 1, 0, 9]), None);
        assert_eq!(der_prefix(&[]), None);
    }

    #[test]
    fn a_buffer_has_exactly_its_length() {
        assert_eq!(unsized_buffer(&[0, 1, 7]), Some(&[7][..]));
        for bytes in [&[][..], &[0], &[0, 1], &[0, 1, 7, 8], &[0xFF, 0xFF, 7]] {
            assert_eq!(unsized_buffer(bytes), None);
        }
    }

    #[test]
    fn chains_are_one_der_or_many_pem() {
        let pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(split_chain(pem.repeat(2).as_bytes()), Some(vec![vec![0x30, 0]; 2]));
        assert_eq!(split_chain(&[0x30, 0]), Some(vec![vec![0x30, 0]]));
        assert_eq!(split_chain(b"-----BEGIN CERTIFICATE-----\nMAA="), None);
    }
}
