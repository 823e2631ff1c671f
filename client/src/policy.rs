//! The policy compiler: TOML files into typed roles, or the file, line and reason why not.
//!
//! Everything a role refers to (releases, TCB floors, chip lists) is resolved here, from the files given
//! together: what is applied is what is decided on. Unknown keys are refused, and so is whatever is empty,
//! unsatisfiable or trusts a PCR that can be reset; the enclave checks the typed form once more.
//!
//! ```
//! let text = r#"
//! [role.billing-agent]
//! spiffe_path = "/billing/agent"
//! evidence_max_age = "1h"
//! identity_ttl = "1h"
//!
//! [[role.billing-agent.accept]]
//! kind = "tpm"
//! anchors = ["cloud-vtpm"]
//! pcrs = { 11 = { release = "uki" } }
//! ek = "any-tpm"
//!
//! [[role.billing-agent.allow]]
//! path = "kv/billing/*"
//! can = ["read", "list"]
//!
//! [release.uki]
//! date = "2026-10-01"
//! pcr = { 11 = ["7a3f1c0e5d2b4869a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718"] }
//! "#;
//! let roles = vouchsafe_client::policy::compile(&[("billing.toml", text)])?;
//! assert_eq!(roles[0].name.as_str(), "billing-agent");
//! # Ok::<(), vouchsafe_client::policy::CompileError>(())
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeTable;
use vouchsafe_protocol::policy::Role;

mod accept;
mod allow;
#[cfg(feature = "corim")]
pub mod corim;
mod day;
mod definitions;
mod error;
mod floors;
pub mod lint;
mod logs;
mod reader;
mod role;
mod snp;
#[cfg(test)]
mod tests;
mod tpm;

pub use day::Day;
pub use error::{CompileError, Reason};
pub use floors::{KnownFloor, floors};

use crate::files::{self, FileError};
use definitions::Definitions;
use reader::{File, Table};

/// Why policy files could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The files were read and are not a policy.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not text.
    #[error("{path} is not UTF-8 text")]
    NotText {
        /// Path.
        path: PathBuf,
    },
}

/// Compiles files given together. All or none.
///
/// # Errors
/// [`PolicyError`], the first one found.
pub fn compile_files(paths: &[impl AsRef<Path>]) -> Result<Vec<Role>, PolicyError> {
    with_sources(paths, compile)
}

/// The TCB floors of files given together, in the order of their names; see [`floors()`].
///
/// # Errors
/// [`PolicyError`], the first one found.
pub fn floors_of_files(paths: &[impl AsRef<Path>]) -> Result<Vec<KnownFloor>, PolicyError> {
    with_sources(paths, floors)
}

fn with_sources<T>(
    paths: &[impl AsRef<Path>],
    read: impl Fn(&[(&str, &str)]) -> Result<T, CompileError>,
) -> Result<T, PolicyError> {
    let mut sources = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let text = String::from_utf8(files::read(path)?)
            .map_err(|_| PolicyError::NotText { path: path.to_owned() })?;
        sources.push((path.display().to_string(), text));
    }
    let sources: Vec<(&str, &str)> =
        sources.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    Ok(read(&sources)?)
}

/// Compiles sources given together, each a name for messages and its text, into roles in the order of their
/// names.
///
/// # Errors
/// [`CompileError`], the first one found.
pub fn compile(sources: &[(&str, &str)]) -> Result<Vec<Role>, CompileError> {
    let files = files_of(sources);
    let documents = parse(&files)?;
    let (definitions, roles) = read(&documents)?;
    definitions.finish()?;
    compile_roles(roles, &definitions, &files)
}

fn files_of<'a>(sources: &[(&'a str, &'a str)]) -> Vec<File<'a>> {
    sources.iter().map(|(name, text)| File { name, text }).collect()
}

/// A file and what TOML makes of it.
type Document<'a> = (&'a File<'a>, Spanned<DeTable<'a>>);

fn parse<'a>(files: &'a [File<'a>]) -> Result<Vec<Document<'a>>, CompileError> {
    let parsed = |file: &'a File<'a>| {
        let document = DeTable::parse(file.text).map_err(|error| file.syntax(error))?;
        Ok((file, document))
    };
    files.iter().map(parsed).collect()
}

/// What files define together, and the roles in them, not yet compiled.
fn read<'a>(
    documents: &'a [Document<'a>],
) -> Result<(Definitions<'a>, Vec<reader::Entry<'a>>), CompileError> {
    let mut definitions = Definitions::default();
    let mut roles = Vec::new();
    for (file, document) in documents {
        let mut table = Table::new(file, document.get_ref(), document.span());
        definitions.read(&mut table)?;
        if let Some(section) = table.optional("role") {
            roles.extend(section.table()?.entries());
        }
        table.finish()?;
    }
    Ok((definitions, roles))
}

fn compile_roles<'a>(
    entries: Vec<reader::Entry<'a>>,
    definitions: &Definitions<'a>,
    files: &[File<'_>],
) -> Result<Vec<Role>, CompileError> {
    let mut roles: BTreeMap<String, Role> = BTreeMap::new();
    for entry in &entries {
        let role = role::compile(entry, definitions)?;
        if roles.values().any(|other| other.spiffe_path == role.spiffe_path) {
            return Err(entry.fail(Reason::RepeatedSpiffePath));
        }
        if roles.insert(entry.key.to_owned(), role).is_some() {
            return Err(entry.fail(Reason::Repeated { name: entry.key.to_owned() }));
        }
    }
    match files.first() {
        Some(file) if roles.is_empty() => Err(file.fail(0, Reason::NoRole)),
        _ => Ok(roles.into_values().collect()),
    }
}
