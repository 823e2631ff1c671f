//! What came out.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::accepted::{Accepted, row};
use crate::mutate::Mutant;
use crate::shard::Fate;

/// Every defect and how it fared.
#[derive(Debug, Serialize)]
pub struct Report {
    /// By number.
    pub mutants: Vec<Fared>,
    /// Places whose rewriting does not compile.
    pub not_built: usize,
}

/// A defect and how it fared.
#[derive(Debug, Serialize)]
pub struct Fared {
    /// Defect.
    #[serde(flatten)]
    pub mutant: Mutant,
    /// What became of it.
    pub fate: Fate,
}

impl Report {
    /// Brings both together; a defect of which nothing is known was reached by nothing.
    #[must_use]
    pub fn new(mutants: Vec<Mutant>, mut fates: BTreeMap<usize, Fate>, not_built: usize) -> Self {
        let fared = |mutant: Mutant| {
            let fate = fates.remove(&mutant.id).unwrap_or(Fate::Unnoticed { reached_by: 0 });
            Fared { mutant, fate }
        };
        Self { mutants: mutants.into_iter().map(fared).collect(), not_built }
    }

    /// What nothing noticed.
    pub fn unnoticed(&self) -> impl Iterator<Item = &Fared> {
        self.mutants.iter().filter(|fared| matches!(fared.fate, Fate::Unnoticed { .. }))
    }

    /// What nothing noticed and no reason excuses.
    #[must_use]
    pub fn open<'a>(&'a self, accepted: &Accepted) -> Vec<&'a Fared> {
        self.unnoticed().filter(|fared| accepted.reason(&fared.mutant).is_none()).collect()
    }

    /// For people.
    #[must_use]
    pub fn text(&self, accepted: &Accepted) -> String {
        let count = |of: fn(&Fate) -> bool| self.mutants.iter().filter(|fared| of(&fared.fate)).count();
        let open = self.open(accepted);
        let mut text = String::new();
        let lines = [
            ("defects", self.mutants.len()),
            ("noticed by a case", count(|fate| matches!(fate, Fate::Noticed { .. }))),
            ("noticed as a case did not end", count(|fate| matches!(fate, Fate::Stuck))),
            ("noticed by a test of the crate only", count(|fate| matches!(fate, Fate::NoticedByTest { .. }))),
            ("unnoticed, with a reason in docs/MUTANTS.md", self.unnoticed().count() - open.len()),
            ("unnoticed", open.len()),
            ("not built: would not compile", self.not_built),
        ];
        for (what, number) in lines {
            // Writing to a string cannot fail.
            writeln!(text, "{number:>6} {what}").unwrap_or_default();
        }
        for Fared { mutant, fate } in open {
            let reached = match fate {
                Fate::Unnoticed { reached_by: 0 } => "out of reach",
                _ => "reached",
            };
            writeln!(text, "{} {reached}; line {}", row(mutant), mutant.line).unwrap_or_default();
        }
        let unnoticed: Vec<&Mutant> = self.unnoticed().map(|fared| &fared.mutant).collect();
        for row in accepted.stale(&unnoticed) {
            writeln!(text, "no longer unnoticed, or gone: {row}").unwrap_or_default();
        }
        text
    }
}
