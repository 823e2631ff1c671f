//! T12, T4: certificates of endorsement and attestation keys, beside a quote and alone.

use std::collections::BTreeMap;

use serde_json::json;
use vouchsafe_simulation::tpm::{
    AK_USAGE, AlternativeName, Constraints, EK_USAGE, ExtraExtension, KeyUse, TpmAuthority,
    TpmCertificateSpec, TpmKey, TpmKeyKind,
};
use vouchsafe_simulation::{SimulationError, Validity};

use super::super::add::{Added, Cases, case};
use super::super::world::{DAY, NOW_SECS};
use crate::schema::{Case, Expect};

/// A defect, what it does to a certificate, and what comes of it: the same for both kinds of key, with one prefix.
type Defect = (&'static str, fn(&mut TpmCertificateSpec), &'static str);

/// Defects that both kinds of certificate can have.
const DEFECTS: [Defect; 7] = [
    (
        "that-is-an-authority",
        |spec| spec.constraints = Constraints::Authority { path_len: None },
        "authority",
    ),
    (
        "without-a-name",
        |spec| {
            spec.subject = None;
            spec.alternative_name = AlternativeName::Absent;
        },
        "name",
    ),
    (
        "named-in-passing",
        |spec| {
            spec.subject = None;
            spec.alternative_name = AlternativeName::NotCritical;
        },
        "name",
    ),
    (
        "for-servers",
        |spec| spec.extended_usage = Some(vec!["1.3.6.1.5.5.7.3.1".to_owned()]),
        "extended-usage",
    ),
    ("for-signing-certificates", |spec| spec.key_usage = Some(vec![KeyUse::CertSign]), "key-usage"),
    (
        "expired",
        |spec| spec.validity = Validity { not_before: NOW_SECS - 30 * DAY, not_after: NOW_SECS - 1 },
        "expired",
    ),
    (
        "not-yet-valid",
        |spec| spec.validity = Validity { not_before: NOW_SECS + 1, not_after: NOW_SECS + DAY },
        "not-yet-valid",
    ),
];

/// Which kind of key a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Ak,
    Ek,
}

impl For {
    fn prefix(self) -> &'static str {
        match self {
            Self::Ak => "tpm.ak-cert",
            Self::Ek => "tpm.ek",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Ak => "ak",
            Self::Ek => "ek",
        }
    }

    fn spec(self) -> TpmCertificateSpec {
        match self {
            Self::Ak => TpmCertificateSpec::google_ak(),
            Self::Ek => TpmCertificateSpec::maker_ek(TpmKeyKind::EcdsaP256),
        }
    }

    fn key(self, cases: &Cases<'_>) -> Result<Vec<u8>, SimulationError> {
        match self {
            Self::Ak => cases.world.tpm.ak.spki(),
            Self::Ek => cases.world.tpm.ek.spki(),
        }
    }
}

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    for of in [For::Ek, For::Ak] {
        defects(cases, of)?;
        chains(cases, of)?;
    }
    usages(cases)?;
    proofs(cases)
}

/// Beside a quote, and alone as ek-chain or ak-chain.
fn both(cases: &mut Cases<'_>, of: For, label: &str, chain: &[Vec<u8>], code: Option<&str>) -> Added {
    let name = format!("{}-certificate-{label}", of.label());
    let (leaf, intermediates) =
        chain.split_first().map_or((Vec::new(), chain), |(leaf, rest)| (leaf.clone(), rest));
    let mut beside = match of {
        For::Ek => cases.tpm("T12", &name)?.file("ekcert", Some(leaf.clone())),
        For::Ak => cases.tpm("T4", &name)?.also("T12").certified(leaf.clone()),
    };
    let mut files = BTreeMap::from([("leaf".to_owned(), leaf)]);
    for (number, der) in (1..).zip(intermediates) {
        beside = beside.file(&format!("{}_intermediate{number}", of.label()), Some(der.clone()));
        files.insert(format!("intermediate{number}"), der.clone());
    }
    match code {
        Some(code) => beside.refused(code)?,
        None => beside.accepted()?,
    }
    // Alone there is no public area that it could be for.
    if code.is_some_and(|code| code.ends_with(".key")) {
        return Ok(());
    }
    let alone = Case {
        kind: format!("{}-chain", of.label()),
        expect: if code.is_some() { Expect::Invalid } else { Expect::Valid },
        code: code.map(str::to_owned),
        ..case("T12", &format!("{name}-alone"), json!({}))
    };
    cases.push(alone, files);
    Ok(())
}

