//! Bits: POLICY, PLATFORM_INFO, mitigation vectors. Each bit both ways, under each rule.

use serde_json::{Value, json};
use vouchsafe_protocol::policy::Product;
use vouchsafe_simulation::field;

use super::super::add::{Added, Cases};

const GENOA: Product = Product::Genoa;
/// POLICY of the fixtures: SMT allowed, and the bit that must be one.
const POLICY: u64 = 0x3_0000;
/// PLATFORM_INFO of the fixtures: SMT, ECC, alias check complete.
const PLATFORM_INFO: u64 = 0x25;

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    guest_policy(cases)?;
    platform_info(cases)?;
    mitigations(cases)
}

fn with(value: u64, bit: u32, set: bool) -> u64 {
    if set { value | 1 << bit } else { value & !(1 << bit) }
}

/// Each rule for a bit, met and broken.
const RULES: [(&str, bool, bool); 6] = [
    ("required", true, true),
    ("required", false, false),
    ("forbidden", true, false),
    ("forbidden", false, true),
    ("any", true, true),
    ("any", false, true),
];

/// S6, S14: POLICY.
fn guest_policy(cases: &mut Cases<'_>) -> Added {
    let bits = [
        (16, "smt", "snp.policy.bit"),
        (18, "migrate_ma", "snp.policy.migration-agent"),
        (19, "debug", "snp.policy.debug"),
        (20, "single_socket", "snp.policy.bit"),
        (21, "cxl_allowed", "snp.policy.bit"),
        (22, "mem_aes_256_xts", "snp.policy.bit"),
        (23, "rapl_disabled", "snp.policy.bit"),
        (24, "ciphertext_hiding", "snp.policy.bit"),
        (25, "page_swap_disabled", "snp.policy.bit"),
    ];
    for (bit, name, code) in bits {
        for (rule, set, holds) in RULES {
            let state = if set { "set" } else { "clear" };
            let case = cases
                .snp(GENOA, "S6", &format!("policy-{name}-{rule}-and-{state}").replace('_', "-"))
                .policy(json!({ "guest_policy": { (name): rule } }))
                .set(field::POLICY, &with(POLICY, bit, set).to_le_bytes());
            if holds { case.accepted()? } else { case.refused(code)? }
        }
    }
    // Without a word in the policy of the case.
    for (bit, label, code) in
        [(18, "migration-agent", "snp.policy.migration-agent"), (19, "debug", "snp.policy.debug")]
    {
        cases
            .snp(GENOA, "S6", &format!("{label}-by-default"))
            .set(field::POLICY, &with(POLICY, bit, true).to_le_bytes())
            .refused(code)?;
    }
    cases
        .snp(GENOA, "S6", "debug-allowed-and-migration-agent-too")
        .policy(json!({ "allow_debug": true }))
        .set(field::POLICY, &(POLICY | 0b11 << 18).to_le_bytes())
        .refused("snp.policy.migration-agent")?;
    cases
        .snp(GENOA, "S14", "policy-bit-17-clear")
        .set(field::POLICY, &0x1_0000u64.to_le_bytes())
        .refused("snp.policy.must-be-one")?;
    cases
        .snp(GENOA, "S14", "policy-bit-17-clear-reserved-fields-allowed")
        .policy(json!({ "reserved_fields": "allowed" }))
        .set(field::POLICY, &0u64.to_le_bytes())
        .refused("snp.policy.must-be-one")?;
    for bit in [26, 27, 40, 63] {
        let policy = (POLICY | 1 << bit).to_le_bytes();
        cases
            .snp(GENOA, "S14", &format!("policy-bit-{bit}-reserved"))
            .set(field::POLICY, &policy)
            .refused("snp.reserved")?;
        cases
            .snp(GENOA, "S14", &format!("policy-bit-{bit}-reserved-and-allowed"))
            .policy(json!({ "reserved_fields": "allowed" }))
            .set(field::POLICY, &policy)
            .accepted()?;
    }
    for (label, abi, holds) in [
        ("a-minor-below", 0x0136u64, false),
        ("at", 0x0137, true),
        ("a-minor-above", 0x0138, true),
        ("a-major-below", 0x00ff, false),
        ("a-major-above", 0x0200, true),
    ] {
        let case = cases
            .snp(GENOA, "S6", &format!("abi-{label}-the-floor"))
            .policy(json!({ "guest_policy": { "min_abi": [1, 55] } }))
            .set(field::POLICY, &(POLICY | abi).to_le_bytes());
        if holds { case.accepted()? } else { case.refused("snp.policy.abi")? }
    }
    Ok(())
}

