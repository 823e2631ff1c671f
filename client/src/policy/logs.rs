//! The keys of an accept rule that are about logs: `events` for the boot event log, `ima` for the IMA log.

use vouchsafe_protocol::policy::{AllowedEvents, BitRule, EventRules, ImaRule, UkiSection};

use super::definitions::pcr_index;
use super::error::{CompileError, Reason};
use super::reader::{Item, Table};

/// What is asked of the boot event log and of the IMA log.
pub(super) fn logs(table: &mut Table<'_>) -> Result<(EventRules, ImaRule), CompileError> {
    let events = table.optional("events").map_or(Ok(EventRules::NONE), event_rules)?;
    let ima = table.optional("ima").map_or(Ok(ImaRule::NotRequired), ima_rule)?;
    Ok((events, ima))
}

fn event_rules(item: Item<'_>) -> Result<EventRules, CompileError> {
    let mut table = item.table()?;
    let rules = EventRules {
        secure_boot: table.parse_or("secure_boot", BitRule::Any)?,
        boot_applications: digests(table.optional("boot_applications"))?,
        uki_sections: list(table.optional("uki_sections"), uki_section)?,
        boot_phases: table.optional("boot_phases").map_or(Ok(Vec::new()), |item| item.parse_list())?,
        command_lines: list(table.optional("command_lines"), |line| line.text().map(str::to_owned))?,
        allowed: table.optional("allowed").map_or(Ok(Vec::new()), allowed_events)?,
        unknown_events: unknown_events(table.optional("unknown_events"))?,
    };
    table.finish()?;
    Ok(rules)
}

/// `{ 7 = ["HEX", ..], .. }`.
fn allowed_events(item: Item<'_>) -> Result<Vec<AllowedEvents>, CompileError> {
    let mut allowed = Vec::new();
    for entry in item.table()?.entries() {
        allowed.push(AllowedEvents { index: pcr_index(&entry)?, digests: digests(Some(entry.item))? });
    }
    allowed.sort_by_key(|allowed| allowed.index);
    Ok(allowed)
}

fn uki_section(item: Item<'_>) -> Result<UkiSection, CompileError> {
    let mut table = item.table()?;
    let name = table.required("name", "the name of the section, such as \".linux\"")?.text()?.to_owned();
    let digest = table.required("digest", "the SHA-256 digest of its content")?.parse()?;
    table.finish()?;
    Ok(UkiSection { name, digest })
}

fn unknown_events(item: Option<Item<'_>>) -> Result<Vec<u8>, CompileError> {
    let index = |item: Item<'_>| item.number(0, 23).map(|index| u8::try_from(index).unwrap_or(u8::MAX));
    let mut indices = list(item, index)?;
    indices.sort_unstable();
    Ok(indices)
}

fn ima_rule(item: Item<'_>) -> Result<ImaRule, CompileError> {
    if item.is_text() {
        return match item.text()? {
            "not-required" => Ok(ImaRule::NotRequired),
            _ => Err(item.fail(Reason::Value {
                expected: "{ allow = [\"HEX\"] } with SHA-256 digests of files, or 'not-required'",
            })),
        };
    }
    let mut table = item.table()?;
    let files = digests(Some(table.required("allow", "a list of SHA-256 digests of files")?))?;
    table.finish()?;
    Ok(ImaRule::AllowList(files))
}

/// Digests, in ascending order whatever their order in the file. One that is there twice is refused later.
fn digests(item: Option<Item<'_>>) -> Result<Vec<[u8; 32]>, CompileError> {
    let mut digests = list(item, |digest| digest.parse())?;
    digests.sort_unstable();
    Ok(digests)
}

fn list<'a, T>(
    item: Option<Item<'a>>,
    read: impl Fn(Item<'a>) -> Result<T, CompileError>,
) -> Result<Vec<T>, CompileError> {
    item.map_or(Ok(Vec::new()), |item| item.list()?.into_iter().map(read).collect())
}

#[cfg(test)]
mod tests;