fn defects(cases: &mut Cases<'_>, of: For) -> Added {
    let spki = of.key(cases)?;
    let right = cases.world.tpm.maker.issue(&of.spec(), &spki)?;
    both(cases, of, "good", core::slice::from_ref(&right), None)?;
    for (label, change, code) in DEFECTS {
        let mut spec = of.spec();
        change(&mut spec);
        let leaf = cases.world.tpm.maker.issue(&spec, &spki)?;
        both(cases, of, label, &[leaf], Some(&format!("{}.{code}", of.prefix())))?;
    }
    let mut spec = of.spec();
    spec.extra.push(ExtraExtension { oid: "1.2.3.4".to_owned(), critical: true, value: vec![5, 0] });
    let leaf = cases.world.tpm.maker.issue(&spec, &spki)?;
    both(cases, of, "with-an-unknown-critical-extension", &[leaf], Some(&format!("{}.chain", of.prefix())))?;
    let mut spec = of.spec();
    spec.extra.push(ExtraExtension { oid: "1.2.3.4".to_owned(), critical: false, value: vec![5, 0] });
    let leaf = cases.world.tpm.maker.issue(&spec, &spki)?;
    both(cases, of, "good-with-an-unknown-extension", &[leaf], None)?;
    let certificate = format!("{}.certificate", of.prefix());
    for (label, len) in [("empty", 0), ("cut-to-100-bytes", 100), ("cut-by-a-byte", right.len() - 1)] {
        let mut cut = right.clone();
        cut.truncate(len);
        both(cases, of, label, &[cut], Some(&certificate))?;
    }
    both(cases, of, "with-a-byte-more", &[[right.clone(), vec![0]].concat()], Some(&certificate))?;
    let mut flipped = right;
    if let Some(last) = flipped.last_mut() {
        *last ^= 1;
    }
    both(cases, of, "with-a-flipped-signature", &[flipped], Some(&format!("{}.chain", of.prefix())))
}

