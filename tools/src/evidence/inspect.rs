//! `evidence inspect`: which machine it is, what is old, what is missing, and then every field. Tells what a file is
//! from its bytes; verifies nothing.

mod findings;
mod structures;

use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};
use vouchsafe_attestation::azure::HclReport;
use vouchsafe_attestation::log::EventLog;
use vouchsafe_attestation::log::ima::ImaLog;
use vouchsafe_attestation::snp::crl::{CrlError, RevocationList};
use vouchsafe_attestation::snp::report::{REPORT_LEN, Report};
use vouchsafe_attestation::snp::roots::AmdRoots;
use vouchsafe_attestation::tpm::attest::Quote;
use vouchsafe_attestation::tpm::public::Public;
use vouchsafe_attestation::tpm::signature::QuoteSignature;
use vouchsafe_attestation::x509::Certificate;
use vouchsafe_evidence::Bundle;
use vouchsafe_evidence::pem::to_der;
use vouchsafe_protocol::anchors::AmdAnchors;

use self::findings::Findings;
use super::{read, time_or_now};
use crate::failure::Problem;

/// What a file is.
pub(super) enum Piece {
    Certificate(Box<Certificate>),
    Crl,
    EventLog,
    Hcl,
    ImaLog,
    Public(Box<Public>),
    Quote(Box<Quote>),
    Report(Box<Report>),
    Signature(Box<QuoteSignature>),
}

/// What a file, or the files of a bundle, say.
pub(super) struct Shown {
    /// What it is.
    kind: String,
    findings: Findings,
    fields: Vec<Field>,
}

/// One field: a text, or more fields.
#[derive(Debug)]
pub(super) struct Field {
    name: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Text(String),
    Fields(Vec<Field>),
}

/// A field with a text.
fn text(name: impl Into<String>, value: impl ToString) -> Field {
    Field { name: name.into(), content: Content::Text(value.to_string()) }
}

/// A field of bytes, in hexadecimal.
fn bytes(name: impl Into<String>, value: &[u8]) -> Field {
    text(name, hex::encode(value))
}

/// A field with fields in it.
fn group(name: impl Into<String>, fields: Vec<Field>) -> Field {
    Field { name: name.into(), content: Content::Fields(fields) }
}

/// Shows a file, or the directory of a bundle. Ages are judged at `at` (RFC 3339), or now.
///
/// # Errors
/// It cannot be read, or is none of the known things.
pub(super) fn inspect(path: &Path, at: Option<&str>) -> anyhow::Result<Shown> {
    let now = time_or_now(at)?;
    let shown = if path.is_dir() {
        Bundle::read(path).map_err(anyhow::Error::from).and_then(|bundle| of_bundle(&bundle, now))
    } else {
        read(path).map_err(anyhow::Error::from).and_then(|file| of_file(&file, now))
    };
    shown.map_err(|error| {
        let what = format!("cannot show {}: {error:#}", path.display());
        Problem::new("unreadable", what).into()
    })
}

/// Shows one file.
///
/// # Errors
/// It is none of the known things, or a broken one.
pub(super) fn of_file(file: &[u8], now: i64) -> anyhow::Result<Shown> {
    let found = piece(file)?;
    let mut findings = Findings::new(now)?;
    findings.of(&found, file);
    Ok(Shown { kind: found.name().to_owned(), findings, fields: found.fields(file) })
}

/// Shows a bundle: what its files say together, and each.
fn of_bundle(bundle: &Bundle, now: i64) -> anyhow::Result<Shown> {
    let Bundle { case, files } = bundle;
    let mut findings = Findings::new(now)?;
    let mut fields = Vec::new();
    for (part, file) in files {
        match piece(file) {
            Ok(found) => {
                findings.of(&found, file);
                let mut inner = vec![text("is", found.name())];
                inner.extend(found.fields(file));
                fields.push(group(part, inner));
            }
            Err(_) if part == "pcrs" => fields.push(text(part, String::from_utf8_lossy(file).trim())),
            Err(error) => fields.push(text(part, format!("cannot be shown: {error:#}"))),
        }
    }
    findings.of_bundle(case, files);
    Ok(Shown { kind: format!("bundle of kind {} with {} files", case.kind, files.len()), findings, fields })
}

