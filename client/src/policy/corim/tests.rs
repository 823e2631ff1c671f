//! CoRIMs of our own making: one good, then one change at a time.

use corim::builder::{ComidBuilder, CorimBuilder};
use corim::types::common::TagIdChoice;
use corim::types::environment::ClassMap;
use corim::types::measurement::{IntegrityRegisters, MeasurementValuesMap, SvnChoice};
use corim::types::signed::SignedCorimBuilder;
use corim::types::triples::ReferenceTriple;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_protocol::policy::Accept;

use super::*;

/// 2026-06-01T00:00:00Z.
const NOW: u64 = 1_780_272_000;
const DIGEST: [u8; 48] = [0xab; 48];

fn environment(class_id: Option<ClassIdChoice>) -> EnvironmentMap {
    let class = ClassMap { class_id, vendor: Some("ACME".into()), model: None, layer: None, index: None };
    EnvironmentMap { class: Some(class), instance: None, group: None }
}

fn snp() -> EnvironmentMap {
    environment(Some(ClassIdChoice::Oid(SNP_CLASSES[0].to_vec())))
}

fn digest(key: u64, algorithm: i64, value: Vec<u8>) -> MeasurementMap {
    let mut mval = MeasurementValuesMap::new();
    mval.digests = Some(vec![Digest::new(algorithm, value)]);
    MeasurementMap { mkey: Some(MeasuredElement::Uint(key)), mval, authorized_by: None }
}

fn registers(index: IntegrityRegisterId, algorithm: i64, value: Vec<u8>) -> MeasurementMap {
    let registers = IntegrityRegisters(BTreeMap::from([(index, vec![Digest::new(algorithm, value)])]));
    let mut mval = MeasurementValuesMap::new();
    mval.integrity_registers = Some(registers);
    MeasurementMap { mkey: None, mval, authorized_by: None }
}

/// A CoRIM with these measurements, valid for these seconds.
fn corim(environment: EnvironmentMap, measurements: Vec<MeasurementMap>, validity: (i64, i64)) -> Vec<u8> {
    let comid = ComidBuilder::new(TagIdChoice::Text("comid".into()))
        .add_reference_triple(ReferenceTriple::new(environment, measurements))
        .build()
        .unwrap();
    CorimBuilder::new(CorimId::Text("acme/agent \"7\"\n".into()))
        .set_validity(Some(validity.0), validity.1)
        .unwrap()
        .add_comid_tag(comid)
        .unwrap()
        .build_bytes()
        .unwrap()
}

fn now() -> i64 {
    i64::try_from(NOW).unwrap()
}

fn good() -> Vec<u8> {
    corim(snp(), vec![digest(641, 7, DIGEST.to_vec())], (now() - 10, now() + 10 * 86_400))
}

fn unsigned(bytes: &[u8]) -> Result<Imported, CorimError> {
    import(bytes, "agent-7", Publisher::DangerousUnsigned, NOW)
}

/// r and s of the DER form, 32 bytes each.
fn fixed(der: &[u8]) -> Vec<u8> {
    let take = |at: usize| {
        let len = usize::from(der[at + 1]);
        let value = &der[at + 2..at + 2 + len];
        let value = value.strip_prefix(&[0]).unwrap_or(value);
        ([vec![0; 32 - value.len()], value.to_vec()].concat(), at + 2 + len)
    };
    let (r, next) = take(2);
    let (s, _) = take(next);
    [r, s].concat()
}

fn signed(payload: Vec<u8>, key: &P256Key, algorithm: CoseAlgorithm) -> Vec<u8> {
    let mut builder = SignedCorimBuilder::new(algorithm, payload)
        .set_cwt_claims(corim::types::signed::CwtClaims::new("acme"));
    let signature = fixed(&key.sign(&builder.to_be_signed(&[]).unwrap()).unwrap());
    builder.build_with_signature(signature).unwrap()
}

