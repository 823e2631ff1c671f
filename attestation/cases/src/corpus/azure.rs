//! Paravisors: HCL reports, their claims, and quotes of the virtual TPM.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vouchsafe_protocol::evidence::PcrValue;
use vouchsafe_protocol::policy::Product;
use vouchsafe_simulation::hcl::{HclBuilder, hcl_field, report_data, runtime_claims};
use vouchsafe_simulation::tpm::{QuoteBuilder, TpmKeyKind};
use vouchsafe_simulation::{ReportBuilder, SimulationError, field};

use super::add::{Added, Cases, case, merge};
use super::boot;
use super::tpm_world::{pcr_file, policy_pcrs, values};
use crate::schema::{Case, Expect};

const GENOA: Product = Product::Genoa;

/// What a case changes. Starts right.
struct Paravisor {
    claims: Vec<u8>,
    report_data: Option<[u8; 64]>,
    report: fn(ReportBuilder) -> ReportBuilder,
    hcl: fn(&mut HclBuilder),
    after: Box<dyn FnOnce(&mut Vec<u8>)>,
    quote: fn(&mut QuoteBuilder),
    signed_with: TpmKeyKind,
    pcrs: Vec<PcrValue>,
    log: Option<Vec<u8>>,
    policy: Value,
}

pub(super) fn add(cases: &mut Cases<'_>) -> Added {
    good(cases)?;
    fields(cases)?;
    claims(cases)?;
    booted(cases)?;
    others(cases)
}

fn right(cases: &Cases<'_>) -> Result<Paravisor, SimulationError> {
    Ok(Paravisor {
        claims: claims_with(cases, &[0; 64])?,
        report_data: None,
        report: |report| report,
        hcl: |_| {},
        after: Box::new(|_| {}),
        quote: |_| {},
        signed_with: TpmKeyKind::RsaSsaSha256,
        pcrs: values(),
        log: None,
        policy: json!({}),
    })
}

fn claims_with(cases: &Cases<'_>, user_data: &[u8; 64]) -> Result<Vec<u8>, SimulationError> {
    let ak = cases.world.tpm.rekey(TpmKeyKind::RsaSsaSha256)?;
    let ek = cases.world.tpm.rekey(TpmKeyKind::RsaPssSha256)?;
    Ok(runtime_claims(&ak, &ek, user_data))
}

/// Adds a case, and for one that is about form alone its twin of kind hcl-parse.
fn put(cases: &mut Cases<'_>, id: &str, name: &str, paravisor: Paravisor, code: Option<&str>) -> Added {
    let Paravisor { claims, report_data: data, report, hcl, after, quote, signed_with, pcrs, log, policy } =
        paravisor;
    let world = cases.world;
    let chip = world.chip(GENOA);
    let data = data.unwrap_or_else(|| report_data(&claims));
    let report = report(world.report(chip).report_data(&data)).sign(chip)?;
    let mut builder = HclBuilder::new(&report, &claims);
    hcl(&mut builder);
    let mut bytes = builder.encode();
    after(&mut bytes);
    let key = world.tpm.rekey(signed_with)?;
    let mut attest = QuoteBuilder::over(signed_with, &pcrs, &world.nonce());
    quote(&mut attest);
    let attest = attest.encode();
    let mut rules = world.snp_policy(GENOA);
    merge(&mut rules, &json!({ "report_data": null, "pcrs": policy_pcrs(&pcrs) }));
    merge(&mut rules, &policy);
    let pcrs: Vec<_> = pcrs.iter().map(|pcr| (pcr.index, pcr.value.to_vec())).collect();
    let mut files = BTreeMap::from([
        ("hcl".to_owned(), bytes.clone()),
        ("vcek".to_owned(), chip.vek().to_vec()),
        ("ask".to_owned(), chip.issuer().to_vec()),
        ("ark".to_owned(), world.pki(GENOA).root().ark),
        ("sig".to_owned(), key.sign(&attest)?),
        ("quote".to_owned(), attest),
        ("pcrs".to_owned(), pcr_file("sha256", &pcrs)),
    ]);
    files.extend(log.map(|log| ("event_log".to_owned(), log)));
    let expect = if code.is_some() { Expect::Invalid } else { Expect::Valid };
    let whole = Case {
        kind: "azure-snp".to_owned(),
        product: Some("Genoa".to_owned()),
        introduction: Some(world.introduction.clone()),
        nonce: Some(hex::encode(world.nonce())),
        sig_format: Some("tpmt-signature".to_owned()),
        expect,
        code: code.map(str::to_owned),
        ..case(id, &format!("hcl-{name}"), rules)
    };
    cases.push(whole, files);
    if code.is_some_and(|code| code.starts_with("azure.hcl") || code.starts_with("azure.claims")) {
        let parse = Case {
            kind: "hcl-parse".to_owned(),
            expect,
            code: code.map(str::to_owned),
            ..case(id, &format!("hcl-{name}-alone"), json!({}))
        };
        cases.push(parse, BTreeMap::from([("hcl".to_owned(), bytes)]));
    }
    Ok(())
}

