//! Rules over the events of a boot: deny by default, and by digest.
//!
//! Called with a log that replays to values which the quote is checked for. Its sender still chooses types, data and
//! the order between PCRs. What must stay true: an event passes only by its digest, or by data that its digest covers.

use vouchsafe_crypto::verify::{Digest, HashAlgorithm};
use vouchsafe_protocol::policy::{BitRule, EventRules, UkiSection};

use crate::log::{Event, Guid, Meaning, MeasuredBoot};

/// PCRs that single rules are about.
const PCR_BOOT_MANAGER: u8 = 4;
const PCR_BOOT_CONFIG: u8 = 5;
const PCR_SECURE_BOOT: u8 = 7;
const PCR_GRUB: u8 = 8;
const PCR_KERNEL_BOOT: u8 = 11;
const PCR_KERNEL_CONFIG: u8 = 12;

/// The rule over events that a boot broke. Events are counted from 1, a crypto-agile header among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventRuleError {
    /// The log does not show whether Secure Boot was on.
    #[error("event log does not show the state of Secure Boot")]
    SecureBootUnknown,
    /// Secure Boot was on, or off, and may not be.
    #[error("state of Secure Boot is not accepted")]
    SecureBoot,
    /// systemd had not got, or had got further than, the boot may have.
    #[error("phase of the boot is not accepted")]
    BootPhase,
    /// Something was started that is not on the list.
    #[error("boot application of event {number} is not on the list")]
    BootApplication {
        /// Event.
        number: u32,
    },
    /// A section of a unified kernel image is not on the list.
    #[error("section of a unified kernel image of event {number} is not on the list")]
    UkiSection {
        /// Event.
        number: u32,
    },
    /// A command or command line is not on the list.
    #[error("command line of event {number} is not on the list")]
    CommandLine {
        /// Event.
        number: u32,
    },
    /// An event that no rule knows.
    #[error("event {number} in PCR {pcr} is not on any list")]
    Unlisted {
        /// Event.
        number: u32,
        /// PCR.
        pcr: u8,
    },
}

impl EventRuleError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::SecureBootUnknown => "tpm.event.secure-boot-unknown",
            Self::SecureBoot => "tpm.event.secure-boot",
            Self::BootPhase => "tpm.event.boot-phase",
            Self::BootApplication { .. } => "tpm.event.boot-application",
            Self::UkiSection { .. } => "tpm.event.uki-section",
            Self::CommandLine { .. } => "tpm.event.command-line",
            Self::Unlisted { .. } => "tpm.event.unlisted",
        }
    }
}

/// Applies rules to the events of the PCRs that they judge.
///
/// Steps: 1. the variable SecureBoot, measured before PCR 7's separator, once, and covered by its digest, is as the rule
/// says; 2. PCR 11 shows an accepted phase of the boot; 3. each event of a judged PCR is a separator; or, in PCRs 4 and
/// 5, a step of the boot manager; or SecureBoot, if step 1 looked at it; or in PCR 4 a listed application; or in PCR 11 the
/// name of a listed section and, next to it, the content of it; or in PCRs 8 and 12 a listed text that its digest covers;
/// or a listed digest; or the PCR may hold unknown events.
///
/// # Errors
/// [`EventRuleError`].
pub fn check_events(
    boot: &MeasuredBoot<'_, '_>,
    judged: &[u8],
    rules: &EventRules,
) -> Result<(), EventRuleError> {
    // Step 1.
    let wanted = match rules.secure_boot {
        BitRule::Any => None,
        BitRule::Forbidden => Some(false),
        BitRule::Required => Some(true),
    };
    if let Some(wanted) = wanted {
        let shown = boot.secure_boot().and_then(|secure_boot| secure_boot.enabled);
        if shown.ok_or(EventRuleError::SecureBootUnknown)? != wanted {
            return Err(EventRuleError::SecureBoot);
        }
    }
    // Step 2.
    if judged.contains(&PCR_KERNEL_BOOT) && !rules.boot_phases.contains(&boot.boot_phase()) {
        return Err(EventRuleError::BootPhase);
    }
    // Step 3.
    judged.iter().try_for_each(|pcr| check_pcr(boot, *pcr, rules))
}