/// Compiles a role with what was imported.
fn role_with(imported: &Imported) -> Vec<vouchsafe_protocol::policy::Role> {
    let role = r#"[role.r]
spiffe_path = "/r"
evidence_max_age = "1h"
identity_ttl = "1h"
[[role.r.accept]]
kind = "snp"
products = ["genoa"]
measurement = { release = "agent-7" }
tcb_floor = "f"
chip = "any-chip"
revocation = "unchecked"
[tcb_floor.f]
date = 2026-01-01
genoa = { boot_loader = 0, tee = 0, snp = 0, microcode = 0 }
"#;
    crate::policy::compile(&[("role.toml", role), ("imported.toml", &imported.toml)]).unwrap()
}

#[test]
fn a_launch_digest_becomes_a_release_that_roles_can_name() {
    let imported = unsigned(&good()).unwrap();
    assert_eq!(imported.snp, [LaunchDigest(DIGEST)]);
    assert_eq!(imported.id, "acme/agent \"7\"\n");
    // The end is rounded to the last whole day, never beyond it.
    assert_eq!(imported.expires.unwrap().to_string(), "2026-06-10");
    assert!(imported.left_out.is_empty());
    let roles = role_with(&imported);
    let Accept::Snp(rule) = &roles[0].accept[0] else { panic!() };
    assert_eq!(rule.measurements[0].value, LaunchDigest(DIGEST));
    assert!(imported.toml.contains("date = \"2026-05-31\""), "{}", imported.toml);
    assert!(imported.toml.contains("unsigned"), "{}", imported.toml);
}

#[test]
fn integrity_registers_become_pcrs() {
    let bytes = corim(
        environment(None),
        vec![
            registers(IntegrityRegisterId::Uint(11), 1, vec![7; 32]),
            registers(IntegrityRegisterId::Uint(4), 7, vec![7; 48]),
            registers(IntegrityRegisterId::Uint(16), 1, vec![7; 32]),
            registers(IntegrityRegisterId::Text("rtmr0".into()), 1, vec![7; 32]),
        ],
        (now(), now() + 10 * 86_400),
    );
    let imported = unsigned(&bytes).unwrap();
    assert_eq!(imported.pcrs, BTreeMap::from([(11, vec![[7; 32]])]));
    let left_out: Vec<&str> = imported.left_out.iter().map(String::as_str).collect();
    assert_eq!(
        left_out,
        [
            "a value of PCR 4 of another bank than SHA-256",
            "an integrity register that is no PCR a policy may trust"
        ]
    );
}

#[test]
fn what_a_release_cannot_hold_is_named() {
    let mut mval = MeasurementValuesMap::new();
    mval.svn = Some(SvnChoice::MinValue(3));
    let tcb = MeasurementMap { mkey: Some(MeasuredElement::Uint(647)), mval, authorized_by: None };
    let measurements = vec![digest(641, 7, DIGEST.to_vec()), tcb, digest(641, 1, vec![0; 32])];
    let imported = unsigned(&corim(snp(), measurements, (now(), now() + 10 * 86_400))).unwrap();
    let left_out: Vec<&str> = imported.left_out.iter().map(String::as_str).collect();
    assert_eq!(left_out, ["a launch digest by another algorithm than SHA-384", "measurement 647"]);
    assert_eq!(imported.snp, [LaunchDigest(DIGEST)]);
}

#[test]
fn b5_a_signed_corim_is_believed_for_its_publishers_key_alone() {
    let (key, other) = (P256Key::generate().unwrap(), P256Key::generate().unwrap());
    let bytes = signed(good(), &key, CoseAlgorithm::Es256);
    let by = |bytes: &[u8], key: &P256Key| import(bytes, "agent-7", Publisher::SignedBy(&key.spki()), NOW);
    let imported = by(&bytes, &key).unwrap();
    assert_eq!(imported.snp, [LaunchDigest(DIGEST)]);
    assert!(imported.toml.contains(&hex(&sha256(&[&key.spki()]))));
    assert!(matches!(by(&bytes, &other), Err(CorimError::Signature)));
    assert!(matches!(unsigned(&bytes), Err(CorimError::Signed)));
    assert!(matches!(by(&good(), &key), Err(CorimError::Unsigned)));
    let publisher = Publisher::SignedBy(&[1, 2, 3]);
    assert!(matches!(import(&bytes, "agent-7", publisher, NOW), Err(CorimError::Key)));
    // The header says ES384 with a P-256 key: nothing in it chooses what is verified.
    let confused = signed(good(), &key, CoseAlgorithm::Es384);
    assert!(matches!(by(&confused, &key), Err(CorimError::Algorithm { algorithm: -35 })));
    // One bit of a digest.
    let mut forged = bytes;
    let at = forged.windows(48).position(|window| window == DIGEST).unwrap();
    forged[at] ^= 1;
    assert!(matches!(by(&forged, &key), Err(CorimError::Signature)));
}

