//! Which chip: masked ids, lists, VLEKs and their providers.

use serde_json::json;
use vouchsafe_protocol::policy::Product;
use vouchsafe_simulation::field;

use super::super::add::{Added, Cases};
use super::super::world::{CHIP_ID, DAY, NOW_SECS, PRODUCTS, name};

const GENOA: Product = Product::Genoa;
/// IA5String of less than 128 bytes.
fn ia5(text: &str) -> Vec<u8> {
    [vec![0x16, u8::try_from(text.len()).unwrap_or(0)], text.as_bytes().to_vec()].concat()
}

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    masked(cases)?;
    listed(cases)?;
    vleks(cases)?;
    providers(cases)
}

/// S12.
fn masked(cases: &mut Cases<'_>) -> Added {
    for product in PRODUCTS {
        let lower = name(product).to_lowercase();
        cases
            .snp(product, "S12", &format!("{lower}-masked-chip"))
            .set(field::CHIP_ID, &[0; 64])
            .refused("snp.chip.masked")?;
        cases
            .snp(product, "S12", &format!("{lower}-masked-chip-waived"))
            .policy(json!({ "chip": "any-chip-even-masked" }))
            .set(field::CHIP_ID, &[0; 64])
            .accepted()?;
        cases
            .snp(product, "S12", &format!("{lower}-masked-chip-and-a-list"))
            .policy(json!({ "chip": { "allow": [hex::encode(CHIP_ID)] } }))
            .set(field::CHIP_ID, &[0; 64])
            .refused("snp.chip.masked")?;
    }
    // The waiver is for masked ids, not for those of other chips.
    cases
        .snp(GENOA, "S12", "another-chip-where-masked-ones-are-waived")
        .policy(json!({ "chip": "any-chip-even-masked" }))
        .set(field::CHIP_ID, &[0xc2; 64])
        .refused("snp.vek.chip")
}

/// B11.
fn listed(cases: &mut Cases<'_>) -> Added {
    let own = hex::encode(CHIP_ID);
    let mut near = CHIP_ID;
    if let Some(last) = near.last_mut() {
        *last ^= 1;
    }
    let other = hex::encode([0xc2; 64]);
    let lists = [
        ("alone", json!([own]), true),
        ("second", json!([other, own]), true),
        ("absent", json!([other]), false),
        ("absent-by-a-bit", json!([hex::encode(near)]), false),
    ];
    for (label, list, holds) in lists {
        let case = cases
            .snp(GENOA, "B11", &format!("chip-list-{label}"))
            .policy(json!({ "chip": { "allow": list } }));
        if holds { case.accepted()? } else { case.refused("snp.chip.not-listed")? }
    }
    Ok(())
}

/// B11, S11: VLEKs.
fn vleks(cases: &mut Cases<'_>) -> Added {
    let any = json!({ "chip": "any-chip-even-masked" });
    for product in PRODUCTS {
        let lower = name(product).to_lowercase();
        let spec = cases.world.vlek(product);
        cases
            .snp(product, "B11", &format!("{lower}-vlek-where-a-chip-must-show-itself"))
            .vek(product, &spec)?
            .refused("snp.chip.vlek")?;
        cases
            .snp(product, "B11", &format!("{lower}-vlek-and-a-chip-list"))
            .vek(product, &spec)?
            .policy(json!({ "chip": { "allow": [hex::encode(CHIP_ID)] } }))
            .refused("snp.chip.vlek")?;
    }
    let spec = cases.world.vlek(GENOA);
    cases
        .snp(GENOA, "S4", "vlek-report-that-names-a-chip")
        .vek(GENOA, &spec)?
        .policy(any.clone())
        .set(field::CHIP_ID, &CHIP_ID)
        .refused("snp.vek.chip")?;
    // SIGNING_KEY and the certificate contradict each other.
    cases
        .snp(GENOA, "S4", "report-of-a-vlek-with-a-vcek")
        .policy(any.clone())
        .set(field::FLAGS, &(1u32 << 2).to_le_bytes())
        .refused("snp.vek.kind")?;
    cases
        .snp(GENOA, "S4", "report-of-a-vcek-with-a-vlek")
        .vek(GENOA, &spec)?
        .policy(any.clone())
        .set(field::FLAGS, &[0; 4])
        .refused("snp.vek.kind")?;
    for (label, days, holds) in [
        ("a-year", 365, true),
        ("a-leap-year", 366, true),
        ("more-than-a-year", 367, false),
        ("ten-years", 3650, false),
    ] {
        let mut spec = cases.world.vlek(GENOA);
        spec.validity.not_before = NOW_SECS - DAY;
        spec.validity.not_after = NOW_SECS - DAY + days * DAY;
        let case =
            cases.snp(GENOA, "S11", &format!("vlek-for-{label}")).vek(GENOA, &spec)?.policy(any.clone());
        if holds { case.accepted()? } else { case.refused("snp.vlek.life")? }
    }
    Ok(())
}

/// Providers, by the name in the certificate.
fn providers(cases: &mut Cases<'_>) -> Added {
    let name = "CN=cloud-a";
    let rules = [
        ("named", json!(["CN=cloud-a"]), None),
        ("second", json!(["CN=cloud-b", "CN=cloud-a"]), None),
        ("another", json!(["CN=cloud-b"]), Some("snp.chip.provider")),
        ("a-prefix", json!(["CN=cloud"]), Some("snp.chip.provider")),
        ("longer", json!(["CN=cloud-a2"]), Some("snp.chip.provider")),
        ("in-other-case", json!(["CN=Cloud-A"]), Some("snp.chip.provider")),
    ];
    for (label, list, code) in rules {
        let spec = cases.world.vlek(GENOA).with_extension("5", Some(ia5(name)));
        let case = cases
            .snp(GENOA, "B11", &format!("provider-{label}"))
            .vek(GENOA, &spec)?
            .policy(json!({ "chip": { "providers": list } }));
        match code {
            Some(code) => case.refused(code)?,
            None => case.accepted()?,
        }
    }
    cases
        .snp(GENOA, "B11", "provider-asked-of-a-vcek")
        .policy(json!({ "chip": { "providers": [name] } }))
        .refused("snp.chip.no-provider")
}
