//! Kinds ak-chain and ek-chain: a certificate under a root that the case configures as its anchor.

use anyhow::ensure;
use vouchsafe_attestation::tpm::ek::check_ek_usage;
use vouchsafe_attestation::x509::{Certificate, verify_chain};

use super::cases::Case;
use super::snp::file;
use super::{Files, Verdict};
use crate::evidence::pem::to_der;

/// What the leaf is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaf {
    Attestation,
    Endorsement,
}

/// Leaf, any intermediates (`intermediate1`, `intermediate2`, ...), root.
pub(super) fn check_chain(case: &Case, files: &Files, leaf: Leaf) -> Verdict {
    match case.at() {
        Ok(at) => Verdict::of(verify(files, leaf, at)),
        Err(error) => Verdict::not_supported(format!("{error:#}")),
    }
}

fn verify(files: &Files, usage: Leaf, at: i64) -> anyhow::Result<()> {
    let certificate = |bytes: &[u8]| -> anyhow::Result<_> { Ok(Certificate::parse(&to_der(bytes)?)?) };
    let leaf = certificate(file(files, "leaf")?)?;
    let root = certificate(file(files, "root")?)?;
    let intermediates = files
        .iter()
        .filter(|(part, _)| part.starts_with("intermediate"))
        .map(|(_, bytes)| certificate(bytes))
        .collect::<anyhow::Result<Vec<_>>>()?;
    match usage {
        Leaf::Endorsement => check_ek_usage(&leaf)?,
        Leaf::Attestation => {
            let signs = leaf.key_usage().is_none_or(|usage| usage.digital_signature);
            ensure!(signs && !leaf.is_authority(), "certificate is not for a key that signs");
        }
    }
    verify_chain(&leaf, &intermediates, &[root], at)?;
    Ok(())
}
