//! What a role pins of a guest: launch digest, host data, ids, ID block, report id, privilege level.

use serde_json::{Value, json};
use vouchsafe_protocol::policy::Product;
use vouchsafe_simulation::field;

use super::super::add::{Added, Cases};
use super::super::world::{AUTHOR_KEY_DIGEST, FAMILY_ID, ID_KEY_DIGEST, IMAGE_ID, REPORT_ID, REPORT_ID_MA};

const GENOA: Product = Product::Genoa;

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    pins(cases)?;
    expiry(cases)?;
    id_block(cases)?;
    svn(cases)?;
    migration_agent(cases)?;
    vmpl(cases)
}

/// A field that must be exactly the pinned one.
fn pins(cases: &mut Cases<'_>) -> Added {
    let fields: [(&str, usize, usize, &str); 6] = [
        ("measurement", field::MEASUREMENT, 48, "snp.measurement"),
        ("host_data", field::HOST_DATA, 32, "snp.host-data"),
        ("family_id", FAMILY_ID, 16, "snp.family-id"),
        ("image_id", IMAGE_ID, 16, "snp.image-id"),
        ("report_id", REPORT_ID, 32, "snp.report-id"),
        ("id_key_digest", ID_KEY_DIGEST, 48, "snp.id-block.id-key"),
    ];
    for (key, offset, len, code) in fields {
        let value = vec![0x5a; len];
        let label = key.replace('_', "-");
        cases
            .snp(GENOA, "B5", &format!("good-pinned-{label}"))
            .policy(json!({ (key): hex::encode(&value) }))
            .set(offset, &value)
            .accepted()?;
        for (which, at) in [("first", 0), ("last", len - 1)] {
            let mut other = value.clone();
            if let Some(byte) = other.get_mut(at) {
                *byte ^= 1;
            }
            cases
                .snp(GENOA, "B5", &format!("pinned-{label}-differs-in-its-{which}-byte"))
                .policy(json!({ (key): hex::encode(&value) }))
                .set(offset, &other)
                .refused(code)?;
        }
        cases
            .snp(GENOA, "B5", &format!("pinned-{label}-is-zero-in-the-report"))
            .policy(json!({ (key): hex::encode(&value) }))
            .set(offset, &vec![0; len])
            .refused(code)?;
    }
    Ok(())
}

/// Reference values end, with a grace.
fn expiry(cases: &mut Cases<'_>) -> Added {
    let ends = [
        ("ends-in-a-second", "2026-01-01T00:00:01Z", 0u32, true),
        ("ends-now", "2026-01-01T00:00:00Z", 0, false),
        ("ended-inside-grace", "2025-12-31T23:59:00Z", 61, true),
        ("ended-with-its-grace", "2025-12-31T23:59:00Z", 60, false),
    ];
    for (label, expires, grace, holds) in ends {
        let case = cases
            .snp(GENOA, "S5", &format!("measurement-{label}"))
            .policy(json!({ "measurement_expires": expires, "measurement_grace_secs": grace }));
        if holds { case.accepted()? } else { case.refused("snp.measurement.expired")? }
    }
    Ok(())
}

/// Who signed the ID block, and the ID key.
fn id_block(cases: &mut Cases<'_>) -> Added {
    let (id_key, author) = ([0x1d; 48], [0xa0; 48]);
    let policy = json!({ "id_key_digest": hex::encode(id_key), "author_key_digest": hex::encode(author) });
    let enabled = 1u32.to_le_bytes();
    cases
        .snp(GENOA, "B5", "good-id-block-by-key-and-author")
        .policy(policy.clone())
        .set(ID_KEY_DIGEST, &id_key)
        .set(AUTHOR_KEY_DIGEST, &author)
        .set(field::FLAGS, &enabled)
        .accepted()?;
    cases
        .snp(GENOA, "B5", "id-block-of-another-author")
        .policy(policy.clone())
        .set(ID_KEY_DIGEST, &id_key)
        .set(AUTHOR_KEY_DIGEST, &[0xa1; 48])
        .set(field::FLAGS, &enabled)
        .refused("snp.id-block.author-key")?;
    cases
        .snp(GENOA, "B5", "id-block-with-an-author-that-is-not-in-use")
        .policy(policy.clone())
        .set(ID_KEY_DIGEST, &id_key)
        .set(AUTHOR_KEY_DIGEST, &author)
        .refused("snp.id-block.author-key")?;
    cases
        .snp(GENOA, "B5", "id-block-without-author")
        .policy(policy.clone())
        .set(ID_KEY_DIGEST, &id_key)
        .refused("snp.id-block.author-key")?;
    cases
        .snp(GENOA, "B5", "id-block-by-the-author-key-itself")
        .policy(policy.clone())
        .set(ID_KEY_DIGEST, &author)
        .set(AUTHOR_KEY_DIGEST, &author)
        .set(field::FLAGS, &enabled)
        .refused("snp.id-block.id-key")?;
    cases.snp(GENOA, "B5", "no-id-block").policy(policy).refused("snp.id-block.id-key")
}

