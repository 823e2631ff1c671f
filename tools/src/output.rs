//! What a command says: text for people, one JSON object for programs, never both.

use std::io::{self, IsTerminal, Write};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};
use vouchsafe_protocol::id::{AnchorClass, VaultId};
use vouchsafe_protocol::kv::SecretValue;
use zeroize::Zeroizing;

use crate::context::Concluded;
use crate::failure::Failure;

const SIMULATED: &str = "SIMULATED vault: it runs on no protecting hardware; for trying out only";

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One JSON object on standard output; errors as one JSON object on standard error
    Json,
    /// Text for people
    #[default]
    Text,
}

/// The result of a command.
pub(crate) struct Output {
    text: Body,
    json: Map<String, Value>,
    vault: Option<VaultId>,
    remarks: Vec<String>,
    /// What failed afterwards; told after the rest.
    pub(crate) late: anyhow::Result<()>,
    /// Exit code of what went as it should.
    pub(crate) exit: u8,
    /// What went as it should. Otherwise the report itself is the refusal: exit code 1.
    pub(crate) passed: bool,
}

enum Body {
    /// Printed with a final newline.
    Lines(String),
    /// A secret, printed byte for byte.
    Secret(SecretValue),
    /// A secret in lines; in JSON it has its own form.
    Shown(SecretValue),
}

impl Output {
    /// Text, and the same as JSON. `json` is an object; anything else is put under `result`.
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Self {
        let json = match json {
            Value::Object(object) => object,
            other => Map::from_iter([("result".to_owned(), other)]),
        };
        let text = Body::Lines(text.into());
        Self { text, json, vault: None, remarks: Vec::new(), late: Ok(()), exit: 0, passed: true }
    }

    /// A secret that was asked for.
    pub(crate) fn secret(value: SecretValue, json: Value) -> Self {
        Self { text: Body::Secret(value), ..Self::new("", json) }
    }

    /// A secret that was asked for, shown in lines; `json` holds it, too.
    pub(crate) fn shown(lines: SecretValue, json: Value) -> Self {
        Self { text: Body::Shown(lines), ..Self::new("", json) }
    }

    /// Says which vault it is about; a simulated one is called so in every output.
    pub(crate) fn about(mut self, vault: VaultId) -> Self {
        self.vault = Some(vault);
        self
    }

    /// More lines, and the same as a field.
    pub(crate) fn and(mut self, lines: &[String], field: &str, json: Value) -> Self {
        if let Body::Lines(text) = &mut self.text {
            lines.iter().for_each(|line| *text = format!("{text}\n{line}"));
        }
        self.json.insert(field.to_owned(), json);
        self
    }

    /// A line for people that is no part of the result: on standard error.
    pub(crate) fn remark(mut self, line: String) -> Self {
        self.remarks.push(line);
        self
    }

    /// The result of a conversation that is over, and what failed in its end.
    pub(crate) fn after(mut self, concluded: Concluded) -> Self {
        let Concluded { pin, late } = concluded;
        self.late = late;
        self.about(pin.vault_id)
    }

    /// It went as it should, and has something to say that a program should not overlook.
    pub(crate) fn exit_with(mut self, code: u8) -> Self {
        self.exit = code;
        self
    }

    /// The report is of something that did not pass.
    pub(crate) fn failed_if(mut self, failed: bool) -> Self {
        self.passed &= !failed;
        self
    }

