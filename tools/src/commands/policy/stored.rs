//! Evidence from a directory: what `vouchsafe evidence collect` writes, or a case of a `cases.json`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use vouchsafe_evidence::schema::{Case, Files};
use vouchsafe_evidence::{Suite, pem};
use vouchsafe_protocol::evidence::{
    AkProof, Evidence, Logs, PcrValue, SnpEndorsements, SnpEvidence, SnpVtpmEvidence, TpmEvidence, TpmKeys,
};

use crate::failure::Problem;

/// Most certificates of one chain that are looked for.
const CHAIN: usize = 16;

/// Evidence as a vault would be shown it.
pub(super) struct Stored {
    pub(super) evidence: Evidence,
    /// What a TPM shows of its keys.
    pub(super) keys: Option<TpmKeys>,
}

/// Reads a directory; `name` says which case, if there are several.
pub(super) fn read(dir: &Path, name: Option<&str>) -> Result<Stored> {
    let suite = Suite::read(dir).with_context(|| format!("{} holds no evidence", dir.display()))?;
    let case = one_case(&suite, name)?;
    let parts = Parts { case, files: suite.files_of(case) };
    parts.evidence().with_context(|| format!("case '{}' cannot be used", case.name))
}

fn one_case<'a>(suite: &'a Suite, name: Option<&str>) -> Result<&'a Case> {
    let cases = &suite.document.cases;
    match (name, cases.as_slice()) {
        (None, [one]) => Ok(one),
        (None, _) => {
            let message = format!("there are {} cases in this directory", cases.len());
            Err(Problem::usage(message).hint("say which with --case NAME").into())
        }
        (Some(name), _) => cases.iter().find(|case| case.name == name).ok_or_else(|| {
            let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).take(20).collect();
            let hint = format!("some of those there are: {}", names.join(", "));
            Problem::usage(format!("there is no case '{name}' in this directory")).hint(hint).into()
        }),
    }
}

struct Parts<'a> {
    case: &'a Case,
    files: Files,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PcrFile {
    One { bank: String, pcrs: BTreeMap<String, String> },
    Several { banks: BTreeMap<String, BTreeMap<String, String>> },
}

impl Parts<'_> {
    fn evidence(&self) -> Result<Stored> {
        let snp_only = |evidence| Stored { evidence, keys: None };
        match self.case.kind.as_str() {
            "snp-report" => {
                let report = self.file("report")?;
                Ok(snp_only(Evidence::Snp(SnpEvidence { report, endorsements: self.endorsements()? })))
            }
            "azure-snp" => {
                let evidence = SnpVtpmEvidence {
                    hcl_report: self.file("hcl")?,
                    endorsements: self.endorsements()?,
                    quote: self.file("quote")?,
                    signature: self.signature()?,
                    pcrs: self.pcrs()?,
                    logs: self.logs(),
                };
                Ok(snp_only(Evidence::SnpVtpm(Box::new(evidence))))
            }
            "tpm-quote" => {
                let ak_public = self.file("ak_public")?;
                let evidence = TpmEvidence {
                    quote: self.file("quote")?,
                    signature: self.signature()?,
                    ak_public: ak_public.clone(),
                    pcrs: self.pcrs()?,
                    logs: self.logs(),
                };
                let keys = self.proof()?.map(|proof| TpmKeys { ak_public, proof });
                Ok(Stored { evidence: Evidence::Tpm(evidence), keys })
            }
            kind => {
                let message = format!("evidence of kind '{kind}' is nothing that a role can accept");
                Err(Problem::new("not-supported", message)
                    .hint("roles accept snp-report, azure-snp and tpm-quote")
                    .into())
            }
        }
    }

    fn file(&self, part: &str) -> Result<Vec<u8>> {
        self.files.get(part).cloned().ok_or_else(|| {
            Problem::new("malformed-file", format!("it has no file '{part}'"))
                .hint("'vouchsafe evidence collect' writes what a vault asks for")
                .into()
        })
    }

    fn der(&self, part: &str) -> Result<Option<Vec<u8>>> {
        self.files.get(part).map(|bytes| pem::to_der(bytes).with_context(|| format!("'{part}'"))).transpose()
    }

    fn endorsements(&self) -> Result<SnpEndorsements> {
        let vek = self.der("vcek")?.or(self.der("vlek")?);
        Ok(SnpEndorsements { vek, intermediate: self.der("ask")?, crl: self.der("crl")? })
    }

    fn logs(&self) -> Logs {
        let log = |part: &str| self.files.get(part).cloned();
        Logs { boot: log("event_log"), ima: log("ima_log") }
    }

    /// `TPMT_SIGNATURE`; a bare one is RSASSA with SHA-256 (TPM 2.0 Part 2, section 11.3.4).
    fn signature(&self) -> Result<Vec<u8>> {
        let bytes = self.file("sig")?;
        match self.case.sig_format.as_deref() {
            Some("raw-rsassa-sha256") => {
                let len = u16::try_from(bytes.len()).context("the signature is too long")?;
                Ok([[0x00, 0x14, 0x00, 0x0b].as_slice(), &len.to_be_bytes(), &bytes].concat())
            }
            Some("tpmt-signature") | None => Ok(bytes),
            Some(other) => {
                Err(Problem::new("not-supported", format!("signature format '{other}' is not known")).into())
            }
        }
    }

    /// The SHA-256 values, ascending.
    fn pcrs(&self) -> Result<Vec<PcrValue>> {
        let file = serde_json::from_slice(&self.file("pcrs")?).context("the PCR values cannot be read")?;
        let banks = match file {
            PcrFile::One { bank, pcrs } => BTreeMap::from([(bank, pcrs)]),
            PcrFile::Several { banks } => banks,
        };
        let values = banks.get("sha256").into_iter().flatten().map(|(index, value)| {
            let index = index.parse().context("a PCR index is no number")?;
            let value = hex::decode(value).ok().and_then(|value| value.try_into().ok());
            Ok(PcrValue { index, value: value.context("a PCR value has not 64 hexadecimal digits")? })
        });
        let mut values: Vec<PcrValue> = values.collect::<Result<_>>()?;
        values.sort_unstable();
        Ok(values)
    }

    /// What shows that the key is a TPM's: its certificate before a credential.
    fn proof(&self) -> Result<Option<AkProof>> {
        let chain = |leaf: &str, intermediate: &str| -> Result<Vec<Vec<u8>>> {
            let mut chain: Vec<Vec<u8>> = self.der(leaf)?.into_iter().collect();
            for number in 1..=CHAIN {
                let Some(der) = self.der(&format!("{intermediate}{number}"))? else { break };
                chain.push(der);
            }
            Ok(chain)
        };
        let ak_chain = chain("akcert", "ak_intermediate")?;
        if !ak_chain.is_empty() {
            return Ok(Some(AkProof::Certificate { ak_chain }));
        }
        let ek_chain = chain("ekcert", "ek_intermediate")?;
        if ek_chain.is_empty() {
            return Ok(None);
        }
        Ok(Some(AkProof::Credential { ek_chain, ek_public: self.file("ek_public")? }))
    }
}
