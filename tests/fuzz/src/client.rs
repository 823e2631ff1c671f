//! Text files of operators and agents.

use vouchsafe_client::policy::corim::{self, Publisher};
use vouchsafe_client::{SealedText, policy};
use vouchsafe_protocol::policy_check::check_role;

use crate::Target;

pub(crate) const TARGETS: &[Target] = &[("corim", import), ("policy", compile), ("sealed-text", sealed_text)];

/// A ciphertext or signature as text has one form, and a ciphertext's version is the one inside.
fn sealed_text(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(sealed) = text.parse::<SealedText>() else { return };
    assert_eq!(sealed.to_string(), text, "one form");
    let version = sealed.version;
    if let Ok(ciphertext) = sealed.into_ciphertext() {
        assert!(ciphertext.header().is_ok_and(|(inside, _)| inside == version));
        assert_eq!(SealedText::of(&ciphertext).to_string(), text);
    }
}

/// What compiles passes the enclave's own check.
fn compile(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(roles) = policy::compile(&[("fuzz.toml", text)]) {
        for role in roles {
            check_role(&role).unwrap();
        }
    }
}

/// What is imported is a policy file with exactly those values. The time is that of the seeds.
fn import(data: &[u8]) {
    let Ok(imported) = corim::import(data, "r", Publisher::DangerousUnsigned, 1_790_000_000) else { return };
    let role = "[role.r]\nspiffe_path = '/r'\nevidence_max_age = '1h'\nidentity_ttl = '1h'\n[[role.r.accept]]\n\
                kind = 'snp'\nproducts = ['genoa']\nmeasurement = { release = 'r' }\ntcb_floor = 'f'\n\
                chip = 'any-chip'\nrevocation = 'unchecked'\n[tcb_floor.f]\ndate = 2026-01-01\n\
                genoa = { boot_loader = 0, tee = 0, snp = 0, microcode = 0 }\n";
    if !imported.snp.is_empty() {
        policy::compile(&[("role.toml", role), ("imported.toml", &imported.toml)]).unwrap();
    }
}
