//! `vouchsafe policy plan`: whose access would end.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use vouchsafe_attestation::explain::{Explained, Outcome, accepted_by, explain_seen, refusal};
use vouchsafe_client::policy;
use vouchsafe_protocol::id::RoleName;
use vouchsafe_protocol::policy::Role;
use vouchsafe_protocol::seen::{SeenEvidence, SeenFacts};

use super::compared::{Compared, Shown, product_name};
use super::{PlanArgs, seen_file};
use crate::context::{Concluded, Context, now_secs};
use crate::failure::is_not_found;
use crate::output::Output;

/// Exit code if somebody would lose access.
const SOMEBODY_LOSES: u8 = 3;

/// What is in force, and whom it concerns.
struct InForce {
    records: Vec<SeenEvidence>,
    forgotten: u64,
    /// Roles in force, as far as they are known.
    roles: BTreeMap<RoleName, Role>,
    /// The vault that was asked.
    end: Option<Concluded>,
}

/// Runs it.
pub(super) async fn run(args: &PlanArgs, context: impl Fn() -> Result<Context>) -> Result<Output> {
    let PlanArgs { files, seen, before, at } = args;
    let new = policy::compile_files(files)?;
    let in_force = match seen {
        Some(path) => {
            let (records, forgotten) = seen_file::read(path)?;
            let roles = if before.is_empty() { Vec::new() } else { policy::compile_files(before)? };
            let roles = roles.into_iter().map(|role| (role.name.clone(), role)).collect();
            InForce { records, forgotten, roles, end: None }
        }
        None => ask(&context()?, &new).await?,
    };
    let now = at.unwrap_or_else(now_secs);
    let rows: Vec<Row> =
        in_force.records.iter().map(|record| judge(record, &new, &in_force.roles, now)).collect();
    let output = told(&rows, &new, in_force.forgotten);
    Ok(match in_force.end {
        Some(end) => output.after(end),
        None => output,
    })
}

/// Everything from the vault, in one session.
async fn ask(context: &Context, new: &[Role]) -> Result<InForce> {
    let conversation = context.as_operator(None).await?;
    let session = &conversation.session;
    let asked = async {
        let (records, forgotten) =
            session.seen_evidence().list().await.context("cannot list seen evidence")?;
        let mut roles = BTreeMap::new();
        for role in new {
            match session.roles().show(&role.name).await {
                Ok(role) => {
                    roles.insert(role.name.clone(), role);
                }
                Err(error) if is_not_found(&error) => {}
                Err(error) => {
                    return Err(
                        anyhow::Error::new(error).context(format!("cannot show role '{}'", role.name))
                    );
                }
            }
        }
        Ok((records, forgotten, roles))
    };
    let asked: Result<_> = asked.await;
    let ((records, forgotten, roles), end) = conversation.conclude(&context.home, asked).await?;
    Ok(InForce { records, forgotten, roles, end: Some(end) })
}

/// One identity.
struct Row<'a> {
    record: &'a SeenEvidence,
    before: Verdict,
    after: Verdict,
    /// What ends its access, in both sides' words.
    compared: Option<Compared>,
}

/// What a role says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// By this rule, from 1.
    Accepted(usize),
    /// With this code.
    Refused(&'static str),
    /// The role is not in the new files: it stays as it is.
    Unchanged,
}

impl Verdict {
    fn text(&self) -> String {
        match self {
            Self::Accepted(rule) => format!("rule {rule}"),
            Self::Refused(code) => (*code).to_owned(),
            Self::Unchanged => "unchanged".to_owned(),
        }
    }
}

impl Row<'_> {
    fn loses(&self) -> bool {
        matches!((&self.before, &self.after), (Verdict::Accepted(_), Verdict::Refused(_)))
    }
}

fn judge<'a>(
    record: &'a SeenEvidence,
    new: &[Role],
    in_force: &BTreeMap<RoleName, Role>,
    now: u64,
) -> Row<'a> {
    let before = match in_force.get(&record.role) {
        Some(role) => verdict(record, role, now).0,
        // It holds an identity: the rule that accepted it is known from then.
        None => Verdict::Accepted(usize::try_from(record.rule).unwrap_or(usize::MAX).saturating_add(1)),
    };
    let Some(role) = new.iter().find(|role| role.name == record.role) else {
        return Row { record, before, after: Verdict::Unchanged, compared: None };
    };
    let (after, rules) = verdict(record, role, now);
    let compared = match after {
        Verdict::Refused(code) => first_compared(record, role, &rules, code),
        Verdict::Accepted(_) | Verdict::Unchanged => None,
    };
    Row { record, before, after, compared }
}

