//! Verification of results: one step broken at a time.

#![expect(clippy::string_slice, reason = "tests cut text where they found something in it")]

use rcgen::{ExtendedKeyUsagePurpose, SanType};
use serde_json::json;
use vouchsafe_crypto::signature::P256Key;

use super::*;
use crate::clock::now_secs;
use crate::vault::fake::FakeVault;

const NONCE: &[u8] = b"nonce of theirs.";

/// A token being made: everything right, until a test changes it.
struct Token {
    vault: FakeVault,
    key: P256Key,
    header: Value,
    claims: Value,
}

impl Token {
    fn new() -> Self {
        let (vault, key) = (FakeVault::new(), P256Key::generate().unwrap());
        let leaf = leaf(&vault, &key, "/vault/attestation-results", &[37], 3600);
        let now = now_secs();
        let header = json!({
            "alg": "ES256", "typ": "eat+jwt", "kid": "any",
            "x5c": [BASE64_STANDARD.encode(leaf), BASE64_STANDARD.encode(&vault.authority)],
        });
        let claims = json!({
            "eat_profile": PROFILE, "iss": vault.vault_id.to_string(), "sub": "spiffe://v/web",
            "iat": now, "exp": now + 60, "eat_nonce": BASE64_URL_SAFE_NO_PAD.encode(NONCE),
            "ear_status": "warning", "submods": {},
        });
        Self { vault, key, header, claims }
    }

    fn signed(&self) -> String {
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", encode(&self.header), encode(&self.claims));
        let signature = self.key.sign_fixed(input.as_bytes()).unwrap();
        format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    fn use_leaf(&mut self, leaf: &[u8]) {
        self.header["x5c"][0] = BASE64_STANDARD.encode(leaf).into();
    }

    fn verify(&self, token: &str) -> Result<AttestationResult, ResultError> {
        verify_attestation_result(token, &self.vault.pin(), Freshness::Nonce(NONCE), now_secs())
    }

    fn verified(&self) -> Result<AttestationResult, ResultError> {
        self.verify(&self.signed())
    }
}

/// A certificate for signing results; `usage` are the last arcs of id-kp.
fn leaf(vault: &FakeVault, key: &P256Key, path: &str, usage: &[u64], ttl_secs: i64) -> Vec<u8> {
    let usage = [&[1, 3, 6, 1, 5, 5, 7, 3], usage].concat();
    let names = vec![vault.spiffe(path)];
    vault.certificate(&key.spki(), names, ExtendedKeyUsagePurpose::Other(usage), ttl_secs)
}

fn broken(change: impl FnOnce(&mut Token)) -> ResultError {
    let mut token = Token::new();
    change(&mut token);
    token.verified().unwrap_err()
}

#[test]
fn a_right_result_passes() {
    let token = Token::new();
    let result = token.verified().unwrap();
    assert_eq!((result.status, result.subject.as_str()), (ResultStatus::Warning, "spiffe://v/web"));
    assert_eq!(Value::Object(result.claims), token.claims);
    // The file of a shell's redirection ends a line.
    token.verify(&(token.signed() + "\n")).unwrap();
    let any = Freshness::DangerousAnyNonce;
    verify_attestation_result(&token.signed(), &token.vault.pin(), any, now_secs()).unwrap();
}

#[test]
fn step_1_a_result_is_one_compact_jws() {
    let token = Token::new();
    let good = token.signed();
    let long = format!("{good}{}", "A".repeat(TOKEN_LEN));
    for text in
        ["", ".", "..", "a.b", &good[1..], &good.replace('.', ""), &format!("{good}."), &format!("{good}=")]
    {
        assert!(token.verify(text).is_err(), "{text}");
    }
    assert!(matches!(token.verify(&long), Err(ResultError::Malformed)));
    assert!(matches!(token.verify("a"), Err(ResultError::Malformed)));
    assert!(matches!(token.verify(&format!("{good}=")), Err(ResultError::Malformed)));
}

#[test]
fn h5_step_2_the_header_chooses_nothing() {
    let changes: [fn(&mut Value); 8] = [
        |header| header["alg"] = "none".into(),
        |header| header["alg"] = "HS256".into(),
        |header| header["typ"] = "JWT".into(),
        |header| header["crit"] = json!(["b64"]),
        |header| header["x5c"] = json!([]),
        |header| header["x5c"].as_array_mut().unwrap().truncate(1),
        |header| header["x5c"].as_array_mut().unwrap().push("AA==".into()),
        |header| header["x5c"][0] = "?".into(),
    ];
    for change in changes {
        assert!(matches!(broken(|token| change(&mut token.header)), ResultError::Header));
    }
}

#[test]
fn step_3_the_authority_is_one() {
    let error = broken(|token| token.header["x5c"][1] = token.header["x5c"][0].clone());
    assert!(matches!(error, ResultError::Authority(_)));
}

#[test]
fn b10_step_4_a_result_of_another_vault_is_refused() {
    let (token, other) = (Token::new(), FakeVault::new());
    let verified =
        verify_attestation_result(&token.signed(), &other.pin(), Freshness::Nonce(NONCE), now_secs());
    assert!(matches!(verified, Err(ResultError::AnotherVault)));
}

#[test]
fn step_5_only_a_key_certified_for_results_signs_them() {
    let results = "/vault/attestation-results";
    let mut token = Token::new();
    let (vault, key) = (&token.vault, &token.key);
    let usage = ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 37]);
    let elsewhere = SanType::URI("spiffe://elsewhere/vault/attestation-results".try_into().unwrap());
    let both = vec![vault.spiffe(results), vault.spiffe("/web")];
    let names = [
        leaf(vault, key, "/vault", &[37], 3600),
        vault.certificate(&key.spki(), vec![elsewhere], usage.clone(), 3600),
        vault.certificate(&key.spki(), both, usage, 3600),
    ];
    let chains = [
        // An agent's identity, even under this name; another purpose; out of date; of another vault.
        vault.identity_certificate(&key.spki(), &vault.spiffe("/web"), 3600),
        vault.identity_certificate(&key.spki(), &vault.spiffe(results), 3600),
        leaf(vault, key, results, &[1], 3600),
        leaf(vault, key, results, &[37], -10),
        leaf(&FakeVault::new(), key, results, &[37], 3600),
    ];
    for leaf in names {
        token.use_leaf(&leaf);
        assert!(matches!(token.verified(), Err(ResultError::Certificate(CertificateError::Name))));
    }
    for leaf in chains {
        token.use_leaf(&leaf);
        assert!(matches!(token.verified(), Err(ResultError::Certificate(CertificateError::Chain(_)))));
    }
}

