//! `vouchsafe evidence seen`: what the evidence behind live identities showed, as the vault keeps it.

use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde_json::{Value, json};
use vouchsafe_protocol::codec;
use vouchsafe_protocol::evidence::PcrValue;
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::policy::TpmKind;
use vouchsafe_protocol::seen::{SeenEvidence, SeenFacts, SeenQuote, SeenReport};

use crate::context::{Context, rfc3339};
use crate::evidence::EvidenceCommand;
use crate::failure::{Problem, is_not_found, kebab};
use crate::output::Output;

/// Offset of MEASUREMENT in a report (AMD 56860, table 23).
const MEASUREMENT: std::ops::Range<usize> = 0x90..0xC0;

/// Subcommands of `vouchsafe evidence`: those that need no vault, and those that ask one.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one")]
pub(crate) enum VaultEvidenceCommand {
    #[command(flatten)]
    Offline(EvidenceCommand),
    /// Accept a TPM again that was cleared or set back on purpose; operators only
    ///
    /// The vault remembers the newest clock of every TPM that it has seen, and refuses one that goes back: its state
    /// may have been copied. This forgets one.
    #[command(
        after_help = "Examples:\n  vouchsafe evidence seen --output json | jq -r '.seen[].clock.key'\n  \
        vouchsafe evidence forget-tpm 8f4b…"
    )]
    ForgetTpm {
        /// Name of its attestation key, as 'evidence seen' shows it: 64 hexadecimal digits
        key: String,
    },
    /// Show what the evidence of every live identity showed; operators only
    ///
    /// With --output json each record also holds the evidence itself, in base64: what 'vouchsafe policy plan' reads.
    #[command(
        after_help = "Examples:\n  vouchsafe evidence seen\n  vouchsafe evidence seen --output json > seen.json"
    )]
    Seen,
}

/// `evidence seen`.
pub(crate) async fn run(context: &Context) -> Result<Output> {
    let conversation = context.as_operator(None).await?;
    let seen = conversation.session.seen_evidence().list().await.context("cannot list seen evidence");
    let ((records, forgotten), end) = conversation.conclude(&context.home, seen).await?;
    let mut text: Vec<String> = records.iter().map(line).collect();
    if records.is_empty() {
        text.push("no agent has a live identity".to_owned());
    }
    if forgotten > 0 {
        text.push(format!(
            "{forgotten} records were forgotten for want of room: their identities are not listed"
        ));
    }
    let records = records.iter().map(record).collect::<Result<Vec<_>>>()?;
    Ok(Output::new(text.join("\n"), json!({ "seen": records, "forgotten": forgotten })).after(end))
}

/// `evidence forget-tpm`.
pub(crate) async fn forget_tpm(key: &str, context: &Context) -> Result<Output> {
    let bytes: Option<[u8; 32]> = hex::decode(key).ok().and_then(|bytes| bytes.try_into().ok());
    let bytes = bytes.ok_or_else(|| {
        Problem::usage("a TPM key is named by 64 hexadecimal digits")
            .hint("'vouchsafe evidence seen' shows them")
    })?;
    let conversation = context.as_operator(None).await?;
    let forgotten = conversation.session.seen_evidence().forget_tpm(bytes).await;
    let forgotten = forgotten.map_err(|error| match is_not_found(&error) {
        true => anyhow::Error::new(error).context(
            Problem::new("refused.not-found", "the vault has seen no such TPM key").hint(
                "'vouchsafe evidence seen' shows those of live identities; the audit log has the others",
            ),
        ),
        false => anyhow::Error::new(error).context("the TPM was not forgotten"),
    });
    let ((), end) = conversation.conclude(&context.home, forgotten).await?;
    let text = format!("forgot the clock of TPM key {key}: its next quote is taken as its first");
    Ok(Output::new(text, json!({ "forgotten": key })).after(end))
}

