//! Replay: the PCR values that a log leads to.

use vouchsafe_crypto::verify::HashAlgorithm;

use super::error::ReplayError;
use super::kind::EventKind;
use super::parse::EventLog;
use super::register::{Register, Registers};

/// The PCR values of one bank that a log leads to. Only [`super::confirm`] makes anything of them.
#[derive(Clone, Debug)]
pub struct Replay {
    bank: HashAlgorithm,
    registers: Registers,
}

impl Replay {
    /// The bank.
    #[must_use]
    pub fn bank(&self) -> HashAlgorithm {
        self.bank
    }

    /// The value of a PCR, 0 to 23: its start value if the log has no event for it.
    #[must_use]
    pub fn value(&self, pcr: u8) -> Option<&[u8]> {
        self.registers.pcr(pcr).map(Register::value)
    }

    /// Events that the log extends into a PCR.
    #[must_use]
    pub fn event_count(&self, pcr: u8) -> u32 {
        self.registers.pcr(pcr).map_or(0, |register| register.events)
    }

    pub(super) fn register(&self, pcr: u8) -> Option<&Register> {
        self.registers.pcr(pcr)
    }

    /// Whether a PCR holds what the log leads to.
    #[must_use]
    pub fn matches(&self, pcr: u8, value: &[u8]) -> bool {
        self.value(pcr) == Some(value)
    }
}

impl EventLog<'_> {
    /// Replays the log in one bank (section 10.5.1): every event but EV_NO_ACTION extends its PCR.
    ///
    /// # Errors
    /// [`ReplayError::BankAbsent`], [`ReplayError::DigestMissing`].
    pub fn replay(&self, bank: HashAlgorithm) -> Result<Replay, ReplayError> {
        if !self.has_bank(bank) {
            return Err(ReplayError::BankAbsent);
        }
        let mut registers = self.start_values(bank);
        for event in self.events().iter().filter(|event| event.is_extended()) {
            let digest = event.digest(bank).ok_or(ReplayError::DigestMissing { number: event.number })?;
            if let Some(register) = registers.pcr_mut(event.pcr) {
                register.extend(digest);
            }
        }
        Ok(Replay { bank, registers })
    }

    /// Start values: PCR 0's by the StartupLocality event; without one, 4 if the first thing extended is what an
    /// H-CRTM measured (section 10.4.5.3), else 0.
    pub(super) fn start_values(&self, bank: HashAlgorithm) -> Registers {
        let first = self.events().iter().find(|event| event.is_extended() && event.pcr == 0);
        let hcrtm = first.is_some_and(|event| event.kind == EventKind::EFI_HCRTM_EVENT);
        Registers::start(bank, self.startup_locality().unwrap_or(if hcrtm { 4 } else { 0 }))
    }
}
