//! `[role.NAME]`: who, how long, and what it may do.

use vouchsafe_protocol::id::RoleName;
use vouchsafe_protocol::limits::LEASES;
use vouchsafe_protocol::policy::{RefusalDetail, Role};
use vouchsafe_protocol::policy_check::{RoleError, check_role};

use super::accept;
use super::allow::{allow, deny};
use super::definitions::Definitions;
use super::error::{CompileError, Reason};
use super::reader::{Entry, Item, Table};

/// Leases of one identity unless its role says otherwise.
const LEASES_OF_IDENTITY: u32 = 1_000;
/// Leases of all identities of a role unless it says otherwise.
const LEASES_OF_ROLE: u32 = 100_000;

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
    let denied = tables(&mut table, "deny")?;
    let leases = count(&mut table, "leases", LEASES_OF_ROLE)?;
    let leases_per_identity = count(&mut table, "leases_per_identity", LEASES_OF_IDENTITY.min(leases))?;
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
        deny: denied.iter().map(|item| deny(item.table()?)).collect::<Result<_, _>>()?,
        leases_per_identity,
        leases,
    };
    // What the accept rules break was found in its own place; this is the rest, and the last word.
    check_role(&role).map_err(|error| place(error, entry, &table, (&allowed, &denied)))?;
    table.finish()?;
    Ok(role)
}

/// The line of what a role breaks.
fn place(
    error: RoleError,
    entry: &Entry<'_>,
    table: &Table<'_>,
    (allowed, denied): (&[Item<'_>], &[Item<'_>]),
) -> CompileError {
    let rule = |items: &[Item<'_>], number: usize, source| match items.get(number.saturating_sub(1)) {
        Some(item) => item.fail(Reason::Allow(source)),
        None => entry.fail(Reason::Allow(source)),
    };
    match error {
        RoleError::SpiffePath | RoleError::ReservedSpiffePath => {
            table.fail_at("spiffe_path", Reason::Role(error))
        }
        RoleError::EvidenceMaxAge => table.fail_at("evidence_max_age", Reason::Role(error)),
        RoleError::IdentityTtl => table.fail_at("identity_ttl", Reason::Role(error)),
        RoleError::Leases => table.fail_at("leases", Reason::Role(error)),
        RoleError::Accept { number: _, source } => entry.fail(Reason::Accept(source)),
        RoleError::Allow { number, source } => rule(allowed, number, source),
        RoleError::Deny { number, source } => rule(denied, number, source),
        RoleError::NoAccept | RoleError::TooManyRules { .. } | RoleError::TpmSelections => {
            entry.fail(Reason::Role(error))
        }
    }
}

fn tables<'a>(table: &mut Table<'a>, key: &'static str) -> Result<Vec<Item<'a>>, CompileError> {
    table.optional(key).map_or(Ok(Vec::new()), |item| item.list())
}

fn count(table: &mut Table<'_>, key: &'static str, default: u32) -> Result<u32, CompileError> {
    table.optional(key).map_or(Ok(default), |item| item.number(0, LEASES))
}