/// What a role says of seen evidence: of its age, and of what it showed.
fn verdict(record: &SeenEvidence, role: &Role, now: u64) -> (Verdict, Vec<Explained>) {
    let rules = match explain_seen(&record.facts, &role.accept, now) {
        Ok(rules) => rules,
        Err(error) => return (Verdict::Refused(error.code()), Vec::new()),
    };
    let verdict = match accepted_by(&rules) {
        None => Verdict::Refused(refusal(&rules).code()),
        Some(_) if too_old(record, role, now) => Verdict::Refused("evidence.age"),
        Some(rule) => Verdict::Accepted(rule.index.saturating_add(1)),
    };
    (verdict, rules)
}

fn too_old(record: &SeenEvidence, role: &Role, now: u64) -> bool {
    record.at_unix_secs.saturating_add(u64::from(role.evidence_max_age_secs)) <= now
}

fn first_compared(record: &SeenEvidence, role: &Role, rules: &[Explained], code: &str) -> Option<Compared> {
    let shown = Shown::of_seen(&record.facts);
    rules.iter().find_map(|rule| match &rule.outcome {
        Outcome::Refuses(refusals) => {
            let refusal = refusals.first().filter(|refusal| refusal.code() == code)?;
            shown.compared(refusal, role.accept.get(rule.index)?)
        }
        Outcome::Accepts(_) | Outcome::OtherKind => None,
    })
}

fn told(rows: &[Row<'_>], new: &[Role], forgotten: u64) -> Output {
    let lost = rows.iter().filter(|row| row.loses()).count();
    let mut text = Vec::new();
    if rows.is_empty() {
        text.push("no agent has a live identity: nobody would lose access".to_owned());
    } else {
        text.push(table(rows));
        for row in rows.iter().filter(|row| row.loses()) {
            if let Some(Compared { expected, actual }) = &row.compared {
                let actual = actual.as_deref().unwrap_or("something else");
                text.push(format!("identity {}: asked for {expected}; shown {actual}", row.record.identity));
            }
        }
        text.push(match lost {
            0 => "nobody would lose access".to_owned(),
            1 => "1 identity would lose access".to_owned(),
            many => format!("{many} identities would lose access"),
        });
    }
    if forgotten > 0 {
        text.push(format!("{forgotten} more identities are live; the vault has forgotten their evidence"));
    }
    let json = json!({
        "roles": new.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(),
        "identities": rows.iter().map(as_json).collect::<Vec<_>>(),
        "lost": lost,
        "forgotten": forgotten,
    });
    let output = Output::new(text.join("\n"), json);
    if lost > 0 { output.exit_with(SOMEBODY_LOSES) } else { output }
}

fn table(rows: &[Row<'_>]) -> String {
    let mut table = comfy_table::Table::new();
    let header = ["identity", "role", "platform", "before", "after", ""];
    table.load_preset(comfy_table::presets::NOTHING).set_header(header);
    for row in rows {
        let name = format!("{} ({})", row.record.identity, row.record.spiffe_id);
        let ends = if row.loses() { "LOSES ACCESS" } else { "" };
        let (before, after) = (row.before.text(), row.after.text());
        table.add_row([
            name,
            row.record.role.to_string(),
            platform(row.record),
            before,
            after,
            ends.to_owned(),
        ]);
    }
    table.to_string()
}

/// Kind, product and the beginning of its name.
fn platform(record: &SeenEvidence) -> String {
    let id: String = hex::encode(&record.platform).chars().take(12).collect();
    match &record.facts {
        SeenFacts::Snp(snp) => format!("snp {} {id}", product_name(snp.product)),
        SeenFacts::SnpVtpm(vtpm) => format!("snp-vtpm {} {id}", product_name(vtpm.snp.product)),
        SeenFacts::Tpm(tpm) => format!("tpm {} {id}", tpm.anchor),
    }
}

fn as_json(row: &Row<'_>) -> Value {
    let Row { record, before, after, compared } = row;
    json!({
        "identity": record.identity,
        "spiffe_id": record.spiffe_id,
        "role": record.role.as_str(),
        "platform": hex::encode(&record.platform),
        "before": verdict_json(before),
        "after": verdict_json(after),
        "loses_access": row.loses(),
        "expected": compared.as_ref().map(|compared| compared.expected.clone()),
        "actual": compared.as_ref().and_then(|compared| compared.actual.clone()),
    })
}

fn verdict_json(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Accepted(rule) => json!({ "accepted": true, "rule": rule }),
        Verdict::Refused(code) => json!({ "accepted": false, "code": code }),
        Verdict::Unchanged => json!({ "accepted": null, "unchanged": true }),
    }
}