    /// The text for people.
    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        match &self.text {
            Body::Lines(text) => text,
            Body::Secret(_) | Body::Shown(_) => "",
        }
    }

    /// The object for programs.
    #[cfg(test)]
    pub(crate) fn json(&self) -> &Map<String, Value> {
        &self.json
    }

    /// Prints it.
    pub(crate) fn print(self, format: Format) -> io::Result<()> {
        let simulated = self.vault.is_some_and(is_simulated);
        let mut out = io::stdout().lock();
        match format {
            Format::Json => {
                let mut json = self.json;
                if let Some(vault) = self.vault {
                    json.insert("vault_id".to_owned(), vault.to_string().into());
                    json.insert("simulated".to_owned(), simulated.into());
                }
                if let Body::Secret(value) = &self.text {
                    let (encoding, value) = encoded(value.expose_secret());
                    json.insert("encoding".to_owned(), encoding.into());
                    json.insert("value".to_owned(), value.into());
                }
                let text = Zeroizing::new(serde_json::to_string_pretty(&json).map_err(io::Error::other)?);
                writeln!(out, "{}", *text)?;
            }
            Format::Text => {
                if simulated {
                    warn(SIMULATED)?;
                }
                self.remarks.iter().try_for_each(|line| note(line))?;
                match self.text {
                    Body::Lines(text) if text.is_empty() => {}
                    Body::Lines(text) => writeln!(out, "{}", text.trim_end_matches('\n'))?,
                    Body::Shown(value) => out.write_all(value.expose_secret())?,
                    Body::Secret(value) => {
                        let bytes = value.expose_secret();
                        out.write_all(bytes)?;
                        if io::stdout().is_terminal() && bytes.last() != Some(&b'\n') {
                            writeln!(out)?;
                        }
                    }
                }
            }
        }
        out.flush()
    }
}

fn is_simulated(vault: VaultId) -> bool {
    vault.class == AnchorClass::Simulated
}

/// One line on standard output, now: of a command that goes on.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Says so, if a vault is a simulated one.
pub(crate) fn warn_simulated(vault: VaultId) -> io::Result<bool> {
    let simulated = is_simulated(vault);
    if simulated {
        warn(SIMULATED)?;
    }
    Ok(simulated)
}

/// A value as JSON can hold it.
pub(crate) fn encoded(bytes: &[u8]) -> (&'static str, String) {
    match std::str::from_utf8(bytes) {
        Ok(text) => ("utf-8", text.to_owned()),
        Err(_) => ("base64", BASE64_STANDARD.encode(bytes)),
    }
}

/// A line on standard error that is not an error.
pub(crate) fn warn(line: &str) -> io::Result<()> {
    writeln!(io::stderr(), "{}", paint(Colour::Yellow, line))
}

/// A line on standard error about what is going on.
pub(crate) fn note(line: &str) -> io::Result<()> {
    writeln!(io::stderr(), "{line}")
}

/// Prints an error: what it says and what to do. A simulated vault is called so here, too.
pub(crate) fn print_failure(failure: &Failure, format: Format, vault: Option<VaultId>) {
    let Failure { code, message, hint, exit: _ } = failure;
    let line = match format {
        Format::Json => {
            let mut json = serde_json::json!({
                "error": { "code": code, "message": message, "hint": hint }
            });
            if let (Some(vault), Some(object)) = (vault, json.as_object_mut()) {
                object.insert("simulated".to_owned(), is_simulated(vault).into());
            }
            json.to_string()
        }
        Format::Text => {
            if vault.is_some_and(is_simulated) {
                // As below.
                warn(SIMULATED).unwrap_or_default();
            }
            let hint = hint.as_ref().map(|hint| format!("\n{} {hint}", paint(Colour::Yellow, "what to do:")));
            format!("{} {message}{}", paint(Colour::Red, "error:"), hint.unwrap_or_default())
        }
    };
    // If standard error is gone there is nobody to tell; the exit code says it.
    writeln!(io::stderr(), "{line}").unwrap_or_default();
}

#[derive(Clone, Copy)]
enum Colour {
    Red,
    Yellow,
}

/// Colours text on a standard error that is a terminal, unless `NO_COLOR` is set (no-color.org).
fn paint(colour: Colour, text: &str) -> String {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if !wanted || !io::stderr().is_terminal() {
        return text.to_owned();
    }
    let code = match colour {
        Colour::Red => 31,
        Colour::Yellow => 33,
    };
    format!("\u{1b}[1;{code}m{text}\u{1b}[0m")
}
