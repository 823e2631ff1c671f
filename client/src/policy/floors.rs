//! The TCB floors of policy files, for showing which there are and how old they are.

use vouchsafe_protocol::policy::{Product, Tcb};

use super::day::Day;
use super::definitions::floor::Floor;
use super::error::CompileError;
use super::{files_of, parse, read};

/// A floor that policy files define, for people to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownFloor {
    /// What roles call it.
    pub name: String,
    /// When its values were published.
    pub date: Day,
    /// The vendor's bulletins that ask for it.
    pub bulletins: Vec<String>,
    /// Where the values were read.
    pub source: Option<String>,
    /// How sure whoever wrote the file is of them, in their words.
    pub confidence: Option<String>,
    /// Per product, the lowest accepted.
    pub tcbs: Vec<(Product, Tcb)>,
}

/// The TCB floors of sources given together, each a name for messages and its text, in the order of their names.
/// Roles in them are not compiled; everything else must be as in any policy file.
///
/// # Errors
/// [`CompileError`], the first one found.
pub fn floors(sources: &[(&str, &str)]) -> Result<Vec<KnownFloor>, CompileError> {
    let files = files_of(sources);
    let documents = parse(&files)?;
    let (definitions, _roles) = read(&documents)?;
    let known = |(name, floor): (&str, Floor)| {
        let Floor { date, bulletins, source, confidence, tcbs } = floor;
        KnownFloor { name: name.to_owned(), date, bulletins, source, confidence, tcbs }
    };
    Ok(definitions.floors.into_iter().map(known).collect())
}