fn good(cases: &mut Cases<'_>) -> Added {
    let base = right(cases)?;
    put(cases, "B6", "good", base, None)?;
    let layouts: [(&str, fn(&mut HclBuilder)); 4] = [
        ("good-version-2", |hcl| hcl.version = 2),
        ("good-description-2", |hcl| hcl.data_version = 2),
        ("good-description-2-with-flags", |hcl| (hcl.data_version, hcl.capabilities) = (2, 0xff)),
        ("good-without-padding", |hcl| hcl.padded_len = 0),
    ];
    for (name, hcl) in layouts {
        let base = Paravisor { hcl, ..right(cases)? };
        put(cases, "T8", name, base, None)?;
    }
    let fresh = cases.world.report_data();
    let required = json!({ "user_data": "required" });
    let base = Paravisor { claims: claims_with(cases, &fresh)?, policy: required.clone(), ..right(cases)? };
    put(cases, "F3", "good-with-a-fresh-report", base, None)?;
    let base = Paravisor { policy: required.clone(), ..right(cases)? };
    put(
        cases,
        "F3",
        "report-of-another-statement-where-a-fresh-one-is-asked-for",
        base,
        Some("azure.user-data"),
    )?;
    let mut near = fresh;
    if let Some(last) = near.last_mut() {
        *last ^= 1;
    }
    let base = Paravisor { claims: claims_with(cases, &near)?, policy: required, ..right(cases)? };
    put(cases, "F3", "report-of-a-statement-that-differs-in-a-bit", base, Some("azure.user-data"))
}