#[test]
fn step_6_every_bit_of_a_result_is_signed() {
    let token = Token::new();
    let good = token.signed();
    // The last character of base64 holds bits that a strict decoder refuses when they are set.
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(token.verify(&changed).is_err(), "byte {at}");
    }
    let mut stolen = Token::new();
    stolen.key = P256Key::generate().unwrap();
    assert!(matches!(stolen.verified(), Err(ResultError::Signature)));
}

#[test]
fn step_7_the_claims_are_those_of_a_result_of_this_vault() {
    let changes: [fn(&mut Value); 6] = [
        |claims| claims["eat_profile"] = "tag:github.com,2023:veraison/ear".into(),
        |claims| claims["iss"] = "vault-00".into(),
        |claims| claims["ear_status"] = "fine".into(),
        |claims| claims["ear_status"] = 2.into(),
        |claims| *claims = json!([]),
        |claims| claims["iat"] = "now".into(),
    ];
    for change in changes {
        assert!(matches!(broken(|token| change(&mut token.claims)), ResultError::Claims));
    }
    for name in ["eat_profile", "iss", "sub", "iat", "exp", "eat_nonce", "ear_status"] {
        let error = broken(|token| {
            token.claims.as_object_mut().unwrap().remove(name);
        });
        assert!(matches!(error, ResultError::Claims), "{name}");
    }
}

#[test]
fn f6_steps_8_and_9_a_result_has_its_time() {
    let early = broken(|token| token.claims["iat"] = (now_secs() + SKEW_SECS + 5).into());
    assert!(matches!(early, ResultError::NotYetValid));
    let late = broken(|token| token.claims["exp"] = now_secs().into());
    assert!(matches!(late, ResultError::Expired));
}

#[test]
fn f2_step_10_a_result_over_another_nonce_is_refused() {
    for nonce in [&NONCE[1..], b"", b"nonce of others."] {
        let error = broken(|token| token.claims["eat_nonce"] = BASE64_URL_SAFE_NO_PAD.encode(nonce).into());
        assert!(matches!(error, ResultError::Nonce));
    }
}
