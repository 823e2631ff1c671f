//! T4, T12: whether the TPM of a certified endorsement key holds the attestation key.

use vouchsafe_simulation::tpm::{EK_ATTRIBUTES, PublicSpec, TpmKeyKind};

use super::super::add::{Added, Cases};

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    answers(cases)?;
    templates(cases)
}

fn answers(cases: &mut Cases<'_>) -> Added {
    let answers: [(&str, String); 5] = [
        ("another-secret", "5f".repeat(32)),
        ("empty", String::new()),
        ("cut-to-31-bytes", "5e".repeat(31)),
        ("with-a-byte-more", "5e".repeat(33)),
        ("zero", "00".repeat(32)),
    ];
    for (label, answer) in answers {
        cases
            .tpm("T4", &format!("credential-answered-with-{label}"))?
            .case(|case| {
                if let Some(credential) = &mut case.credential {
                    credential.answer = answer;
                }
            })
            .refused("tpm.residency")?;
    }
    cases
        .tpm("T4", "credential-not-answered")?
        .case(|case| case.credential = None)
        .refused("tpm.ak.not-resident")?;
    cases
        .tpm("T4", "no-endorsement-key")?
        .file("ek_public", None)
        .file("ekcert", None)
        .refused("tpm.ak.not-resident")?;
    // The quote is by a key of another TPM: the one that the credential was made for is not the one that signed.
    let foreign = cases.world.tpm.key("foreign")?;
    cases.tpm("T4", "quote-by-the-key-of-another-tpm")?.signed_by(foreign).refused("tpm.signature")
}

/// T12: the public area of the endorsement key.
fn templates(cases: &mut Cases<'_>) -> Added {
    let right = PublicSpec::ek();
    let bits = [
        (1u32, "fixed-tpm"),
        (4, "fixed-parent"),
        (5, "sensitive-data-origin"),
        (16, "restricted"),
        (17, "decrypt"),
    ];
    let mut areas: Vec<(String, PublicSpec)> = bits
        .iter()
        .map(|(bit, name)| {
            (
                format!("without-{name}"),
                PublicSpec { attributes: EK_ATTRIBUTES & !(1 << bit), ..right.clone() },
            )
        })
        .collect();
    let others = [
        ("that-signs", PublicSpec { attributes: EK_ATTRIBUTES | 1 << 18, ..right.clone() }),
        ("named-with-sha1", PublicSpec { name_algorithm: 4, ..right.clone() }),
        ("without-symmetric-algorithm", PublicSpec { symmetric: vec![0x00, 0x10], ..right.clone() }),
        ("with-a-scheme", PublicSpec { scheme: vec![0x00, 0x18, 0x00, 0x0b], ..right.clone() }),
        ("that-is-an-attestation-key", PublicSpec::ak(TpmKeyKind::EcdsaP256)),
    ];
    areas.extend(others.map(|(label, spec)| (label.to_owned(), spec)));
    for (label, spec) in areas {
        let area = cases.world.tpm.ek.public_area(&spec);
        cases.tpm("T12", &format!("ek-{label}"))?.file("ek_public", Some(area)).refused("tpm.ek.template")?;
    }
    let area = cases.world.tpm.ek_public();
    for len in [0, 10, area.len() - 1] {
        let mut cut = area.clone();
        cut.truncate(len);
        cases
            .tpm("T12", &format!("ek-cut-to-{len}-bytes"))?
            .file("ek_public", Some(cut))
            .refused("tpm.ek.malformed")?;
    }
    let other = cases.world.tpm.key("another-ek")?.public_area(&right);
    cases.tpm("T12", "ek-of-another-certificate")?.file("ek_public", Some(other)).refused("tpm.ek.key")
}
