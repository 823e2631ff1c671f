//! The quote itself: magic, type, qualifying data, selection, digest, signature.

use vouchsafe_protocol::evidence::PcrValue;
use vouchsafe_simulation::tpm::{ALG_SHA1, ALG_SHA256, ALG_SHA384, TpmKeyKind, sized};

use super::super::add::{Added, Cases};
use super::super::tpm_world::{pcr_file, values};

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    good(cases)?;
    forms(cases)?;
    qualifying_data(cases)?;
    selections(cases)?;
    digests(cases)?;
    signatures(cases)
}

/// Every scheme that an attestation key may have.
fn good(cases: &mut Cases<'_>) -> Added {
    cases.tpm("T10", "good-ecdsa-p256")?.accepted()?;
    let p384 = cases.world.tpm.rekey(TpmKeyKind::EcdsaP384)?;
    cases.tpm("T10", "good-ecdsa-p384")?.of(p384).accepted()?;
    for (kind, label) in [
        (TpmKeyKind::RsaSsaSha256, "rsassa-sha256"),
        (TpmKeyKind::RsaSsaSha384, "rsassa-sha384"),
        (TpmKeyKind::RsaPssSha256, "rsapss-sha256"),
        (TpmKeyKind::RsaPssSha384, "rsapss-sha384"),
    ] {
        let key = cases.world.tpm.rekey(kind)?;
        cases.tpm("T10", &format!("good-{label}"))?.of(key).accepted()?;
    }
    Ok(())
}

/// T1: what else a TPM, or anybody, signs.
fn forms(cases: &mut Cases<'_>) -> Added {
    for magic in [0u32, 0xff54_4346, 0xff54_4348, 0x4743_54ff, u32::MAX] {
        cases
            .tpm("T1", &format!("magic-{magic:08x}"))?
            .quote(|quote| quote.magic = magic)
            .refused("tpm.quote.magic")?;
    }
    for (kind, label) in [
        (0x8014u16, "nv"),
        (0x8015, "command-audit"),
        (0x8016, "session-audit"),
        (0x8017, "certify"),
        (0x8019, "time"),
        (0x801a, "creation"),
        (0x801c, "nv-digest"),
        (0x8000, "null"),
        (0x1880, "quote-with-its-bytes-swapped"),
        (0, "zero"),
    ] {
        cases
            .tpm("T1", &format!("type-{label}"))?
            .quote(|quote| quote.kind = kind)
            .refused("tpm.quote.type")?;
    }
    cases.tpm("T1", "safe-flag-of-two")?.quote(|quote| quote.safe = 2).refused("tpm.quote.malformed")?;
    let long = vec![0xab; 5000];
    cases
        .tpm("T1", "quote-of-five-thousand-bytes")?
        .quote(|quote| quote.signer = long)
        .refused("tpm.quote.malformed")
}

/// B4, F3: extraData, whole.
fn qualifying_data(cases: &mut Cases<'_>) -> Added {
    let right = cases.world.nonce().to_vec();
    let mut flipped = right.clone();
    if let Some(last) = flipped.last_mut() {
        *last ^= 1;
    }
    let others = [
        ("empty", Vec::new()),
        ("of-another-statement", vec![0xab; 32]),
        ("flipped-in-its-last-bit", flipped),
        ("cut-to-31-bytes", right.iter().copied().take(31).collect()),
        ("with-a-byte-more", [right.clone(), vec![0]].concat()),
        ("the-report-data-of-snp", cases.world.report_data().to_vec()),
    ];
    for (label, data) in others {
        cases
            .tpm("B4", &format!("extra-data-{label}"))?
            .also("F3")
            .quote(|quote| quote.extra_data = data)
            .refused("evidence.statement")?;
    }
    Ok(())
}

/// Bitmap of PCRs.
fn bitmap(indices: &[u8]) -> Vec<u8> {
    let mut bitmap = vec![0u8; 3];
    for index in indices {
        if let Some(byte) = bitmap.get_mut(usize::from(index / 8)) {
            *byte |= 1 << (index % 8);
        }
    }
    bitmap
}

