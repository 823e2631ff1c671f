//! What the process can do at this moment, for whoever connects.

use std::sync::Arc;

use crate::vault::Vault;

/// A table of what each phase accepts: everything not listed is refused.
#[derive(Clone)]
pub(crate) enum Phase {
    /// Nothing, by an operator's order.
    Sealed,
    /// Introductions and sessions.
    Serving(Arc<Vault>),
    /// Nothing, until the storage link is there and the vault is back.
    Unavailable,
    /// `init`.
    Uninitialised,
}
