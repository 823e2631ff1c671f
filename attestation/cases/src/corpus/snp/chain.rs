//! Chains: roots, intermediates, dates, forgeries.

use vouchsafe_protocol::policy::Product;
use vouchsafe_simulation::{Validity, VekKind, VekSpec};

use super::super::add::{Added, Cases};
use super::super::world::{CHIP_ID, DAY, NOW_SECS, PRODUCTS, name, tcb};

const GENOA: Product = Product::Genoa;

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    anchors(cases)?;
    forged(cases)?;
    intermediates(cases)?;
    dates(cases)
}

/// S1: which roots hold.
fn anchors(cases: &mut Cases<'_>) -> Added {
    cases.snp(GENOA, "S1", "no-root").anchors(&[]).refused("snp.root.none")?;
    for (product, others) in [
        (Product::Milan, ["Genoa", "Turin"]),
        (GENOA, ["Milan", "Turin"]),
        (Product::Turin, ["Milan", "Genoa"]),
    ] {
        cases
            .snp(product, "S1", &format!("no-root-of-{}", name(product).to_lowercase()))
            .anchors(&others)
            .refused("snp.root.unknown-product")?;
    }
    // Genoa's root for a chip of Turin's: the chain is right in itself.
    for (product, other) in [(Product::Turin, GENOA), (GENOA, Product::Turin), (GENOA, Product::Milan)] {
        let label = format!("issuer-of-{}-for-{}", name(other).to_lowercase(), name(product).to_lowercase());
        let ask = cases.world.pki(other).root().ask;
        cases.snp(product, "S1", &label).file("ask", Some(ask)).refused("snp.chain.intermediate-name")?;
        let label =
            format!("chip-of-{}-issued-for-{}", name(product).to_lowercase(), name(other).to_lowercase());
        let spec = cases.world.vcek(product);
        let chip = cases.world.pki(other).chip(&spec)?;
        cases.snp(product, "S1", &label).signed_by(chip).also("S4").refused("snp.chain.intermediate-name")?;
    }
    Ok(())
}

/// S2: right names, wrong keys.
fn forged(cases: &mut Cases<'_>) -> Added {
    let world = cases.world;
    for product in PRODUCTS {
        let lower = name(product).to_lowercase();
        let forged = cases.world.forged.for_product(product)?;
        let chip = forged.chip(&cases.world.vcek(product))?;
        cases
            .snp(product, "S2", &format!("forged-{lower}-chain-with-right-names"))
            .signed_by(chip)
            .file("ark", Some(forged.root().ark))
            .refused("snp.chain.signature")?;
        let chip = forged.chip(&cases.world.vcek(product))?;
        let ask = cases.world.pki(product).root().ask;
        cases
            .snp(product, "S2", &format!("forged-{lower}-vcek-under-the-right-issuer"))
            .signed_by(chip)
            .file("ask", Some(ask))
            .refused("snp.chain.signature")?;
        let chip = forged.chip(&cases.world.vcek(product))?;
        cases
            .snp(product, "S2", &format!("forged-{lower}-vcek-without-issuer"))
            .signed_by(chip)
            .file("ask", None)
            .refused("snp.chain.signature")?;
        let vek = cases.world.chip(product).vek().to_vec();
        cases
            .snp(product, "B6", &format!("{lower}-certificate-of-one-key-signature-of-another"))
            .signed_by(forged.chip(&world.vcek(product))?)
            .file("vcek", Some(vek))
            .file("ask", Some(world.pki(product).root().ask))
            .refused("snp.signature")?;
    }
    // The other chip is real too.
    let other = cases.world.pki(GENOA).chip(&VekSpec::vcek(GENOA, tcb(GENOA), [0xc2; 64]))?;
    let vek = cases.world.chip(GENOA).vek().to_vec();
    cases
        .snp(GENOA, "B6", "signed-by-another-genuine-chip")
        .signed_by(other)
        .file("vcek", Some(vek))
        .refused("snp.signature")
}

