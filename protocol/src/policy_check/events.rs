//! Whether rules over logs may load.

use crate::limits::{COMMAND_LINE_LEN, IMA_FILES, PCRS, REFERENCE_VALUES};
use crate::policy::{AllowedEvents, BitRule, EventRules, ImaRule, PcrExpectation, PcrRule, UkiSection};

/// PCRs that single rules are about.
const PCR_BOOT_MANAGER: u8 = 4;
const PCR_SECURE_BOOT: u8 = 7;
const PCR_IMA: u8 = 10;
const PCR_KERNEL_BOOT: u8 = 11;
/// GRUB's and systemd's.
const PCRS_COMMAND_LINE: [u8; 2] = [8, 12];
/// Longest name of a section of a PE image, in bytes.
const SECTION_NAME_LEN: usize = 8;

/// Why rules over logs do not load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventsError {
    /// Step 1.
    #[error("PCR {index} is judged by events, and no rule says which events it may hold")]
    NoRule {
        /// PCR.
        index: u8,
    },
    /// Step 2.
    #[error("a rule over logs is about PCR {index}, which is not judged by events")]
    NotJudged {
        /// PCR.
        index: u8,
    },
    /// Step 3.
    #[error("PCR {index} may hold unknown events, so that a list for it has no effect")]
    NoEffect {
        /// PCR.
        index: u8,
    },
    /// Step 4.
    #[error("digests are not in ascending order, or one is repeated")]
    DigestOrder,
    /// Step 5.
    #[error("a digest is all zero")]
    ZeroDigest,
    /// Step 6.
    #[error("PCRs of 'allowed' or 'unknown_events' are not in ascending order, or one is repeated")]
    PcrOrder,
    /// Step 7.
    #[error("the list of allowed events of PCR {index} is empty")]
    NoEvent {
        /// PCR.
        index: u8,
    },
    /// Step 8.
    #[error("a command line is empty, holds a NUL, or is longer than {COMMAND_LINE_LEN} bytes")]
    CommandLine,
    /// Step 9.
    #[error("the name of a section is not '.' and up to 7 ASCII letters, or the section is repeated")]
    UkiSection,
    /// Step 10.
    #[error(
        "boot_phases is to name, each once, how far the boot may have got, if PCR 11 is judged by events"
    )]
    BootPhases,
    /// Step 10.
    #[error("PCR 11 may hold unknown events, so that boot_phases says nothing of how far the boot has got")]
    UnknownPhases,
    /// Step 11.
    #[error("no file is listed for the IMA log")]
    NoFile,
    /// A list is too long.
    #[error("a list has {count} values, more than the limit of {limit}")]
    TooMany {
        /// How many.
        count: usize,
        /// Limit.
        limit: usize,
    },
}

