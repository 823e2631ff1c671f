//! Security versions: floors of each component in each TCB, their order, provisional firmware, grace.

use serde_json::json;
use vouchsafe_protocol::policy::Product;
use vouchsafe_simulation::field;

use super::super::add::{Added, Cases, merge};
use super::super::world::{PRODUCTS, name, tcb, tcb_json};
use super::binding::components;

const GENOA: Product = Product::Genoa;
const WHICH: [&str; 4] = ["reported", "committed", "launch", "current"];

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    floors(cases)?;
    order(cases)?;
    provisional(cases)?;
    lagging(cases)?;
    grace(cases)?;
    products(cases)
}

/// S5, S9: one below, at and one above every floor, by product, TCB and component.
fn floors(cases: &mut Cases<'_>) -> Added {
    for product in PRODUCTS {
        let lower = name(product).to_lowercase();
        for which in WHICH {
            for (component, of) in components(product) {
                for (label, by) in [("below", 1i8), ("at", 0), ("above", -1)] {
                    let mut floor = tcb(product);
                    let value = of(&mut floor);
                    *value = value.saturating_add_signed(by);
                    let case = cases
                        .snp(product, "S5", &format!("{lower}-{which}-{component}-{label}-the-floor"))
                        .also("S9")
                        .policy(json!({ "tcb_floors": { (which): tcb_json(product, floor) } }));
                    if label == "below" { case.refused("snp.tcb.floor")? } else { case.accepted()? }
                }
            }
        }
        // As one integer the TCB is far above the floor; in one component it is below.
        let mut floor = tcb(product);
        floor.microcode -= 100;
        floor.boot_loader += 1;
        cases
            .snp(product, "S5", &format!("{lower}-higher-as-an-integer-lower-in-a-component"))
            .policy(json!({ "tcb_floors": { "reported": tcb_json(product, floor) } }))
            .refused("snp.tcb.floor")?;
    }
    // The same bytes in the other product's order: what is SNP on one is nothing on the other.
    cases
        .snp(Product::Turin, "S5", "turin-floor-of-fmc-is-not-that-of-boot-loader")
        .policy(json!({ "tcb_floors": { "reported": { "fmc": 9, "bootloader": 3 } } }))
        .refused("snp.tcb.floor")
}

/// S5: reported at most committed, committed at most current.
fn order(cases: &mut Cases<'_>) -> Added {
    for product in PRODUCTS {
        let lower = name(product).to_lowercase();
        for (component, of) in components(product) {
            let mut less = tcb(product);
            *of(&mut less) -= 1;
            let zero = json!({ "tcb_floors": null, "provisional_firmware": "allowed" });
            cases
                .snp(product, "S5", &format!("{lower}-committed-below-reported-in-{component}"))
                .policy(zero.clone())
                .report(|report| report.tcb(field::COMMITTED_TCB, less))
                .refused("snp.tcb.order")?;
            cases
                .snp(product, "S5", &format!("{lower}-current-below-committed-in-{component}"))
                .policy(zero)
                .report(|report| report.tcb(field::CURRENT_TCB, less))
                .refused("snp.tcb.order")?;
        }
    }
    Ok(())
}

/// S5: firmware that can still be rolled back.
fn provisional(cases: &mut Cases<'_>) -> Added {
    for product in PRODUCTS {
        let lower = name(product).to_lowercase();
        for (component, of) in components(product) {
            let mut more = tcb(product);
            *of(&mut more) += 1;
            cases
                .snp(product, "S5", &format!("{lower}-provisional-in-{component}"))
                .report(|report| report.tcb(field::CURRENT_TCB, more))
                .refused("snp.tcb.provisional")?;
            cases
                .snp(product, "S5", &format!("{lower}-provisional-in-{component}-allowed"))
                .report(|report| report.tcb(field::CURRENT_TCB, more))
                .policy(json!({ "provisional_firmware": "allowed" }))
                .accepted()?;
        }
    }
    Ok(())
}

/// A TCB of the report that lags behind the floor while the others are high: the report itself differs.
fn lagging(cases: &mut Cases<'_>) -> Added {
    for product in PRODUCTS {
        let lower = name(product).to_lowercase();
        for (component, of) in components(product) {
            let mut less = tcb(product);
            *of(&mut less) -= 1;
            cases
                .snp(product, "S5", &format!("{lower}-launched-one-below-in-{component}"))
                .report(|report| report.tcb(field::LAUNCH_TCB, less))
                .refused("snp.tcb.floor")?;
        }
        let mut old = tcb(product);
        old.snp = 0;
        cases
            .snp(product, "S5", &format!("{lower}-launched-long-ago-without-a-floor-for-it"))
            .report(|report| report.tcb(field::LAUNCH_TCB, old))
            .policy(json!({ "tcb_floors": { "launch": null } }))
            .accepted()?;
    }
    Ok(())
}

/// Floors of a rollout: lower ones do until a time.
fn grace(cases: &mut Cases<'_>) -> Added {
    let mut high = tcb(GENOA);
    high.snp += 1;
    let (high, at) = (tcb_json(GENOA, high), tcb_json(GENOA, tcb(GENOA)));
    let floors = json!({ "reported": high, "committed": high, "launch": high, "current": high });
    let lower = json!({ "reported": at, "committed": at, "launch": at, "current": at });
    for (label, until, code) in [
        ("over", "2025-12-31T23:59:59Z", Some("snp.tcb.floor")),
        ("ending-now", "2026-01-01T00:00:00Z", Some("snp.tcb.floor")),
        ("for-a-second-more", "2026-01-01T00:00:01Z", None),
    ] {
        let case = cases
            .snp(GENOA, "S5", &format!("grace-{label}"))
            .policy(json!({ "tcb_floors": floors, "tcb_grace": { "floors": lower, "until": until } }));
        match code {
            Some(code) => case.refused(code)?,
            None => case.accepted()?,
        }
    }
    for which in WHICH {
        let mut above = lower.clone();
        merge(&mut above, &json!({ (which): high }));
        cases
            .snp(GENOA, "S5", &format!("grace-{which}-below-its-lower-floor"))
            .policy(json!({ "tcb_floors": floors, "tcb_grace": { "floors": above, "until": "2027-01-01T00:00:00Z" } }))
            .refused("snp.tcb.floor")?;
    }
    Ok(())
}

/// S10: products that are not named are not accepted, and one without a floor is not either.
fn products(cases: &mut Cases<'_>) -> Added {
    cases
        .snp(Product::Milan, "S10", "milan-is-not-in-the-default-list")
        .policy(json!({ "products": null }))
        .refused("snp.product")?;
    for product in [GENOA, Product::Turin] {
        cases
            .snp(product, "S10", &format!("good-{}-is-in-the-default-list", name(product).to_lowercase()))
            .policy(json!({ "products": null }))
            .accepted()?;
    }
    for (product, others) in [
        (GENOA, json!(["Milan", "Turin"])),
        (Product::Turin, json!(["Genoa"])),
        (Product::Milan, json!(["Genoa"])),
    ] {
        let lower = name(product).to_lowercase();
        cases
            .snp(product, "S10", &format!("{lower}-is-not-named"))
            .policy(json!({ "products": others }))
            .refused("snp.product")?;
        cases
            .snp(product, "S5", &format!("{lower}-has-no-floor"))
            .policy(json!({ "floors_for": others }))
            .refused("snp.tcb.no-floor")?;
    }
    Ok(())
}
