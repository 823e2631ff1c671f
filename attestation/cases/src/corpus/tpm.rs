//! TPM quotes, keys and their certificates.

mod add;
mod ak;
mod certificates;
mod clock;
mod ima;
mod logs;
mod parse;
mod quote;
mod residency;
mod rules;

use add::TpmCase;

use super::add::{Added, Cases};

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    quote::add(cases)?;
    rules::add(cases)?;
    ak::add(cases)?;
    residency::add(cases)?;
    certificates::add(cases)?;
    clock::add(cases)?;
    parse::add(cases)?;
    logs::add(cases)?;
    ima::add(cases)
}