/// Checks rules over logs for the PCRs of a rule.
///
/// 1. Each PCR that is judged by events has a rule that says which events it may hold (PCR 7 more than its Secure Boot
///    variable, as there are always more events; PCR 10 the list of files);
/// 2. each rule is about a PCR that is judged by events;
/// 3. no list is for a PCR that may hold unknown events;
/// 4. digests are ascending;
/// 5. none is all zero;
/// 6. PCRs are ascending;
/// 7. no list of a PCR is empty;
/// 8. command lines are not empty, without NUL, of at most [`COMMAND_LINE_LEN`] bytes;
/// 9. sections have names that sections can have;
/// 10. boot phases are named exactly if PCR 11 is judged by events, and it may not hold unknown ones: those could be
///     phases that somebody extended;
/// 11. a list of files is not empty.
///
/// # Errors
/// [`EventsError`], one variant per step.
pub fn check_events(pcrs: &[PcrRule], events: &EventRules, ima: &ImaRule) -> Result<(), EventsError> {
    let EventRules {
        secure_boot,
        boot_applications,
        uki_sections,
        boot_phases,
        command_lines,
        allowed,
        unknown_events,
    } = events;
    let is_judged =
        |index| pcrs.iter().any(|rule| rule.index == index && rule.expected == PcrExpectation::Events);
    // 1
    let judged = pcrs.iter().filter(|rule| rule.expected == PcrExpectation::Events).map(|rule| rule.index);
    for index in judged {
        let has_rule = match index {
            PCR_IMA => matches!(ima, ImaRule::AllowList(_)),
            _ => lists(events, index) > 0 || unknown_events.contains(&index),
        };
        if !has_rule {
            return Err(EventsError::NoRule { index });
        }
    }
    // 2
    let about = [
        (*secure_boot != BitRule::Any, PCR_SECURE_BOOT),
        (!boot_applications.is_empty(), PCR_BOOT_MANAGER),
        (!uki_sections.is_empty(), PCR_KERNEL_BOOT),
        (matches!(ima, ImaRule::AllowList(_)), PCR_IMA),
    ];
    let about = about.into_iter().filter(|(is_used, _)| *is_used).map(|(_, index)| index);
    let listed = allowed.iter().map(|allowed| allowed.index).chain(unknown_events.iter().copied());
    if let Some(index) = about.chain(listed.clone()).find(|index| !is_judged(*index)) {
        return Err(EventsError::NotJudged { index });
    }
    // PCR 10 is the IMA log's; of the event log there is nothing in it.
    if listed.clone().any(|index| index == PCR_IMA) {
        return Err(EventsError::NotJudged { index: PCR_IMA });
    }
    let [grub, systemd] = PCRS_COMMAND_LINE;
    if !command_lines.is_empty() && !is_judged(grub) && !is_judged(systemd) {
        return Err(EventsError::NotJudged { index: systemd });
    }
    // 3
    if let Some(index) = unknown_events.iter().find(|index| lists(events, **index) > 0) {
        return Err(EventsError::NoEffect { index: *index });
    }
    // 4, 5
    ascending(boot_applications, REFERENCE_VALUES)?;
    // 6, 7
    check_allowed(allowed, unknown_events)?;
    // 8
    at_most(command_lines.len(), REFERENCE_VALUES)?;
    let is_line = |line: &String| (1..=COMMAND_LINE_LEN).contains(&line.len()) && !line.contains('\0');
    if !command_lines.iter().all(is_line) {
        return Err(EventsError::CommandLine);
    }
    // 9
    check_sections(uki_sections)?;
    // 10
    let phases_are_once =
        (1..).zip(boot_phases).all(|(next, phase)| !boot_phases.iter().skip(next).any(|p| p == phase));
    if boot_phases.is_empty() == is_judged(PCR_KERNEL_BOOT) || !phases_are_once {
        return Err(EventsError::BootPhases);
    }
    if unknown_events.contains(&PCR_KERNEL_BOOT) {
        return Err(EventsError::UnknownPhases);
    }
    // 11
    match ima {
        ImaRule::AllowList(files) if files.is_empty() => Err(EventsError::NoFile),
        ImaRule::AllowList(files) => ascending(files, IMA_FILES),
        ImaRule::NotRequired => Ok(()),
    }
}

/// How many lists say what a PCR may hold.
fn lists(events: &EventRules, index: u8) -> usize {
    let typed = match index {
        PCR_BOOT_MANAGER => !events.boot_applications.is_empty(),
        PCR_KERNEL_BOOT => !events.uki_sections.is_empty(),
        _ => PCRS_COMMAND_LINE.contains(&index) && !events.command_lines.is_empty(),
    };
    usize::from(typed) + events.allowed.iter().filter(|allowed| allowed.index == index).count()
}

/// Steps 4 to 7.
fn check_allowed(allowed: &[AllowedEvents], unknown_events: &[u8]) -> Result<(), EventsError> {
    at_most(allowed.len(), PCRS)?;
    at_most(unknown_events.len(), PCRS)?;
    for AllowedEvents { index, digests } in allowed {
        if digests.is_empty() {
            return Err(EventsError::NoEvent { index: *index });
        }
        ascending(digests, REFERENCE_VALUES)?;
    }
    let indices: Vec<u8> = allowed.iter().map(|allowed| allowed.index).collect();
    if is_ascending(&indices) && is_ascending(unknown_events) { Ok(()) } else { Err(EventsError::PcrOrder) }
}

fn check_sections(sections: &[UkiSection]) -> Result<(), EventsError> {
    at_most(sections.len(), REFERENCE_VALUES)?;
    let mut seen = std::collections::BTreeSet::new();
    for section in sections {
        let UkiSection { name, digest } = section;
        let is_name = name.len() > 1
            && name.len() <= SECTION_NAME_LEN
            && name.starts_with('.')
            && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name || !seen.insert(section) {
            return Err(EventsError::UkiSection);
        }
        if *digest == [0; 32] {
            return Err(EventsError::ZeroDigest);
        }
    }
    Ok(())
}

/// Steps 4 and 5.
fn ascending(digests: &[[u8; 32]], limit: usize) -> Result<(), EventsError> {
    at_most(digests.len(), limit)?;
    if !is_ascending(digests) {
        return Err(EventsError::DigestOrder);
    }
    if digests.first() == Some(&[0; 32]) { Err(EventsError::ZeroDigest) } else { Ok(()) }
}

fn is_ascending<T: PartialOrd>(values: &[T]) -> bool {
    values.is_sorted_by(|before, after| before < after)
}

fn at_most(count: usize, limit: usize) -> Result<(), EventsError> {
    if count > limit { Err(EventsError::TooMany { count, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
