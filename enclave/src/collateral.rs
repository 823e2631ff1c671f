//! Imports of collateral: verified before anything is planned, kept whole or not at all.

use std::collections::HashSet;

use vouchsafe_attestation::Collateral;
use vouchsafe_attestation::collateral::Added;
use vouchsafe_crypto::digest::sha256;
use vouchsafe_protocol::collateral::{CollateralItem, IMPORT_ITEMS};
use vouchsafe_protocol::limits::LIST_PAGE;
use vouchsafe_protocol::log::Action;
use vouchsafe_protocol::refusal::{Refusal, RefusalCode};
use vouchsafe_protocol::session::Reply;

use crate::change::Change;
use crate::core::Core;
use crate::requests::Decided;

impl Core {
    /// Plans an import: every item is verified against the anchors, on a copy of what is there. One that is not
    /// acceptable changes nothing (V3); the refusal says which and by which rule.
    pub(crate) fn decide_import(&self, items: Vec<CollateralItem>, now: u64) -> Result<Decided, Refusal> {
        if items.is_empty() || items.len() > IMPORT_ITEMS {
            return Err(RefusalCode::TooLarge.into());
        }
        let mut collateral = Collateral::clone(&self.state().collateral);
        let mut changed = false;
        for (index, item) in items.iter().enumerate() {
            let added = collateral.add(item, &self.state().anchors, now).map_err(|error| Refusal {
                code: RefusalCode::Collateral,
                rule: Some(format!("item {}: {}", index + 1, error.code())),
            })?;
            changed |= added != Added::Known;
        }
        let action = imported(&items);
        let digests: HashSet<_> = items.iter().map(|item| sha256(&[item.der()])).collect();
        let entries = collateral.list().filter(|entry| digests.contains(&entry.digest)).collect();
        let change = changed.then_some(Change::Collateral { items, at_unix_secs: now });
        Ok(Decided { action, change, reply: Reply::Collateral { entries, more: false } })
    }

    /// A page of what is kept, in the order of digests.
    pub(crate) fn list_collateral(&self, after: Option<[u8; 32]>) -> Reply {
        let mut entries: Vec<_> = self.state().collateral.list().collect();
        entries.sort_by_key(|entry| entry.digest);
        entries.retain(|entry| after.is_none_or(|after| entry.digest > after));
        let more = entries.len() > LIST_PAGE;
        entries.truncate(LIST_PAGE);
        Reply::Collateral { entries, more }
    }
}

/// What the log says of an import: each item by its digest.
pub(crate) fn imported(items: &[CollateralItem]) -> Action {
    Action::CollateralImport(items.iter().take(IMPORT_ITEMS).map(|item| sha256(&[item.der()])).collect())
}
