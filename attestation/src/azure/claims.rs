//! The paravisor's runtime claims: JSON, read only once the report of a processor of AMD's vouches for every byte
//! (docs/decisions/0008-json-of-the-paravisor.md).
//!
//! They hold the virtual TPM's keys, what the host configured of the machine (so: what the host says), and 64 bytes
//! that the guest wrote. (OpenVMM, `openhcl_attestation_protocol`, `igvm_attest/get.rs`: RuntimeClaims.)

mod base64url;
mod json;

use vouchsafe_crypto::verify::PublicKey;

use json::{Json, JsonError, Object};

/// Name of the attestation key among the keys.
const AK: &str = "HCLAkPub";
/// Keys in one set; a paravisor writes one or two.
const KEYS: usize = 8;
/// Bytes of an RSA modulus: 2,048 to 4,096 bits.
const MODULUS_LEN: core::ops::RangeInclusive<usize> = 256..=512;
/// The one public exponent that TPMs use, 65,537.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// Why runtime claims cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// No key has the name of the attestation key.
    #[error("runtime claims name no attestation key")]
    AkMissing,
    /// Two keys have the name of the attestation key.
    #[error("runtime claims name two attestation keys")]
    AkTwice,
    /// A member occurs twice in one object: readers would disagree on which counts.
    #[error("runtime claims have a member twice")]
    DuplicateMember,
    /// The public exponent of the attestation key is not 65,537 in its one encoding.
    #[error("public exponent of the attestation key is not 65537")]
    Exponent,
    /// The attestation key is not an RSA key.
    #[error("attestation key is not an RSA key")]
    KeyType,
    /// The attestation key is for something else than signing.
    #[error("attestation key is not for signing")]
    KeyUse,
    /// There is no list of keys, it has too many, or not each is an object with a name.
    #[error("runtime claims have no list of named keys")]
    Keys,
    /// Not one JSON object.
    #[error("runtime claims are not a JSON object")]
    Malformed,
    /// The modulus is missing, of an impossible size, or not in its one encoding.
    #[error("modulus of the attestation key is malformed")]
    Modulus,
    /// Objects or lists in more levels than a paravisor writes.
    #[error("runtime claims are nested too deeply")]
    TooDeep,
    /// `user-data` is not 64 bytes in hexadecimal.
    #[error("user data of the runtime claims are not 64 bytes")]
    UserData,
    /// `vm-configuration` is not of its form.
    #[error("machine configuration of the runtime claims is malformed")]
    VmConfiguration,
}

impl ClaimsError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::AkMissing => "azure.claims.ak-missing",
            Self::AkTwice => "azure.claims.ak-twice",
            Self::DuplicateMember => "azure.claims.duplicate-member",
            Self::Exponent => "azure.claims.exponent",
            Self::KeyType => "azure.claims.key-type",
            Self::KeyUse => "azure.claims.key-use",
            Self::Keys => "azure.claims.keys",
            Self::Malformed => "azure.claims.malformed",
            Self::Modulus => "azure.claims.modulus",
            Self::TooDeep => "azure.claims.too-deep",
            Self::UserData => "azure.claims.user-data",
            Self::VmConfiguration => "azure.claims.vm-configuration",
        }
    }
}

impl From<JsonError> for ClaimsError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::DuplicateMember => Self::DuplicateMember,
            JsonError::Malformed => Self::Malformed,
            JsonError::TooDeep => Self::TooDeep,
        }
    }
}

/// Runtime claims whose hash is in a verified report, not read yet. Only [`super::HclReport::bind`] makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundClaims<'a>(&'a [u8]);

impl<'a> BoundClaims<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Reads the claims.
    ///
    /// Steps: 1. they are one JSON object, nested no deeper than a paravisor writes; 2. no member occurs twice; 3. a
    /// list of named keys; 4. exactly one of them is the attestation key: an RSA key for signing, with its modulus
    /// and exponent in their one encoding; 5. the machine's configuration; 6. 64 bytes of user data, or none.
    /// Members that are not known here are left alone: paravisors add to them.
    ///
    /// # Errors
    /// [`ClaimsError`].
    pub fn read(self) -> Result<RuntimeClaims, ClaimsError> {
        RuntimeClaims::read(self.0)
    }
}

/// What a paravisor says of its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeClaims {
    ak: PublicKey,
    key_ids: Vec<String>,
    vm_configuration: VmConfiguration,
    user_data: Option<[u8; 64]>,
}

/// How the host configured the machine, as it told the paravisor. Fit for records; decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmConfiguration {
    /// Whether there is a serial console.
    pub console_enabled: Option<bool>,
    /// Whether UEFI Secure Boot is on. The event log says it with more authority.
    pub secure_boot: Option<bool>,
    /// Whether the virtual TPM is on.
    pub tpm_enabled: Option<bool>,
    /// Whether the virtual TPM keeps its state.
    pub tpm_persisted: Option<bool>,
    /// Id of the machine.
    pub vm_unique_id: Option<String>,
}