/// T2, T9: which PCRs, of which bank.
fn selections(cases: &mut Cases<'_>) -> Added {
    let banks: [(&str, Vec<(u16, Vec<u8>)>); 10] = [
        ("empty", Vec::new()),
        ("of-no-pcr", vec![(ALG_SHA256, bitmap(&[]))]),
        ("without-a-bitmap", vec![(ALG_SHA256, Vec::new())]),
        ("lacking-one", vec![(ALG_SHA256, bitmap(&[0, 4, 7]))]),
        ("of-one-more", vec![(ALG_SHA256, bitmap(&[0, 4, 7, 11, 14]))]),
        ("of-another", vec![(ALG_SHA256, bitmap(&[0, 4, 7, 12]))]),
        ("of-sha1", vec![(ALG_SHA1, bitmap(&[0, 4, 7, 11]))]),
        ("of-sha384", vec![(ALG_SHA384, bitmap(&[0, 4, 7, 11]))]),
        ("of-sha1-and-sha256", vec![(ALG_SHA1, bitmap(&[0])), (ALG_SHA256, bitmap(&[0, 4, 7, 11]))]),
        ("of-resettable-pcrs", vec![(ALG_SHA256, bitmap(&[16, 23]))]),
    ];
    for (label, selection) in banks {
        cases
            .tpm("T2", &format!("selection-{label}"))?
            .also("T9")
            .quote(|quote| quote.selection = selection)
            .refused("tpm.pcr.selection")?;
    }
    let twice = vec![(ALG_SHA256, bitmap(&[0, 4, 7, 11])), (ALG_SHA256, bitmap(&[0]))];
    cases
        .tpm("T2", "selection-of-one-bank-twice")?
        .quote(|quote| quote.selection = twice)
        .refused("tpm.quote.malformed")?;
    let wide = vec![(ALG_SHA256, vec![0x91, 0x08, 0, 0, 0])];
    cases
        .tpm("T2", "selection-with-five-bytes")?
        .quote(|quote| quote.selection = wide)
        .refused("tpm.quote.malformed")?;
    let unknown = vec![(0x0012, bitmap(&[0, 4, 7, 11]))];
    cases
        .tpm("T9", "selection-of-sm3")?
        .quote(|quote| quote.selection = unknown)
        .refused("tpm.quote.malformed")?;
    let many = (0..17).map(|_| (ALG_SHA256, bitmap(&[]))).collect();
    cases
        .tpm("T2", "selection-of-seventeen-banks")?
        .quote(|quote| quote.selection = many)
        .refused("tpm.quote.malformed")
}

/// T2: values belong to the signed index, never to a position.
fn digests(cases: &mut Cases<'_>) -> Added {
    let right = values();
    // The values of PCR 0 and PCR 4 change places: the TPM quotes one order, the sender claims the other.
    let mut swapped = right.clone();
    if let [first, second, ..] = swapped.as_mut_slice() {
        core::mem::swap(&mut first.value, &mut second.value);
    }
    cases.tpm("T2", "values-swapped-in-position")?.sending(&swapped).refused("tpm.pcr.value")?;
    cases
        .tpm("T2", "values-swapped-and-quoted-so")?
        .quoting(&swapped)
        .sending(&right)
        .refused("tpm.pcr.digest")?;
    // PCRs 16 and 23, which software resets, hold what 0 and 4 should: masqueraded by position.
    let masqueraded: Vec<PcrValue> =
        right.iter().zip([16u8, 23, 7, 11]).map(|(pcr, index)| PcrValue { index, ..*pcr }).collect();
    cases
        .tpm("T2", "resettable-pcrs-masqueraded-by-position")?
        .also("T3")
        .quoting(&masqueraded)
        .sending(&right)
        .refused("tpm.pcr.selection")?;
    let mut other = right.clone();
    if let Some(last) = other.last_mut() {
        last.value = [0xee; 32];
    }
    cases
        .tpm("T10", "another-value-quoted-than-sent")?
        .quoting(&other)
        .sending(&right)
        .refused("tpm.pcr.digest")?;
    cases.tpm("T10", "another-value-sent-than-quoted")?.sending(&other).refused("tpm.pcr.value")?;
    cases
        .tpm("T10", "digest-flipped")?
        .quote(|quote| {
            if let Some(last) = quote.pcr_digest.last_mut() {
                *last ^= 1;
            }
        })
        .refused("tpm.pcr.digest")?;
    cases.tpm("T10", "digest-empty")?.quote(|quote| quote.pcr_digest.clear()).refused("tpm.pcr.digest")?;
    cases.tpm("T10", "digest-cut")?.quote(|quote| quote.pcr_digest.truncate(31)).refused("tpm.pcr.digest")?;
    // Values that were not quoted, or are not there.
    let more = [right.clone(), vec![PcrValue { index: 14, value: [0xae; 32] }]].concat();
    cases.tpm("T2", "a-value-more-than-quoted")?.sending(&more).refused("tpm.pcr.values")?;
    let fewer: Vec<_> = right.iter().copied().take(3).collect();
    cases.tpm("T2", "a-value-fewer-than-quoted")?.sending(&fewer).refused("tpm.pcr.values")?;
    cases.tpm("T2", "no-value")?.sending(&[]).refused("tpm.pcr.values")?;
    let sha1: Vec<_> = right.iter().map(|pcr| (pcr.index, vec![0xa0; 20])).collect();
    cases
        .tpm("T9", "values-of-the-sha1-bank")?
        .file("pcrs", Some(pcr_file("sha1", &sha1)))
        .refused("tpm.pcr.values")?;
    let sha384: Vec<_> = right.iter().map(|pcr| (pcr.index, vec![0xa0; 48])).collect();
    cases
        .tpm("T9", "values-of-the-sha384-bank")?
        .file("pcrs", Some(pcr_file("sha384", &sha384)))
        .refused("tpm.pcr.values")
}

