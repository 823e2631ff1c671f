//! TOML with places: every value knows its line, and every table which of its keys were asked for.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use super::day::Day;
use super::error::{CompileError, Reason};
use crate::text::TextForm;

/// A file as it was given.
pub(super) struct File<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl File<'_> {
    /// An error at a byte of the text.
    pub(super) fn fail(&self, at: usize, reason: Reason) -> CompileError {
        let line = 1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        CompileError { file: self.name.to_owned(), line, reason }
    }

    pub(super) fn syntax(&self, error: toml::de::Error) -> CompileError {
        self.fail(error.span().map_or(0, |span| span.start), Reason::Syntax(Box::new(error)))
    }
}

/// A value in its place.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    file: &'a File<'a>,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Item<'a> {
    pub(super) fn fail(&self, reason: Reason) -> CompileError {
        self.file.fail(self.value.span().start, reason)
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }

    pub(super) fn text(&self) -> Result<&'a str, CompileError> {
        self.value.get_ref().as_str().ok_or_else(|| self.type_error("a string"))
    }

    /// A text in the form of `T`.
    pub(super) fn parse<T: TextForm>(&self) -> Result<T, CompileError> {
        T::from_text(self.text()?).ok_or_else(|| self.fail(Reason::Value { expected: T::EXPECTED }))
    }

    /// A list of texts in the form of `T`.
    pub(super) fn parse_list<T: TextForm>(&self) -> Result<Vec<T>, CompileError> {
        self.list()?.iter().map(Item::parse).collect()
    }

    pub(super) fn number(&self, least: u32, most: u32) -> Result<u32, CompileError> {
        let integer = self.value.get_ref().as_integer().ok_or_else(|| self.type_error("a whole number"))?;
        u32::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| self.fail(Reason::Number { least, most }))
    }

    /// Bits, such as `0x1f`; all 64 may be given.
    pub(super) fn bits(&self) -> Result<u64, CompileError> {
        let integer = self.value.get_ref().as_integer().ok_or_else(|| self.type_error("a whole number"))?;
        u64::from_str_radix(integer.as_str(), integer.radix())
            .map_err(|_| self.fail(Reason::Value { expected: "64 bits, such as 0x1f" }))
    }

    /// A whole number and one unit, in seconds: `90s`, `15m`, `1h`, `7d`.
    pub(super) fn duration(&self) -> Result<u32, CompileError> {
        let expected = Reason::Value { expected: "a time such as \"90s\", \"15m\", \"1h\" or \"7d\"" };
        let text = self.text()?;
        let secs = || {
            let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
            let unit = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                "d" => 24 * 3600,
                _ => return None,
            };
            let number: u32 =
                digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())??;
            number.checked_mul(unit)
        };
        secs().ok_or_else(|| self.fail(expected))
    }

    pub(super) fn list(&self) -> Result<Vec<Item<'a>>, CompileError> {
        let array = self.value.get_ref().as_array().ok_or_else(|| self.type_error("a list"))?;
        Ok(array.iter().map(|value| Item { file: self.file, value }).collect())
    }

    pub(super) fn table(&self) -> Result<Table<'a>, CompileError> {
        let table = self.value.get_ref().as_table().ok_or_else(|| self.type_error("a table"))?;
        Ok(Table::new(self.file, table, self.value.span()))
    }

    /// A date, `YYYY-MM-DD`, as a date or in quotes.
    pub(super) fn date(&self) -> Result<Day, CompileError> {
        let value = self.value.get_ref();
        let date = match (value.as_datetime(), value.as_str()) {
            (Some(Datetime { date: Some(date), time: None, offset: None }), _) => Some(*date),
            (_, Some(text)) => text.parse().ok().and_then(|parsed| match parsed {
                Datetime { date: Some(date), time: None, offset: None } => Some(date),
                _ => None,
            }),
            _ => None,
        };
        date.and_then(Day::of).ok_or_else(|| self.fail(Reason::Value { expected: "a date, YYYY-MM-DD" }))
    }

    fn type_error(&self, expected: &'static str) -> CompileError {
        self.fail(Reason::Type { expected, found: self.value.get_ref().type_str() })
    }
}

/// A key with its value.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) item: Item<'a>,
    at: usize,
}

impl Entry<'_> {
    /// An error at the key.
    pub(super) fn fail(&self, reason: Reason) -> CompileError {
        self.item.file.fail(self.at, reason)
    }
}

/// A table whose keys are asked for one by one; what was not asked for is unknown.
pub(super) struct Table<'a> {
    file: &'a File<'a>,
    table: &'a DeTable<'a>,
    span: Range<usize>,
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    pub(super) fn new(file: &'a File<'a>, table: &'a DeTable<'a>, span: Range<usize>) -> Self {
        Self { file, table, span, known: Vec::new() }
    }

    /// An error at the table's beginning.
    pub(super) fn fail(&self, reason: Reason) -> CompileError {
        self.file.fail(self.span.start, reason)
    }

    /// An error at a key, or at the table's beginning if the key is not there.
    pub(super) fn fail_at(&self, key: &str, reason: Reason) -> CompileError {
        let at = self.table.get_key_value(key).map_or(self.span.start, |(key, _)| key.span().start);
        self.file.fail(at, reason)
    }

    pub(super) fn optional(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.known.push(key);
        self.table.get(key).map(|value| Item { file: self.file, value })
    }

    pub(super) fn required(
        &mut self,
        key: &'static str,
        hint: &'static str,
    ) -> Result<Item<'a>, CompileError> {
        self.optional(key).ok_or_else(|| self.fail(Reason::Missing { key, hint }))
    }

    /// A value in the form of `T`, or what holds if nothing is said.
    pub(super) fn parse_or<T: TextForm>(&mut self, key: &'static str, default: T) -> Result<T, CompileError> {
        self.optional(key).map_or(Ok(default), |item| item.parse())
    }

    /// All entries, in the order of the file: for tables whose keys are names.
    pub(super) fn entries(&self) -> Vec<Entry<'a>> {
        let entry = |(key, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let key: &'a Spanned<toml::de::DeString<'a>> = key;
            Entry { key: key.get_ref(), item: Item { file: self.file, value }, at: key.span().start }
        };
        let mut entries: Vec<Entry<'a>> = self.table.iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.at);
        entries
    }

    /// Refuses the first key that was not asked for.
    pub(super) fn finish(self) -> Result<(), CompileError> {
        match self.entries().iter().find(|entry| !self.known.contains(&entry.key)) {
            Some(entry) => {
                Err(entry.fail(Reason::UnknownKey { key: entry.key.to_owned(), known: self.known }))
            }
            None => Ok(()),
        }
    }
}
