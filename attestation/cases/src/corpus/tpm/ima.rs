//! T8, T9: logs of Linux's integrity measurement architecture, beside a quote of PCR 10 and alone.

use serde_json::json;
use vouchsafe_protocol::evidence::PcrValue;

use super::super::add::{Added, Cases};
use super::super::boot::{Measured, ima_padded_value, ima_text, ima_value};
use super::logs::push;

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    ima(cases)?;
    ima_forms(cases);
    Ok(())
}

fn files() -> Vec<Measured> {
    let file = |name, digest| Measured { pcr: 10, digest: [digest; 32], name, violation: false };
    vec![file("/usr/bin/agent", 0xe1), file("/usr/lib/libc.so.6", 0xe2), file("/etc/agent.conf", 0xe3)]
}

/// IMA beside a quote of PCR 10.
fn ima(cases: &mut Cases<'_>) -> Added {
    let right = files();
    let allowed = json!([hex::encode([0xe1; 32]), hex::encode([0xe2; 32]), hex::encode([0xe3; 32])]);
    let mut other_pcr = right.clone();
    other_pcr.push(Measured { pcr: 11, digest: [0xe1; 32], name: "/elsewhere", violation: false });
    let mut violation = right.clone();
    violation.push(Measured { pcr: 10, digest: [0; 32], name: "/tmp/open-for-writing", violation: true });
    let mut more = right.clone();
    more.push(Measured { pcr: 10, digest: [0xe4; 32], name: "/tmp/malware", violation: false });
    let mut reordered = right.clone();
    reordered.swap(0, 1);
    let fewer: Vec<Measured> = right.iter().take(2).cloned().collect();
    let mut renamed = right.clone();
    if let Some(first) = renamed.first_mut() {
        first.name = "/usr/bin/other";
    }
    let all: [(&str, [u8; 32], Vec<u8>, Option<&str>); 10] = [
        ("good", ima_value(&right), ima_text(&right), None),
        ("file-that-is-not-listed", ima_value(&more), ima_text(&more), Some("tpm.ima.file")),
        ("file-that-is-not-told", ima_value(&more), ima_text(&right), Some("tpm.ima.replay")),
        ("violation", ima_value(&violation), ima_text(&violation), Some("tpm.ima.violation")),
        ("entry-of-another-pcr", ima_value(&other_pcr), ima_text(&other_pcr), Some("tpm.ima.other-pcr")),
        ("longer-than-the-pcr", ima_value(&fewer), ima_text(&right), Some("tpm.ima.longer")),
        ("shorter-than-the-pcr", ima_value(&right), ima_text(&fewer), Some("tpm.ima.replay")),
        ("reordered", ima_value(&right), ima_text(&reordered), Some("tpm.ima.replay")),
        ("renamed", ima_value(&right), ima_text(&renamed), Some("tpm.ima.replay")),
        (
            "sha1-digests-in-the-sha256-bank",
            ima_padded_value(&right),
            ima_text(&right),
            Some("tpm.ima.padded-sha1"),
        ),
    ];
    for (label, value, log, code) in all {
        let case = cases
            .tpm("T9", &format!("ima-{label}"))?
            .quoting(&[PcrValue { index: 10, value }])
            .policy(json!({
                "pcrs": { "0": null, "4": null, "7": null, "11": null, "10": "events" },
                "ima_allow": allowed,
            }))
            .file("ima_log", Some(log));
        match code {
            Some(code) => case.refused(code)?,
            None => case.accepted()?,
        }
    }
    Ok(())
}

/// Kind ima-parse.
fn ima_forms(cases: &mut Cases<'_>) {
    let good = ima_text(&files());
    let text = String::from_utf8_lossy(&good).into_owned();
    let mut put = |name: &str, bytes: Vec<u8>, code: Option<&str>| {
        push(cases, "ima_log", &format!("parse-ima-{name}"), bytes, code);
    };
    put("good", good, None);
    put("empty", Vec::new(), Some("tpm.ima.empty"));
    put("changed-digest", text.replacen("e1e1", "e1e2", 1).into_bytes(), Some("tpm.ima.template-hash"));
    put("changed-name", text.replacen("agent", "agent2", 1).into_bytes(), Some("tpm.ima.template-hash"));
    put("unknown-template", text.replace("ima-ng", "evm-sig").into_bytes(), Some("tpm.ima.template"));
    put("pcr-24", text.replacen("10 ", "24 ", 1).into_bytes(), Some("tpm.ima.malformed"));
    put("no-hexadecimal", text.replacen("sha256:e1", "sha256:zz", 1).into_bytes(), Some("tpm.ima.malformed"));
    put("one-word", b"10\n".to_vec(), Some("tpm.ima.malformed"));
}
