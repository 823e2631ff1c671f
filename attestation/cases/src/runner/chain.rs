//! Kinds ak-chain and ek-chain: a certificate and its intermediates under the anchors of the document or, where it has
//! none, under the root that the case configures.

use serde_json::json;
use vouchsafe_attestation::tpm::ak_certificate::verify_ak_chain;
use vouchsafe_attestation::tpm::ek::verify_ek_chain;
use vouchsafe_attestation::x509::Certificate;

use super::Running;
use crate::verdict::{Run, Stop};

/// A certificate of an attestation key.
pub(super) fn attestation(running: &Running<'_>) -> Run {
    let (chain, roots, at) = parts(running)?;
    Ok(claims(&verify_ak_chain(&chain, &roots, at)?))
}

/// A certificate of an endorsement key.
pub(super) fn endorsement(running: &Running<'_>) -> Run {
    let (chain, roots, at) = parts(running)?;
    Ok(claims(&verify_ek_chain(&chain, &roots, at)?))
}

fn claims(leaf: &Certificate) -> serde_json::Value {
    json!({ "common_name": leaf.common_name(), "serial": hex::encode(leaf.serial()) })
}

type Parts = (Vec<Vec<u8>>, Vec<Certificate>, i64);

fn parts(running: &Running<'_>) -> Run<Parts> {
    let mut chain = vec![running.der("leaf")?];
    chain.extend(running.numbered_der("intermediate")?);
    Ok((chain, roots(running)?, running.at()?))
}

/// The roots of the caller; without one those of the document's TPM anchors, or the case's own.
fn roots(running: &Running<'_>) -> Run<Vec<Certificate>> {
    if let Some(roots) = running.callers_roots {
        return Ok(roots.to_vec());
    }
    let der = match &running.suite.document.tpm_anchors {
        None => vec![running.der("root")?],
        Some(sets) => {
            let holds =
                |name: &String| running.case.anchors.as_ref().is_none_or(|names| names.contains(name));
            let files = sets.iter().filter(|(name, _)| holds(name)).flat_map(|(_, set)| &set.certificates);
            files
                .map(|file| {
                    let bytes = running.suite.files.get(file).ok_or_else(|| Stop::missing(file))?;
                    crate::pem::to_der(bytes).map_err(|_| Stop::malformed(file))
                })
                .collect::<Run<_>>()?
        }
    };
    der.iter().map(|der| Certificate::parse(der).map_err(|_| Stop::malformed("root"))).collect()
}
