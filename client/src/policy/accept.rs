//! `[[role.NAME.accept]]`: one way to be accepted. What is not said is the strict choice; what weakens a role
//! (any chip, any TPM, no revocation lists) has to be said.

use vouchsafe_protocol::policy::{Accept, SnpVtpmAccept, UserDataRule};
use vouchsafe_protocol::policy_check::{AcceptError, EventsError, check_accept};

use super::definitions::Definitions;
use super::error::{CompileError, Reason};
use super::logs::logs;
use super::reader::Table;
use super::snp::snp;
use super::tpm::{pcrs, tpm};

/// Compiles one rule and checks its typed form.
pub(super) fn compile<'a>(
    mut table: Table<'a>,
    definitions: &Definitions<'a>,
) -> Result<Accept, CompileError> {
    let kind = table.required("kind", "\"snp\", \"snp-vtpm\" or \"tpm\"")?;
    let rule = match kind.text()? {
        "snp" => Accept::Snp(snp(&mut table, definitions)?),
        "snp-vtpm" => Accept::SnpVtpm(snp_vtpm(&mut table, definitions)?),
        "tpm" => Accept::Tpm(tpm(&mut table, definitions)?),
        _ => return Err(kind.fail(Reason::Value { expected: "'snp', 'snp-vtpm' or 'tpm'" })),
    };
    check_accept(&rule).map_err(|error| table.fail_at(key_of(&error), Reason::Accept(error)))?;
    table.finish()?;
    Ok(rule)
}

/// The keys of `snp`, and those of the quote beside the report.
fn snp_vtpm<'a>(table: &mut Table<'a>, definitions: &Definitions<'a>) -> Result<SnpVtpmAccept, CompileError> {
    let snp = snp(table, definitions)?;
    let pcrs = pcrs(table, definitions)?;
    let (events, ima) = logs(table)?;
    let user_data = table.parse_or("user_data", UserDataRule::Required)?;
    Ok(SnpVtpmAccept { snp, pcrs, events, ima, user_data })
}

/// The key that what is wrong was written under.
fn key_of(error: &AcceptError) -> &'static str {
    match error {
        AcceptError::NoProduct | AcceptError::RepeatedProduct => "products",
        AcceptError::NoMeasurement | AcceptError::TooManyValues { .. } => "measurement",
        AcceptError::FloorMissing { .. }
        | AcceptError::FloorWithoutProduct { .. }
        | AcceptError::FmcWithoutTurin { .. } => "tcb_floor",
        AcceptError::GraceAboveFloor { .. } => "tcb_floor_grace",
        AcceptError::Vmpl { .. } => "vmpl",
        AcceptError::ReportVersion { .. } => "min_report_version",
        AcceptError::MitigationsWithoutVersion => "mitigations",
        AcceptError::NoChip | AcceptError::MaskedChip | AcceptError::NoProvider => "chip",
        AcceptError::RevocationAge => "revocation",
        AcceptError::NoIdKey | AcceptError::NoAuthorKey => "id_block",
        AcceptError::NoAnchor | AcceptError::RepeatedAnchor => "anchors",
        AcceptError::NoPcr
        | AcceptError::PcrIndex { .. }
        | AcceptError::ResettablePcr { .. }
        | AcceptError::DrtmPcr { .. }
        | AcceptError::PcrOrder { .. }
        | AcceptError::NoPcrValue { .. }
        | AcceptError::AllZeroPcr { .. } => "pcrs",
        AcceptError::NoEk => "ek",
        AcceptError::Events(EventsError::NoRule { .. }) => "pcrs",
        AcceptError::Events(EventsError::NoFile) => "ima",
        AcceptError::Events(_) => "events",
    }
}
