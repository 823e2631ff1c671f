//! Right evidence, in every form that a role may take: a verifier that refuses everything fails here.

use serde_json::json;
use vouchsafe_protocol::policy::Product;
use vouchsafe_simulation::field;

use super::super::add::{Added, Cases};
use super::super::world::{PRODUCTS, name};

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    for product in PRODUCTS {
        let lower = name(product).to_lowercase();
        for version in 3u32..=5 {
            cases
                .snp(product, "S15", &format!("good-{lower}-version-{version}"))
                .set(field::VERSION, &version.to_le_bytes())
                .accepted()?;
        }
        cases
            .snp(product, "S15", &format!("good-{lower}-version-2-when-named"))
            .policy(json!({ "min_report_version": 2 }))
            .set(field::VERSION, &2u32.to_le_bytes())
            .set(field::CPUID, &[0; 3])
            .accepted()?;
        cases
            .snp(product, "S2", &format!("good-{lower}-without-intermediate"))
            .file("ask", None)
            .accepted()?;
        cases
            .snp(product, "S2", &format!("good-{lower}-without-offered-root"))
            .file("ark", None)
            .accepted()?;
        let vlek = cases.world.vlek(product);
        cases
            .snp(product, "B11", &format!("good-{lower}-vlek"))
            .vek(product, &vlek)?
            .policy(json!({ "chip": "any-chip-even-masked" }))
            .accepted()?;
    }
    for model in [0x10u8, 0x1f, 0xa0, 0xaf] {
        cases
            .snp(Product::Genoa, "S4", &format!("good-genoa-model-{model:02x}"))
            .set(field::CPUID, &[0x19, model, 0])
            .accepted()?;
    }
    for (product, family, model) in
        [(Product::Milan, 0x19u8, 0x0fu8), (Product::Turin, 0x1a, 0x00), (Product::Turin, 0x1a, 0x11)]
    {
        cases
            .snp(product, "S4", &format!("good-{}-model-{model:02x}", name(product).to_lowercase()))
            .set(field::CPUID, &[family, model, 0])
            .accepted()?;
    }
    Ok(())
}