/// Tells what a file is.
///
/// # Errors
/// It is none of the known things, or a broken one.
pub(super) fn piece(file: &[u8]) -> anyhow::Result<Piece> {
    if file.starts_with(b"\xffTCG") {
        return Ok(Piece::Quote(Box::new(Quote::parse(file)?)));
    }
    if file.len() == REPORT_LEN {
        return Ok(Piece::Report(Box::new(Report::parse(file)?)));
    }
    if file.starts_with(b"HCLA") {
        HclReport::parse(file)?;
        return Ok(Piece::Hcl);
    }
    if let Ok(der) = to_der(file) {
        if let Ok(certificate) = Certificate::parse(&der) {
            return Ok(Piece::Certificate(Box::new(certificate)));
        }
        if is_crl(&der)? {
            return Ok(Piece::Crl);
        }
    }
    if let Ok(signature) = QuoteSignature::parse(file) {
        return Ok(Piece::Signature(Box::new(signature)));
    }
    if let Ok(public) = Public::parse(file) {
        return Ok(Piece::Public(Box::new(public)));
    }
    if ImaLog::parse(file).is_ok() {
        return Ok(Piece::ImaLog);
    }
    match EventLog::parse(file) {
        Ok(_) => Ok(Piece::EventLog),
        Err(error) if file.len() > 64 && file.starts_with(&[0; 4]) => Err(error.into()),
        Err(_) => {
            let what = format!(
                "it is no SEV-SNP report (those have {REPORT_LEN} bytes), HCL report, TPM quote, signature or public \
                 area, certificate, revocation list, boot event log or IMA log"
            );
            Err(Problem::usage(what).into())
        }
    }
}

/// A revocation list of AMD's form, whoever signed it.
fn is_crl(der: &[u8]) -> anyhow::Result<bool> {
    let roots = AmdRoots::new(&AmdAnchors::BuiltIn)?;
    Ok(!matches!(RevocationList::verify_any(der, &roots), Err(CrlError::Malformed)))
}

impl Piece {
    fn name(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "X.509 certificate",
            Self::Crl => "certificate revocation list",
            Self::EventLog => "boot event log",
            Self::Hcl => "HCL report of a paravisor",
            Self::ImaLog => "IMA log",
            Self::Public(_) => "TPM public area (TPMT_PUBLIC)",
            Self::Quote(_) => "TPM quote (TPMS_ATTEST)",
            Self::Report(_) => "SEV-SNP attestation report",
            Self::Signature(_) => "TPM signature (TPMT_SIGNATURE)",
        }
    }

    fn fields(&self, file: &[u8]) -> Vec<Field> {
        match self {
            Self::Certificate(certificate) => structures::certificate(certificate),
            Self::Crl => structures::crl(file),
            Self::EventLog => structures::event_log(file),
            Self::Hcl => structures::hcl(file),
            Self::ImaLog => structures::ima_log(file),
            Self::Public(public) => structures::public(public, file),
            Self::Quote(quote) => structures::quote(quote),
            Self::Report(report) => structures::report(report),
            Self::Signature(signature) => structures::signature(signature),
        }
    }
}

impl Shown {
    /// As text: what it is and says of the machine, then one field a line.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let Self { kind, findings: Findings { machine, old, missing, simulated, .. }, fields } = self;
        writeln!(out, "{kind}")?;
        if *simulated {
            writeln!(out, "SIMULATED: its certificates say that the hardware is simulated")?;
        }
        for (title, lines) in [("machine", machine), ("old", old), ("missing", missing)] {
            if lines.is_empty() {
                continue;
            }
            writeln!(out, "{title}")?;
            for line in lines {
                writeln!(out, "  {line}")?;
            }
        }
        writeln!(out, "fields")?;
        write_fields(fields, 1, out)
    }

    /// As JSON; a name that occurs again gets a number.
    pub(super) fn to_json(&self) -> Value {
        let Self { kind, findings: Findings { machine, old, missing, simulated, .. }, fields } = self;
        json!({ "kind": kind, "simulated": simulated, "machine": machine, "old": old, "missing": missing, "fields": fields_to_json(fields) })
    }
}

fn write_fields(fields: &[Field], depth: usize, out: &mut dyn Write) -> std::io::Result<()> {
    let width = fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
    for Field { name, content } in fields {
        write!(out, "{:indent$}{name:<width$}", "", indent = 2 * depth)?;
        match content {
            Content::Text(value) => writeln!(out, "  {value}")?,
            Content::Fields(inner) => {
                writeln!(out)?;
                write_fields(inner, depth + 1, out)?;
            }
        }
    }
    Ok(())
}

fn fields_to_json(fields: &[Field]) -> Value {
    let mut object = Map::new();
    for Field { name, content } in fields {
        let value = match content {
            Content::Text(value) => Value::String(value.clone()),
            Content::Fields(inner) => fields_to_json(inner),
        };
        let mut key = name.clone();
        let mut again = 2;
        while object.contains_key(&key) {
            key = format!("{name} {again}");
            again += 1;
        }
        object.insert(key, value);
    }
    Value::Object(object)
}
