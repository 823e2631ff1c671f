//! Collateral for people and for programs.

use serde_json::{Value, json};
use vouchsafe_protocol::collateral::{CollateralEntry, CollateralSubject};
use vouchsafe_protocol::policy::{Product, Tcb};

use crate::context::rfc3339;
use crate::failure::kebab;

/// Digits of a chip id that tell it from others.
const SHORT: usize = 16;

/// One to a line.
pub(super) fn table(entries: &[CollateralEntry], now: u64) -> String {
    entries.iter().map(|entry| line(entry, now)).collect::<Vec<_>>().join("\n")
}

/// `VCEK of chip 0123456789abcdef… (genoa), TCB 9.0.23.72, until 2031-…`
pub(super) fn line(entry: &CollateralEntry, now: u64) -> String {
    let CollateralEntry { subject, not_before_unix_secs, not_after_unix_secs, .. } = entry;
    let until = rfc3339(*not_after_unix_secs);
    let until =
        if *not_after_unix_secs < now { format!("EXPIRED {until}") } else { format!("until {until}") };
    match subject {
        CollateralSubject::AmdCrl { product, revoked } => {
            let from = rfc3339(*not_before_unix_secs);
            format!("CRL of {}, {revoked} revoked, from {from}, {until}", name(*product))
        }
        CollateralSubject::Ask { product } => format!("ASK of {}, {until}", name(*product)),
        CollateralSubject::Asvk { product } => format!("ASVK of {}, {until}", name(*product)),
        CollateralSubject::TpmIntermediate { name } => format!("TPM intermediate '{name}', {until}"),
        CollateralSubject::Vcek { product, chip, tcb } => {
            let chip = hex::encode(chip.0);
            let short = chip.get(..SHORT).unwrap_or(&chip);
            format!("VCEK of chip {short}… ({}), TCB {}, {until}", name(*product), version(*product, *tcb))
        }
        CollateralSubject::Vlek { product, provider, tcb } => {
            format!("VLEK of {} ({}), TCB {}, {until}", provider.0, name(*product), version(*product, *tcb))
        }
    }
}

/// Entries as a program reads them.
pub(super) fn json(entries: &[CollateralEntry], now: u64) -> Value {
    entries.iter().map(|one| entry(one, now)).collect()
}

/// One entry as a program reads it.
pub(super) fn entry(entry: &CollateralEntry, now: u64) -> Value {
    let CollateralEntry { subject, not_before_unix_secs, not_after_unix_secs, imported_unix_secs, digest } =
        entry;
    let parts = |product: Product, tcb: &Tcb| {
        let mut parts = json!({
            "boot_loader": tcb.boot_loader, "tee": tcb.tee, "snp": tcb.snp, "microcode": tcb.microcode,
        });
        if let (Product::Turin, Some(parts)) = (product, parts.as_object_mut()) {
            parts.insert("fmc".to_owned(), tcb.fmc.into());
        }
        parts
    };
    let mut value = match subject {
        CollateralSubject::AmdCrl { product, revoked } => {
            json!({ "kind": "crl", "product": name(*product), "revoked": revoked })
        }
        CollateralSubject::Ask { product } => json!({ "kind": "ask", "product": name(*product) }),
        CollateralSubject::Asvk { product } => json!({ "kind": "asvk", "product": name(*product) }),
        CollateralSubject::TpmIntermediate { name } => json!({ "kind": "tpm-intermediate", "name": name }),
        CollateralSubject::Vcek { product, chip, tcb } => json!({
            "kind": "vcek", "product": name(*product), "chip": hex::encode(chip.0), "tcb": parts(*product, tcb),
        }),
        CollateralSubject::Vlek { product, provider, tcb } => json!({
            "kind": "vlek", "product": name(*product), "provider": provider.0, "tcb": parts(*product, tcb),
        }),
    };
    if let Some(value) = value.as_object_mut() {
        value.insert("not_before_secs".to_owned(), (*not_before_unix_secs).into());
        value.insert("not_after_secs".to_owned(), (*not_after_unix_secs).into());
        value.insert("imported_secs".to_owned(), (*imported_unix_secs).into());
        value.insert("expired".to_owned(), (*not_after_unix_secs < now).into());
        value.insert("sha256".to_owned(), hex::encode(digest).into());
    }
    value
}

fn name(product: Product) -> String {
    kebab(&format!("{product:?}"))
}

/// Components in the order of AMD's certificates.
fn version(product: Product, tcb: Tcb) -> String {
    let Tcb { fmc, boot_loader, tee, snp, microcode } = tcb;
    match product {
        Product::Turin => format!("{fmc}.{boot_loader}.{tee}.{snp}.{microcode}"),
        Product::Genoa | Product::Milan => format!("{boot_loader}.{tee}.{snp}.{microcode}"),
    }
}
