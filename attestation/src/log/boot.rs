//! What every honest boot's log has, whatever was booted: separators, and the end of boot services.

use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::policy::BootPhase;

use super::after::may_follow_separator;
use super::confirm::Replayed;
use super::error::BootError;
use super::event::Event;
use super::kind::EventKind;
use super::meaning::{BootAction, KnownDigests, SeparatorValue};
use super::secure_boot::configures_secure_boot;

/// PCRs that firmware measures into and closes with a separator: 0 to this.
const LAST_FIRMWARE_PCR: u32 = 7;
/// PCR that the end of boot services is measured into.
const PCR_BOOT_CONFIG: u32 = 5;
/// PCR of Secure Boot.
pub(super) const PCR_SECURE_BOOT: u8 = 7;

/// The log of an orderly boot: in each confirmed PCR from 0 to 7 exactly one separator stands where firmware put it.
#[derive(Clone, Debug)]
pub struct MeasuredBoot<'l, 'a> {
    pub(super) replayed: Replayed<'l, 'a>,
    pub(super) known: KnownDigests,
}

impl<'l, 'a> Replayed<'l, 'a> {
    /// Checks the structure of a log that replays. Separators and actions are found by digest, never by type; only
    /// confirmed PCRs are looked at, since of the others nothing is known.
    ///
    /// Steps, for each event in the order of the log: 1. its digest is not all zero; for one of PCRs 0 to 7: 2. it
    /// does not stand behind the end of boot services; 3. what has the digest of the error separator ends it; 4. what
    /// is called a separator has the digest of one; 5. and the other way round; 6. it is the first separator of its
    /// PCR; 7. what stands behind the separator may. At last: 8. none of the confirmed PCRs 0 to 7 lacks its separator.
    ///
    /// # Errors
    /// [`BootError`], one variant per step.
    pub fn measured_boot(self) -> Result<MeasuredBoot<'l, 'a>, BootError> {
        let known = KnownDigests::new(self.bank);
        // Bit n: the separator of PCR n has been seen.
        let (mut separated, mut exited) = (0u8, false);
        for event in self.log.events().iter().filter(|event| event.is_extended()) {
            let number = event.number;
            let Some((pcr, digest)) = self.confirmed_digest(event) else { continue };
            // Step 1.
            if digest.iter().all(|byte| *byte == 0) {
                return Err(BootError::ZeroDigest { number });
            }
            if event.pcr > LAST_FIRMWARE_PCR {
                continue;
            }
            // Step 2.
            if exited {
                return Err(BootError::AfterExit { number });
            }
            exited = event.pcr == PCR_BOOT_CONFIG && known.action(digest) == Some(BootAction::ExitSuccess);
            let bit = 1u8 << event.pcr;
            // Real firmware measures four zero bytes as contents of its S-CRTM, and as configuration.
            let may_equal = |value| match event.pcr {
                0 => event.kind == EventKind::S_CRTM_CONTENTS,
                1 => event.kind != EventKind::SEPARATOR && value == SeparatorValue::Zero,
                _ => false,
            };
            let value = known.separator(digest).filter(|value| !may_equal(*value));
            match (value, event.kind == EventKind::SEPARATOR) {
                // Steps 3 to 5.
                (Some(SeparatorValue::Error), _) => return Err(BootError::ErrorSeparator { pcr }),
                (None, true) => return Err(BootError::SeparatorSpoofed { number }),
                (Some(_), false) => return Err(BootError::SeparatorRetyped { number }),
                // Step 6.
                (Some(_), true) if separated & bit != 0 => return Err(BootError::SeparatorTwice { pcr }),
                (Some(_), true) => separated |= bit,
                // Step 7.
                (None, false) => {
                    let behind = separated & bit != 0;
                    let late = pcr == PCR_SECURE_BOOT && configures_secure_boot(event.data);
                    if behind && (late || !may_follow_separator(event.pcr, event.kind)) {
                        return Err(BootError::AfterSeparator { number });
                    }
                }
            }
        }
        // Step 8.
        match (0..=7).find(|pcr| self.is_confirmed(*pcr) && separated & (1 << pcr) == 0) {
            Some(pcr) => Err(BootError::SeparatorMissing { pcr }),
            None => Ok(MeasuredBoot { replayed: self, known }),
        }
    }

    fn confirmed_digest(&self, event: &Event<'a>) -> Option<(u8, &'a [u8])> {
        let pcr = u8::try_from(event.pcr).ok().filter(|pcr| self.is_confirmed(*pcr))?;
        Some((pcr, event.digest(self.bank)?))
    }
}

impl<'l, 'a> MeasuredBoot<'l, 'a> {
    /// The replayed log.
    #[must_use]
    pub fn replayed(&self) -> &Replayed<'l, 'a> {
        &self.replayed
    }

    /// The bank whose digests are confirmed.
    #[must_use]
    pub fn bank(&self) -> HashAlgorithm {
        self.replayed.bank
    }

    /// How far systemd had got in extending PCR 11.
    #[must_use]
    pub fn boot_phase(&self) -> BootPhase {
        self.replayed.boot_phase()
    }

    /// Whether an event is the separator of its PCR.
    pub(crate) fn is_separator(&self, event: &Event<'a>) -> bool {
        event.digest(self.bank()).is_some_and(|digest| self.known.separator(digest).is_some())
    }

    /// The action that an event is, by digest.
    pub(crate) fn action(&self, event: &Event<'a>) -> Option<BootAction> {
        event.digest(self.bank()).and_then(|digest| self.known.action(digest))
    }
}
