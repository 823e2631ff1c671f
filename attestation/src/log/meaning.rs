//! What an event says, as far as its digest covers it.

use vouchsafe_crypto::verify::{Digest, HashAlgorithm};

use super::event::Event;
use super::image::ImageLoad;
use super::kind::EventKind;
use super::text::{CoveredText, covered_section_name, covered_text};
use super::variable::UefiVariable;

/// What an event says. Found by digest and data; the claimed type is looked at for [`Meaning::Image`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// A step of the boot manager or of the end of boot services.
    Action(BootAction),
    /// Data that the digest covers, in no form known here.
    Data(&'a [u8]),
    /// The digest is the Authenticode hash of an image, if the type is to be believed. Where the image came from is
    /// the sender's word.
    Image(ImageLoad<'a>),
    /// The name of a section of a unified kernel image, such as `.linux`; the next event of the PCR is its content.
    SectionName(String),
    /// The end of measuring by the firmware.
    Separator(SeparatorValue),
    /// A command or command line that GRUB or systemd ran or passed on.
    Text(CoveredText),
    /// The digest covers nothing that is in the log.
    Uncovered,
    /// A UEFI variable, name and value.
    Variable(UefiVariable<'a>),
}

impl<'a> Meaning<'a> {
    pub(super) fn of(event: &Event<'a>, bank: HashAlgorithm) -> Self {
        let Some(digest) = event.digest(bank).filter(|_| event.is_extended()) else { return Self::Uncovered };
        let known = KnownDigests::new(bank);
        if let Some(value) = known.separator(digest) {
            return Self::Separator(value);
        }
        if let Some(action) = known.action(digest) {
            return Self::Action(action);
        }
        if let Some(text) = covered_text(event, bank) {
            return Self::Text(text);
        }
        if let Some(name) = covered_section_name(event, bank) {
            return Self::SectionName(name);
        }
        if let Some(data) = event.covered_data(bank) {
            return UefiVariable::parse(data).map_or(Self::Data(data), Self::Variable);
        }
        let is_image = matches!(
            event.kind,
            EventKind::EFI_BOOT_SERVICES_APPLICATION
                | EventKind::EFI_BOOT_SERVICES_DRIVER
                | EventKind::EFI_RUNTIME_SERVICES_DRIVER
        );
        ImageLoad::parse(event.data).filter(|_| is_image).map_or(Self::Uncovered, Self::Image)
    }
}

/// The value that a separator is the hash of (section 10.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeparatorValue {
    /// `00000001`: measuring failed.
    Error,
    /// `ffffffff`.
    Ones,
    /// `00000000`.
    Zero,
}

/// Strings of EV_EFI_ACTION in PCRs 4 and 5 (section 10.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootAction {
    /// The boot manager starts a boot option.
    CallingApplication,
    /// The boot loader asks the firmware to end.
    ExitInvocation,
    /// The firmware did not end; the boot loader may ask again.
    ExitFailure,
    /// The firmware has ended.
    ExitSuccess,
    /// A boot option came back, and the next is tried.
    ReturningFromApplication,
}

const SEPARATORS: [(&[u8], SeparatorValue); 4] = [
    (&[0; 4], SeparatorValue::Zero),
    (&[u8::MAX; 4], SeparatorValue::Ones),
    // Firmware writes the number in either byte order.
    (&[1, 0, 0, 0], SeparatorValue::Error),
    (&[0, 0, 0, 1], SeparatorValue::Error),
];
const ACTIONS: [(&[u8], BootAction); 5] = [
    (b"Calling EFI Application from Boot Option", BootAction::CallingApplication),
    (EXIT_INVOCATION, BootAction::ExitInvocation),
    (b"Exit Boot Services Returned with Failure", BootAction::ExitFailure),
    (EXIT_SUCCESS, BootAction::ExitSuccess),
    (b"Returning from EFI Application from Boot Option", BootAction::ReturningFromApplication),
];
const EXIT_INVOCATION: &[u8] = b"Exit Boot Services Invocation";
const EXIT_SUCCESS: &[u8] = b"Exit Boot Services Returned with Success";
/// What a log that was cut most often lacks at its end.
pub(super) const LAST_EVENTS: [&[&[u8]]; 4] =
    [&[EXIT_SUCCESS], &[EXIT_INVOCATION, EXIT_SUCCESS], &[&[0; 4]], &[&[u8::MAX; 4]]];

/// Digests of everything with a fixed value.
#[derive(Clone, Debug)]
pub(super) struct KnownDigests {
    separators: [(Digest, SeparatorValue); 4],
    actions: [(Digest, BootAction); 5],
}

impl KnownDigests {
    pub(super) fn new(bank: HashAlgorithm) -> Self {
        Self {
            separators: SEPARATORS.map(|(data, value)| (bank.hash(&[data]), value)),
            actions: ACTIONS.map(|(data, action)| (bank.hash(&[data]), action)),
        }
    }

    pub(super) fn separator(&self, digest: &[u8]) -> Option<SeparatorValue> {
        self.separators.iter().find(|(known, _)| known.as_ref() == digest).map(|(_, value)| *value)
    }

    pub(super) fn action(&self, digest: &[u8]) -> Option<BootAction> {
        self.actions.iter().find(|(known, _)| known.as_ref() == digest).map(|(_, action)| *action)
    }
}