/// The signature: its form, its scheme, its key.
fn signatures(cases: &mut Cases<'_>) -> Added {
    let tpm = &cases.world.tpm;
    let foreign = tpm.key("foreign")?;
    cases.tpm("T5", "signed-by-another-key")?.signed_by(foreign).refused("tpm.signature")?;
    let header = [0x00, 0x18, 0x00, 0x0b];
    let order: Vec<u8> = [
        [0xff; 4].as_slice(),
        &[0; 4],
        &[0xff; 8],
        &[0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51],
    ]
    .concat();
    let ecdsa = |r: &[u8], s: &[u8]| [header.as_slice(), &sized(r), &sized(s)].concat();
    let one = {
        let mut one = vec![0; 32];
        if let Some(last) = one.last_mut() {
            *last = 1;
        }
        one
    };
    let bytes: [(&str, Vec<u8>, &str); 15] = [
        ("empty", Vec::new(), "tpm.signature.malformed"),
        ("of-its-header", header.to_vec(), "tpm.signature.malformed"),
        ("null", vec![0x00, 0x10], "tpm.signature.malformed"),
        ("of-an-hmac", [vec![0x00, 0x05, 0x00, 0x0b], vec![0; 32]].concat(), "tpm.signature.malformed"),
        ("of-zeros", ecdsa(&[0; 32], &[0; 32]), "tpm.signature"),
        ("of-ones", ecdsa(&one, &one), "tpm.signature"),
        ("with-r-the-order", ecdsa(&order, &one), "tpm.signature"),
        ("with-s-the-order", ecdsa(&one, &order), "tpm.signature"),
        ("with-r-of-33-bytes", ecdsa(&[1; 33], &one), "tpm.signature"),
        ("with-s-of-49-bytes", ecdsa(&one, &[1; 49]), "tpm.signature.malformed"),
        ("with-r-empty", ecdsa(&[], &one), "tpm.signature.malformed"),
        ("with-a-byte-more", [ecdsa(&one, &one), vec![0]].concat(), "tpm.signature.malformed"),
        (
            "of-sm2",
            [vec![0x00, 0x1b, 0x00, 0x0b], sized(&one), sized(&one)].concat(),
            "tpm.signature.malformed",
        ),
        (
            "with-a-length-of-65535",
            [header.to_vec(), vec![0xff, 0xff], one.clone()].concat(),
            "tpm.signature.malformed",
        ),
        (
            "of-rsa-for-a-key-on-p256",
            [vec![0x00, 0x14, 0x00, 0x0b], sized(&[1; 256])].concat(),
            "tpm.signature.scheme",
        ),
    ];
    for (label, bytes, code) in bytes {
        cases.tpm("T1", &format!("signature-{label}"))?.signature(bytes).refused(code)?;
    }
    // The same key in another way than its public area says.
    let ways = [
        (TpmKeyKind::RsaSsaSha256, TpmKeyKind::RsaPssSha256),
        (TpmKeyKind::RsaPssSha256, TpmKeyKind::RsaSsaSha256),
        (TpmKeyKind::RsaSsaSha256, TpmKeyKind::RsaSsaSha384),
        (TpmKeyKind::RsaPssSha384, TpmKeyKind::RsaPssSha256),
    ];
    for (number, (says, signs)) in (1..).zip(ways) {
        let (says, signs) = (cases.world.tpm.rekey(says)?, cases.world.tpm.rekey(signs)?);
        let area = says.ak_public();
        cases
            .tpm("T5", &format!("signed-in-another-way-than-the-key-says-{number}"))?
            .of(signs)
            .file("ak_public", Some(area))
            .refused("tpm.signature.scheme")?;
    }
    // SHA-1: the scheme of a signature, nothing that a key of ours says.
    let sha1 = [vec![0x00, 0x14, 0x00, 0x04], sized(&[1; 256])].concat();
    let rsa = cases.world.tpm.rekey(TpmKeyKind::RsaSsaSha256)?;
    cases.tpm("T9", "signature-with-sha1")?.of(rsa).signature(sha1).refused("tpm.signature.scheme")
}