/// Every field of the header and of the description.
fn fields(cases: &mut Cases<'_>) -> Added {
    let words: [(&str, usize, u32, &str); 21] = [
        ("magic-of-zeros", hcl_field::SIGNATURE, 0, "azure.hcl.magic"),
        ("magic-with-its-bytes-swapped", hcl_field::SIGNATURE, 0x4843_4c41, "azure.hcl.magic"),
        ("version-0", hcl_field::VERSION, 0, "azure.hcl.version"),
        ("version-3", hcl_field::VERSION, 3, "azure.hcl.version"),
        ("request-0", hcl_field::REQUEST_TYPE, 0, "azure.hcl.request-type"),
        ("request-1", hcl_field::REQUEST_TYPE, 1, "azure.hcl.request-type"),
        ("request-3", hcl_field::REQUEST_TYPE, 3, "azure.hcl.request-type"),
        ("status-1", hcl_field::STATUS, 1, "azure.hcl.reserved"),
        ("reserved-1", hcl_field::RESERVED, 1, "azure.hcl.reserved"),
        ("last-reserved", hcl_field::REPORT - 4, 0x8000_0000, "azure.hcl.reserved"),
        ("description-0", hcl_field::DATA_VERSION, 0, "azure.hcl.data-version"),
        ("description-3", hcl_field::DATA_VERSION, 3, "azure.hcl.data-version"),
        ("of-vbs", hcl_field::REPORT_TYPE, 1, "azure.hcl.report-type"),
        ("of-no-tee", hcl_field::REPORT_TYPE, 3, "azure.hcl.report-type"),
        ("of-tdx", hcl_field::REPORT_TYPE, 4, "azure.hcl.report-type"),
        ("hash-0", hcl_field::HASH_TYPE, 0, "azure.hcl.hash-type"),
        ("hash-sha384", hcl_field::HASH_TYPE, 2, "azure.hcl.hash-type"),
        ("hash-sha512", hcl_field::HASH_TYPE, 3, "azure.hcl.hash-type"),
        ("no-claims", hcl_field::CLAIMS_SIZE, 0, "azure.hcl.claims-length"),
        ("claims-of-2-to-the-31", hcl_field::CLAIMS_SIZE, 0x8000_0000, "azure.hcl.claims-length"),
        ("claims-of-the-most-bytes", hcl_field::CLAIMS_SIZE, u32::MAX, "azure.hcl.claims-length"),
    ];
    for (name, offset, value, code) in words {
        let after = Box::new(move |bytes: &mut Vec<u8>| set(bytes, offset, &value.to_le_bytes()));
        let base = Paravisor { after, ..right(cases)? };
        put(cases, "T8", name, base, Some(code))?;
    }
    let sums: [(&str, usize, i32, &str); 6] = [
        ("claims-one-longer", hcl_field::CLAIMS_SIZE, 1, "azure.hcl.data-length"),
        ("claims-one-shorter", hcl_field::CLAIMS_SIZE, -1, "azure.hcl.data-length"),
        ("description-one-longer", hcl_field::DATA_SIZE, 1, "azure.hcl.data-length"),
        ("description-one-shorter", hcl_field::DATA_SIZE, -1, "azure.hcl.data-length"),
        ("report-one-longer", hcl_field::REPORT_SIZE, 1, "azure.hcl.report-length"),
        ("report-one-shorter", hcl_field::REPORT_SIZE, -1, "azure.hcl.report-length"),
    ];
    for (name, offset, by, code) in sums {
        let after = Box::new(move |bytes: &mut Vec<u8>| {
            let word: Option<[u8; 4]> = bytes.get(offset..offset + 4).and_then(|word| word.try_into().ok());
            let value = u32::from_le_bytes(word.unwrap_or_default()).saturating_add_signed(by);
            set(bytes, offset, &value.to_le_bytes());
        });
        let base = Paravisor { after, ..right(cases)? };
        put(cases, "T8", name, base, Some(code))?;
    }
    let lengths: [(&str, usize); 5] = [
        ("empty", 0),
        ("of-31-bytes", 31),
        ("of-1235-bytes", 1235),
        ("of-9000-bytes", 9000),
        ("of-4-bytes", 4),
    ];
    for (name, len) in lengths {
        let after = Box::new(move |bytes: &mut Vec<u8>| bytes.resize(len, 0));
        let base = Paravisor { after, ..right(cases)? };
        put(cases, "S16", name, base, Some("azure.hcl.length"))?;
    }
    let base = Paravisor {
        after: Box::new(|bytes| {
            if let Some(last) = bytes.last_mut() {
                *last = 1;
            }
        }),
        ..right(cases)?
    };
    put(cases, "T8", "byte-behind-the-claims", base, Some("azure.hcl.trailing"))?;
    let base = Paravisor {
        after: Box::new(|bytes| {
            if let Some(byte) = bytes.get_mut(hcl_field::CLAIMS + 20) {
                *byte ^= 1;
            }
        }),
        ..right(cases)?
    };
    put(cases, "B5", "claims-changed", base, Some("azure.hcl.report-data"))?;
    let mut tail = report_data(&claims_with(cases, &[0; 64])?);
    if let Some(last) = tail.last_mut() {
        *last = 1;
    }
    let base = Paravisor { report_data: Some(tail), ..right(cases)? };
    put(cases, "B4", "report-data-with-a-tail", base, Some("azure.hcl.report-data-tail"))
}

