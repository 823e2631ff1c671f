//! SNP reports.

mod alone;
mod binding;
mod bits;
mod certificate;
mod chain;
mod chip;
mod crl;
mod form;
mod good;
mod identity;
mod tcb;

use super::add::{Added, Cases};

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    good::add(cases)?;
    chain::add(cases)?;
    certificate::add(cases)?;
    binding::add(cases)?;
    tcb::add(cases)?;
    bits::add(cases)?;
    chip::add(cases)?;
    crl::add(cases)?;
    identity::add(cases)?;
    form::add(cases)?;
    alone::add(cases)
}