fn chains(cases: &mut Cases<'_>, of: For) -> Added {
    let spki = of.key(cases)?;
    let tpm = &cases.world.tpm;
    let unknown = format!("{}.unknown-issuer", of.prefix());
    let chain = format!("{}.chain", of.prefix());
    let key = |label: &str| TpmKey::from_seed(TpmKeyKind::EcdsaP256, tpm.seed, label);
    let stranger = tpm.stranger.issue(&of.spec(), &spki)?;
    let middle = tpm.maker.below(key("middle")?, &TpmCertificateSpec::authority("Middle"))?;
    let below = middle.issue(&of.spec(), &spki)?;
    let mut no_room = TpmCertificateSpec::authority("Without room");
    no_room.constraints = Constraints::Authority { path_len: Some(0) };
    let no_room = tpm.maker.below(key("no-room")?, &no_room)?;
    let lowest = no_room.below(key("lowest")?, &TpmCertificateSpec::authority("Lowest"))?;
    let mut no_authority = TpmCertificateSpec::authority("No authority");
    no_authority.constraints = Constraints::NotAuthority;
    let no_authority = tpm.maker.below(key("no-authority")?, &no_authority)?;
    let mut no_signer = TpmCertificateSpec::authority("No signer");
    no_signer.key_usage = Some(vec![KeyUse::CrlSign]);
    let no_signer = tpm.maker.below(key("no-signer")?, &no_signer)?;
    let mut old = TpmCertificateSpec::authority("Old");
    old.validity = Validity { not_before: NOW_SECS - 30 * DAY, not_after: NOW_SECS - 1 };
    let old = tpm.maker.below(key("old")?, &old)?;
    // The names of the maker, another key.
    let forged = TpmAuthority::root(key("forged-maker")?, &TpmCertificateSpec::authority("TPM maker"))?;
    let forged_leaf = forged.issue(&of.spec(), &spki)?;
    let own = match of {
        For::Ak => key("ak")?,
        For::Ek => key("ek")?,
    };
    let mut own_spec = of.spec();
    own_spec.subject = Some("Self".to_owned());
    let own = TpmAuthority::root(own, &own_spec)?;
    let other = tpm.maker.issue(&of.spec(), &key("other")?.spki()?)?;
    let all: Vec<(&str, Vec<Vec<u8>>, Option<String>)> = vec![
        ("of-a-stranger", vec![stranger.clone()], Some(unknown.clone())),
        (
            "of-a-stranger-with-its-root",
            vec![stranger, tpm.stranger.der().to_vec()],
            Some(format!("{}.self-signed", of.prefix())),
        ),
        ("good-with-an-intermediate", vec![below.clone(), middle.der().to_vec()], None),
        ("without-its-intermediate", vec![below.clone()], Some(unknown.clone())),
        ("with-another-intermediate", vec![below, old.der().to_vec()], Some(unknown)),
        (
            "deeper-than-an-issuer-allows",
            vec![lowest.issue(&of.spec(), &spki)?, lowest.der().to_vec(), no_room.der().to_vec()],
            Some(chain.clone()),
        ),
        (
            "by-one-that-is-no-authority",
            vec![no_authority.issue(&of.spec(), &spki)?, no_authority.der().to_vec()],
            Some(chain.clone()),
        ),
        (
            "by-one-that-may-not-sign-certificates",
            vec![no_signer.issue(&of.spec(), &spki)?, no_signer.der().to_vec()],
            Some(chain.clone()),
        ),
        (
            "by-an-expired-intermediate",
            vec![old.issue(&of.spec(), &spki)?, old.der().to_vec()],
            Some(format!("{}.expired", of.prefix())),
        ),
        ("of-a-forged-root-with-the-right-name", vec![forged_leaf.clone()], Some(chain)),
        (
            "of-a-forged-root-that-came-along",
            vec![forged_leaf, forged.der().to_vec()],
            Some(format!("{}.self-signed", of.prefix())),
        ),
        ("self-signed", vec![own.der().to_vec()], Some(format!("{}.self-signed", of.prefix()))),
        ("of-another-key", vec![other], Some(format!("{}.key", of.prefix()))),
    ];
    for (label, chain, code) in all {
        both(cases, of, label, &chain, code.as_deref())?;
    }
    Ok(())
}

