//! What was collected as a directory with one case.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};
use vouchsafe_attestation::azure::HclReport;
use vouchsafe_attestation::snp::report::{Report, SigningKey};
use vouchsafe_attestation::statement::StatementPreimage;
use vouchsafe_evidence::schema::{AmdRootFiles, SCHEMA};
use vouchsafe_evidence::{Case, Document, Expect, Suite};
use vouchsafe_platform::collect::Collected;
use vouchsafe_protocol::anchors::SimulatedRoot;
use vouchsafe_protocol::evidence::{
    AkProof, Evidence, Logs, PcrValue, SnpEndorsements, SnpEvidence, SnpVtpmEvidence, TpmEvidence, TpmKeys,
};

use super::super::words;

/// When and over what.
pub(super) struct Context<'a> {
    /// RFC 3339.
    pub(super) at: String,
    pub(super) nonce: &'a [u8],
    pub(super) statement: &'a StatementPreimage,
}

/// A file of the bundle.
pub(super) struct Part {
    /// Its name in the case.
    pub(super) name: String,
    pub(super) len: usize,
    pub(super) what: &'static str,
}

/// Files by part: where each is stored, what it is for people, and its contents.
#[derive(Default)]
struct Files(Vec<(String, String, &'static str, Vec<u8>)>);

impl Files {
    fn add(&mut self, part: &str, file: &str, what: &'static str, bytes: Vec<u8>) {
        self.0.push((part.to_owned(), file.to_owned(), what, bytes));
    }

    fn add_if(&mut self, part: &str, file: &str, what: &'static str, bytes: Option<Vec<u8>>) {
        if let Some(bytes) = bytes {
            self.add(part, file, what, bytes);
        }
    }
}

/// The bundle, and what is in it. A simulated machine's root becomes the only anchor of its document, so that nobody
/// takes it for a real one.
pub(super) fn suite(collected: Collected, context: Context<'_>) -> Result<(Suite, Vec<Part>)> {
    let Context { at, nonce, statement } = context;
    let Collected { evidence, keys, banks, simulated_root, missing: _ } = collected;
    let mut files = Files::default();
    let mut case =
        Case { name: "collected".to_owned(), expect: Expect::Valid, at: Some(at), ..Case::default() };
    case.facts = Some(json!({
        "nonce": hex::encode(nonce),
        "simulated": simulated_root.is_some(),
        "collected_by": concat!("vouchsafe ", env!("CARGO_PKG_VERSION")),
    }));
    let (report_data, qualifying_data) = (statement.snp_report_data(), statement.tpm_qualifying_data());
    match evidence {
        Evidence::Snp(SnpEvidence { report, endorsements }) => {
            case.kind = "snp-report".to_owned();
            case.policy = Some(json!({ "report_data": hex::encode(report_data) }));
            case.product = product(&report);
            add_endorsements(&mut files, &report, endorsements);
            files.add("report", "report.bin", "attestation report", report);
        }
        Evidence::SnpVtpm(evidence) => {
            let SnpVtpmEvidence { hcl_report, endorsements, quote, signature, pcrs, logs } = *evidence;
            case.kind = "azure-snp".to_owned();
            case.nonce = Some(hex::encode(qualifying_data));
            case.sig_format = Some("tpmt-signature".to_owned());
            let report =
                HclReport::parse(&hcl_report).map(|hcl| hcl.snp_report().to_vec()).unwrap_or_default();
            case.product = product(&report);
            add_endorsements(&mut files, &report, endorsements);
            files.add("hcl", "hcl.bin", "report of the paravisor", hcl_report);
            add_quote(&mut files, quote, signature, &pcrs)?;
            add_logs(&mut files, logs);
        }
        Evidence::Tpm(TpmEvidence { quote, signature, ak_public, pcrs, logs }) => {
            case.kind = "tpm-quote".to_owned();
            case.nonce = Some(hex::encode(qualifying_data));
            case.sig_format = Some("tpmt-signature".to_owned());
            files.add("ak_public", "ak.tpmt", "public area of the attestation key", ak_public);
            add_quote(&mut files, quote, signature, &pcrs)?;
            add_logs(&mut files, logs);
            add_keys(&mut files, keys);
            let banks = banks.iter().map(|bank| {
                let values = bank.values.iter().map(|(pcr, value)| (pcr.to_string(), hex::encode(value)));
                (bank.name, values.collect::<BTreeMap<_, _>>())
            });
            if let Some(facts) = case.facts.as_mut().and_then(Value::as_object_mut) {
                facts.insert("banks_as_read".to_owned(), json!(banks.collect::<BTreeMap<_, _>>()));
            }
        }
    }
    let anchors = simulated_root.map(|root| add_root(&mut files, root));
    let parts =
        files.0.iter().map(|(name, _, what, bytes)| Part { name: name.clone(), len: bytes.len(), what });
    let parts = parts.collect();
    // The anchors' files belong to the document.
    let of_case = files.0.iter().filter(|(part, ..)| !part.starts_with("anchor"));
    case.files = of_case.map(|(part, file, ..)| (part.clone(), file.clone())).collect();
    let document = Document { schema: SCHEMA, anchors, cases: vec![case], ..Document::default() };
    let files = files.0.into_iter().map(|(_, file, _, bytes)| (file, bytes)).collect();
    Ok((Suite { document, files }, parts))
}

/// "Milan", "Genoa" or "Turin", if the report says.
fn product(report: &[u8]) -> Option<String> {
    let product = Report::parse(report).ok()?.cpuid?.product()?;
    Some(words::product(product).to_owned())
}

fn add_endorsements(files: &mut Files, report: &[u8], endorsements: SnpEndorsements) {
    let SnpEndorsements { vek, intermediate, crl } = endorsements;
    let vlek = Report::parse(report).is_ok_and(|report| report.signing_key == SigningKey::Vlek);
    match vlek {
        true => {
            files.add_if("vlek", "vlek.der", "certificate of the VLEK", vek);
            files.add_if("ask", "asvk.der", "certificate of its issuer", intermediate);
        }
        false => {
            files.add_if("vcek", "vcek.der", "certificate of the VCEK", vek);
            files.add_if("ask", "ask.der", "certificate of its issuer", intermediate);
        }
    }
    files.add_if("crl", "crl.der", "revocation list", crl);
}

fn add_quote(files: &mut Files, quote: Vec<u8>, signature: Vec<u8>, pcrs: &[PcrValue]) -> Result<()> {
    files.add("quote", "quote.bin", "quote (TPMS_ATTEST)", quote);
    files.add("sig", "quote.sig", "its signature (TPMT_SIGNATURE)", signature);
    let values = pcrs.iter().map(|pcr| (pcr.index.to_string(), hex::encode(pcr.value)));
    let values = json!({ "bank": "sha256", "pcrs": values.collect::<BTreeMap<_, _>>() });
    files.add("pcrs", "pcrs.json", "values of the quoted PCRs", serde_json::to_vec_pretty(&values)?);
    Ok(())
}

fn add_logs(files: &mut Files, logs: Logs) {
    let Logs { boot, ima } = logs;
    files.add_if("event_log", "event-log.bin", "boot event log", boot);
    files.add_if("ima_log", "ima-log.bin", "IMA log", ima);
}

fn add_keys(files: &mut Files, keys: Option<TpmKeys>) {
    match keys.map(|keys| keys.proof) {
        None => {}
        Some(AkProof::Certificate { ak_chain }) => {
            add_chain(files, ("akcert", "certificate of the attestation key"), "ak_intermediate", ak_chain);
        }
        Some(AkProof::Credential { ek_chain, ek_public }) => {
            files.add("ek_public", "ek.tpmt", "public area of the endorsement key", ek_public);
            add_chain(files, ("ekcert", "certificate of the endorsement key"), "ek_intermediate", ek_chain);
        }
    }
}

fn add_chain(files: &mut Files, leaf: (&str, &'static str), above: &str, chain: Vec<Vec<u8>>) {
    let (part, what) = leaf;
    for (number, certificate) in chain.into_iter().enumerate() {
        match number {
            0 => files.add(part, &format!("{part}.der"), what, certificate),
            _ => {
                let part = format!("{above}{number}");
                files.add(&part, &format!("{part}.der"), "certificate above it", certificate);
            }
        }
    }
}

fn add_root(files: &mut Files, root: SimulatedRoot) -> BTreeMap<String, AmdRootFiles> {
    let SimulatedRoot { product, ark, ask } = root;
    files.add("anchor_ark", "simulated-ark.der", "root of the SIMULATED fleet", ark);
    files.add("anchor_ask", "simulated-ask.der", "its intermediate", ask);
    let names = AmdRootFiles { ark: "simulated-ark.der".to_owned(), ask: "simulated-ask.der".to_owned() };
    BTreeMap::from([(words::product(product).to_owned(), names)])
}