impl RuntimeClaims {
    /// The attestation key of the virtual TPM: RSA.
    #[must_use]
    pub fn ak(&self) -> &PublicKey {
        &self.ak
    }

    /// Names of all keys, in their order.
    #[must_use]
    pub fn key_ids(&self) -> &[String] {
        &self.key_ids
    }

    /// The machine's configuration.
    #[must_use]
    pub fn vm_configuration(&self) -> &VmConfiguration {
        &self.vm_configuration
    }

    /// What the guest wrote before it asked for the report; zeros if nothing; `None` from paravisors that do not
    /// know of it.
    #[must_use]
    pub fn user_data(&self) -> Option<&[u8; 64]> {
        self.user_data.as_ref()
    }

    /// Reads claims that nobody vouches for, as [`BoundClaims::read`] does. For tools that show what a file says;
    /// never in a process that holds secrets.
    ///
    /// # Errors
    /// [`ClaimsError`].
    pub fn dangerous_read_unbound(bytes: &[u8]) -> Result<Self, ClaimsError> {
        Self::read(bytes)
    }

    fn read(bytes: &[u8]) -> Result<Self, ClaimsError> {
        // Steps 1 and 2.
        let claims = json::parse_object(bytes)?;
        // Step 3.
        let keys = match claims.member("keys") {
            Some(Json::Array(keys)) if keys.len() <= KEYS => keys,
            _ => return Err(ClaimsError::Keys),
        };
        let keys = keys.iter().map(named_key).collect::<Option<Vec<_>>>().ok_or(ClaimsError::Keys)?;
        // Step 4.
        let mut named = keys.iter().filter(|(name, _)| *name == AK);
        let (_, ak) = named.next().ok_or(ClaimsError::AkMissing)?;
        if named.next().is_some() {
            return Err(ClaimsError::AkTwice);
        }
        let ak = rsa_signing_key(ak)?;
        // Step 5.
        let vm_configuration = match claims.member("vm-configuration") {
            None => VmConfiguration::default(),
            Some(Json::Object(object)) => vm_configuration(object)?,
            Some(_) => return Err(ClaimsError::VmConfiguration),
        };
        // Step 6.
        let user_data = match claims.member("user-data") {
            None => None,
            Some(Json::String(hex)) => Some(user_data(hex).ok_or(ClaimsError::UserData)?),
            Some(_) => return Err(ClaimsError::UserData),
        };
        let key_ids = keys.iter().map(|(name, _)| (*name).to_owned()).collect();
        Ok(Self { ak, key_ids, vm_configuration, user_data })
    }
}

fn named_key(key: &Json) -> Option<(&str, &Object)> {
    match key {
        Json::Object(key) => match key.member("kid") {
            Some(Json::String(name)) => Some((name, key)),
            _ => None,
        },
        _ => None,
    }
}

/// A JWK (RFC 7517, RFC 7518 section 6.3) of an RSA key that signs. `key_ops` is not asked: the first paravisors
/// wrote "encrypt" for a key that cannot.
fn rsa_signing_key(key: &Object) -> Result<PublicKey, ClaimsError> {
    let text = |name| match key.member(name) {
        Some(Json::String(text)) => Some(text.as_str()),
        _ => None,
    };
    if text("kty") != Some("RSA") {
        return Err(ClaimsError::KeyType);
    }
    if key.member("use").is_some() && text("use") != Some("sig") {
        return Err(ClaimsError::KeyUse);
    }
    let exponent = text("e").and_then(base64url::decode).ok_or(ClaimsError::Exponent)?;
    if exponent != EXPONENT {
        return Err(ClaimsError::Exponent);
    }
    let modulus = text("n").and_then(base64url::decode).ok_or(ClaimsError::Modulus)?;
    if !MODULUS_LEN.contains(&modulus.len()) || modulus.first().is_none_or(|byte| byte & 0x80 == 0) {
        return Err(ClaimsError::Modulus);
    }
    Ok(PublicKey::Rsa { modulus, exponent })
}

fn vm_configuration(object: &Object) -> Result<VmConfiguration, ClaimsError> {
    let flag = |name| match object.member(name) {
        None => Ok(None),
        Some(Json::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(ClaimsError::VmConfiguration),
    };
    let vm_unique_id = match object.member("vmUniqueId") {
        None => None,
        Some(Json::String(id)) => Some(id.clone()),
        Some(_) => return Err(ClaimsError::VmConfiguration),
    };
    Ok(VmConfiguration {
        console_enabled: flag("console-enabled")?,
        secure_boot: flag("secure-boot")?,
        tpm_enabled: flag("tpm-enabled")?,
        tpm_persisted: flag("tpm-persisted")?,
        vm_unique_id,
    })
}

/// 128 hexadecimal digits.
fn user_data(hex: &str) -> Option<[u8; 64]> {
    let mut bytes = [0; 64];
    if hex.len() != 128 {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let [high, low] = digits else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}
