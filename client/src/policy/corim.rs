//! Import of reference values from a CoRIM (draft-ietf-rats-corim-11): what its publisher says should be measured
//! becomes a `[release.NAME]` of a policy file, for people to read before they apply it.
//!
//! The bytes are an adversary's until the signature has held. Read with limits on length, depth and number of
//! values; nothing in the CoRIM chooses the key or the algorithm that it is verified with. What is imported: the
//! launch digest (measurement key 641) of SEV-SNP environments (draft-deeglaze-amd-sev-snp-corim-profile-02), and
//! SHA-256 integrity registers, which are PCRs, of any environment. Everything else that a reference value asks for
//! is named in [`Imported::left_out`]: a rule without it is weaker than what the publisher meant.

use std::collections::{BTreeMap, BTreeSet};

use corim::cbor::DecodeLimits;
use corim::document::{TimeCheck, ValidatedDocument, ValidationContext, validate};
use corim::profile::ProfileRegistry;
use corim::types::common::{ClassIdChoice, MeasuredElement};
use corim::types::corim::{CorimId, CorimMap};
use corim::types::environment::EnvironmentMap;
use corim::types::measurement::{Digest, DigestAlg, IntegrityRegisterId, MeasurementMap};
use corim::types::signed::{CoseAlgorithm, CoseSign1Corim};
use serde::Serialize;
use vouchsafe_attestation::x509::parse_spki;
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::verify::{self, HashAlgorithm, PublicKey, Scheme};
use vouchsafe_protocol::id::{IdError, RoleName};
use vouchsafe_protocol::policy::LaunchDigest;
use vouchsafe_protocol::policy_check::check_pcr_index;

use super::day::Day;
use crate::text::{Text, hex};

#[cfg(test)]
mod tests;

/// Largest CoRIM in bytes: a thousand reference values, many times over.
pub const CORIM_LEN: usize = 256 * 1024;
/// Most CBOR values in it; each costs under 100 bytes of memory.
const CORIM_VALUES: usize = 8192;
/// Most values for one thing; releases have a few.
pub const VALUES: usize = 1024;
/// Deepest nesting; real ones stay below 12.
const CORIM_DEPTH: usize = 24;

/// OIDs 1.3.6.1.4.1.3704.3.1 (by chip) and .2 (by provider), the value bytes of their DER: the SNP environments.
const SNP_CLASSES: [[u8; 9]; 2] = [
    [0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x03, 0x01],
    [0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x03, 0x02],
];
/// Measurement key of the launch digest.
const MKEY_MEASUREMENT: u64 = 641;
/// SHA-256 and SHA-384 in IANA's registry of hash algorithms for named information.
const NI_SHA256: i64 = 1;
const NI_SHA384: i64 = 7;

/// Who vouches for a CoRIM.
#[derive(Clone, Copy, Debug)]
pub enum Publisher<'a> {
    /// Nobody: it must carry no signature. For what came over a way that is trusted itself.
    DangerousUnsigned,
    /// The holder of this key (DER of a SubjectPublicKeyInfo: P-256, P-384 or RSA).
    SignedBy(&'a [u8]),
}

/// A release read from a CoRIM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// What the CoRIM calls itself.
    pub id: String,
    /// Launch digests.
    pub snp: Vec<LaunchDigest>,
    /// Values by PCR.
    pub pcrs: BTreeMap<u8, Vec<[u8; 32]>>,
    /// The last whole day that it is valid, if it says.
    pub expires: Option<Day>,
    /// What reference values in it ask for and a release cannot hold, in words.
    pub left_out: BTreeSet<String>,
    /// The policy file.
    pub toml: String,
}

