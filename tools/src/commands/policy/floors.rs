//! `vouchsafe policy floors`.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};
use vouchsafe_client::policy::{self, KnownFloor};
use vouchsafe_protocol::policy::{Product, Tcb};

use super::compared::{product_name, tcb_text};
use crate::context::now_secs;
use crate::output::Output;

const DAY_SECS: u64 = 24 * 3600;

/// Runs it.
pub(super) fn run(files: &[PathBuf]) -> Result<Output> {
    let known = policy::floors_of_files(files)?;
    Ok(listed(&known, now_secs()))
}

fn listed(known: &[KnownFloor], now_secs: u64) -> Output {
    let mut lines = Vec::new();
    for floor in known {
        let bulletins =
            if floor.bulletins.is_empty() { "no bulletin".to_owned() } else { floor.bulletins.join(", ") };
        lines.push(format!(
            "{}  {}, {} days old  {bulletins}",
            floor.name,
            floor.date,
            age_days(floor, now_secs)
        ));
        lines.extend(floor.source.iter().map(|source| format!("    {source}")));
        lines.extend(floor.confidence.iter().map(|confidence| format!("    ({confidence})")));
        for (product, tcb) in &floor.tcbs {
            lines.push(format!("    {:<6} {}", product_name(*product), tcb_text(*product, *tcb)));
        }
    }
    if known.is_empty() {
        lines.push("these files define no TCB floor".to_owned());
    }
    let json: Vec<Value> = known.iter().map(|floor| as_json(floor, now_secs)).collect();
    Output::new(lines.join("\n"), json!({ "floors": json }))
}

fn age_days(floor: &KnownFloor, now_secs: u64) -> u64 {
    // From the beginning of its day.
    now_secs.saturating_sub(floor.date.end_unix_secs().saturating_sub(DAY_SECS)) / DAY_SECS
}

fn as_json(floor: &KnownFloor, now_secs: u64) -> Value {
    let KnownFloor { name, date, bulletins, source, confidence, tcbs } = floor;
    let tcbs: serde_json::Map<String, Value> = tcbs
        .iter()
        .map(|(product, tcb)| (product_name(*product).to_owned(), tcb_json(*product, *tcb)))
        .collect();
    json!({
        "name": name,
        "date": date.to_string(),
        "age_days": age_days(floor, now_secs),
        "bulletins": bulletins,
        "source": source,
        "confidence": confidence,
        "tcbs": tcbs,
    })
}

fn tcb_json(product: Product, tcb: Tcb) -> Value {
    let Tcb { fmc, boot_loader, tee, snp, microcode } = tcb;
    let mut json = json!({ "boot_loader": boot_loader, "tee": tee, "snp": snp, "microcode": microcode });
    if let (Product::Turin, Some(object)) = (product, json.as_object_mut()) {
        object.insert("fmc".to_owned(), fmc.into());
    }
    json
}
