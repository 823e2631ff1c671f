//! `[role.NAME]`: who, how long, and what it may do.

use vouchsafe_protocol::id::RoleName;
use vouchsafe_protocol::policy::{Allow, RefusalDetail, Role};
use vouchsafe_protocol::policy_check::{RoleError, check_role};

use super::accept;
use super::definitions::Definitions;
use super::error::{CompileError, Reason};
use super::reader::{Entry, Item, Table};

/// Compiles one role and checks its typed form.
pub(super) fn compile<'a>(entry: &Entry<'a>, definitions: &Definitions<'a>) -> Result<Role, CompileError> {
    let name = entry.key.parse::<RoleName>().map_err(|source| {
        let name = entry.key.to_owned();
        entry.fail(Reason::Name { name, source })
    })?;
    let mut table = entry.item.table()?;
    let spiffe_path =
        table.required("spiffe_path", "the path of its SPIFFE id, such as \"/billing/agent\"")?;
    let max_age = table.required("evidence_max_age", "how old its evidence may get, such as \"1h\"")?;
    let ttl = table.required("identity_ttl", "how long its identity lasts, such as \"1h\"")?;
    let refusals = table.parse_or("refusals", RefusalDetail::CodeOnly)?;
    let accepted = tables(&mut table, "accept")?;
    let allowed = tables(&mut table, "allow")?;
    let role = Role {
        name,
        spiffe_path: spiffe_path.text()?.to_owned(),
        evidence_max_age_secs: max_age.duration()?,
        identity_ttl_secs: ttl.duration()?,
        refusals,
        accept: accepted
            .iter()
            .map(|item| accept::compile(item.table()?, definitions))
            .collect::<Result<_, _>>()?,
        allow: allowed.iter().map(|item| allow(item.table()?)).collect::<Result<_, _>>()?,
    };
    // What the accept rules break was found in its own place; this is the rest, and the last word.
    check_role(&role).map_err(|error| place(error, entry, &table, &allowed))?;
    table.finish()?;
    Ok(role)
}

/// The line of what a role breaks.
fn place(error: RoleError, entry: &Entry<'_>, table: &Table<'_>, allowed: &[Item<'_>]) -> CompileError {
    match error {
        RoleError::SpiffePath | RoleError::ReservedSpiffePath => {
            table.fail_at("spiffe_path", Reason::Role(error))
        }
        RoleError::EvidenceMaxAge => table.fail_at("evidence_max_age", Reason::Role(error)),
        RoleError::IdentityTtl => table.fail_at("identity_ttl", Reason::Role(error)),
        RoleError::Accept { number: _, source } => entry.fail(Reason::Accept(source)),
        RoleError::Allow { number, source } => match allowed.get(number.saturating_sub(1)) {
            Some(item) => item.fail(Reason::Allow(source)),
            None => entry.fail(Reason::Allow(source)),
        },
        RoleError::NoAccept | RoleError::TooManyRules { .. } | RoleError::TpmSelections => {
            entry.fail(Reason::Role(error))
        }
    }
}

fn tables<'a>(table: &mut Table<'a>, key: &'static str) -> Result<Vec<Item<'a>>, CompileError> {
    table.optional(key).map_or(Ok(Vec::new()), |item| item.list())
}

fn allow(mut table: Table<'_>) -> Result<Allow, CompileError> {
    let path = table.required("path", "a path, or one followed by '/*'")?.text()?.to_owned();
    let can = table.required("can", "what may be done there, such as [\"read\"]")?.parse_list()?;
    table.finish()?;
    Ok(Allow { path, can })
}