fn check_pcr(boot: &MeasuredBoot<'_, '_>, pcr: u8, rules: &EventRules) -> Result<(), EventRuleError> {
    if rules.unknown_events.contains(&pcr) {
        return Ok(());
    }
    let allowed = rules.allowed.iter().filter(|allowed| allowed.index == pcr);
    let allowed: Vec<&[[u8; 32]]> = allowed.map(|allowed| allowed.digests.as_slice()).collect();
    let names = if pcr == PCR_KERNEL_BOOT { section_names(boot, rules) } else { Vec::new() };
    // INVARIANT: every PCR that is judged is confirmed, so its events are there.
    let Some(mut events) = boot.replayed().events(pcr) else { return Ok(()) };
    while let Some(event) = events.next() {
        let number = event.number;
        let digest = event.digest(boot.bank()).unwrap_or_default();
        let is_known = is_fixed(boot, event, pcr)
            || allowed.iter().any(|listed| contains(listed, digest))
            || (pcr == PCR_SECURE_BOOT && rules.secure_boot != BitRule::Any && is_secure_boot(boot, event));
        if is_known {
            continue;
        }
        match pcr {
            PCR_BOOT_MANAGER if contains(&rules.boot_applications, digest) => {}
            PCR_BOOT_MANAGER if !rules.boot_applications.is_empty() => {
                return Err(EventRuleError::BootApplication { number });
            }
            PCR_KERNEL_BOOT if names.iter().any(|(name, _)| name.as_ref() == digest) => {
                let content = events.next().and_then(|content| content.digest(boot.bank()));
                let is_listed = |(name, section): &(Digest, &UkiSection)| {
                    name.as_ref() == digest && content == Some(section.digest.as_slice())
                };
                if !names.iter().any(is_listed) {
                    return Err(EventRuleError::UkiSection { number });
                }
            }
            PCR_GRUB | PCR_KERNEL_CONFIG if !rules.command_lines.is_empty() => {
                if !is_listed_text(boot, event, &rules.command_lines) {
                    return Err(EventRuleError::CommandLine { number });
                }
            }
            _ => return Err(EventRuleError::Unlisted { number, pcr }),
        }
    }
    Ok(())
}

/// What every boot has: separators, and steps of the boot manager where it measures them.
fn is_fixed(boot: &MeasuredBoot<'_, '_>, event: &Event<'_>, pcr: u8) -> bool {
    (pcr <= PCR_SECURE_BOOT && boot.is_separator(event))
        || (matches!(pcr, PCR_BOOT_MANAGER | PCR_BOOT_CONFIG) && boot.action(event).is_some())
}

/// The variable that step 1 looked at: measured once before the separator, and never behind it.
fn is_secure_boot(boot: &MeasuredBoot<'_, '_>, event: &Event<'_>) -> bool {
    matches!(event.meaning(boot.bank()), Meaning::Variable(variable) if variable.is(Guid::GLOBAL, "SecureBoot"))
}

fn is_listed_text(boot: &MeasuredBoot<'_, '_>, event: &Event<'_>, listed: &[String]) -> bool {
    match event.meaning(boot.bank()) {
        Meaning::Text(text) => listed.iter().any(|line| line == text.as_str()),
        _ => false,
    }
}

/// What the names of listed sections are measured as: ASCII with a NUL.
fn section_names<'r>(boot: &MeasuredBoot<'_, '_>, rules: &'r EventRules) -> Vec<(Digest, &'r UkiSection)> {
    let bank: HashAlgorithm = boot.bank();
    rules.uki_sections.iter().map(|section| (bank.hash(&[section.name.as_bytes(), &[0]]), section)).collect()
}

/// Whether a digest is in an ascending list.
fn contains(listed: &[[u8; 32]], digest: &[u8]) -> bool {
    listed.binary_search_by(|known| known.as_slice().cmp(digest)).is_ok()
}
