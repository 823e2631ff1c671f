//! Attestation results, read by other code than wrote them: the signature by RustCrypto's `p256`, the claims by
//! `serde_json` and the draft's CDDL (draft-ietf-rats-ear-04, appendix A), written out below.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test helpers; clippy exempts only the tests themselves"
)]

mod support;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;
use serde_json::{Map, Value, json};
use support::*;
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::signature::P256PublicKey;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{Reply, Request};
use x509_parser::prelude::{FromDer, X509Certificate};

const NONCE: &[u8] = b"nonce of theirs.";

/// A vault with an agent, and the vault's answer to its request for a result.
fn result_over(nonce: &[u8]) -> (Vault, Identity, Result<String, RefusalCode>) {
    let mut vault = Vault::create();
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    vault.outcome(&mut session, &operator, &Request::RoleApply(vec![role("web", &[])])).unwrap();
    let agent = vault.introduce("web").unwrap();
    let answer = ask(&mut vault, &agent, nonce);
    (vault, agent, answer)
}

fn ask(vault: &mut Vault, agent: &Identity, nonce: &[u8]) -> Result<String, RefusalCode> {
    let mut session = vault.open(agent).map_err(|refusal| refusal.code)?;
    let asked = vault.outcome(&mut session, agent, &Request::AttestationResult { nonce: nonce.to_vec() });
    asked.map(|reply| match reply {
        Reply::AttestationResult(jwt) => jwt,
        other => panic!("{other:?}"),
    })
}

