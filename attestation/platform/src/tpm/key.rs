//! Templates and names of the TPM's keys.
//!
//! Storage root: TCG TPM v2.0 Provisioning Guidance 1.0, table 2 (ECC P-256). Endorsement keys: TCG EK
//! Credential Profile 2.5, templates L-1 and L-2. Names: TPM 2.0 Part 1, section 16.

use tss_esapi::abstraction::{AsymmetricAlgorithmSelection, ek};
use tss_esapi::attributes::{ObjectAttributes, ObjectAttributesBuilder};
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::structures::{
    Digest, EccPoint, EccScheme, HashScheme, KeyDerivationFunctionScheme, KeyedHashScheme, Private, Public,
    PublicBuilder, PublicEccParametersBuilder, PublicKeyedHashParameters, SymmetricDefinitionObject,
};
use tss_esapi::traits::{Marshall, UnMarshall};
use vouchsafe_crypto::digest;

use super::connection::{Connection, Encrypt};
use super::error::TpmError;
use crate::sealed::KeyBlob;

type Template = Result<Public, tss_esapi::Error>;

/// SHA-256 of a public area: an object's name without the leading algorithm id 0x000B, which is always that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) [u8; 32]);

/// The name, computed from the public area and never taken from an answer.
pub(crate) fn name(public: &Public) -> Result<Name, TpmError> {
    Ok(Name(digest::sha256(&[&marshal(public)?])))
}

/// `TPMT_PUBLIC`.
pub(crate) fn marshal(public: &Public) -> Result<Vec<u8>, TpmError> {
    public.marshall().map_err(|source| TpmError::Command { command: "Tss2_MU_TPMT_PUBLIC_Marshal", source })
}

/// The two kinds of endorsement key with a default template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EkKind {
    EccP256,
    Rsa2048,
}

impl EkKind {
    pub(crate) fn template(self) -> Template {
        ek::create_ek_public_from_default_template_2(self.selection(), None)
    }

    pub(crate) fn selection(self) -> AsymmetricAlgorithmSelection {
        match self {
            Self::EccP256 => AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP256),
            Self::Rsa2048 => AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048),
        }
    }
}

pub(crate) fn storage_root() -> Template {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(true)
        .with_decrypt(true)
        .build()?;
    let parameters = PublicEccParametersBuilder::new_restricted_decryption_key(
        SymmetricDefinitionObject::AES_128_CFB,
        EccCurve::NistP256,
    );
    ecc(attributes, parameters)
}

/// Restricted: signs only what the TPM itself made (T5). ECDSA with SHA-256 over P-256.
pub(crate) fn attestation_key() -> Template {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(true)
        .with_sign_encrypt(true)
        .build()?;
    let parameters = PublicEccParametersBuilder::new()
        .with_symmetric(SymmetricDefinitionObject::Null)
        .with_ecc_scheme(EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256)))
        .with_curve(EccCurve::NistP256)
        .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null)
        .with_is_signing_key(true)
        .with_restricted(true);
    ecc(attributes, parameters)
}

/// Opens only by policy: no authorisation value works, the object's or the administrator's.
pub(crate) fn sealed_data(policy: [u8; 32]) -> Template {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_admin_with_policy(true)
        .with_no_da(true)
        .build()?;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::KeyedHash)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_auth_policy(Digest::try_from(policy.as_slice())?)
        .with_keyed_hash_parameters(PublicKeyedHashParameters::new(KeyedHashScheme::Null))
        .with_keyed_hash_unique_identifier(Digest::default())
        .build()
}

fn ecc(attributes: ObjectAttributes, parameters: PublicEccParametersBuilder) -> Template {
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters.build()?)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}

/// Makes an attestation key under the storage root key.
pub(crate) fn create_attestation_key(connection: &mut Connection) -> Result<KeyBlob, TpmError> {
    let srk = connection.srk();
    let created = connection.command("TPM2_Create", Encrypt::Both, |context| {
        context.create(srk, attestation_key()?, None, None, None, None)
    })?;
    Ok(KeyBlob { public: marshal(&created.out_public)?, private: created.out_private.value().to_vec() })
}

/// Loads an object under the storage root key.
pub(crate) fn load(connection: &mut Connection, blob: &KeyBlob) -> Result<KeyHandle, TpmError> {
    let srk = connection.srk();
    connection.command("TPM2_Load", Encrypt::Command, |context| {
        let public = Public::unmarshall(&blob.public)?;
        context.load(srk, Private::try_from(blob.private.as_slice())?, public)
    })
}
