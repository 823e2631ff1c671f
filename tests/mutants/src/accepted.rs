//! Defects that nothing notices, and need not: the table of `docs/MUTANTS.md`, each with its reason.

use std::collections::BTreeMap;

use crate::mutate::Mutant;

/// Reasons by what names a defect for as long as its line stands: file, function, operator, text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Accepted(BTreeMap<[String; 4], String>);

impl Accepted {
    /// Reads the rows of every table with five columns: file, function, operator, text, reason.
    #[must_use]
    pub fn read(markdown: &str) -> Self {
        let rows = markdown.lines().filter_map(|line| {
            let cells = line.strip_prefix("| ")?.strip_suffix(" |")?;
            // A bar inside a cell is written as in Markdown.
            let cells: Vec<String> = cells
                .replace("\\|", "\0")
                .split(" | ")
                .map(|cell| cell.replace('\0', "|").trim().trim_matches('`').to_owned())
                .collect();
            let [file, function, operator, text, reason] = cells.try_into().ok()?;
            // Not the heads of tables.
            file.ends_with(".rs").then_some(([file, function, operator, text], reason))
        });
        Self(rows.collect())
    }

    /// Why a defect need not be noticed.
    #[must_use]
    pub fn reason(&self, mutant: &Mutant) -> Option<&str> {
        self.0.get(&key(mutant)).map(String::as_str)
    }

    /// Rows that are about none of these: what they accept is gone.
    #[must_use]
    pub fn stale(&self, unnoticed: &[&Mutant]) -> Vec<String> {
        let found: Vec<_> = unnoticed.iter().map(|mutant| key(mutant)).collect();
        self.0.keys().filter(|row| !found.contains(row)).map(|row| row.join(", ")).collect()
    }
}

/// A row without its reason.
#[must_use]
pub fn row(mutant: &Mutant) -> String {
    let [file, function, operator, text] = key(mutant).map(|cell| cell.replace('|', "\\|"));
    format!("| `{file}` | `{function}` | {operator} | `{text}` |")
}

fn key(mutant: &Mutant) -> [String; 4] {
    let Mutant { id: _, file, line: _, function, operator, text } = mutant;
    let operator = serde_json::to_value(operator).ok().and_then(|name| Some(name.as_str()?.to_owned()));
    let text = text.trim().trim_matches('`').to_owned();
    [file.clone(), function.clone(), operator.unwrap_or_default(), text]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate::Operator;

    #[test]
    fn a_row_is_read_back_bars_and_all() {
        let mutant = Mutant {
            id: 3,
            file: "attestation/src/a.rs".to_owned(),
            line: 7,
            function: "A::b".to_owned(),
            operator: Operator::Connective,
            text: "a || b".to_owned(),
        };
        let accepted = Accepted::read(&format!("text\n\n{} out of reach |\n", row(&mutant)));
        assert_eq!(accepted.reason(&mutant), Some("out of reach"));
        let other = Mutant { operator: Operator::Negated, ..mutant.clone() };
        assert_eq!(accepted.reason(&other), None);
        assert_eq!(accepted.stale(&[&other]).len(), 1);
        assert!(accepted.stale(&[&mutant]).is_empty());
    }
}
