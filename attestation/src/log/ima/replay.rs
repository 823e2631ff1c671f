//! Replay to PCR 10.

use vouchsafe_crypto::verify::{Digest, HashAlgorithm};

use super::error::ImaReplayError;
use super::{Entry, ImaLog};
use crate::log::register::Register;

/// PCR that IMA measures into (CONFIG_IMA_MEASURE_PCR_IDX).
pub const PCR_IMA: u8 = 10;

/// An IMA log whose entries for PCR 10 are all that was extended into it, in this order.
#[derive(Clone, Copy, Debug)]
pub struct ConfirmedImaLog<'a> {
    log: ImaLog<'a>,
}

impl<'a> ConfirmedImaLog<'a> {
    /// The log.
    #[must_use]
    pub fn log(&self) -> &ImaLog<'a> {
        &self.log
    }
}

impl<'a> ImaLog<'a> {
    /// Confirms the log against the value of PCR 10 in one bank. The caller must already know that a TPM signed this
    /// value.
    ///
    /// Steps: 1. the hashes over template data, by the bank's algorithm, all ones for a violation, lead to the value; 2.
    /// all of them do, not the first alone; 3. no SHA-1 digests were extended in their place, as kernels before 5.8 do
    /// in every bank: those are refused although they replay.
    ///
    /// # Errors
    /// [`ImaReplayError`].
    pub fn confirm(&self, bank: HashAlgorithm, value: &[u8]) -> Result<ConfirmedImaLog<'a>, ImaReplayError> {
        // Steps 1 and 2.
        let entries = self.leading_to(value, bank, |entry| entry.hash(bank));
        if entries == Some(self.entry_count) {
            return Ok(ConfirmedImaLog { log: *self });
        }
        if entries.is_some() {
            return Err(ImaReplayError::Longer);
        }
        // Step 3.
        let padded = self.leading_to(value, bank, |entry| entry.hash(HashAlgorithm::DangerousSha1));
        Err(if padded.is_some() { ImaReplayError::PaddedSha1 } else { ImaReplayError::Value })
    }

    /// The bytes of the entries that lead to a value, without those that were logged after it was quoted; `None` if
    /// the log does not lead to it. For the side that collects evidence: the log grows while it is read.
    #[must_use]
    pub fn cut_to(&self, bank: HashAlgorithm, value: &[u8]) -> Option<&'a [u8]> {
        let count = self.leading_to(value, bank, |entry| entry.hash(bank))?;
        let mut at = crate::bytes::Reader(self.bytes);
        for number in 1..=count {
            match self.form {
                super::Form::Ascii => super::ascii::read_line(&mut at, number).ok()?,
                super::Form::Binary => super::binary::read_record(&mut at, number).ok()?,
            };
        }
        self.bytes.get(..self.bytes.len() - at.0.len())
    }

    /// How many entries lead to a value; all of them rather than fewer. Entries of other PCRs are passed over.
    fn leading_to(
        &self,
        value: &[u8],
        bank: HashAlgorithm,
        digest: impl Fn(&Entry<'a>) -> Digest,
    ) -> Option<u32> {
        let ones = [u8::MAX; 64];
        let ones = ones.get(..bank.len())?;
        let mut register = Register::start(bank, PCR_IMA, 0);
        let mut reached = None;
        for entry in self.entries() {
            let entry = entry.ok()?;
            if entry.pcr == PCR_IMA {
                if entry.is_violation() {
                    register.extend(ones);
                } else {
                    let digest = digest(&entry);
                    // A digest shorter than the bank's is filled up with zeros.
                    let mut filled = [0; 64];
                    filled.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
                    register.extend(filled.get(..bank.len())?);
                }
            }
            if register.value() == value {
                reached = Some(entry.number);
            }
        }
        reached
    }
}
