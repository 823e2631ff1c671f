//! What the VEK certificate says: each extension missing, malformed, of another kind.

use serde_json::json;
use vouchsafe_protocol::policy::Product;
use vouchsafe_simulation::{SimulationError, VekSpec};

use super::super::add::{Added, Cases};
use super::super::world::{CHIP_ID, name, tcb};

const GENOA: Product = Product::Genoa;

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    extensions(cases)?;
    names(cases)?;
    bytes(cases)
}

/// A certificate with one extension changed, in a chain that is right.
fn changed(
    cases: &mut Cases<'_>,
    product: Product,
    label: &str,
    suffix: &str,
    value: Option<Vec<u8>>,
    code: &str,
) -> Result<(), SimulationError> {
    let spec = cases.world.vcek(product).with_extension(suffix, value);
    cases.snp(product, "S4", label).vek(product, &spec)?.also("S16").refused(code)
}

fn extensions(cases: &mut Cases<'_>) -> Added {
    let numbers = [
        (GENOA, "3.1", "bootloader"),
        (GENOA, "3.2", "tee"),
        (GENOA, "3.3", "snp"),
        (GENOA, "3.4", "spl4"),
        (GENOA, "3.5", "spl5"),
        (GENOA, "3.6", "spl6"),
        (GENOA, "3.7", "spl7"),
        (GENOA, "3.8", "microcode"),
        (Product::Turin, "3.9", "fmc"),
    ];
    for (product, suffix, component) in numbers {
        let forms: [(&str, Option<Vec<u8>>); 8] = [
            ("missing", None),
            ("empty", Some(Vec::new())),
            ("an-octet-string", Some(vec![4, 1, 9])),
            ("of-two-bytes", Some(vec![2, 2, 1, 9])),
            ("negative", Some(vec![2, 1, 0xff])),
            ("not-minimal", Some(vec![2, 2, 0, 9])),
            ("cut", Some(vec![2, 1])),
            ("with-a-byte-more", Some(vec![2, 1, 9, 0])),
        ];
        for (form, value) in forms {
            let label = format!("extension-{component}-{form}");
            changed(cases, product, &label, suffix, value, "snp.vek.extension")?;
        }
    }
    changed(cases, GENOA, "genoa-certificate-with-fmc", "3.9", Some(vec![2, 1, 0]), "snp.vek.extension")?;
    changed(
        cases,
        Product::Turin,
        "turin-certificate-with-spl4",
        "3.4",
        Some(vec![2, 1, 1]),
        "snp.vek.extension",
    )?;
    let wrapped = [vec![3, 65, 0], CHIP_ID.to_vec()].concat();
    changed(cases, GENOA, "hwid-missing", "4", None, "snp.vek.extension")?;
    changed(cases, GENOA, "struct-version-missing", "1", None, "snp.vek.extension")?;
    changed(cases, GENOA, "struct-version-2", "1", Some(vec![2, 1, 2]), "snp.vek.extension")?;
    changed(cases, GENOA, "hwid-wrapped-in-a-bit-string", "4", Some(wrapped), "snp.vek.extension")?;
    for (product, len) in
        [(GENOA, 8), (GENOA, 63), (GENOA, 65), (Product::Turin, 64), (Product::Turin, 7), (Product::Turin, 9)]
    {
        let label = format!("{}-hwid-of-{len}-bytes", name(product).to_lowercase());
        changed(cases, product, &label, "4", Some(vec![0xc1; len]), "snp.vek.extension")?;
    }
    for (label, value) in [("missing", None), ("empty", Some(Vec::new()))] {
        let spec = cases.world.vlek(GENOA).with_extension("5", value);
        cases
            .snp(GENOA, "S4", &format!("vlek-provider-{label}"))
            .vek(GENOA, &spec)?
            .policy(json!({ "chip": "any-chip-even-masked" }))
            .refused("snp.vek.extension")?;
    }
    let spec = cases.world.vlek(GENOA).with_extension("4", Some(CHIP_ID.to_vec()));
    cases
        .snp(GENOA, "S4", "vlek-with-hwid")
        .vek(GENOA, &spec)?
        .policy(json!({ "chip": "any-chip-even-masked" }))
        .refused("snp.vek.extension")
}

