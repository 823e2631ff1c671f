//! T5: what an attestation key must be.

use vouchsafe_simulation::tpm::{AK_ATTRIBUTES, ALG_SHA1, ALG_SHA384, PublicSpec, TpmKeyKind};

use super::super::add::{Added, Cases};

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    attributes(cases)?;
    schemes(cases)?;
    bytes(cases)
}

fn attributes(cases: &mut Cases<'_>) -> Added {
    let bits = [
        (1u32, "fixed-tpm", "tpm.ak.not-fixed-tpm"),
        (4, "fixed-parent", "tpm.ak.not-fixed-parent"),
        (5, "sensitive-data-origin", "tpm.ak.foreign-origin"),
        (16, "restricted", "tpm.ak.unrestricted"),
        (18, "sign", "tpm.ak.not-signing"),
    ];
    for (bit, name, code) in bits {
        with_attributes(cases, &format!("ak-without-{name}"), AK_ATTRIBUTES & !(1 << bit), code)?;
    }
    with_attributes(cases, "ak-that-decrypts", AK_ATTRIBUTES | 1 << 17, "tpm.ak.decrypt")?;
    with_attributes(cases, "ak-without-any-attribute", 0, "tpm.ak.unrestricted")?;
    for bit in [0u32, 3, 8, 12, 20, 31] {
        with_attributes(
            cases,
            &format!("ak-with-reserved-attribute-{bit}"),
            AK_ATTRIBUTES | 1 << bit,
            "tpm.ak.malformed",
        )?;
    }
    // Attributes that say nothing of a quote.
    for (bit, name) in
        [(2u32, "st-clear"), (7, "admin-with-policy"), (10, "no-da"), (11, "encrypted-duplication")]
    {
        let area = area(
            cases,
            &PublicSpec { attributes: AK_ATTRIBUTES | 1 << bit, ..PublicSpec::ak(TpmKeyKind::EcdsaP256) },
        );
        cases.tpm("T5", &format!("good-ak-with-{name}"))?.file("ak_public", Some(area)).accepted()?;
    }
    Ok(())
}

fn area(cases: &Cases<'_>, spec: &PublicSpec) -> Vec<u8> {
    cases.world.tpm.ak.public_area(spec)
}

fn with_attributes(cases: &mut Cases<'_>, label: &str, attributes: u32, code: &str) -> Added {
    let area = area(cases, &PublicSpec { attributes, ..PublicSpec::ak(TpmKeyKind::EcdsaP256) });
    cases.tpm("T5", label)?.file("ak_public", Some(area)).refused(code)
}

fn schemes(cases: &mut Cases<'_>) -> Added {
    let right = PublicSpec::ak(TpmKeyKind::EcdsaP256);
    let schemes: [(&str, Vec<u8>); 5] = [
        ("none", vec![0x00, 0x10]),
        ("ecdsa-with-sha1", vec![0x00, 0x18, 0x00, 0x04]),
        ("ecdsa-with-sha384-on-p256", vec![0x00, 0x18, 0x00, 0x0c]),
        ("rsassa-on-p256", vec![0x00, 0x14, 0x00, 0x0b]),
        ("ecdh", vec![0x00, 0x19, 0x00, 0x0b]),
    ];
    for (label, scheme) in schemes {
        let area = area(cases, &PublicSpec { scheme, ..right.clone() });
        cases
            .tpm("T5", &format!("ak-scheme-{label}"))?
            .file("ak_public", Some(area))
            .refused("tpm.ak.scheme")?;
    }
    for (label, name_algorithm) in [("sha1", ALG_SHA1), ("sha384", ALG_SHA384), ("null", 0x0010)] {
        let area = area(cases, &PublicSpec { name_algorithm, ..right.clone() });
        cases
            .tpm("T5", &format!("ak-named-with-{label}"))?
            .file("ak_public", Some(area))
            .refused("tpm.ak.name-algorithm")?;
    }
    let area = area(cases, &PublicSpec { symmetric: vec![0x00, 0x06, 0x01, 0x00, 0x00, 0x43], ..right });
    cases.tpm("T5", "ak-with-aes-256")?.file("ak_public", Some(area)).refused("tpm.ak.malformed")
}

/// T8: lengths of the public area.
fn bytes(cases: &mut Cases<'_>) -> Added {
    let right = cases.world.tpm.ak.ak_public();
    for len in [0, 1, 8, 20, right.len() - 1] {
        let mut cut = right.clone();
        cut.truncate(len);
        cases
            .tpm("T8", &format!("ak-cut-to-{len}-bytes"))?
            .file("ak_public", Some(cut))
            .refused("tpm.ak.malformed")?;
    }
    let longer = [right.clone(), vec![0]].concat();
    cases.tpm("T8", "ak-with-a-byte-more")?.file("ak_public", Some(longer)).refused("tpm.ak.malformed")?;
    for (label, kind) in [("keyed-hash", 0x0008u16), ("symmetric", 0x0025), ("zero", 0)] {
        let mut other = right.clone();
        other.iter_mut().zip(kind.to_be_bytes()).for_each(|(to, from)| *to = from);
        cases
            .tpm("T5", &format!("ak-of-type-{label}"))?
            .file("ak_public", Some(other))
            .refused("tpm.ak.malformed")?;
    }
    Ok(())
}
