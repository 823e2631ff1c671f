//! TPMS_ATTEST of a quote: big-endian, exact length (Part 2, section 10.12).

use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::limits::TPM_STRUCTURE_LEN;

use super::hash_algorithm;
use crate::bytes::{Reader, WrongLength};

/// TPM_GENERATED_VALUE: what a TPM puts before everything it made itself (section 6.2).
const MAGIC: u32 = 0xff54_4347;
/// TPM_ST_ATTEST_QUOTE (section 6.9).
const TYPE_QUOTE: u16 = 0x8018;
/// Most banks in one selection (HASH_COUNT of the reference implementation).
const SELECTIONS: u32 = 16;
/// Most bytes of a selection bitmap: 32 PCRs.
const SELECT_LEN: u8 = 4;

/// Why bytes are not a quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttestError {
    /// The structure ends early, has bytes behind it, or a field of impossible size.
    #[error("quote is malformed")]
    Malformed,
    /// Not made by a TPM: the magic is missing.
    #[error("attested structure does not begin with the TPM's magic number")]
    Magic,
    /// A TPM made and perhaps signed it, but it is something else (a certification, a time, ...).
    #[error("attested structure has type {kind:#06x}, not that of a quote")]
    Type {
        /// TPMI_ST_ATTEST.
        kind: u16,
    },
    /// A hash that this version does not know.
    #[error("quote selects PCRs of the unknown bank {algorithm:#06x}")]
    Bank {
        /// TPM_ALG_ID.
        algorithm: u16,
    },
}

impl From<WrongLength> for AttestError {
    fn from(WrongLength: WrongLength) -> Self {
        Self::Malformed
    }
}

/// A quote, parsed and unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// qualifiedSigner: a name; says nothing that the signature does not.
    pub qualified_signer: Vec<u8>,
    /// extraData: the qualifying data of the caller.
    pub extra_data: Vec<u8>,
    /// Clock and counters.
    pub clock: ClockInfo,
    /// firmwareVersion.
    pub firmware_version: u64,
    /// pcrSelect: banks in the order of the quote, each at most once, indices ascending.
    pub selection: Vec<BankSelection>,
    /// pcrDigest: hash of the selected values, one after another.
    pub pcr_digest: Vec<u8>,
}

/// TPMS_CLOCK_INFO (section 10.11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockInfo {
    /// Milliseconds that the TPM was powered.
    pub clock_millis: u64,
    /// TPM resets since it was cleared.
    pub reset_count: u32,
    /// Restarts since the last reset.
    pub restart_count: u32,
    /// Whether `clock` cannot have been reported before.
    pub safe: bool,
}

/// TPMS_PCR_SELECTION (section 10.6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankSelection {
    /// Bank.
    pub bank: HashAlgorithm,
    /// Selected indices, ascending.
    pub indices: Vec<u8>,
}

impl Quote {
    /// Parses a TPMS_ATTEST that holds a quote. Believes nothing of it.
    ///
    /// Steps: 1. bounded; 2. magic; 3. type QUOTE; 4. known banks, each once; 5. nothing behind it.
    ///
    /// # Errors
    /// [`AttestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, AttestError> {
        if bytes.len() > TPM_STRUCTURE_LEN {
            return Err(AttestError::Malformed);
        }
        let mut at = Reader(bytes);
        if at.u32_be()? != MAGIC {
            return Err(AttestError::Magic);
        }
        let kind = at.u16_be()?;
        if kind != TYPE_QUOTE {
            return Err(AttestError::Type { kind });
        }
        let (qualified_signer, extra_data) = (at.sized()?.to_vec(), at.sized()?.to_vec());
        let (clock_millis, reset_count, restart_count) = (at.u64_be()?, at.u32_be()?, at.u32_be()?);
        let safe = match at.u8()? {
            0 => false,
            1 => true,
            _ => return Err(AttestError::Malformed),
        };
        let firmware_version = at.u64_be()?;
        let selection = selections(&mut at)?;
        let pcr_digest = at.sized()?.to_vec();
        at.end()?;
        let clock = ClockInfo { clock_millis, reset_count, restart_count, safe };
        Ok(Self { qualified_signer, extra_data, clock, firmware_version, selection, pcr_digest })
    }
}

fn selections(at: &mut Reader<'_>) -> Result<Vec<BankSelection>, AttestError> {
    let count = at.u32_be()?;
    if count > SELECTIONS {
        return Err(AttestError::Malformed);
    }
    let mut selections: Vec<BankSelection> = Vec::new();
    for _ in 0..count {
        let algorithm = at.u16_be()?;
        let bank = hash_algorithm(algorithm).ok_or(AttestError::Bank { algorithm })?;
        let len = at.u8()?;
        if len > SELECT_LEN || selections.iter().any(|seen| seen.bank == bank) {
            return Err(AttestError::Malformed);
        }
        // Bit n of byte m selects PCR 8 m + n.
        let indices = at
            .take(usize::from(len))?
            .iter()
            .zip([0u8, 8, 16, 24])
            .flat_map(|(byte, base)| {
                (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| base + bit)
            })
            .collect();
        selections.push(BankSelection { bank, indices });
    }
    Ok(selections)
}
