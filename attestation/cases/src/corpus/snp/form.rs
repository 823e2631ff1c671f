//! The bytes of a report: lengths, versions, algorithms, reserved fields, the signature.

use serde_json::json;
use vouchsafe_protocol::policy::Product;
use vouchsafe_simulation::{REPORT_LEN, field};

use super::super::add::{Added, Cases};
use super::super::world::{PRODUCTS, name};

const GENOA: Product = Product::Genoa;
/// Where r, s and the bytes behind them are.
const R: usize = 0x2a0;
const S: usize = 0x2e8;
const BEHIND: usize = 0x330;
/// Order of P-384, little-endian (SEC 2 version 2.0, section 2.5.1).
const ORDER: [u8; 48] = [
    0x73, 0x29, 0xc5, 0xcc, 0x6a, 0x19, 0xec, 0xec, 0x7a, 0xa7, 0xb0, 0x48, 0xb2, 0x0d, 0x1a, 0x58, 0xdf,
    0x2d, 0x37, 0xf4, 0x81, 0x4d, 0x63, 0xc7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
];

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    lengths(cases)?;
    versions(cases)?;
    keys(cases)?;
    signature(cases)?;
    flipped(cases)?;
    reserved(cases)
}

/// Writes bytes at an offset; what does not fit is left out.
fn put(report: &mut [u8], offset: usize, bytes: &[u8]) {
    report.iter_mut().skip(offset).zip(bytes).for_each(|(to, from)| *to = *from);
}

/// S16.
fn lengths(cases: &mut Cases<'_>) -> Added {
    for len in [0, 1, 4, 0x50, R, S, BEHIND, REPORT_LEN - 1, REPORT_LEN + 1, 2 * REPORT_LEN, 4096] {
        cases
            .snp(GENOA, "S16", &format!("report-of-{len}-bytes"))
            .after(move |report| report.resize(len, 0))
            .refused("snp.report.length")?;
    }
    Ok(())
}

/// S15.
fn versions(cases: &mut Cases<'_>) -> Added {
    for version in [0u32, 1, 6, 0x100, 0x0200_0000, u32::MAX] {
        cases
            .snp(GENOA, "S15", &format!("report-version-{version}"))
            .set(field::VERSION, &version.to_le_bytes())
            .refused("snp.report.version")?;
    }
    for product in PRODUCTS {
        cases
            .snp(product, "S15", &format!("{}-version-2-by-default", name(product).to_lowercase()))
            .set(field::VERSION, &2u32.to_le_bytes())
            .set(field::CPUID, &[0; 3])
            .refused("snp.report-version")?;
    }
    for (least, version) in [(4u32, 3u32), (5, 4)] {
        cases
            .snp(GENOA, "S15", &format!("version-{version}-where-{least}-is-the-least"))
            .policy(json!({ "min_report_version": least }))
            .set(field::VERSION, &version.to_le_bytes())
            .refused("snp.report-version")?;
    }
    Ok(())
}

fn keys(cases: &mut Cases<'_>) -> Added {
    for algorithm in [0u32, 2, 0x100, u32::MAX] {
        cases
            .snp(GENOA, "S13", &format!("signature-algorithm-{algorithm}"))
            .set(field::SIGNATURE_ALGO, &algorithm.to_le_bytes())
            .refused("snp.report.algorithm")?;
    }
    for key in 2u32..=7 {
        cases
            .snp(GENOA, "S4", &format!("signing-key-{key}"))
            .set(field::FLAGS, &(key << 2).to_le_bytes())
            .refused("snp.report.signing-key")?;
    }
    // MASK_CHIP_KEY: firmware signs no report with a VCEK then; here it is signed all the same.
    cases
        .snp(GENOA, "S12", "chip-key-masked-and-signed")
        .set(field::FLAGS, &2u32.to_le_bytes())
        .refused("snp.report.masked-key")
}

/// S13: r and s.
fn signature(cases: &mut Cases<'_>) -> Added {
    let mut above = ORDER;
    if let Some(first) = above.first_mut() {
        *first += 1;
    }
    let mut below = ORDER;
    if let Some(first) = below.first_mut() {
        *first -= 1;
    }
    for (scalar, offset) in [("r", R), ("s", S)] {
        for (label, value) in
            [("zero", [0; 48]), ("the-order", ORDER), ("above-the-order", above), ("all-ones", [0xff; 48])]
        {
            cases
                .snp(GENOA, "S13", &format!("{scalar}-is-{label}"))
                .after(move |report| put(report, offset, &value))
                .refused("snp.report.signature-range")?;
        }
        for (label, value) in [
            ("one", {
                let mut one = [0; 48];
                one[0] = 1;
                one
            }),
            ("one-below-the-order", below),
        ] {
            cases
                .snp(GENOA, "S13", &format!("{scalar}-is-{label}"))
                .after(move |report| put(report, offset, &value))
                .refused("snp.signature")?;
        }
        for at in [48, 60, 71] {
            cases
                .snp(GENOA, "S13", &format!("{scalar}-has-byte-{at}"))
                .after(move |report| put(report, offset + at, &[1]))
                .refused("snp.report.signature-range")?;
        }
        // The order in bytes of the other kind.
        cases
            .snp(GENOA, "S13", &format!("{scalar}-is-big-endian"))
            .after(move |report| {
                if let Some(scalar) = report.get_mut(offset..offset + 48) {
                    scalar.reverse();
                }
            })
            .refused("snp.signature")?;
    }
    cases
        .snp(GENOA, "S13", "r-and-s-swapped")
        .after(|report| {
            let scalars: Vec<u8> = report.get(R..BEHIND).unwrap_or_default().to_vec();
            let (r, s) = scalars.split_at(S - R);
            put(report, R, s);
            put(report, S, r);
        })
        .refused("snp.signature")?;
    for offset in [BEHIND, BEHIND + 100, REPORT_LEN - 1] {
        cases
            .snp(GENOA, "S13", &format!("byte-{offset:#x}-behind-the-signature"))
            .after(move |report| put(report, offset, &[1]))
            .refused("snp.report.signature-reserved")?;
    }
    Ok(())
}