/// S7, S8: PLATFORM_INFO.
fn platform_info(cases: &mut Cases<'_>) -> Added {
    let bits = [
        (0, "smt"),
        (1, "tsme"),
        (2, "ecc"),
        (3, "rapl_disabled"),
        (4, "ciphertext_hiding"),
        (5, "alias_check_complete"),
        (6, "iommu_write_safe"),
        (7, "tio"),
    ];
    for (bit, name) in bits {
        for (rule, set, holds) in RULES {
            let state = if set { "set" } else { "clear" };
            let case = cases
                .snp(GENOA, "S7", &format!("platform-{name}-{rule}-and-{state}").replace('_', "-"))
                .policy(json!({ "platform_info": { (name): rule } }))
                .set(field::PLATFORM_INFO, &with(PLATFORM_INFO, bit, set).to_le_bytes());
            if holds { case.accepted()? } else { case.refused("snp.platform-info")? }
        }
    }
    for product in [GENOA, Product::Turin, Product::Milan] {
        let label =
            format!("alias-check-incomplete-on-{}", super::super::world::name(product).to_lowercase());
        cases
            .snp(product, "S8", &label)
            .set(field::PLATFORM_INFO, &with(PLATFORM_INFO, 5, false).to_le_bytes())
            .refused("snp.platform-info")?;
    }
    for bit in [8, 9, 31, 32, 63] {
        let info = with(PLATFORM_INFO, bit, true).to_le_bytes();
        cases
            .snp(GENOA, "S7", &format!("platform-info-unknown-bit-{bit}"))
            .set(field::PLATFORM_INFO, &info)
            .refused("snp.platform-info.unknown")?;
        cases
            .snp(GENOA, "S7", &format!("platform-info-unknown-bit-{bit}-allowed"))
            .policy(json!({ "platform_info": { "unknown_bits": "allowed" } }))
            .set(field::PLATFORM_INFO, &info)
            .accepted()?;
    }
    Ok(())
}

/// S9: mitigation vectors of version 5.
fn mitigations(cases: &mut Cases<'_>) -> Added {
    let vectors: [(&str, usize); 2] =
        [("launch", field::LAUNCH_MIT_VECTOR), ("current", field::CURRENT_MIT_VECTOR)];
    for (vector, offset) in vectors {
        let values: [(&str, u64, u64, bool); 7] = [
            ("exactly", 0b101, 0b101, true),
            ("more", 0b101, 0b111, true),
            ("one-missing", 0b101, 0b100, false),
            ("the-other-missing", 0b101, 0b001, false),
            ("none", 0b101, 0, false),
            ("another-bit", 0b100, 0b011, false),
            ("the-highest-bit", 1 << 63, 1 << 63, true),
        ];
        for (label, mask, value, holds) in values {
            let case = cases
                .snp(GENOA, "S9", &format!("{vector}-mitigations-{label}"))
                .policy(json!({ "mitigations": { (vector): mask } }))
                .set(field::VERSION, &5u32.to_le_bytes())
                .set(offset, &value.to_le_bytes());
            if holds { case.accepted()? } else { case.refused("snp.mitigations")? }
        }
        let masks: [Value; 2] = [json!({ (vector): 1 }), json!({ (vector): u64::MAX })];
        for (number, mask) in (1..).zip(masks) {
            cases
                .snp(GENOA, "S9", &format!("{vector}-mitigations-asked-of-version-4-{number}"))
                .policy(json!({ "mitigations": mask }))
                .set(field::VERSION, &4u32.to_le_bytes())
                .refused("snp.mitigations.none")?;
        }
    }
    // What one vector says is not taken for the other.
    cases
        .snp(GENOA, "S9", "mitigations-of-now-do-not-count-for-launch")
        .policy(json!({ "mitigations": { "launch": 1 } }))
        .set(field::VERSION, &5u32.to_le_bytes())
        .set(field::CURRENT_MIT_VECTOR, &u64::MAX.to_le_bytes())
        .refused("snp.mitigations")?;
    for (version, holds) in [(3u32, false), (4, false), (5, true)] {
        let case = cases
            .snp(GENOA, "S9", &format!("version-{version}-where-5-is-asked-for"))
            .policy(json!({ "min_report_version": 5 }))
            .set(field::VERSION, &version.to_le_bytes());
        if holds { case.accepted()? } else { case.refused("snp.report-version")? }
    }
    Ok(())
}