#[test]
fn b6_a_detached_payload_is_refused() {
    let key = P256Key::generate().unwrap();
    let mut builder = SignedCorimBuilder::new(CoseAlgorithm::Es256, good())
        .set_cwt_claims(corim::types::signed::CwtClaims::new("acme"));
    let signature = fixed(&key.sign(&builder.to_be_signed(&[]).unwrap()).unwrap());
    let bytes = builder.build_detached_with_signature(signature).unwrap();
    assert!(matches!(
        import(&bytes, "agent-7", Publisher::SignedBy(&key.spki()), NOW),
        Err(CorimError::Malformed(_))
    ));
}

#[test]
fn s11_a_corim_outside_its_validity_is_refused() {
    let with = |from: i64, until: i64| {
        unsigned(&corim(snp(), vec![digest(641, 7, DIGEST.to_vec())], (now() + from, now() + until)))
    };
    assert!(matches!(with(-10, -1), Err(CorimError::Malformed(corim::ValidationError::Expired))));
    assert!(matches!(with(1, 10), Err(CorimError::Malformed(corim::ValidationError::NotYetValid))));
    assert!(matches!(with(-10, 3600), Err(CorimError::EndsToday)));
    assert_eq!(with(-10, 86_399).unwrap().expires.unwrap().to_string(), "2026-06-01");
}

#[test]
fn every_other_rule_refuses_on_its_own() {
    assert!(matches!(
        import(&good(), "Agent 7", Publisher::DangerousUnsigned, NOW),
        Err(CorimError::Name { .. })
    ));
    let long = vec![0; CORIM_LEN + 1];
    assert!(matches!(unsigned(&long), Err(CorimError::TooLong { len }) if len == CORIM_LEN + 1));
    let valid = (now(), now() + 10 * 86_400);
    let short = corim(snp(), vec![digest(641, 7, vec![0; 47])], valid);
    assert!(matches!(unsigned(&short), Err(CorimError::DigestLength)));
    let other = corim(environment(None), vec![digest(641, 7, DIGEST.to_vec())], valid);
    assert!(matches!(unsigned(&other), Err(CorimError::NoValue)));
    let value = |n: usize| [u64::try_from(n).unwrap().to_be_bytes().as_slice(), &[0; 40]].concat();
    let many = |count: usize| {
        let mut all = digest(641, 7, value(0));
        all.mval.digests = Some((0..count).map(|n| Digest::new(7, value(n))).collect());
        unsigned(&corim(snp(), vec![all], valid))
    };
    assert_eq!(many(VALUES).unwrap().snp.len(), VALUES);
    assert!(matches!(many(VALUES + 1), Err(CorimError::TooManyValues)));
}

#[test]
fn s16_every_length_is_refused_without_a_panic() {
    let bytes = good();
    for len in 0..bytes.len() {
        assert!(matches!(unsigned(&bytes[..len]), Err(CorimError::Malformed(_))), "{len}");
    }
    let nested = vec![0x81; 4096];
    assert!(matches!(unsigned(&nested), Err(CorimError::Malformed(_))));
    // An array that claims 2^32 - 1 entries.
    assert!(matches!(unsigned(&[0x9a, 0xff, 0xff, 0xff, 0xff]), Err(CorimError::Malformed(_))));
}