fn set(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes.iter_mut().skip(offset).zip(value).for_each(|(to, from)| *to = *from);
}

/// Claims that a real report vouches for, and that cannot be used.
fn claims(cases: &mut Cases<'_>) -> Added {
    let right_claims = String::from_utf8_lossy(&claims_with(cases, &[0; 64])?).into_owned();
    let swap = |from: &str, to: &str| right_claims.replacen(from, to, 1).into_bytes();
    let ak = cases.world.tpm.rekey(TpmKeyKind::RsaSsaSha256)?.jwk("HCLAkPub", "sign");
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let texts: Vec<(&str, Vec<u8>, &str)> = vec![
        ("of-another-name", swap("HCLAkPub", "HCLAkPub2"), "azure.claims.ak-missing"),
        ("without-keys", swap("\"keys\"", "\"locks\""), "azure.claims.keys"),
        ("with-keys-that-are-no-list", swap("\"keys\":[", "\"keys\":7,\"more\":["), "azure.claims.keys"),
        ("with-two-keys-of-the-name", swap("HCLEkPub", "HCLAkPub"), "azure.claims.ak-twice"),
        (
            "with-a-member-twice",
            swap("\"keys\":[", &format!("\"keys\":[{ak}],\"keys\":[")),
            "azure.claims.duplicate-member",
        ),
        ("with-an-elliptic-key", swap("\"kty\":\"RSA\"", "\"kty\":\"EC\""), "azure.claims.key-type"),
        (
            "with-a-key-for-encryption",
            swap("\"kty\":\"RSA\"", "\"kty\":\"RSA\",\"use\":\"enc\""),
            "azure.claims.key-use",
        ),
        ("with-exponent-3", swap("\"e\":\"AQAB\"", "\"e\":\"Aw\""), "azure.claims.exponent"),
        ("with-a-padded-exponent", swap("\"e\":\"AQAB\"", "\"e\":\"AAEAAQ\""), "azure.claims.exponent"),
        ("with-a-short-modulus", swap("\"n\":\"", "\"n\":\"AQ\",\"x\":\""), "azure.claims.modulus"),
        ("with-short-user-data", swap("\"user-data\":\"00", "\"user-data\":\""), "azure.claims.user-data"),
        (
            "with-user-data-that-is-no-hexadecimal",
            swap("\"user-data\":\"00", "\"user-data\":\"zz"),
            "azure.claims.user-data",
        ),
        (
            "with-a-machine-that-is-a-number",
            swap("\"vm-configuration\":{", "\"vm-configuration\":7,\"x\":{"),
            "azure.claims.vm-configuration",
        ),
        ("that-are-a-list", b"[]".to_vec(), "azure.claims.malformed"),
        (
            "that-are-cut",
            right_claims.as_bytes().iter().copied().take(50).collect(),
            "azure.claims.malformed",
        ),
        (
            "that-are-two",
            [right_claims.as_bytes(), right_claims.as_bytes()].concat(),
            "azure.claims.malformed",
        ),
        ("that-are-no-utf-8", vec![b'{', 0xff, b'}'], "azure.claims.malformed"),
        ("that-are-deep", swap("\"keys\"", &format!("\"deep\":{deep},\"keys\"")), "azure.claims.too-deep"),
    ];
    for (name, claims, code) in texts {
        let hcl: fn(&mut HclBuilder) = |hcl| hcl.padded_len = 0;
        let base = Paravisor { claims, hcl, ..right(cases)? };
        put(cases, "T8", &format!("claims-{name}"), base, Some(code))?;
    }
    Ok(())
}

