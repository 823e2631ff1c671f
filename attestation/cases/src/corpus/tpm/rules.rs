//! What a role asks of a TPM: anchors, kinds, values of PCRs.

use serde_json::json;
use vouchsafe_protocol::evidence::PcrValue;

use super::super::add::{Added, Cases};
use super::super::tpm_world::{policy_pcrs, values};

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    pcr_values(cases)?;
    all_zero(cases)?;
    anchors(cases)?;
    listed(cases)
}

fn pcr_values(cases: &mut Cases<'_>) -> Added {
    for at in 0..values().len() {
        let mut other = values();
        let Some(pcr) = other.get_mut(at) else { continue };
        let index = pcr.index;
        pcr.value = [0x11; 32];
        cases
            .tpm("T10", &format!("pcr-{index}-holds-another-value"))?
            .quoting(&other)
            .refused("tpm.pcr.value")?;
        let right = hex::encode([0xa0 + index; 32]);
        cases
            .tpm("T10", &format!("good-pcr-{index}-holds-the-second-accepted-value"))?
            .quoting(&other)
            .policy(json!({ "pcrs": { (index.to_string()): [right, hex::encode([0x11; 32])] } }))
            .accepted()?;
    }
    cases
        .tpm("T2", "policy-selects-one-more-than-is-quoted")?
        .policy(json!({ "pcrs": { "14": [hex::encode([0xae; 32])] } }))
        .refused("tpm.pcr.selection")?;
    cases
        .tpm("T2", "policy-selects-one-less-than-is-quoted")?
        .policy(json!({ "pcrs": { "11": null } }))
        .refused("tpm.pcr.selection")
}

/// T9: a PCR that nothing was measured into.
fn all_zero(cases: &mut Cases<'_>) -> Added {
    let zero: Vec<PcrValue> = values().iter().map(|pcr| PcrValue { value: [0; 32], ..*pcr }).collect();
    let mut one = values();
    if let Some(last) = one.last_mut() {
        last.value = [0; 32];
    }
    for (label, values) in [("every-pcr", zero.clone()), ("pcr-11", one.clone())] {
        cases
            .tpm("T9", &format!("{label}-all-zero"))?
            .quoting(&values)
            .policy(json!({ "pcrs": policy_pcrs(&values) }))
            .refused("tpm.pcr.all-zero")?;
    }
    cases
        .tpm("T9", "pcr-11-all-zero-and-named")?
        .quoting(&one)
        .policy(json!({ "pcrs": policy_pcrs(&one), "all_zero_pcrs": [11] }))
        .accepted()?;
    cases
        .tpm("T9", "pcr-11-all-zero-and-another-named")?
        .quoting(&one)
        .policy(json!({ "pcrs": policy_pcrs(&one), "all_zero_pcrs": [7] }))
        .refused("tpm.pcr.all-zero")
}

/// T13: the set that matched says what kind of TPM it is.
fn anchors(cases: &mut Cases<'_>) -> Added {
    use vouchsafe_simulation::tpm::{TpmCertificateSpec, TpmKeyKind};
    let tpm = &cases.world.tpm;
    let spec = TpmCertificateSpec::maker_ek(TpmKeyKind::EcdsaP256);
    let virtual_ek = tpm.cloud.issue(&spec, &tpm.ek.spki()?)?;
    let both = json!(["maker", "cloud"]);
    let rules = [
        ("hardware-where-hardware-is-asked-for", false, json!({ "tpm_kind": "hardware" }), None),
        ("hardware-where-any-does", false, json!({ "tpm_kind": "any" }), None),
        (
            "hardware-where-a-virtual-one-is-asked-for",
            false,
            json!({ "tpm_kind": "host-virtual" }),
            Some("tpm.kind"),
        ),
        (
            "virtual-where-hardware-is-asked-for",
            true,
            json!({ "tpm_kind": "hardware", "tpm_anchors": both }),
            Some("tpm.kind"),
        ),
        ("virtual-where-any-does", true, json!({ "tpm_kind": "any", "tpm_anchors": both }), None),
        (
            "virtual-where-it-is-asked-for",
            true,
            json!({ "tpm_kind": "host-virtual", "tpm_anchors": both }),
            None,
        ),
        ("virtual-by-an-anchor-that-is-not-named", true, json!({ "tpm_kind": "any" }), Some("tpm.anchor")),
        (
            "hardware-by-an-anchor-that-is-not-named",
            false,
            json!({ "tpm_anchors": ["cloud"] }),
            Some("tpm.anchor"),
        ),
    ];
    for (label, is_virtual, policy, code) in rules {
        let mut case = cases.tpm("T13", label)?.policy(policy);
        if is_virtual {
            case = case.file("ekcert", Some(virtual_ek.clone()));
        }
        match code {
            Some(code) => case.refused(code)?,
            None => case.accepted()?,
        }
    }
    Ok(())
}

/// B11: which TPMs.
fn listed(cases: &mut Cases<'_>) -> Added {
    let own = hex::encode(vouchsafe_crypto::digest::sha256(&[&cases.world.tpm.ek.spki()?]));
    let other = hex::encode([0x22; 32]);
    for (label, list, holds) in [
        ("alone", json!([own]), true),
        ("second", json!([other, own]), true),
        ("absent", json!([other]), false),
    ] {
        let case = cases.tpm("B11", &format!("ek-list-{label}"))?.policy(json!({ "ek": list }));
        if holds { case.accepted()? } else { case.refused("tpm.ek.not-listed")? }
    }
    for (asked, label) in [("by-certificate", "certificate"), ("either", "either")] {
        let case = cases.tpm("T4", &format!("shown-by-credential-where-{label}-is-asked-for"))?;
        let case = case.policy(json!({ "ak": asked }));
        if asked == "either" { case.accepted()? } else { case.refused("tpm.ak.proof")? }
    }
    Ok(())
}