/// What a certificate says it is for.
fn usages(cases: &mut Cases<'_>) -> Added {
    let (ek, ak) = (For::Ek.key(cases)?, For::Ak.key(cases)?);
    let issue =
        |cases: &Cases<'_>, spec: &TpmCertificateSpec, spki: &[u8]| cases.world.tpm.maker.issue(spec, spki);
    let google = issue(cases, &TpmCertificateSpec::google_ek(TpmKeyKind::EcdsaP256), &ek)?;
    both(cases, For::Ek, "good-as-google-writes-it", &[google], None)?;
    let mut nothing = For::Ek.spec();
    (nothing.key_usage, nothing.extended_usage) = (None, None);
    let nothing = issue(cases, &nothing, &ek)?;
    both(cases, For::Ek, "without-any-usage", &[nothing], Some("tpm.ek.usage"))?;
    let mut signs = For::Ek.spec();
    signs.key_usage = Some(vec![KeyUse::DigitalSignature]);
    let signs = issue(cases, &signs, &ek)?;
    both(cases, For::Ek, "for-signing", &[signs], Some("tpm.ek.key-usage"))?;
    let mut of_ak = For::Ek.spec();
    of_ak.extended_usage = Some(vec![AK_USAGE.to_owned()]);
    let of_ak = issue(cases, &of_ak, &ek)?;
    both(cases, For::Ek, "for-attestation-keys", &[of_ak], Some("tpm.ek.extended-usage"))?;

    let microsoft = issue(cases, &TpmCertificateSpec::microsoft_ak(), &ak)?;
    both(cases, For::Ak, "good-as-microsoft-writes-it", &[microsoft], None)?;
    let mut unnamed = TpmCertificateSpec::google_ak();
    unnamed.extended_usage = None;
    let unnamed = issue(cases, &unnamed, &ak)?;
    both(cases, For::Ak, "good-without-extended-usage", &[unnamed], None)?;
    let usages: [(&str, Option<Vec<KeyUse>>); 4] = [
        ("without-key-usage", None),
        ("for-encipherment", Some(vec![KeyUse::KeyEncipherment])),
        ("for-signing-and-encipherment", Some(vec![KeyUse::DigitalSignature, KeyUse::KeyEncipherment])),
        ("for-signing-and-agreement", Some(vec![KeyUse::DigitalSignature, KeyUse::KeyAgreement])),
    ];
    for (label, usage) in usages {
        let mut spec = TpmCertificateSpec::google_ak();
        spec.key_usage = usage;
        let leaf = issue(cases, &spec, &ak)?;
        both(cases, For::Ak, label, &[leaf], Some("tpm.ak-cert.key-usage"))?;
    }
    // An endorsement key's certificate does not pass for an attestation key's, whatever else it says.
    let ek_like = TpmCertificateSpec { extended_usage: Some(vec![EK_USAGE.to_owned()]), ..For::Ek.spec() };
    let leaf = issue(cases, &ek_like, &ak)?;
    both(cases, For::Ak, "written-as-an-endorsement-key-s", &[leaf], Some("tpm.ak-cert.key-usage"))
}

/// What is asked for, and what is not there.
fn proofs(cases: &mut Cases<'_>) -> Added {
    let ak = For::Ak.key(cases)?;
    let right = cases.world.tpm.maker.issue(&TpmCertificateSpec::google_ak(), &ak)?;
    cases
        .tpm("T4", "shown-by-certificate-where-a-credential-is-asked-for")?
        .certified(right.clone())
        .policy(json!({ "ak": "by-credential" }))
        .refused("tpm.ak.proof")?;
    cases
        .tpm("T4", "shown-by-certificate-where-either-does")?
        .certified(right.clone())
        .policy(json!({ "ak": "either" }))
        .accepted()?;
    cases.tpm("T12", "no-ek-certificate")?.file("ekcert", None).refused("tpm.ek.no-certificate")?;
    // The certificate is right, and the key beside it is not one that a TPM would certify.
    let area = cases.world.tpm.ak.public_area(&vouchsafe_simulation::tpm::PublicSpec {
        attributes: vouchsafe_simulation::tpm::AK_ATTRIBUTES & !(1 << 16),
        ..vouchsafe_simulation::tpm::PublicSpec::ak(TpmKeyKind::EcdsaP256)
    });
    cases
        .tpm("T5", "certified-key-that-is-unrestricted")?
        .certified(right)
        .file("ak_public", Some(area))
        .refused("tpm.ak.unrestricted")?;
    let virtual_leaf = cases.world.tpm.cloud.issue(&TpmCertificateSpec::google_ak(), &ak)?;
    cases
        .tpm("T13", "certified-by-a-cloud-where-hardware-is-asked-for")?
        .certified(virtual_leaf.clone())
        .policy(json!({ "tpm_anchors": ["maker", "cloud"] }))
        .refused("tpm.kind")?;
    cases
        .tpm("T13", "certified-by-a-cloud-where-that-does")?
        .certified(virtual_leaf)
        .policy(json!({ "tpm_anchors": ["cloud"], "tpm_kind": "host-virtual" }))
        .accepted()
}
