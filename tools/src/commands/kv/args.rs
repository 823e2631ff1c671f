//! Arguments: paths, prefixes, times and fields.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use vouchsafe_protocol::kv::{KvFields, KvName, KvScope, KvValue, SecretValue};
use vouchsafe_protocol::path::{Path, PathError};

use crate::failure::Problem;
use crate::input;

/// Everything of this engine is below `kv/`; the vault would refuse the rest without saying so.
pub(super) fn secret_path(text: &str) -> Result<Path, String> {
    let path: Path = text.parse().map_err(|error: PathError| error.to_string())?;
    if text.starts_with("kv/") { Ok(path) } else { Err(format!("it must begin with kv/, as in kv/{text}")) }
}

/// A prefix, with or without the `/*` that policy would have.
pub(super) fn prefix_path(text: &str) -> Result<Path, String> {
    let text = text.strip_suffix("/*").unwrap_or(text);
    if text == "kv" { text.parse().map_err(|error: PathError| error.to_string()) } else { secret_path(text) }
}

/// A secret, or everything below a prefix.
pub(super) fn scope(text: &str) -> Result<KvScope, String> {
    match text.strip_suffix("/*") {
        Some(prefix) => prefix_path(prefix).map(KvScope::Below),
        None => secret_path(text).map(KvScope::Secret),
    }
}

/// Seconds of `90s`, `15m`, `12h`, `30d` or `2w`.
pub(crate) fn duration(text: &str) -> Result<u64, &'static str> {
    let wrong = "a time is a number and 's', 'm', 'h', 'd' or 'w', as in 30d";
    let (at, unit) = text.char_indices().next_back().ok_or(wrong)?;
    let secs = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return Err(wrong),
    };
    let digits = text.get(..at).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    let number: u32 = digits.and_then(|digits| digits.parse().ok()).ok_or(wrong)?;
    Ok(u64::from(number) * secs)
}

/// A time as [`duration`] takes it.
pub(crate) fn time(secs: u64) -> String {
    let units = [(7 * 86_400, 'w'), (86_400, 'd'), (3600, 'h'), (60, 'm')];
    let whole = units.into_iter().find(|(unit, _)| secs > 0 && secs.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{secs}s"), |(unit, letter)| format!("{}{letter}", secs / unit))
}

/// `NAME=VALUE`, both as text.
pub(super) fn pair(text: &str) -> Result<(KvName, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is NAME=VALUE, as in owner=billing")?;
    Ok((
        name.parse().map_err(|error: vouchsafe_protocol::kv::KvNameError| error.to_string())?,
        value.to_owned(),
    ))
}

/// What is written: the only argument as it is, or all of them as fields.
pub(super) fn value(arguments: &[String], bytes: bool) -> Result<KvValue> {
    match arguments {
        [one] if bytes || field(one).is_none() => Ok(KvValue::Bytes(input::value(one)?)),
        _ if bytes => Err(Problem::usage("with --bytes there is one value").into()),
        many => fields(many).map(KvValue::Fields),
    }
}

/// Fields, each `NAME=VALUE`, where `-` and `@FILE` stand for what is read.
pub(super) fn fields(arguments: &[String]) -> Result<KvFields> {
    let mut all: BTreeMap<KvName, SecretValue> = BTreeMap::new();
    for argument in arguments {
        let Some((name, source)) = field(argument) else {
            // The argument may hold a secret, so it is not repeated.
            let message = "each field is NAME=VALUE, its name of A-Z, a-z, 0-9, '-', '_' and '.'";
            return Err(Problem::usage(message).hint("one value without fields is one argument").into());
        };
        let value = input::value(source).with_context(|| format!("the field {name} cannot be had"))?;
        if all.insert(name.clone(), value).is_some() {
            return Err(Problem::usage(format!("the field {name} is given twice")).into());
        }
    }
    KvFields::new(&all).map_err(|error| Problem::new("value-too-large", error.to_string()).into())
}

fn field(argument: &str) -> Option<(KvName, &str)> {
    let (name, source) = argument.split_once('=')?;
    Some((name.parse().ok()?, source))
}
