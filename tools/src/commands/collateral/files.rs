//! What files of collateral hold, told from their bytes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use vouchsafe_attestation::snp::vek::VekCertificate;
use vouchsafe_attestation::x509::Certificate;
use vouchsafe_protocol::collateral::CollateralItem;

use crate::failure::Problem;

/// Largest file read, in bytes: a vendor's bundle of some hundred certificates stays below.
const FILE_LEN: u64 = 4 * 1024 * 1024;

/// One thing in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// Can be imported.
    Collateral {
        /// File, and which of several in it.
        origin: String,
        item: CollateralItem,
    },
    /// A root, which vaults have from elsewhere.
    Root { origin: String, name: String },
}

/// Everything in the files, in an order in which one vouches for the next: issuers, then the rest.
pub(super) fn read_all(paths: &[PathBuf]) -> Result<Vec<Item>> {
    let mut all = Vec::new();
    for path in paths {
        let blocks = blocks(path)?;
        let count = blocks.len();
        for (index, der) in blocks.into_iter().enumerate() {
            let origin = match count {
                1 => path.display().to_string(),
                _ => format!("{} ({} of {count})", path.display(), index + 1),
            };
            all.push(classify(der, origin)?);
        }
    }
    all.sort_by_key(|item| match item {
        Item::Root { .. } => 0,
        Item::Collateral { item: CollateralItem::AmdIntermediate(_), .. } => 1,
        Item::Collateral { item: CollateralItem::TpmIntermediate(_), .. } => 2,
        Item::Collateral { item: CollateralItem::AmdCrl(_), .. } => 3,
        Item::Collateral { item: CollateralItem::Vek(_), .. } => 4,
    });
    Ok(all)
}

/// What an item is called.
pub(super) fn kind(item: &CollateralItem) -> &'static str {
    match item {
        CollateralItem::AmdCrl(_) => "revocation list",
        CollateralItem::AmdIntermediate(_) => "intermediate of AMD's",
        CollateralItem::TpmIntermediate(_) => "intermediate of a TPM vendor",
        CollateralItem::Vek(_) => "VCEK or VLEK",
    }
}

fn classify(der: Vec<u8>, origin: String) -> Result<Item> {
    let Ok(certificate) = Certificate::parse(&der) else {
        // Whether it is a revocation list at all is for the verifier to say.
        return Ok(Item::Collateral { origin, item: CollateralItem::AmdCrl(der) });
    };
    let name = certificate.common_name().unwrap_or_default().to_owned();
    if name.starts_with("ARK-") {
        return Ok(Item::Root { origin, name });
    }
    let item = if VekCertificate::parse(&der).is_ok() || name == "SEV-VCEK" || name == "SEV-VLEK" {
        CollateralItem::Vek(der)
    } else if !certificate.is_authority() {
        let message =
            format!("{origin} is a certificate of a single machine or service, which no vault keeps");
        let hint = "import VCEKs, VLEKs, intermediates and AMD's revocation lists; agents bring the rest";
        return Err(Problem::new("not-collateral", message).hint(hint).into());
    } else if name.starts_with("SEV-") {
        CollateralItem::AmdIntermediate(der)
    } else {
        CollateralItem::TpmIntermediate(der)
    };
    Ok(Item::Collateral { origin, item })
}

/// DER of a file: one whole, or of each PEM block.
fn blocks(path: &Path) -> Result<Vec<Vec<u8>>> {
    let shown = path.display();
    let len = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len();
    if len > FILE_LEN {
        return Err(Problem::new("malformed-file", format!("{shown} is larger than {FILE_LEN} bytes"))
            .hint("name certificates and revocation lists")
            .into());
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    let Some(text) = std::str::from_utf8(&bytes).ok().filter(|text| text.contains("-----BEGIN ")) else {
        return Ok(vec![bytes]);
    };
    let malformed = || {
        Problem::new("malformed-file", format!("{shown} is not PEM of certificates and revocation lists"))
            .hint("expected '-----BEGIN CERTIFICATE-----' or '-----BEGIN X509 CRL-----'")
    };
    let mut all = Vec::new();
    for block in text.split("-----BEGIN ").skip(1) {
        let (label, rest) = block.split_once("-----").ok_or_else(malformed)?;
        if !matches!(label, "CERTIFICATE" | "X509 CRL") {
            return Err(malformed().into());
        }
        let (body, _) = rest.split_once(&format!("-----END {label}-----")).ok_or_else(malformed)?;
        let body: String = body.split_whitespace().collect();
        all.push(BASE64_STANDARD.decode(body).map_err(|_| malformed())?);
    }
    Ok(all)
}
