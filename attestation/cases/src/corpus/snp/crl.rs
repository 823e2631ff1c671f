//! S11: revocation lists, beside a report and alone.

use std::collections::BTreeMap;

use serde_json::json;
use vouchsafe_protocol::policy::Product;
use vouchsafe_simulation::{ASK_SERIAL, Critical, CrlSigner, CrlSpec, NamedAlgorithm};

use super::super::add::{Added, Cases, case};
use super::super::world::{DAY, NOW_SECS};
use crate::schema::{Case, Expect};

const GENOA: Product = Product::Genoa;
/// Largest age that the cases ask for, in seconds.
const MAX_AGE_SECS: u64 = 30 * DAY;

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    let fresh = CrlSpec::fresh(NOW_SECS - 5 * DAY);
    let spec = |this_update: u64, next_update: u64| CrlSpec {
        this_update,
        next_update: Some(next_update),
        ..CrlSpec::fresh(this_update)
    };
    let pki = cases.world.pki(GENOA);
    let good = pki.crl(&fresh)?;
    let mut flipped = good.clone();
    if let Some(last) = flipped.last_mut() {
        *last ^= 1;
    }
    let forged = cases.world.forged.crl(&fresh)?;
    let lists: Vec<(&str, Vec<u8>, Option<&str>)> = vec![
        ("good", good.clone(), None),
        ("good-of-another-certificate", pki.crl(&fresh.clone().revoking(&[9, 9]))?, None),
        ("good-from-now", pki.crl(&spec(NOW_SECS, NOW_SECS + DAY))?, None),
        ("good-until-now", pki.crl(&spec(NOW_SECS - DAY, NOW_SECS))?, None),
        ("good-of-the-largest-age", pki.crl(&spec(NOW_SECS - MAX_AGE_SECS, NOW_SECS + DAY))?, None),
        (
            "older-by-a-second",
            pki.crl(&spec(NOW_SECS - MAX_AGE_SECS - 1, NOW_SECS + DAY))?,
            Some("snp.crl.too-old"),
        ),
        ("stale-since-a-second", pki.crl(&spec(NOW_SECS - DAY, NOW_SECS - 1))?, Some("snp.crl.stale")),
        ("of-the-future", pki.crl(&spec(NOW_SECS + 1, NOW_SECS + DAY))?, Some("snp.crl.not-yet-valid")),
        (
            "without-an-end",
            pki.crl(&CrlSpec { next_update: None, ..fresh.clone() })?,
            Some("snp.crl.malformed"),
        ),
        ("of-a-forged-root-with-the-right-name", forged, Some("snp.crl.signature")),
        ("of-another-product", cases.world.pki(Product::Milan).crl(&fresh)?, Some("snp.crl.foreign")),
        (
            "of-the-issuer-in-the-root-s-name",
            pki.crl_by(&fresh, CrlSigner::IntermediateAsRoot)?,
            Some("snp.crl.signature"),
        ),
        ("of-the-issuer-itself", pki.crl_by(&fresh, CrlSigner::Intermediate)?, Some("snp.crl.foreign")),
        ("with-a-flipped-signature", flipped, Some("snp.crl.signature")),
        (
            "with-an-unknown-critical-extension",
            pki.crl(&CrlSpec { critical: Critical::InList, ..fresh.clone() })?,
            Some("snp.crl.critical-extension"),
        ),
        (
            "that-names-another-algorithm-than-it-is-signed-with",
            pki.crl(&CrlSpec { named: NamedAlgorithm::RsaPkcs1Sha384, ..fresh.clone() })?,
            Some("snp.crl.signature"),
        ),
        ("empty", Vec::new(), Some("snp.crl.malformed")),
        ("cut", good.iter().copied().take(100).collect(), Some("snp.crl.malformed")),
        ("with-a-byte-more", [good.clone(), vec![0]].concat(), Some("snp.crl.malformed")),
    ];
    let revoked: Vec<(&str, Vec<u8>, &str)> = vec![
        ("revoking-the-issuer", pki.crl(&fresh.clone().revoking(&ASK_SERIAL))?, "snp.crl.revoked"),
        (
            "revoking-the-issuer-among-others",
            pki.crl(&fresh.clone().revoking(&[8]).revoking(&ASK_SERIAL))?,
            "snp.crl.revoked",
        ),
        ("revoking-the-certificate", pki.crl(&fresh.clone().revoking(&[0]))?, "snp.crl.revoked-vek"),
    ];
    let policy = json!({ "revocation": { "max_age_secs": MAX_AGE_SECS } });
    let beside = lists.iter().map(|(label, list, code)| (*label, list.clone(), *code));
    let beside: Vec<_> =
        beside.chain(revoked.into_iter().map(|(label, list, code)| (label, list, Some(code)))).collect();
    for (label, list, code) in beside {
        let case =
            cases.snp(GENOA, "S11", &format!("crl-{label}")).policy(policy.clone()).file("crl", Some(list));
        match code {
            Some(code) => case.refused(code)?,
            None => case.accepted()?,
        }
    }
    cases.snp(GENOA, "S11", "crl-asked-for-and-missing").policy(policy.clone()).refused("snp.crl.missing")?;
    cases
        .snp(GENOA, "S11", "crl-of-junk-where-none-is-asked-for")
        .file("crl", Some(vec![1, 2, 3]))
        .accepted()?;
    for (label, list, code) in lists {
        let alone = Case {
            kind: "crl".to_owned(),
            product: Some("Genoa".to_owned()),
            expect: if code.is_some() { Expect::Invalid } else { Expect::Valid },
            code: code.map(str::to_owned),
            ..case("S11", &format!("crl-{label}-alone"), policy.clone())
        };
        cases.push(alone, BTreeMap::from([("crl".to_owned(), list)]));
    }
    Ok(())
}