/// Boots that are judged by the events of their logs.
fn booted(cases: &mut Cases<'_>) -> Added {
    let events = boot::boot();
    let cut: Vec<_> = events.iter().skip(1).cloned().collect();
    let other = [events.clone(), vec![boot::event(11, boot::IPL, b"leave-initrd")]].concat();
    let boots = [
        ("T6", "good-judged-by-its-log", &events, &events, None),
        ("T7", "log-of-another-boot", &events, &cut, Some("tpm.log.replay")),
        ("T7", "log-beyond-the-phase", &other, &other, Some("tpm.event.boot-phase")),
    ];
    for (id, name, booted, logged, code) in boots {
        let pcrs = boot::replay(booted, &boot::JUDGED, 0);
        let log = Some(boot::encode(logged));
        put(cases, id, name, Paravisor { pcrs, log, policy: boot::policy(), ..right(cases)? }, code)?;
    }
    let pcrs = boot::replay(&events, &boot::JUDGED, 0);
    let base = Paravisor { pcrs, policy: boot::policy(), ..right(cases)? };
    put(cases, "T7", "log-missing", base, Some("tpm.log.missing"))
}

/// What the SNP report, the quote and the policy say.
fn others(cases: &mut Cases<'_>) -> Added {
    let reports: [(&str, &str, fn(ReportBuilder) -> ReportBuilder, &str); 4] = [
        (
            "S6",
            "of-a-debug-guest",
            |report| report.set(field::POLICY, &0xb_0000u64.to_le_bytes()),
            "snp.policy.debug",
        ),
        (
            "B5",
            "of-another-paravisor",
            |report| report.set(field::MEASUREMENT, &[0x4e; 48]),
            "snp.measurement",
        ),
        ("S4", "of-another-chip", |report| report.set(field::CHIP_ID, &[0xc2; 64]), "snp.vek.chip"),
        (
            "S6",
            "asked-for-by-the-host",
            |report| report.set(field::VMPL, &u32::MAX.to_le_bytes()),
            "snp.vmpl.host",
        ),
    ];
    for (id, name, report, code) in reports {
        let base = Paravisor { report, ..right(cases)? };
        put(cases, id, name, base, Some(code))?;
    }
    let quotes: [(&str, &str, fn(&mut QuoteBuilder), &str); 5] = [
        ("T1", "quote-of-another-type", |quote| quote.kind = 0x8017, "tpm.quote.type"),
        ("T1", "quote-without-magic", |quote| quote.magic = 0, "tpm.quote.magic"),
        ("F3", "quote-of-another-statement", |quote| quote.extra_data = vec![0; 32], "evidence.statement"),
        ("T2", "quote-of-no-pcr", |quote| quote.selection.clear(), "tpm.pcr.selection"),
        ("T10", "quote-of-other-values", |quote| quote.pcr_digest = vec![0; 32], "tpm.pcr.digest"),
    ];
    for (id, name, quote, code) in quotes {
        let base = Paravisor { quote, ..right(cases)? };
        put(cases, id, name, base, Some(code))?;
    }
    let base = Paravisor { signed_with: TpmKeyKind::RsaPssSha256, ..right(cases)? };
    put(cases, "T5", "quote-signed-in-another-way", base, Some("tpm.signature.scheme"))?;
    let base = Paravisor { signed_with: TpmKeyKind::EcdsaP256, ..right(cases)? };
    put(cases, "T5", "quote-by-a-key-that-the-claims-do-not-name", base, Some("tpm.signature.scheme"))?;
    let base = Paravisor { policy: json!({ "pcrs": { "7": [hex::encode([1; 32])] } }), ..right(cases)? };
    put(cases, "T10", "pcr-with-another-value", base, Some("tpm.pcr.value"))
}