fn part(jwt: &str, index: usize) -> Value {
    let part = jwt.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The chain in the header, leaf first.
fn chain(jwt: &str) -> Vec<Vec<u8>> {
    let x5c = part(jwt, 0)["x5c"].clone();
    x5c.as_array().unwrap().iter().map(|der| BASE64_STANDARD.decode(der.as_str().unwrap()).unwrap()).collect()
}

/// SubjectPublicKeyInfo of the chain's leaf.
fn spki(jwt: &str) -> Vec<u8> {
    let chain = chain(jwt);
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    leaf.public_key().raw.to_vec()
}

/// The claims, if the signature is this key's (RFC 7515, section 5.2; RFC 7518, section 3.4).
fn read(jwt: &str, spki: &[u8]) -> Option<Map<String, Value>> {
    let (input, signature) = jwt.rsplit_once('.')?;
    let (header, payload) = input.split_once('.')?;
    let header: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let signature = Signature::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let key = VerifyingKey::from_public_key_der(spki).unwrap();
    key.verify(input.as_bytes(), &signature).ok()?;
    assert_eq!(header["alg"], "ES256");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> &'a str {
    claims[name].as_str().unwrap_or_else(|| panic!("{name} is a text"))
}

fn status(claims: &Map<String, Value>) -> &str {
    let status = text(claims, "ear_status");
    assert!(["none", "affirming", "warning", "contraindicated"].contains(&status), "{status}");
    status
}

/// The rules of the draft's CDDL: what must be there, of which type, and what must not be empty.
fn check_form(claims: &Map<String, Value>) {
    assert_eq!(text(claims, "eat_profile"), "tag:ietf.org,2026:rats/ear#04");
    assert!(claims["iat"].is_u64() && claims["exp"].is_u64());
    let nonce = BASE64_URL_SAFE_NO_PAD.decode(text(claims, "eat_nonce")).unwrap();
    assert!((8..=64).contains(&nonce.len()));
    let verifier = claims["ear_verifier_id"].as_object().unwrap();
    assert!(!text(verifier, "build").is_empty() && !text(verifier, "developer").is_empty());
    let submodules = claims["submods"].as_object().unwrap();
    assert!(!submodules.is_empty());
    for submodule in submodules.values() {
        let submodule = submodule.as_object().unwrap();
        let vector = submodule["ear_trustworthiness_vector"].as_object().unwrap();
        assert!(!vector.is_empty());
        let known = ["instance-identity", "configuration", "executables", "file-system", "hardware"];
        let more = ["runtime-opaque", "storage-opaque", "sourced-data"];
        let worst = vector.iter().map(|(name, value)| {
            assert!(known.contains(&name.as_str()) || more.contains(&name.as_str()), "{name}");
            value.as_i64().filter(|value| (-128..=127).contains(value)).unwrap()
        });
        // No overall status is better than the worst claim.
        let tier = match worst.max().unwrap() {
            96.. => "contraindicated",
            32.. => "warning",
            _ => "affirming",
        };
        assert_eq!((status(submodule), status(claims)), (tier, tier));
        let policies = submodule["ear_appraisal_policy_ids"].as_array().unwrap();
        assert!(!policies.is_empty() && policies.iter().all(Value::is_string));
        for set in ["ear_attester_claims", "ear_verifier_claims"] {
            assert!(!submodule[set].as_object().unwrap().is_empty());
        }
    }
}

#[test]
fn a_result_is_an_ear_to_an_independent_reader() {
    let (vault, agent, answer) = result_over(NONCE);
    let jwt = answer.unwrap();
    let claims = read(&jwt, &spki(&jwt)).unwrap();
    check_form(&claims);
    assert_eq!(
        (&claims["iat"], &claims["exp"]),
        (&vault.now.into(), &agent.grant.evidence_until_secs.into())
    );
    // A simulated vault affirms nothing.
    let platform = &claims["submods"]["platform"];
    assert_eq!(
        (status(&claims), &platform["ear_trustworthiness_vector"]["hardware"]),
        ("contraindicated", &97.into())
    );
    let policy = sha256(&[&codec::encode(&role("web", &[])).unwrap()]);
    let hex: String = policy.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(platform["ear_appraisal_policy_ids"], json!([format!("vouchsafe:role:web:sha256:{hex}")]));
    // The key is named by its thumbprint (RFC 7638).
    let point = spki(&jwt)[26..].to_vec();
    let [x, y] = [&point[1..33], &point[33..]].map(|half| BASE64_URL_SAFE_NO_PAD.encode(half));
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    assert_eq!(part(&jwt, 0)["kid"], BASE64_URL_SAFE_NO_PAD.encode(sha256(&[canonical.as_bytes()])));
}

#[test]
fn claims_are_those_of_the_evidence_and_the_vault() {
    let (vault, agent, answer) = result_over(NONCE);
    let jwt = answer.unwrap();
    let claims = part(&jwt, 1);
    assert_eq!(claims["iss"], vault.id().to_string());
    assert_eq!(claims["sub"], format!("spiffe://{}/web", vault.id().trust_domain()));
    assert_eq!(claims["eat_nonce"], BASE64_URL_SAFE_NO_PAD.encode(NONCE));
    // The agent's key, so that it can prove that the result is its own (RFC 7800).
    let public = P256PublicKey::from_spki(&agent.key.spki()).unwrap();
    let x = BASE64_URL_SAFE_NO_PAD.encode(&public.point()[1..33]);
    assert_eq!((&claims["cnf"]["jwk"]["x"], &claims["cnf"]["jwk"]["crv"]), (&x.into(), &"P-256".into()));
    let platform = &claims["submods"]["platform"];
    let shown = &platform["ear_attester_claims"];
    assert_eq!(
        (&shown["kind"], &shown["product"], &shown["vmpl"]),
        (&"snp".into(), &"genoa".into(), &0.into())
    );
    assert_eq!(shown["measurement"], "07".repeat(48));
    let tcb = json!({ "boot_loader": 9, "tee": 0, "snp": 23, "microcode": 72 });
    assert_eq!((&shown["reported_tcb"], &shown["launch_tcb"]), (&tcb, &tcb));
    let made = &platform["ear_verifier_claims"];
    assert_eq!((&made["role"], &made["rule"], &made["simulated"]), (&"web".into(), &1.into(), &true.into()));
    assert_eq!((&made["class"], &made["warnings"]), (&"tee".into(), &json!(["revocation-unchecked"])));
}

#[test]
fn every_changed_byte_of_a_result_is_refused_by_an_independent_reader() {
    let (_, _, answer) = result_over(NONCE);
    let jwt = answer.unwrap();
    let key = spki(&jwt);
    read(&jwt, &key).unwrap();
    // The header beyond its algorithm is for finding the key, and signed as well.
    for at in (0..jwt.len()).step_by(7).chain(jwt.len() - 90..jwt.len()) {
        let mut bytes = jwt.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(read(&changed, &key).is_none(), "byte {at}");
    }
    let (_, _, other) = result_over(NONCE);
    assert!(read(&other.unwrap(), &key).is_none());
}

#[test]
fn b6_the_chain_of_a_result_leads_to_the_vault_s_authority_and_serves_nothing_else() {
    let (mut vault, _, answer) = result_over(NONCE);
    let chain = chain(&answer.unwrap());
    assert_eq!(chain[1], vault.core.authority());
    let (_, authority) = X509Certificate::from_der(&chain[1]).unwrap();
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    let issuer = P256PublicKey::from_spki(authority.public_key().raw).unwrap();
    issuer.verify(leaf.tbs_certificate.as_ref(), &leaf.signature_value.data).unwrap();
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert_eq!((usage.client_auth, usage.server_auth, usage.any), (false, false, false));
    assert_eq!(usage.other.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1.3.6.1.5.5.7.3.37"]);
    // It is no identity: nobody issued it to an agent.
    let opened = vault.core.open_session(&chain[0], [1; 32], vault.now);
    assert_eq!(opened.err().unwrap().code, RefusalCode::Identity);
}

#[test]
fn b2_a_result_can_pass_for_nothing_else_that_the_vault_signs() {
    let (_, _, answer) = result_over(NONCE);
    let jwt = answer.unwrap();
    // Every other pre-image of the key begins with the product's name; a JWS begins with the base64url of a brace.
    assert!(jwt.starts_with("eyJ") && !jwt.starts_with("vouchsafe/"));
    let source = include_str!("../../crypto/src/transcript.rs");
    let labels = source.lines().filter(|line| line.starts_with("const ") && line.contains("&str"));
    assert!(labels.into_iter().all(|label| label.contains(concat!("\"vouchsafe", "/1/"))));
}

#[test]
fn f2_a_nonce_has_the_length_that_eat_asks_for() {
    for len in [0, 7, 65] {
        let (_, _, answer) = result_over(&vec![1; len]);
        assert_eq!(answer.unwrap_err(), RefusalCode::TooLarge, "{len} bytes");
    }
    for len in [8, 64] {
        let (_, _, answer) = result_over(&vec![1; len]);
        let jwt = answer.unwrap();
        check_form(&read(&jwt, &spki(&jwt)).unwrap());
    }
}

#[test]
fn operators_get_no_result_and_agents_only_their_own() {
    let (mut vault, agent, answer) = result_over(NONCE);
    answer.unwrap();
    let operator = vault.introduce_operator();
    assert_eq!(ask(&mut vault, &operator, NONCE), Err(RefusalCode::Denied));
    let second = vault.introduce("web").unwrap();
    let (own, others) = (ask(&mut vault, &agent, NONCE).unwrap(), ask(&mut vault, &second, NONCE).unwrap());
    let key = |jwt: &str| part(jwt, 1)["cnf"]["jwk"]["x"].clone();
    assert_ne!(key(&own), key(&others));
}

#[test]
fn results_are_signed_after_a_restart_by_a_new_key_of_the_same_authority() {
    let (vault, agent, answer) = result_over(NONCE);
    let before = answer.unwrap();
    let mut vault = vault.crash();
    let after = ask(&mut vault, &agent, NONCE).unwrap();
    read(&after, &spki(&after)).unwrap();
    assert_ne!(spki(&before), spki(&after));
    assert_eq!(chain(&before)[1], chain(&after)[1]);
}
