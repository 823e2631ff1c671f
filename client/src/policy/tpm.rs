//! The keys of an accept rule for a TPM quote.

use vouchsafe_protocol::policy::{
    AkRule, EkRule, PcrExpectation, PcrRule, Permission, TpmAccept, TpmKindRule,
};

use super::definitions::{Definitions, pcr_index};
use super::error::{CompileError, Reason};
use super::logs::logs;
use super::reader::{Item, Table};

/// Reads the keys of `kind = "tpm"`.
pub(super) fn tpm<'a>(
    table: &mut Table<'a>,
    definitions: &Definitions<'a>,
) -> Result<TpmAccept, CompileError> {
    let anchors =
        table.required("anchors", "names of the vault's anchors that its TPM may chain to")?.parse_list()?;
    let kind = table.parse_or("tpm_kind", TpmKindRule::Hardware)?;
    let pcrs = pcrs(table, definitions)?;
    let (events, ima) = logs(table)?;
    let ak = table.parse_or("ak", AkRule::ByCredential)?;
    let ek = table.required("ek", "{ allow = [\"HEX\"] }, or the named waiver \"any-tpm\"")?;
    Ok(TpmAccept { anchors, kind, pcrs, events, ima, ak, ek: ek_rule(ek)? })
}

/// The exact selection, ascending.
pub(super) fn pcrs<'a>(
    table: &mut Table<'a>,
    definitions: &Definitions<'a>,
) -> Result<Vec<PcrRule>, CompileError> {
    let pcrs = table.required("pcrs", "the exact PCRs, such as { 11 = { release = \"NAME\" } }")?;
    let mut rules = Vec::new();
    for entry in pcrs.table()?.entries() {
        rules.push(pcr_rule(pcr_index(&entry)?, entry.item, definitions)?);
    }
    rules.sort_by_key(|rule| rule.index);
    Ok(rules)
}

/// What one PCR must hold: values, or what rules over the log accept.
fn pcr_rule<'a>(index: u8, item: Item<'a>, definitions: &Definitions<'a>) -> Result<PcrRule, CompileError> {
    if item.is_text() {
        return match item.text()? {
            "events" => {
                Ok(PcrRule { index, expected: PcrExpectation::Events, all_zero: Permission::Forbidden })
            }
            _ => Err(item.fail(Reason::Value {
                expected: "{ release = \"NAME\" }, { values = [\"HEX\"] }, or \"events\" for a PCR that rules \
                           over the log judge",
            })),
        };
    }
    let mut table = item.table()?;
    let values = match (table.optional("release"), table.optional("values")) {
        (Some(names), None) => definitions.pcr(names, index)?,
        (None, Some(list)) => list.parse_list()?.into_iter().map(|value: [u8; 32]| value.into()).collect(),
        _ => return Err(item.fail(Reason::EitherOr { one: "release", other: "values" })),
    };
    let all_zero = table.parse_or("all_zero", Permission::Forbidden)?;
    table.finish()?;
    Ok(PcrRule { index, expected: PcrExpectation::Values(values), all_zero })
}

fn ek_rule(item: Item<'_>) -> Result<EkRule, CompileError> {
    if item.is_text() {
        return match item.text()? {
            "any-tpm" => Ok(EkRule::AnyTpm),
            _ => Err(item.fail(Reason::Value {
                expected: "{ allow = [\"HEX\"] } with SHA-256 digests of EK keys, or the named waiver \"any-tpm\"",
            })),
        };
    }
    let mut table = item.table()?;
    let keys = table.required("allow", "a list of SHA-256 digests of EK keys")?.parse_list()?;
    table.finish()?;
    Ok(EkRule::Allow(keys))
}
