//! Collateral: what endorses evidence and does not come with it. Imported beforehand; nothing is ever fetched while
//! evidence is verified.

/// Certificates and revocation lists that the verifier has. Each is verified again where it is used.
#[derive(Clone, Debug, Default)]
pub struct Collateral {}

impl Collateral {
    /// Holds nothing: all must come with the evidence.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}
