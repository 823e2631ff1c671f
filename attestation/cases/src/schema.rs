//! The schema of `cases.json`, version 1. `README.md` in a written corpus describes it for people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The version that this reads and writes.
pub const SCHEMA: u32 = 1;

/// `cases.json`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Document {
    /// Version, [`SCHEMA`].
    pub schema: u32,
    /// Which part of a larger set it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Roots for SNP reports by product ("Milan", "Genoa", "Turin"). Without this key AMD's own hold, and a root
    /// that a case offers must be AMD's; with it, these are the only ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchors: Option<BTreeMap<String, AmdRootFiles>>,
    /// Named sets of roots for TPMs. Without this key a chain case's own `root` is its anchor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm_anchors: Option<BTreeMap<String, TpmAnchorFiles>>,
    /// Cases.
    pub cases: Vec<Case>,
    /// Cases that are one change away from another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mutations: Vec<Mutation>,
}

/// Root and VCEK issuer of a product, as files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AmdRootFiles {
    /// Root.
    pub ark: String,
    /// Issuer of VCEKs.
    pub ask: String,
}

/// A set of roots for TPMs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TpmAnchorFiles {
    /// `hardware` or `host-virtual`: what kind of TPM it stands for.
    pub kind: TpmKindName,
    /// Files of the certificates.
    pub certificates: Vec<String>,
}

/// Kinds of TPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TpmKindName {
    /// Hardware or the machine's own firmware.
    Hardware,
    /// The owner of the host runs it.
    HostVirtual,
}

/// What the verifier should say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// Refuse.
    #[default]
    Invalid,
    /// Accept.
    Valid,
}

/// One case. `facts` and `reason` are for people and decide nothing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Case {
    /// Name, once in a document.
    pub name: String,
    /// What is to be checked.
    pub kind: String,
    /// Files by their part in the case, relative to the directory.
    pub files: BTreeMap<String, String>,
    /// Verdict.
    #[serde(default)]
    pub expect: Expect,
    /// Rule that must refuse it: exactly this code must come out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Attacks that it is an instance of (`S4`, `T2`, ...).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Verification time, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Product that the evidence is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Qualifying data of a quote, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// `tpmt-signature` or `raw-rsassa-sha256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sig_format: Option<String>,
    /// What is asked for beside the default policy: [`crate::policy::CasePolicy`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<serde_json::Value>,
    /// Which of the document's `anchors` and `tpm_anchors` hold in this case; all without this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchors: Option<Vec<String>>,
    /// Fields of the statement that the evidence is over; with it the whole appraisal of a vault is run, without it
    /// the checks that the default policy names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introduction: Option<Introduction>,
    /// Nonce of evidence that was collected to be looked at, hexadecimal: it is over
    /// `"vouchsafe/1/collection" || LV(nonce)`, hashed as with `introduction`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// What the TPM answered to a MakeCredential challenge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// Counters of the same TPM as they were seen before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousClock>,
    /// Facts read from the evidence, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<serde_json::Value>,
}

/// The fields of an agent's statement, hexadecimal but for the role. Its pre-image is
/// `"vouchsafe/1/introduction" || LV(challenge) || LV(offer_digest) || LV(identity_spki) || LV(role) || LV(vault_id)`,
/// where `LV(x)` is a 4-byte big-endian length and the bytes; SHA-512 of it is REPORT_DATA, SHA-256 the qualifying data
/// of a quote.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Introduction {
    /// Challenge of the verifier.
    pub challenge: String,
    /// SHA-256 of the offer, 32 bytes.
    pub offer_digest: String,
    /// Key that is introduced.
    pub identity_spki: String,
    /// Role that is asked for, as text.
    pub role: String,
    /// Vault: class byte and 32 bytes of digest.
    pub vault_id: String,
}

/// A MakeCredential challenge as the verifier remembers it (hexadecimal).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The secret that was protected for the endorsement key and the attestation key's name.
    pub secret: String,
    /// What the TPM answered.
    pub answer: String,
}

/// TPMS_CLOCK_INFO of an earlier quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PreviousClock {
    /// Milliseconds.
    pub clock_millis: u64,
    /// TPM resets.
    pub reset_count: u32,
    /// TPM restarts.
    pub restart_count: u32,
    /// Whether the clock could not have been reported before.
    pub safe: bool,
}

/// One change to one file of a case.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Mutation {
    /// Name.
    pub name: String,
    /// Case that it changes.
    pub base: String,
    /// Part whose file it changes.
    pub file: String,
    /// How.
    pub op: Op,
    /// Where, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
    /// Length that is left, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// Bytes in hexadecimal, a part, or a text, as the change needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Text that is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub find: Option<String>,
    /// Verdict.
    pub expect: Expect,
    /// Rule that must refuse it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "documented with the fields that each uses")]
pub enum Op {
    Append,
    ReplaceText,
    Set,
    SwapWith,
    Truncate,
    Xor,
}

/// Files of one case by their part in it.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Why a change cannot be made to a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MutationError {
    /// The text to replace is not there, or the file is no text.
    #[error("the file does not contain the text")]
    NoText,
    /// The case has no such file.
    #[error("the case has no such file")]
    NoFile,
    /// A field that the change needs is missing or not hexadecimal.
    #[error("the change lacks an offset, a length, a text or a hexadecimal value")]
    Field,
    /// Offset or length lies behind the end.
    #[error("its offset or length is behind the end of the file")]
    Range,
}

impl Case {
    /// Verification time in seconds since 1970, if there is one that can be read.
    #[must_use]
    pub fn at_unix_secs(&self) -> Option<i64> {
        let at = OffsetDateTime::parse(self.at.as_deref()?, &Rfc3339).ok()?;
        Some(at.unix_timestamp())
    }
}

impl Mutation {
    /// Changes the file.
    ///
    /// # Errors
    /// [`MutationError`].
    pub fn apply(&self, files: &mut Files) -> Result<(), MutationError> {
        let value = || self.value.as_deref().ok_or(MutationError::Field);
        let bytes = || hex::decode(value()?).map_err(|_| MutationError::Field);
        if let Op::SwapWith = self.op {
            let other = files.get(value()?).ok_or(MutationError::NoFile)?.clone();
            files.insert(self.file.clone(), other);
            return Ok(());
        }
        let file = files.get_mut(&self.file).ok_or(MutationError::NoFile)?;
        match self.op {
            Op::Append => file.extend(bytes()?),
            Op::ReplaceText => {
                let find = self.find.as_deref().ok_or(MutationError::Field)?;
                let text = std::str::from_utf8(file).map_err(|_| MutationError::NoText)?;
                if !text.contains(find) {
                    return Err(MutationError::NoText);
                }
                *file = text.replace(find, value()?).into_bytes();
            }
            Op::Set | Op::Xor => {
                let (offset, bytes) = (self.offset.ok_or(MutationError::Field)?, bytes()?);
                let end = offset.checked_add(bytes.len()).ok_or(MutationError::Range)?;
                let place = file.get_mut(offset..end).ok_or(MutationError::Range)?;
                for (to, from) in place.iter_mut().zip(bytes) {
                    *to = if matches!(self.op, Op::Xor) { *to ^ from } else { from };
                }
            }
            Op::Truncate => {
                let length = self.length.ok_or(MutationError::Field)?;
                if length > file.len() {
                    return Err(MutationError::Range);
                }
                file.truncate(length);
            }
            Op::SwapWith => {}
        }
        Ok(())
    }
}