/// S3: names decide which checks apply, so each is exactly AMD's.
fn names(cases: &mut Cases<'_>) -> Added {
    for subject in ["VCEK", "SEV-VCEK2", "sev-vcek", "SEV-VCEK ", "SEV-Genoa", "CN=SEV-VCEK"] {
        let mut spec = cases.world.vcek(GENOA);
        spec.subject = subject.to_owned();
        let label = format!("subject-{}", subject.to_lowercase().replace([' ', '='], "_"));
        cases.snp(GENOA, "S3", &label).vek(GENOA, &spec)?.refused("snp.vek.subject")?;
    }
    let mut spec: VekSpec = cases.world.vcek(GENOA);
    spec.subject = "SEV-VLEK".to_owned();
    cases.snp(GENOA, "S3", "vcek-named-vlek").vek(GENOA, &spec)?.refused("snp.vek.extension")?;
    let mut spec = cases.world.vlek(GENOA);
    spec.subject = "SEV-VCEK".to_owned();
    cases.snp(GENOA, "S3", "vlek-named-vcek").vek(GENOA, &spec)?.refused("snp.vek.extension")?;
    let ia5 =
        |text: &str| [vec![0x16, u8::try_from(text.len()).unwrap_or(0)], text.as_bytes().to_vec()].concat();
    for text in ["Rome", "genoa", "GenoaX", "", "Venice-A0"] {
        let label = format!("product-{}", if text.is_empty() { "empty" } else { text });
        changed(cases, GENOA, &label, "2", Some(ia5(text)), "snp.vek.unknown-product")?;
    }
    let forms: [(&str, Option<Vec<u8>>); 5] = [
        ("missing", None),
        ("as-utf8", Some([vec![0x0c, 5], b"Genoa".to_vec()].concat())),
        ("cut", Some([vec![0x16, 6], b"Genoa".to_vec()].concat())),
        ("with-a-byte-more", Some([vec![0x16, 5], b"Genoa!".to_vec()].concat())),
        ("without-a-length", Some([vec![0x16, 0x80], vec![b'G'; 128]].concat())),
    ];
    for (form, value) in forms {
        changed(cases, GENOA, &format!("product-name-{form}"), "2", value, "snp.vek.extension")?;
    }
    let spec = cases.world.vcek(GENOA).with_extension("2", Some(ia5("Genoa-B2")));
    cases.snp(GENOA, "S4", "good-product-name-with-stepping").vek(GENOA, &spec)?.accepted()?;
    // The certificate says Milan, its issuer and the report say Genoa.
    let mut spec = cases.world.vcek(Product::Milan);
    spec.product = GENOA;
    spec.tcb = tcb(GENOA);
    cases
        .snp(GENOA, "S4", "certificate-of-milan-issued-for-genoa")
        .vek(GENOA, &spec)?
        .refused("snp.vek.product")
}

/// S16: lengths.
fn bytes(cases: &mut Cases<'_>) -> Added {
    let vek = cases.world.chip(GENOA).vek().to_vec();
    for len in [0, 1, 2, 100, vek.len() / 2, vek.len() - 1] {
        let mut cut = vek.clone();
        cut.truncate(len);
        let label = format!("certificate-cut-to-{len}-bytes");
        cases.snp(GENOA, "S16", &label).file("vcek", Some(cut)).refused("snp.vek.certificate")?;
    }
    let longer = [vek.clone(), vec![0]].concat();
    cases
        .snp(GENOA, "S16", "certificate-with-a-byte-more")
        .file("vcek", Some(longer))
        .refused("snp.vek.certificate")?;
    let large = vec![0x30; 9000];
    cases
        .snp(GENOA, "S16", "certificate-too-long")
        .file("vcek", Some(large))
        .refused("snp.vek.certificate")?;
    cases.snp(GENOA, "S16", "no-certificate").file("vcek", None).refused("snp.vek.missing")?;
    // The class of the outermost tag, which no signature covers.
    let mut other = vek.clone();
    if let Some(tag) = other.first_mut() {
        *tag ^= 0x40;
    }
    cases
        .snp(GENOA, "S16", "certificate-in-another-class")
        .file("vcek", Some(other))
        .refused("snp.vek.certificate")?;
    for at in [200, vek.len() / 2, vek.len() - 1] {
        let mut flipped = vek.clone();
        if let Some(byte) = flipped.get_mut(at) {
            *byte ^= 0x20;
        }
        // Whatever else a flipped bit breaks, the issuer's signature does not cover the new certificate.
        if at == vek.len() - 1 {
            cases
                .snp(GENOA, "S2", "certificate-with-a-flipped-signature")
                .file("vcek", Some(flipped))
                .refused("snp.chain.signature")?;
        }
    }
    Ok(())
}
