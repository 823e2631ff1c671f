//! The sealed root key as the host stores it: one versioned envelope for every platform.
//!
//! Who controls it: the host. It is decoded strictly and nothing in it is believed before the machine that
//! sealed it has vouched for it (AES-GCM under a machine key, or a digest inside the TPM's sealed object).

use serde::{Deserialize, Serialize};
use vouchsafe_protocol::codec::{self, CodecError};
use vouchsafe_protocol::evidence::PcrValue;
use vouchsafe_protocol::limits::{PCRS, TPM_STRUCTURE_LEN};

/// Largest sealed root in bytes: two TPM objects, 24 PCR values and names stay far below.
pub const SEALED_LEN: usize = 16 * 1024;
/// The format written here; the first byte of the envelope.
const VERSION: u8 = 1;
/// Ciphertext of a 32-byte key with its tag, in bytes.
pub(crate) const CIPHERTEXT_LEN: usize = 32 + 16;

/// Why bytes are not a sealed root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealedError {
    /// They do not decode, or not canonically.
    #[error("the sealed root key is damaged")]
    Codec(#[source] CodecError),
    /// A field is longer or shorter than its kind allows.
    #[error("a field of the sealed root key has a length of {len}, which is not possible")]
    FieldLength {
        /// Length in bytes or elements.
        len: usize,
    },
    /// Sealed on another kind of platform.
    #[error("the root key was sealed on another kind of platform (sim, snp or tpm)")]
    OtherKind,
    /// Written by another version of this program.
    #[error("the sealed root key has format {found}, this program reads format 1")]
    Version {
        /// The format byte.
        found: u8,
    },
}

/// A decoded envelope, not yet believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedRoot {
    version: u8,
    pub(crate) body: SealedBody,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SealedBody {
    Sim(MachineSealed<SimBinding>),
    Snp(MachineSealed<SnpBinding>),
    Tpm(TpmSealed),
}

/// Sealed with AES-256-GCM under a key that only the machine derives; the binding is authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MachineSealed<Binding> {
    pub(crate) binding: Binding,
    /// Random for every sealing; makes the key unique, so the one nonce cannot repeat under it.
    pub(crate) salt: [u8; 32],
    /// Always [`CIPHERTEXT_LEN`] bytes.
    pub(crate) ciphertext: Vec<u8>,
}

/// What a simulated machine mixes into its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SimBinding {
    /// SHA-256 of the chip id.
    pub(crate) chip: [u8; 32],
    /// SHA-256 of the launch digest.
    pub(crate) measurement: [u8; 32],
}

/// What an SNP guest mixes into its key, and what its report said then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnpBinding {
    /// SHA-256 of the chip id.
    pub(crate) chip: [u8; 32],
    /// SHA-256 of the launch digest.
    pub(crate) measurement: [u8; 32],
    /// `GUEST_SVN` asked for.
    pub(crate) guest_svn: u32,
    /// `TCB_VERSION` asked for, as the report writes it (little-endian).
    pub(crate) tcb_version: u64,
    /// VMPL asked for.
    pub(crate) vmpl: u32,
}

/// Sealed as a TPM object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TpmSealed {
    pub(crate) binding: TpmBinding,
    /// A sealed data object under the storage root key.
    pub(crate) object: KeyBlob,
}

/// What belongs to the sealed object; its digest is inside the object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TpmBinding {
    /// Name of the storage root key without its algorithm id (SHA-256).
    pub(crate) srk: [u8; 32],
    /// Name of the ECC P-256 endorsement key, likewise: tells a cleared TPM from another one.
    pub(crate) ek: [u8; 32],
    /// The attestation key, under the storage root key.
    pub(crate) ak: KeyBlob,
    /// PCRs of the SHA-256 bank as they were at sealing, ascending; the object's policy demands them.
    pub(crate) pcrs: Vec<PcrValue>,
    /// The counter.
    pub(crate) counter: CounterBinding,
}

/// A TPM object outside the TPM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyBlob {
    /// `TPMT_PUBLIC`.
    pub(crate) public: Vec<u8>,
    /// Contents of a `TPM2B_PRIVATE`: encrypted by the TPM.
    pub(crate) private: Vec<u8>,
}

/// One NV counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CounterBinding {
    /// NV index.
    pub(crate) index: u32,
    /// Its name without the algorithm id (SHA-256): covers index, attributes, policy and size.
    pub(crate) name: [u8; 32],
}

impl KeyBlob {
    pub(crate) fn check(&self) -> Result<(), SealedError> {
        [&self.public, &self.private].into_iter().try_for_each(|part| {
            let len = part.len();
            if (1..=TPM_STRUCTURE_LEN).contains(&len) {
                Ok(())
            } else {
                Err(SealedError::FieldLength { len })
            }
        })
    }
}

/// Decodes an envelope.
///
/// # Errors
/// [`SealedError`], by what is wrong with the bytes.
pub fn decode(bytes: &[u8]) -> Result<SealedRoot, SealedError> {
    // 1. A version that this program knows.
    match bytes.first() {
        Some(&VERSION) => {}
        Some(&found) => return Err(SealedError::Version { found }),
        None => return Err(SealedError::Codec(CodecError::Malformed)),
    }
    // 2. One canonical encoding within the limit.
    let sealed: SealedRoot = codec::decode(bytes, SEALED_LEN).map_err(SealedError::Codec)?;
    // 3. Field lengths that can be.
    match &sealed.body {
        SealedBody::Sim(machine) => check_ciphertext(&machine.ciphertext)?,
        SealedBody::Snp(machine) => check_ciphertext(&machine.ciphertext)?,
        SealedBody::Tpm(tpm) => {
            tpm.object.check()?;
            tpm.binding.ak.check()?;
            let len = tpm.binding.pcrs.len();
            if !(1..=PCRS).contains(&len) {
                return Err(SealedError::FieldLength { len });
            }
        }
    }
    Ok(sealed)
}

fn check_ciphertext(ciphertext: &[u8]) -> Result<(), SealedError> {
    let len = ciphertext.len();
    if len == CIPHERTEXT_LEN { Ok(()) } else { Err(SealedError::FieldLength { len }) }
}

pub(crate) fn encode(body: SealedBody) -> Result<Vec<u8>, SealedError> {
    codec::encode(&SealedRoot { version: VERSION, body }).map_err(SealedError::Codec)
}

#[cfg(test)]
mod tests;