fn intermediates(cases: &mut Cases<'_>) -> Added {
    let asvk = cases.world.pki(GENOA).asvk().to_vec();
    let ask = cases.world.pki(GENOA).root().ask;
    let ark = cases.world.pki(GENOA).root().ark;
    let vek = cases.world.chip(GENOA).vek().to_vec();
    let vlek = cases.world.vlek(GENOA);
    let any = serde_json::json!({ "chip": "any-chip-even-masked" });
    cases
        .snp(GENOA, "S2", "issuer-of-vleks-for-a-vcek")
        .file("ask", Some(asvk))
        .refused("snp.chain.intermediate-name")?;
    cases
        .snp(GENOA, "S2", "issuer-of-vceks-for-a-vlek")
        .vek(GENOA, &vlek)?
        .policy(any.clone())
        .file("ask", Some(ask.clone()))
        .refused("snp.chain.intermediate-name")?;
    cases
        .snp(GENOA, "S2", "vlek-without-issuer")
        .vek(GENOA, &vlek)?
        .policy(any)
        .file("ask", None)
        .refused("snp.chain.no-intermediate")?;
    cases.snp(GENOA, "S2", "root-as-issuer").file("ask", Some(ark)).refused("snp.chain.intermediate-name")?;
    cases.snp(GENOA, "S2", "vcek-as-issuer").file("ask", Some(vek)).refused("snp.chain.intermediate-name")?;
    let under_root = cases.world.pki(GENOA).chip_under_root(&cases.world.vcek(GENOA))?;
    cases
        .snp(GENOA, "S2", "vcek-issued-by-the-root-itself")
        .signed_by(under_root)
        .refused("snp.chain.intermediate-name")?;
    for (len, label) in [(0, "empty"), (1, "of-one-byte"), (200, "cut")] {
        let mut cut = ask.clone();
        cut.truncate(len);
        cases
            .snp(GENOA, "S16", &format!("issuer-{label}"))
            .file("ask", Some(cut))
            .refused("snp.chain.intermediate")?;
    }
    let mut longer = ask.clone();
    longer.push(0);
    cases
        .snp(GENOA, "S16", "issuer-with-a-byte-more")
        .file("ask", Some(longer))
        .refused("snp.chain.intermediate")?;
    let mut flipped = ask;
    if let Some(last) = flipped.last_mut() {
        *last ^= 1;
    }
    cases
        .snp(GENOA, "S2", "issuer-with-a-flipped-signature")
        .file("ask", Some(flipped))
        .refused("snp.chain.signature")
}

/// S11: dates of each certificate, one second inside and outside.
fn dates(cases: &mut Cases<'_>) -> Added {
    let around = |before: u64, after: u64| Validity { not_before: before, not_after: after };
    let (early, late) = (NOW_SECS - 30 * DAY, NOW_SECS + 30 * DAY);
    let windows = [
        ("expired-a-second-ago", around(early, NOW_SECS - 1), Some("snp.chain.expired")),
        ("expiring-now", around(early, NOW_SECS), None),
        ("valid-from-now", around(NOW_SECS, late), None),
        ("valid-in-a-second", around(NOW_SECS + 1, late), Some("snp.chain.not-yet-valid")),
    ];
    for (label, validity, code) in windows {
        for kind in [VekKind::Vcek, VekKind::Vlek] {
            let mut spec = match kind {
                VekKind::Vcek => VekSpec::vcek(GENOA, tcb(GENOA), CHIP_ID),
                VekKind::Vlek => cases.world.vlek(GENOA),
            };
            spec.validity = validity;
            let kind = if kind == VekKind::Vcek { "vcek" } else { "vlek" };
            let case = cases
                .snp(GENOA, "S11", &format!("{kind}-{label}"))
                .vek(GENOA, &spec)?
                .policy(serde_json::json!({ "chip": "any-chip-even-masked" }));
            match code {
                Some(code) => case.refused(code)?,
                None => case.accepted()?,
            }
        }
        let pki = cases.world.pki(GENOA).reissued(Validity::default(), validity)?;
        let case = cases.snp(GENOA, "S11", &format!("issuer-{label}")).file("ask", Some(pki.root().ask));
        match code {
            Some(code) => case.refused(code)?,
            None => case.accepted()?,
        }
    }
    // The root is a configured one; only the time can move.
    for (at, code) in
        [("2050-01-01T00:00:00Z", "snp.chain.expired"), ("2019-12-31T23:59:59Z", "snp.chain.not-yet-valid")]
    {
        let year = at.get(..4).unwrap_or_default();
        cases.snp(GENOA, "S11", &format!("everything-judged-in-{year}")).at(at).refused(code)?;
    }
    Ok(())
}