fn svn(cases: &mut Cases<'_>) -> Added {
    for (label, svn, holds) in [
        ("below", 6u32, false),
        ("at", 7, true),
        ("above", 8, true),
        ("zero", 0, false),
        ("highest", u32::MAX, true),
    ] {
        let case = cases
            .snp(GENOA, "S5", &format!("guest-svn-{label}"))
            .policy(json!({ "min_guest_svn": 7 }))
            .set(field::GUEST_SVN, &svn.to_le_bytes());
        if holds { case.accepted()? } else { case.refused("snp.guest-svn")? }
    }
    Ok(())
}

/// S6: REPORT_ID_MA.
fn migration_agent(cases: &mut Cases<'_>) -> Added {
    let (none, one, other) = ([0xff; 32], [0x3a; 32], [0x3b; 32]);
    let agents: [(&str, Value, [u8; 32], bool); 7] = [
        ("none-as-asked", json!("none"), none, true),
        ("one-where-none-may-be", json!("none"), one, false),
        ("zero-where-none-may-be", json!("none"), [0; 32], false),
        ("the-named-one", json!(hex::encode(one)), one, true),
        ("another-than-the-named-one", json!(hex::encode(one)), other, false),
        ("none-where-one-is-named", json!(hex::encode(one)), none, false),
        ("any", json!("any"), other, true),
    ];
    for (label, rule, agent, holds) in agents {
        let case = cases
            .snp(GENOA, "S6", &format!("migration-agent-{label}"))
            .policy(json!({ "migration_agent": rule }))
            .set(REPORT_ID_MA, &agent);
        if holds { case.accepted()? } else { case.refused("snp.report-id-ma")? }
    }
    cases
        .snp(GENOA, "S6", "migration-agent-in-the-report-id-by-default")
        .set(REPORT_ID_MA, &one)
        .refused("snp.report-id-ma")
}

/// S6: VMPL.
fn vmpl(cases: &mut Cases<'_>) -> Added {
    for asked in 0u8..=3 {
        for vmpl in 0u32..=4 {
            let case = cases
                .snp(GENOA, "S6", &format!("vmpl-{vmpl}-where-{asked}-is-asked-for"))
                .policy(json!({ "vmpl": asked }))
                .set(field::VMPL, &vmpl.to_le_bytes());
            if vmpl == u32::from(asked) { case.accepted()? } else { case.refused("snp.vmpl")? }
        }
        cases
            .snp(GENOA, "S6", &format!("host-requested-where-vmpl-{asked}-is-asked-for"))
            .policy(json!({ "vmpl": asked }))
            .set(field::VMPL, &u32::MAX.to_le_bytes())
            .refused("snp.vmpl.host")?;
    }
    for vmpl in [0x100u32, 0x0100_0000, u32::MAX - 1] {
        cases
            .snp(GENOA, "S6", &format!("vmpl-{vmpl:#x}"))
            .set(field::VMPL, &vmpl.to_le_bytes())
            .refused("snp.vmpl")?;
    }
    // Levels up to a highest one.
    for (vmpl, holds) in [(0u32, true), (2, true), (3, false)] {
        let case = cases
            .snp(GENOA, "S6", &format!("vmpl-{vmpl}-where-2-is-the-highest"))
            .policy(json!({ "max_vmpl": 2 }))
            .set(field::VMPL, &vmpl.to_le_bytes());
        if holds { case.accepted()? } else { case.refused("snp.vmpl")? }
    }
    Ok(())
}
