//! What ties report, certificate, chip, processor and statement together.

use vouchsafe_protocol::policy::{Product, Tcb};
use vouchsafe_simulation::{VekSpec, field};

use super::super::add::{Added, Cases};
use super::super::world::{CHIP_ID, PRODUCTS, name, tcb};

const GENOA: Product = Product::Genoa;

/// The components of a product, with a function that changes one.
pub(super) type Component = (&'static str, fn(&mut Tcb) -> &mut u8);

pub(super) fn components(product: Product) -> Vec<Component> {
    let mut all: Vec<Component> = vec![
        ("bootloader", |tcb| &mut tcb.boot_loader),
        ("tee", |tcb| &mut tcb.tee),
        ("snp", |tcb| &mut tcb.snp),
        ("microcode", |tcb| &mut tcb.microcode),
    ];
    if product == Product::Turin {
        all.push(("fmc", |tcb| &mut tcb.fmc));
    }
    all
}

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    certificate_tcb(cases)?;
    processor(cases)?;
    statement(cases)?;
    chip(cases)
}

/// S4: the certificate is for one TCB; a report of another is refused, both ways.
fn certificate_tcb(cases: &mut Cases<'_>) -> Added {
    for product in PRODUCTS {
        let lower = name(product).to_lowercase();
        for (component, of) in components(product) {
            for (label, by) in [("below", -1i8), ("above", 1)] {
                let mut certified = tcb(product);
                let value = of(&mut certified);
                *value = value.saturating_add_signed(by);
                let chip = cases.world.pki(product).chip(&VekSpec::vcek(product, certified, CHIP_ID))?;
                cases
                    .snp(product, "S4", &format!("{lower}-certificate-one-{label}-in-{component}"))
                    .signed_by(chip)
                    .refused("snp.vek.tcb")?;
            }
        }
    }
    // Two components swapped: the same sum, the same bytes, another order.
    let mut swapped = tcb(GENOA);
    core::mem::swap(&mut swapped.boot_loader, &mut swapped.tee);
    let chip = cases.world.pki(GENOA).chip(&VekSpec::vcek(GENOA, swapped, CHIP_ID))?;
    cases.snp(GENOA, "S5", "certificate-with-components-swapped").signed_by(chip).refused("snp.vek.tcb")
}

/// CPUID of the report against the product of the certificate.
fn processor(cases: &mut Cases<'_>) -> Added {
    let others: [(Product, [u8; 3], &str); 8] = [
        (GENOA, [0x19, 0x01, 1], "milan"),
        (GENOA, [0x19, 0x0f, 1], "last-milan"),
        (GENOA, [0x19, 0x20, 1], "family-19h-model-20h"),
        (GENOA, [0x19, 0x9f, 1], "family-19h-model-9fh"),
        (GENOA, [0x19, 0xb0, 1], "family-19h-model-b0h"),
        (GENOA, [0x1a, 0x02, 1], "turin"),
        (Product::Milan, [0x19, 0x10, 1], "first-genoa"),
        (Product::Turin, [0x1a, 0x12, 1], "family-1ah-model-12h"),
    ];
    for (product, cpuid, label) in others {
        cases
            .snp(product, "S4", &format!("{}-certificate-processor-{label}", name(product).to_lowercase()))
            .set(field::CPUID, &cpuid)
            .refused("snp.vek.product")?;
    }
    for cpuid in [[0, 0, 0], [0x17, 0x31, 0], [0xff, 0xff, 0xff]] {
        cases
            .snp(GENOA, "S15", &format!("unknown-processor-{}", hex::encode(cpuid)))
            .set(field::CPUID, &cpuid)
            .refused("snp.vek.product")?;
    }
    Ok(())
}

/// B4: REPORT_DATA, whole.
fn statement(cases: &mut Cases<'_>) -> Added {
    let right = cases.world.report_data();
    let mut others: Vec<(&str, [u8; 64])> = vec![("zero", [0; 64]), ("of-another-statement", [0xab; 64])];
    for (label, at) in [("first", 0), ("middle", 32), ("last", 63)] {
        let mut changed = right;
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= 1;
        }
        others.push((label, changed));
    }
    let (first, _) = right.split_at(32);
    let mut half = [0; 64];
    half.iter_mut().zip(first).for_each(|(to, from)| *to = *from);
    others.push(("first-half-alone", half));
    for (label, data) in others {
        cases
            .snp(GENOA, "B4", &format!("report-data-{label}"))
            .report(|report| report.report_data(&data))
            .refused("evidence.statement")?;
    }
    // The statement of the same fields with a byte moved across a boundary.
    cases
        .snp(GENOA, "B2", "statement-with-a-byte-moved-to-the-next-field")
        .case(|case| {
            if let Some(fields) = &mut case.introduction {
                let moved: String =
                    fields.challenge.chars().rev().take(2).collect::<Vec<_>>().into_iter().rev().collect();
                fields.challenge.truncate(fields.challenge.len() - 2);
                fields.identity_spki.insert_str(0, &moved);
            }
        })
        .refused("evidence.statement")?;
    let changes: [(&str, fn(&mut crate::schema::Introduction)); 5] = [
        ("challenge", |fields| fields.challenge.push_str("00")),
        ("offer", |fields| fields.offer_digest = "00".repeat(32)),
        ("key", |fields| fields.identity_spki.push_str("00")),
        ("role", |fields| fields.role.push('s')),
        ("vault", |fields| fields.vault_id = "00".repeat(33)),
    ];
    for (label, change) in changes {
        cases
            .snp(GENOA, "F3", &format!("statement-of-another-{label}"))
            .case(|case| {
                if let Some(fields) = &mut case.introduction {
                    change(fields);
                }
            })
            .also("B1")
            .refused("evidence.statement")?;
    }
    Ok(())
}

/// S4, S12: the chip of the certificate and that of the report.
fn chip(cases: &mut Cases<'_>) -> Added {
    for product in PRODUCTS {
        let lower = name(product).to_lowercase();
        let real = if product == Product::Turin { 8 } else { 64 };
        for at in [0, real - 1] {
            let mut other = [0; 64];
            other.iter_mut().zip(CHIP_ID).take(real).for_each(|(to, from)| *to = from);
            if let Some(byte) = other.get_mut(at) {
                *byte ^= 1;
            }
            cases
                .snp(product, "S4", &format!("{lower}-chip-differs-in-byte-{at}"))
                .set(field::CHIP_ID, &other)
                .refused("snp.vek.chip")?;
        }
    }
    let mut long = [0; 64];
    long.iter_mut().zip(CHIP_ID).take(9).for_each(|(to, from)| *to = from);
    cases
        .snp(Product::Turin, "S4", "turin-chip-with-a-ninth-byte")
        .set(field::CHIP_ID, &long)
        .refused("snp.vek.chip")
}
