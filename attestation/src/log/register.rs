//! A PCR while it is replayed.

use vouchsafe_crypto::verify::HashAlgorithm;

use super::PCR_COUNT;

/// Length of the longest digest, in bytes.
const LONGEST: usize = 64;

/// The value of a PCR after some events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Register {
    value: [u8; LONGEST],
    len: usize,
    bank: HashAlgorithm,
    /// Events extended so far.
    pub(super) events: u32,
}

impl Register {
    /// The value after TPM2_Startup (PC Client Platform TPM Profile 1.05, section 4.6.2): all ones for the PCRs of a
    /// dynamic launch, zero for all others; the last byte of PCR 0 is the locality that TPM2_Startup came from, or 4
    /// after an H-CRTM.
    pub(super) fn start(bank: HashAlgorithm, pcr: u8, locality: u8) -> Self {
        let len = bank.len();
        let mut value = if (17..=22).contains(&pcr) { [u8::MAX; LONGEST] } else { [0; LONGEST] };
        if pcr == 0
            && let Some(last) = value.get_mut(len.saturating_sub(1))
        {
            *last = locality;
        }
        Self { value, len, bank, events: 0 }
    }

    /// TPM2_PCR_Extend: H(old value, digest).
    pub(super) fn extend(&mut self, digest: impl AsRef<[u8]>) {
        let next = self.bank.hash(&[self.value(), digest.as_ref()]);
        self.value.iter_mut().zip(next.as_ref()).for_each(|(to, from)| *to = *from);
        self.events = self.events.saturating_add(1);
    }

    pub(super) fn value(&self) -> &[u8] {
        self.value.get(..self.len).unwrap_or_default()
    }
}

/// All PCRs of one bank.
#[derive(Clone, Debug)]
pub(super) struct Registers([Register; PCR_COUNT as usize]);

impl Registers {
    pub(super) fn start(bank: HashAlgorithm, locality: u8) -> Self {
        let mut pcr = 0;
        Self([(); PCR_COUNT as usize].map(|()| {
            let register = Register::start(bank, pcr, locality);
            pcr += 1;
            register
        }))
    }

    pub(super) fn pcr(&self, pcr: u8) -> Option<&Register> {
        self.0.get(usize::from(pcr))
    }

    pub(super) fn pcr_mut(&mut self, pcr: u32) -> Option<&mut Register> {
        self.0.get_mut(usize::try_from(pcr).ok()?)
    }
}
