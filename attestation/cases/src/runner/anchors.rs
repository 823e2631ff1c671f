//! The anchors of a document. Evidence never adds to them.

use vouchsafe_attestation::snp::roots::RootsError;
use vouchsafe_attestation::{AnchorError, TrustAnchors};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors, SimulatedRoot, TpmAnchor};
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::policy::{Product, TpmKind};

use crate::pem::to_der;
use crate::schema::{AmdRootFiles, TpmAnchorFiles, TpmKindName};
use crate::suite::Suite;
use crate::verdict::{Run, Stop};

/// The anchors that hold: all of a document, or those of these names.
pub(super) fn of(suite: &Suite, names: Option<&Vec<String>>) -> Run<TrustAnchors> {
    let holds = |name: &String| names.is_none_or(|names| names.contains(name));
    let der = |file: &String| -> Run<Vec<u8>> {
        let bytes = suite.files.get(file).ok_or_else(|| Stop::missing(file))?;
        to_der(bytes).map_err(|_| Stop::malformed(file))
    };
    let amd = match &suite.document.anchors {
        None => AmdAnchors::BuiltIn,
        Some(roots) => {
            let roots = roots.iter().filter(|(name, _)| holds(name));
            let roots = roots.map(|(name, AmdRootFiles { ark, ask })| {
                let product = product(name)?;
                Ok(SimulatedRoot { product, ark: der(ark)?, ask: der(ask)? })
            });
            AmdAnchors::Simulated(roots.collect::<Run<_>>()?)
        }
    };
    let sets = suite.document.tpm_anchors.iter().flatten().filter(|(name, _)| holds(name));
    let tpm = sets
        .map(|(name, TpmAnchorFiles { kind, certificates })| {
            let named =
                name.parse().map_err(|_| Stop::not_supported(format!("'{name}' cannot name anchors")))?;
            Ok(TpmAnchor {
                name: named,
                class: AnchorClass::Hardware,
                kind: match kind {
                    TpmKindName::Hardware => TpmKind::Hardware,
                    TpmKindName::HostVirtual => TpmKind::HostVirtual,
                },
                certificates: certificates.iter().map(der).collect::<Run<_>>()?,
            })
        })
        .collect::<Run<_>>()?;
    TrustAnchors::new(&Anchors { amd, tpm }).map_err(|error| {
        let code = match error {
            AnchorError::Amd(RootsError::Empty) => "snp.root.none",
            AnchorError::Amd(_) => "snp.root.unusable",
            AnchorError::Empty { .. } => "tpm.anchor.none",
            _ => "tpm.anchor.unusable",
        };
        Stop::refused(code, &error)
    })
}

pub(super) fn product(name: &str) -> Run<Product> {
    match name {
        "Milan" => Ok(Product::Milan),
        "Genoa" => Ok(Product::Genoa),
        "Turin" => Ok(Product::Turin),
        other => Err(Stop::not_supported(format!("product '{other}' is not known"))),
    }
}