/// Why a CoRIM is not imported. Steps in the order of [`import`].
#[derive(Debug, thiserror::Error)]
pub enum CorimError {
    /// Step 1.
    #[error("'{name}' is not a name of a release")]
    Name {
        /// As given.
        name: String,
        /// Why.
        source: IdError,
    },
    /// Step 2.
    #[error("the CoRIM has {len} bytes, more than the limit of {CORIM_LEN}")]
    TooLong {
        /// Length in bytes.
        len: usize,
    },
    /// Step 3.
    #[error("not a CoRIM that is valid now")]
    Malformed(#[source] corim::ValidationError),
    /// Step 4.
    #[error("the CoRIM is signed: give the key of its publisher")]
    Signed,
    /// Step 4.
    #[error("the CoRIM is not signed, and a key was given")]
    Unsigned,
    /// Step 5.
    #[error("the publisher's key is not a P-256, P-384 or RSA key (SubjectPublicKeyInfo)")]
    Key,
    /// Step 6.
    #[error("signature algorithm {algorithm} does not go with the publisher's key, or is not supported")]
    Algorithm {
        /// COSE algorithm.
        algorithm: i64,
    },
    /// Step 7.
    #[error("the signature is not by the publisher's key")]
    Signature,
    /// Step 8.
    #[error("a launch digest or a PCR value in it is not of its length")]
    DigestLength,
    /// Step 9.
    #[error("it has more than {VALUES} values for one thing")]
    TooManyValues,
    /// Step 10.
    #[error("it has no launch digest of SEV-SNP and no SHA-256 integrity register")]
    NoValue,
    /// Step 11.
    #[error("it ends before this day does")]
    EndsToday,
    /// Step 12.
    #[error("the policy file cannot be written")]
    Unwritable(#[source] toml::ser::Error),
}

/// Reads a CoRIM into a release called `name`, dated by its beginning, or today if it names none.
///
/// 1. the name is one that policy files use;
/// 2. its length is bounded;
/// 3. it is a well-formed CoRIM inside its validity;
/// 4. it is signed exactly if the caller names a publisher;
/// 5. whose key can be read;
/// 6. and goes with the algorithm it was signed with: ES256, ES384, or PS256 to PS512;
/// 7. and made the signature over the payload, which is in the CoRIM itself;
/// 8. digests have the length of their algorithm;
/// 9. their number is bounded;
/// 10. there is one;
/// 11. its end leaves at least this whole day;
/// 12. it can be written down.
///
/// # Errors
/// [`CorimError`], one variant per step.
pub fn import(
    bytes: &[u8],
    name: &str,
    publisher: Publisher<'_>,
    now_unix_secs: u64,
) -> Result<Imported, CorimError> {
    // 1
    name.parse::<RoleName>().map_err(|source| CorimError::Name { name: name.to_owned(), source })?;
    // 2
    if bytes.len() > CORIM_LEN {
        return Err(CorimError::TooLong { len: bytes.len() });
    }
    // 3
    let document = read(bytes, now_unix_secs)?;
    // 4 to 7
    let vouched = vouched(document.envelope(), publisher)?;
    // 8, 9, 10
    let mut values = Values::default();
    for comid in &document.payload().comids {
        for triple in comid.triples.reference_triples.iter().flatten() {
            for measurement in triple.measurements() {
                values.take(triple.environment(), measurement)?;
            }
        }
        if comid.triples.conditional_endorsement.is_some()
            || comid.triples.conditional_endorsement_series.is_some()
            || comid.triples.endorsed_triples.is_some()
        {
            values.left_out.insert("endorsed values".to_owned());
        }
    }
    if values.snp.is_empty() && values.pcrs.is_empty() {
        return Err(CorimError::NoValue);
    }
    // 11, 12
    finish(&document.payload().corim, name, &vouched, values, now_unix_secs)
}

fn read(bytes: &[u8], now_unix_secs: u64) -> Result<ValidatedDocument, CorimError> {
    let mut limits = DecodeLimits::default();
    limits.max_input_bytes = CORIM_LEN;
    limits.max_depth = CORIM_DEPTH;
    limits.max_values = CORIM_VALUES;
    limits.max_collection_items = CORIM_VALUES;
    let now = i64::try_from(now_unix_secs).unwrap_or(i64::MAX);
    let registry = ProfileRegistry::new();
    let context = ValidationContext::new(TimeCheck::At(now), &registry).with_limits(limits);
    validate(bytes, &context).map_err(CorimError::Malformed)
}

/// Steps 4 to 7 of [`import`]; gives who vouches, in words.
fn vouched(envelope: Option<&CoseSign1Corim>, publisher: Publisher<'_>) -> Result<String, CorimError> {
    // 4
    let (envelope, spki) = match (envelope, publisher) {
        (None, Publisher::DangerousUnsigned) => return Ok("unsigned".to_owned()),
        (None, Publisher::SignedBy(_)) => return Err(CorimError::Unsigned),
        (Some(_), Publisher::DangerousUnsigned) => return Err(CorimError::Signed),
        (Some(envelope), Publisher::SignedBy(spki)) => (envelope, spki),
    };
    // 5
    let key = parse_spki(spki).ok_or(CorimError::Key)?;
    // 6
    let algorithm = envelope.protected().alg;
    let scheme = match (algorithm, &key) {
        (CoseAlgorithm::Es256 | CoseAlgorithm::Esp256, PublicKey::P256(_)) => {
            Scheme::EcdsaFixed(HashAlgorithm::Sha256)
        }
        (CoseAlgorithm::Es384 | CoseAlgorithm::Esp384, PublicKey::P384(_)) => {
            Scheme::EcdsaFixed(HashAlgorithm::Sha384)
        }
        (CoseAlgorithm::Ps256, PublicKey::Rsa { .. }) => Scheme::RsaPss(HashAlgorithm::Sha256),
        (CoseAlgorithm::Ps384, PublicKey::Rsa { .. }) => Scheme::RsaPss(HashAlgorithm::Sha384),
        (CoseAlgorithm::Ps512, PublicKey::Rsa { .. }) => Scheme::RsaPss(HashAlgorithm::Sha512),
        (other, _) => return Err(CorimError::Algorithm { algorithm: other.to_i64() }),
    };
    // 7. A payload that is not here, or only by its hash, is not what was read above.
    if envelope.protected().is_hash_envelope() {
        return Err(CorimError::Signature);
    }
    let signed = envelope.to_be_signed(&[]).map_err(|_| CorimError::Signature)?;
    verify::verify(&key, scheme, &signed, &envelope.signature).map_err(|_| CorimError::Signature)?;
    Ok(format!("signed by the key with SHA-256 {}", hex(&sha256(&[spki]))))
}

#[derive(Default)]
struct Values {
    snp: Vec<LaunchDigest>,
    pcrs: BTreeMap<u8, Vec<[u8; 32]>>,
    left_out: BTreeSet<String>,
}

impl Values {
    /// Takes what a release can hold of one measurement.
    fn take(&mut self, environment: &EnvironmentMap, measurement: &MeasurementMap) -> Result<(), CorimError> {
        if environment.instance.is_some() || environment.group.is_some() {
            self.left_out.insert("the instance or group that it is for".to_owned());
        }
        if let Some(registers) = &measurement.mval.integrity_registers {
            for (register, digests) in &registers.0 {
                self.take_register(register, digests)?;
            }
            return Ok(());
        }
        let key = match &measurement.mkey {
            Some(MeasuredElement::Uint(MKEY_MEASUREMENT)) if is_snp(environment) => {
                return self.take_launch_digests(measurement.mval.digests.as_deref().unwrap_or_default());
            }
            Some(MeasuredElement::Uint(key)) => format!("measurement {key}"),
            Some(_) => "a measurement with a key that is no number".to_owned(),
            None => "a measurement without a key".to_owned(),
        };
        self.left_out.insert(if is_snp(environment) {
            key
        } else {
            format!("{key} of another kind of platform")
        });
        Ok(())
    }

    fn take_launch_digests(&mut self, digests: &[Digest]) -> Result<(), CorimError> {
        for digest in digests {
            if *digest.alg() != DigestAlg::Int(NI_SHA384) {
                self.left_out.insert("a launch digest by another algorithm than SHA-384".to_owned());
                continue;
            }
            // 8
            let value = LaunchDigest(digest.value().try_into().map_err(|_| CorimError::DigestLength)?);
            add(&mut self.snp, value)?;
        }
        Ok(())
    }

    fn take_register(
        &mut self,
        register: &IntegrityRegisterId,
        digests: &[Digest],
    ) -> Result<(), CorimError> {
        let index = match register {
            IntegrityRegisterId::Uint(index) => u8::try_from(*index).ok(),
            _ => None,
        };
        let Some(index) = index.filter(|index| check_pcr_index(*index).is_ok()) else {
            self.left_out.insert("an integrity register that is no PCR a policy may trust".to_owned());
            return Ok(());
        };
        for digest in digests {
            if *digest.alg() != DigestAlg::Int(NI_SHA256) {
                self.left_out.insert(format!("a value of PCR {index} of another bank than SHA-256"));
                continue;
            }
            // 8
            let value: [u8; 32] = digest.value().try_into().map_err(|_| CorimError::DigestLength)?;
            add(self.pcrs.entry(index).or_default(), value)?;
        }
        Ok(())
    }
}

/// Step 9 of [`import`].
fn add<T: PartialEq>(values: &mut Vec<T>, value: T) -> Result<(), CorimError> {
    if values.contains(&value) {
        return Ok(());
    }
    if values.len() >= VALUES {
        return Err(CorimError::TooManyValues);
    }
    values.push(value);
    Ok(())
}

fn is_snp(environment: &EnvironmentMap) -> bool {
    let class = environment.class.as_ref().and_then(|class| class.class_id.as_ref());
    matches!(class, Some(ClassIdChoice::Oid(oid)) if SNP_CLASSES.iter().any(|known| known == oid.as_slice()))
}

#[derive(Serialize)]
struct PolicyFile {
    release: BTreeMap<String, ReleaseFile>,
}

#[derive(Serialize)]
struct ReleaseFile {
    date: String,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    snp: Vec<Text<LaunchDigest>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pcr: BTreeMap<String, Vec<Text<[u8; 32]>>>,
}

/// Steps 11 and 12 of [`import`].
fn finish(
    corim: &CorimMap,
    name: &str,
    vouched: &str,
    values: Values,
    now_unix_secs: u64,
) -> Result<Imported, CorimError> {
    let id = match &corim.id {
        CorimId::Text(text) => text.clone(),
        CorimId::Uuid(bytes) => hex(bytes),
        _ => "of another form".to_owned(),
    };
    let validity = corim.rim_validity.as_ref();
    let secs = |time: i64| u64::try_from(time).unwrap_or(0);
    // 11. To the day, and never longer than it says.
    let expires = match validity.map(|validity| secs(validity.not_after.epoch_secs())) {
        None => None,
        Some(not_after) => {
            let day = Day::last_ended(not_after.saturating_add(1));
            let lasts = day.filter(|day| day.end_unix_secs() > now_unix_secs);
            Some(lasts.ok_or(CorimError::EndsToday)?)
        }
    };
    let begins = validity.and_then(|validity| validity.not_before).map(|time| secs(time.epoch_secs()));
    let date = Day::containing(begins.unwrap_or(now_unix_secs)).ok_or(CorimError::EndsToday)?;
    let Values { snp, pcrs, left_out } = values;
    let release = ReleaseFile {
        date: date.to_string(),
        source: format!("CoRIM {id}, {vouched}"),
        expires: expires.map(|day| day.to_string()),
        snp: snp.iter().copied().map(Text).collect(),
        pcr: pcrs
            .iter()
            .map(|(index, values)| (index.to_string(), values.iter().copied().map(Text).collect()))
            .collect(),
    };
    let file = PolicyFile { release: BTreeMap::from([(name.to_owned(), release)]) };
    // 12
    let toml = toml::to_string(&file).map_err(CorimError::Unwritable)?;
    Ok(Imported { id, snp, pcrs, expires, left_out, toml })
}
