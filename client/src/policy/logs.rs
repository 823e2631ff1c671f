//! The keys of an accept rule that are about logs.

use vouchsafe_protocol::policy::{EventRules, ImaRule};

use super::error::CompileError;
use super::reader::Table;

/// What is asked of the boot event log and of the IMA log.
pub(super) fn logs(_table: &mut Table<'_>) -> Result<(EventRules, ImaRule), CompileError> {
    Ok((EventRules::default(), ImaRule::NotRequired))
}
