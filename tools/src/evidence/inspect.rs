//! `evidence inspect`: tells what a file is from its bytes, and shows it field by field.

mod structures;

use std::io::Write;

use anyhow::bail;
use serde_json::{Map, Value, json};
use vouchsafe_attestation::snp::report::{REPORT_LEN, Report};
use vouchsafe_attestation::tpm::attest::Quote;
use vouchsafe_attestation::tpm::public::Public;
use vouchsafe_attestation::tpm::signature::QuoteSignature;
use vouchsafe_attestation::x509::Certificate;

use super::{event_log, pem};

/// What a file says.
#[derive(Debug)]
pub(super) struct Shown {
    /// What it is.
    pub(super) kind: &'static str,
    pub(super) fields: Vec<Field>,
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

/// Tells what `file` is and reads it.
///
/// # Errors
/// It is none of the known things, or a broken one.
pub(super) fn inspect(file: &[u8]) -> anyhow::Result<Shown> {
    if file.starts_with(b"\xffTCG") {
        let fields = structures::quote(&Quote::parse(file)?);
        return Ok(Shown { kind: "TPM quote (TPMS_ATTEST)", fields });
    }
    if file.len() == REPORT_LEN {
        let fields = structures::report(&Report::parse(file)?);
        return Ok(Shown { kind: "SEV-SNP attestation report", fields });
    }
    if let Ok(certificate) = pem::to_der(file).and_then(|der| Ok(Certificate::parse(&der)?)) {
        return Ok(Shown { kind: "X.509 certificate", fields: structures::certificate(&certificate) });
    }
    if let Ok(signature) = QuoteSignature::parse(file) {
        return Ok(Shown {
            kind: "TPM signature (TPMT_SIGNATURE)",
            fields: structures::signature(&signature),
        });
    }
    if let Ok(public) = Public::parse(file) {
        return Ok(Shown {
            kind: "TPM public area (TPMT_PUBLIC)",
            fields: structures::public(&public, file),
        });
    }
    match event_log::parse(file) {
        Ok(log) => Ok(Shown { kind: "boot event log", fields: structures::event_log(&log) }),
        Err(error) if file.len() > 64 && file.starts_with(&[0; 4]) => Err(error),
        Err(_) => bail!(
            "it is no SEV-SNP report (those have {REPORT_LEN} bytes), TPM quote, signature or public area, \
             certificate or boot event log"
        ),
    }
}

impl Shown {
    /// As text, one field a line.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "{}", self.kind)?;
        write_fields(&self.fields, 1, out)
    }

    /// As JSON; a name that occurs again gets a number.
    pub(super) fn to_json(&self) -> Value {
        json!({ "kind": self.kind, "fields": fields_to_json(&self.fields) })
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
