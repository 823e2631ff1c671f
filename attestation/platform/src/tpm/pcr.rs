//! PCRs of the SHA-256 bank: selections, authenticated reading, and the policy over them.

use tss_esapi::constants::CapabilityType;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::{CapabilityData, PcrSelectionList, PcrSlot};
use vouchsafe_crypto::digest;
use vouchsafe_protocol::evidence::PcrValue;

use super::connection::{Connection, Encrypt};
use super::error::TpmError;

/// PCRs of a PC client TPM.
const PCR_COUNT: u8 = 24;
/// `TPM_CC_PolicyPCR` (TPM 2.0 Part 2, section 6.5.2).
const POLICY_PCR: u32 = 0x0000_017F;
/// Values in one answer (`TPML_DIGEST` holds eight).
const PER_READ: usize = 8;

/// A selection of the SHA-256 bank: strictly ascending, not empty, every index below 24.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection(Vec<u8>);

impl Selection {
    pub(crate) fn new(indices: &[u8]) -> Result<Self, TpmError> {
        let ascending = indices.is_sorted_by(|a, b| a < b);
        let in_range = indices.iter().all(|&index| index < PCR_COUNT);
        if indices.is_empty() || !ascending || !in_range {
            return Err(TpmError::PcrSelection);
        }
        Ok(Self(indices.to_vec()))
    }

    fn bitmap(&self) -> [u8; 3] {
        let bits = self.0.iter().fold(0u32, |bits, index| bits | 1 << index);
        let [a, b, c, _] = bits.to_le_bytes();
        [a, b, c]
    }

    pub(crate) fn list(&self) -> Result<PcrSelectionList, tss_esapi::Error> {
        list_of(&self.0)
    }
}

fn list_of(indices: &[u8]) -> Result<PcrSelectionList, tss_esapi::Error> {
    let slots = indices
        .iter()
        .map(|&index| PcrSlot::try_from(1u32 << index))
        .collect::<Result<Vec<PcrSlot>, tss_esapi::Error>>()?;
    PcrSelectionList::builder().with_selection(HashingAlgorithm::Sha256, &slots).build()
}

/// Reads values in an authenticated session: what is sealed to must be what the TPM holds (T17).
pub(crate) fn read(connection: &mut Connection, selection: &Selection) -> Result<Vec<PcrValue>, TpmError> {
    let command = "TPM2_PCR_Read";
    let mut values = Vec::with_capacity(selection.0.len());
    for indices in selection.0.chunks(PER_READ) {
        let (_, _, digests) = connection
            .command(command, Encrypt::NoneButAuthenticate, |context| context.pcr_read(list_of(indices)?))?;
        // A TPM without some of these PCRs returns fewer; it is not a machine for this selection.
        if digests.len() != indices.len() {
            return Err(TpmError::UnexpectedAnswer { command });
        }
        for (&index, digest) in indices.iter().zip(digests.value()) {
            let value = digest.value().try_into().map_err(|_| TpmError::UnexpectedAnswer { command })?;
            values.push(PcrValue { index, value });
        }
    }
    Ok(values)
}

/// Values of one bank, by index, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bank {
    /// Name of its hash algorithm: "sha1", "sha256", ...
    pub name: &'static str,
    /// Index and value.
    pub values: Vec<(u8, Vec<u8>)>,
}

/// What the TPM says that its banks hold of these PCRs. Nothing vouches for it: to be looked at, next to a quote.
pub(crate) fn banks(connection: &mut Connection, selection: &Selection) -> Result<Vec<Bank>, TpmError> {
    let command = "TPM2_GetCapability";
    let (allocated, _) =
        connection.bare(command, |context| context.get_capability(CapabilityType::AssignedPcr, 0, 1))?;
    let CapabilityData::AssignedPcr(allocated) = allocated else {
        return Err(TpmError::UnexpectedAnswer { command });
    };
    let mut banks = Vec::new();
    for bank in allocated.get_selections() {
        let name = bank_name(bank.hashing_algorithm());
        let (Some(name), false) = (name, bank.is_empty()) else { continue };
        let mut values = Vec::with_capacity(selection.0.len());
        for &index in &selection.0 {
            let (_, _, digests) = connection.bare("TPM2_PCR_Read", |context| {
                let slot = PcrSlot::try_from(1u32 << index)?;
                let list = PcrSelectionList::builder().with_selection(bank.hashing_algorithm(), &[slot]);
                context.pcr_read(list.build()?)
            })?;
            values.extend(digests.value().first().map(|digest| (index, digest.value().to_vec())));
        }
        banks.push(Bank { name, values });
    }
    Ok(banks)
}

fn bank_name(bank: HashingAlgorithm) -> Option<&'static str> {
    match bank {
        HashingAlgorithm::Sha1 => Some("sha1"),
        HashingAlgorithm::Sha256 => Some("sha256"),
        HashingAlgorithm::Sha384 => Some("sha384"),
        HashingAlgorithm::Sha512 => Some("sha512"),
        HashingAlgorithm::Sm3_256 => Some("sm3_256"),
        HashingAlgorithm::Sha3_256 => Some("sha3_256"),
        HashingAlgorithm::Sha3_384 => Some("sha3_384"),
        HashingAlgorithm::Sha3_512 => Some("sha3_512"),
        HashingAlgorithm::Null => None,
    }
}

/// SHA-256 over the values in ascending order of index, as quotes and PCR policies have it.
pub(crate) fn composite(values: &[PcrValue]) -> [u8; 32] {
    let values: Vec<&[u8]> = values.iter().map(|pcr| pcr.value.as_slice()).collect();
    digest::sha256(&values)
}

/// The policy digest of `TPM2_PolicyPCR` alone (TPM 2.0 Part 3, section 23.7):
/// `SHA-256(0 ×32 || TPM_CC_PolicyPCR || TPML_PCR_SELECTION || composite)`, computed here and not asked for.
pub(crate) fn policy(selection: &Selection, values: &[PcrValue]) -> [u8; 32] {
    let [a, b, c] = selection.bitmap();
    // One bank: SHA-256 (0x000B), three bytes of bitmap.
    let list = [0, 0, 0, 1, 0x00, 0x0B, 3, a, b, c];
    digest::sha256(&[&[0; 32], &POLICY_PCR.to_be_bytes(), &list, &composite(values)])
}

/// Indices whose values differ.
pub(crate) fn changed(then: &[PcrValue], now: &[PcrValue]) -> Vec<u8> {
    let differs = |pcr: &&PcrValue| !now.contains(pcr);
    then.iter().filter(differs).map(|pcr| pcr.index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t2_an_empty_unordered_or_impossible_selection_is_refused() {
        for indices in [&[][..], &[7, 4], &[7, 7], &[24], &[0, 255]] {
            assert!(matches!(Selection::new(indices), Err(TpmError::PcrSelection)), "{indices:?}");
        }
        assert_eq!(Selection::new(&[0, 7, 8, 23]).unwrap().bitmap(), [0x81, 0x01, 0x80]);
    }

    #[test]
    fn changed_pcrs_are_named() {
        let pcr = |index, byte| PcrValue { index, value: [byte; 32] };
        assert_eq!(changed(&[pcr(0, 1), pcr(7, 2)], &[pcr(0, 1), pcr(7, 3)]), [7]);
        assert!(changed(&[pcr(0, 1)], &[pcr(0, 1)]).is_empty());
    }
}
