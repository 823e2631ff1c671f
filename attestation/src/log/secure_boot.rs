//! Secure Boot as PCR 7 tells it: only what stands before the separator, and only data that its digest covers.

use super::boot::{MeasuredBoot, PCR_SECURE_BOOT};
use super::variable::{Guid, UefiVariable};

/// The configuration of Secure Boot that firmware measured before it started anything. `None`: not measured, measured
/// twice, or logged with other data than was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecureBoot<'a> {
    /// Whether it was on.
    pub enabled: Option<bool>,
    /// Value of PK: signature lists.
    pub platform_key: Option<&'a [u8]>,
    /// Value of KEK: signature lists.
    pub exchange_keys: Option<&'a [u8]>,
    /// Value of db, what may run: signature lists.
    pub allowed: Option<&'a [u8]>,
    /// Value of dbx, what may not: signature lists.
    pub forbidden: Option<&'a [u8]>,
}

impl<'a> MeasuredBoot<'_, 'a> {
    /// Reads the configuration of Secure Boot; `None` if PCR 7 is not confirmed.
    #[must_use]
    pub fn secure_boot(&self) -> Option<SecureBoot<'a>> {
        let before = self.replayed.events(PCR_SECURE_BOOT)?.take_while(|event| !self.is_separator(event));
        let variables: Vec<UefiVariable<'a>> = before
            .filter_map(|event| {
                UefiVariable::parse(event.data).filter(|_| event.covered_data(self.bank()).is_some())
            })
            .collect();
        let value = |vendor, name| {
            let mut found = variables.iter().filter(|variable| variable.is(vendor, name));
            found.next().filter(|_| found.next().is_none()).map(|variable| variable.value)
        };
        let enabled = value(Guid::GLOBAL, "SecureBoot").and_then(|value| match value {
            [1] => Some(true),
            // Absent variables are measured with an empty value.
            [] | [0] => Some(false),
            _ => None,
        });
        Some(SecureBoot {
            enabled,
            platform_key: value(Guid::GLOBAL, "PK"),
            exchange_keys: value(Guid::GLOBAL, "KEK"),
            allowed: value(Guid::IMAGE_SECURITY, "db"),
            forbidden: value(Guid::IMAGE_SECURITY, "dbx"),
        })
    }
}

/// Whether data is a variable that firmware measures before PCR 7's separator and never behind it. `db` and `dbx` may
/// be there: which entry of them vouched for an image is measured under their names.
pub(super) fn configures_secure_boot(data: &[u8]) -> bool {
    UefiVariable::parse(data).is_some_and(|variable| {
        ["SecureBoot", "PK", "KEK"].iter().any(|name| variable.is(Guid::GLOBAL, name))
    })
}