/// `web #3 spiffe://…/web, snp genoa 0707…, rule 1, at …, until …`
fn line(seen: &SeenEvidence) -> String {
    let simulated = match seen.anchor_class {
        AnchorClass::Hardware => "",
        AnchorClass::Simulated => "simulated ",
    };
    let shown = match &seen.facts {
        SeenFacts::Snp(snp) => format!("snp {}", report(snp)),
        SeenFacts::SnpVtpm(vtpm) => format!("snp-vtpm {}, {}", report(&vtpm.snp), quote(&vtpm.quote)),
        SeenFacts::Tpm(tpm) => format!("tpm of {}, {}", tpm.anchor, quote(&tpm.quote)),
    };
    let warnings = match seen.warnings.as_slice() {
        [] => String::new(),
        some => format!(", WARNING {}", some.join(", ")),
    };
    format!(
        "{} (identity {})  {simulated}{shown}, rule {}{warnings}, at {}, until {}",
        seen.spiffe_id,
        seen.identity,
        u64::from(seen.rule) + 1,
        rfc3339(seen.at_unix_secs),
        rfc3339(seen.not_after_unix_secs.min(seen.evidence_until_unix_secs)),
    )
}

fn report(snp: &SeenReport) -> String {
    let measurement = hex::encode(snp.report.get(MEASUREMENT).unwrap_or_default());
    let short = measurement.get(..16).unwrap_or(&measurement);
    format!("{} measurement {short}…", kebab(&format!("{:?}", snp.product)))
}

fn quote(quote: &SeenQuote) -> String {
    let pcrs: Vec<String> = quote.pcrs.iter().map(|pcr| pcr.index.to_string()).collect();
    let dropped = if quote.logs_dropped { ", log not kept" } else { "" };
    format!("PCRs {}{dropped}", pcrs.join(" "))
}

/// A record as a program reads it; `record` is the whole of it, encoded as the protocol encodes it.
fn record(seen: &SeenEvidence) -> Result<Value> {
    let mut value = json!({
        "role": seen.role.as_str(),
        "role_sha256": hex::encode(seen.role_digest),
        "identity": seen.identity,
        "spiffe_id": seen.spiffe_id,
        "at_secs": seen.at_unix_secs,
        "not_after_secs": seen.not_after_unix_secs,
        "evidence_until_secs": seen.evidence_until_unix_secs,
        "evidence_sha256": hex::encode(seen.evidence_digest),
        "platform": hex::encode(&seen.platform),
        "simulated": seen.anchor_class == AnchorClass::Simulated,
        "rule": u64::from(seen.rule) + 1,
        "warnings": seen.warnings,
        "facts": facts(&seen.facts),
        "record": base64::Engine::encode(&base64::prelude::BASE64_STANDARD, codec::encode(seen)?),
    });
    if let (Some(clock), Some(value)) = (seen.clock, value.as_object_mut()) {
        let clock = json!({
            "key": hex::encode(clock.key),
            "clock_millis": clock.clock_millis,
            "reset_count": clock.reset_count,
            "restart_count": clock.restart_count,
            "safe": clock.safe,
        });
        value.insert("clock".to_owned(), clock);
    }
    Ok(value)
}

fn facts(facts: &SeenFacts) -> Value {
    let report = |snp: &SeenReport| {
        json!({
            "product": kebab(&format!("{:?}", snp.product)),
            "provider": snp.provider.as_ref().map(|provider| provider.0.clone()),
            "measurement": hex::encode(snp.report.get(MEASUREMENT).unwrap_or_default()),
        })
    };
    let quote = |quote: &SeenQuote| {
        let pcr = |pcr: &PcrValue| (pcr.index.to_string(), Value::from(hex::encode(pcr.value)));
        let pcrs: serde_json::Map<_, _> = quote.pcrs.iter().map(pcr).collect();
        json!({ "pcrs": pcrs, "logs_dropped": quote.logs_dropped })
    };
    match facts {
        SeenFacts::Snp(snp) => json!({ "kind": "snp", "report": report(snp) }),
        SeenFacts::SnpVtpm(vtpm) => json!({
            "kind": "snp-vtpm",
            "report": report(&vtpm.snp),
            "quote": quote(&vtpm.quote),
            "fresh_report": vtpm.user_data_is_statement,
        }),
        SeenFacts::Tpm(tpm) => json!({
            "kind": "tpm",
            "anchor": tpm.anchor.as_str(),
            "tpm_kind": match tpm.kind {
                TpmKind::Hardware => "hardware",
                TpmKind::HostVirtual => "host-virtual",
            },
            "key_sha256": hex::encode(tpm.spki_digest),
            "quote": quote(&tpm.quote),
        }),
    }
}