/// A bit changed after signing, in each field that no other rule looks at here.
fn flipped(cases: &mut Cases<'_>) -> Added {
    let fields = [
        ("guest-svn", field::GUEST_SVN),
        ("policy-abi", field::POLICY),
        ("family-id", super::super::world::FAMILY_ID),
        ("image-id", super::super::world::IMAGE_ID),
        ("platform-info", field::PLATFORM_INFO),
        ("author-key-enabled", field::FLAGS),
        ("host-data", field::HOST_DATA),
        ("id-key-digest", super::super::world::ID_KEY_DIGEST),
        ("author-key-digest", super::super::world::AUTHOR_KEY_DIGEST),
        ("report-id", super::super::world::REPORT_ID),
        ("stepping", field::CPUID + 2),
        ("current-version", field::CURRENT_VERSION),
        ("committed-version", field::COMMITTED_VERSION),
        ("last-host-data", field::HOST_DATA + 31),
    ];
    for (label, offset) in fields {
        cases
            .snp(GENOA, "B5", &format!("flipped-{label}"))
            .after(move |report| {
                if let Some(byte) = report.get_mut(offset) {
                    *byte ^= 1;
                }
            })
            .refused("snp.signature")?;
    }
    let mut higher = super::super::world::tcb(GENOA);
    higher.microcode += 1;
    cases
        .snp(GENOA, "B5", "flipped-launch-tcb")
        .after(move |report| put(report, field::LAUNCH_TCB + 7, &[higher.microcode]))
        .refused("snp.signature")?;
    for (scalar, offset) in [("r", R), ("s", S)] {
        cases
            .snp(GENOA, "S13", &format!("flipped-{scalar}"))
            .after(move |report| {
                if let Some(byte) = report.get_mut(offset + 5) {
                    *byte ^= 0x10;
                }
            })
            .refused("snp.signature")?;
    }
    Ok(())
}

/// S14: reserved fields, by version.
fn reserved(cases: &mut Cases<'_>) -> Added {
    let fields: [(u32, usize, &str); 16] = [
        (3, 0x048, "key-info-bit-5"),
        (3, 0x04b, "key-info-bit-31"),
        (3, 0x04c, "first-reserved"),
        (3, 0x04f, "first-reserved-last-byte"),
        (3, 0x18b, "behind-cpuid"),
        (3, 0x19f, "before-chip-id"),
        (3, 0x1eb, "behind-current-version"),
        (3, 0x1ef, "behind-committed-version"),
        (4, 0x1f8, "launch-mitigations-before-version-5"),
        (4, 0x207, "current-mitigations-before-version-5"),
        (3, 0x208, "last-reserved"),
        (5, 0x208, "last-reserved-of-version-5"),
        (5, 0x29f, "last-byte-before-the-signature"),
        (3, 0x03a, "current-tcb"),
        (3, 0x1e2, "committed-tcb"),
        (3, 0x1f2, "launch-tcb"),
    ];
    for (version, offset, label) in fields {
        let value: &[u8] = if label == "key-info-bit-5" { &[1 << 5] } else { &[0x80] };
        let policy = json!({ "provisional_firmware": "allowed" });
        cases
            .snp(GENOA, "S14", &format!("reserved-{label}"))
            .policy(policy.clone())
            .set(field::VERSION, &version.to_le_bytes())
            .set(offset, value)
            .refused("snp.reserved")?;
        cases
            .snp(GENOA, "S14", &format!("reserved-{label}-allowed"))
            .policy(policy)
            .policy(json!({ "reserved_fields": "allowed" }))
            .set(field::VERSION, &version.to_le_bytes())
            .set(offset, value)
            .accepted()?;
    }
    cases
        .snp(GENOA, "S14", "reserved-cpuid-of-version-2")
        .policy(json!({ "min_report_version": 2 }))
        .set(field::VERSION, &2u32.to_le_bytes())
        .refused("snp.reserved")?;
    // Turin's reserved bytes of a TCB are others than Genoa's.
    for (label, offset) in
        [("current-tcb-byte-4", field::CURRENT_TCB + 4), ("launch-tcb-byte-6", field::LAUNCH_TCB + 6)]
    {
        cases
            .snp(Product::Turin, "S14", &format!("turin-reserved-{label}"))
            .policy(json!({ "provisional_firmware": "allowed" }))
            .set(offset, &[1])
            .refused("snp.reserved")?;
    }
    Ok(())
}
