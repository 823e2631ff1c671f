//! Trust anchors that a vault is initialised with. Evidence never supplies one.

use serde::{Deserialize, Serialize};

use crate::id::{AnchorClass, AnchorName};
use crate::policy::{Product, TpmKind};

/// Every root that a vault believes. Its hash is part of the vault id, so it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchors {
    /// For SNP reports.
    pub amd: AmdAnchors,
    /// For endorsement keys of TPMs, by name; at most [`crate::limits::CERTIFICATES`] sets.
    pub tpm: Vec<TpmAnchor>,
}

/// Roots for SNP reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AmdAnchors {
    /// AMD's own, compiled in and chosen by product.
    BuiltIn,
    /// Of a generated test PKI. Makes the vault a simulated one.
    Simulated(Vec<SimulatedRoot>),
}

/// A simulated ARK with its intermediates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimulatedRoot {
    /// The product it stands in for.
    pub product: Product,
    /// DER of the self-signed root.
    pub ark: Vec<u8>,
    /// DER of the intermediate for VCEKs.
    pub ask: Vec<u8>,
}

/// A named set of roots for endorsement keys and attestation keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TpmAnchor {
    /// Name that policy asks for.
    pub name: AnchorName,
    /// Whether these TPMs are hardware (or a cloud's) or simulators; one simulated set makes the vault simulated.
    pub class: AnchorClass,
    /// What kind of TPM these roots stand for.
    pub kind: TpmKind,
    /// DER of the roots and, if any, pinned intermediates.
    pub certificates: Vec<Vec<u8>>,
}

impl Anchors {
    /// Simulated as soon as one anchor is.
    #[must_use]
    pub fn class(&self) -> AnchorClass {
        let simulated = matches!(self.amd, AmdAnchors::Simulated(_))
            || self.tpm.iter().any(|anchor| anchor.class == AnchorClass::Simulated);
        if simulated { AnchorClass::Simulated } else { AnchorClass::Hardware }
    }
}
