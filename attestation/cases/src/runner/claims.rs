//! What evidence showed, as JSON.

use serde_json::{Map, Value, json};
use vouchsafe_attestation::snp::report::{Report, SigningKey};
use vouchsafe_attestation::snp::rules::Warning;
use vouchsafe_attestation::snp::tcb::RawTcb;
use vouchsafe_attestation::tpm::attest::{ClockInfo, Quote};
use vouchsafe_attestation::tpm::quote::PcrValues;
use vouchsafe_protocol::policy::{Product, Tcb};

/// Of a report.
pub(super) fn report(report: &Report, product: Option<Product>) -> Value {
    let tcb = |raw: RawTcb| tcb(raw, product);
    json!({
        "product": product.map(|product| format!("{product:?}")),
        "version": report.version,
        "signing_key": match report.signing_key {
            SigningKey::Vcek => "vcek",
            SigningKey::Vlek => "vlek",
        },
        "measurement": hex::encode(report.measurement.0),
        "report_data": hex::encode(report.report_data),
        "host_data": hex::encode(report.host_data),
        "family_id": hex::encode(report.family_id),
        "image_id": hex::encode(report.image_id),
        "guest_svn": report.guest_svn,
        "policy": format!("{:#x}", report.policy),
        "platform_info": format!("{:#x}", report.platform_info),
        "vmpl": report.vmpl,
        "chip_id": hex::encode(report.chip_id.0),
        "reported_tcb": tcb(report.reported_tcb),
        "committed_tcb": tcb(report.committed_tcb),
        "current_tcb": tcb(report.current_tcb),
        "launch_tcb": tcb(report.launch_tcb),
    })
}

fn tcb(raw: RawTcb, product: Option<Product>) -> Value {
    let Some(product) = product else { return json!(hex::encode(raw.0)) };
    let Tcb { fmc, boot_loader, tee, snp, microcode } = raw.components(product);
    let mut parts = json!({ "boot_loader": boot_loader, "tee": tee, "snp": snp, "microcode": microcode });
    if let (Product::Turin, Some(object)) = (product, parts.as_object_mut()) {
        object.insert("fmc".to_owned(), json!(fmc));
    }
    parts
}

/// Of a quote.
pub(super) fn quote(quote: &Quote, values: &PcrValues) -> Value {
    let mut banks = Map::new();
    for ((bank, index), value) in values {
        let bank = banks.entry(format!("{bank:?}").to_lowercase()).or_insert_with(|| json!({}));
        if let Some(bank) = bank.as_object_mut() {
            bank.insert(index.to_string(), json!(hex::encode(value)));
        }
    }
    let ClockInfo { clock_millis, reset_count, restart_count, safe } = quote.clock;
    json!({
        "extra_data": hex::encode(&quote.extra_data),
        "clock": {
            "clock_millis": clock_millis,
            "reset_count": reset_count,
            "restart_count": restart_count,
            "safe": safe,
        },
        "firmware_version": format!("{:016x}", quote.firmware_version),
        "pcrs": banks,
    })
}

/// Warnings, if there are any.
pub(super) fn with_warnings(mut claims: Value, warnings: &[Warning]) -> Value {
    let names: Vec<&str> = warnings
        .iter()
        .map(|warning| match warning {
            Warning::ReferenceValue => "reference-value",
            Warning::TcbFloor => "tcb-floor",
        })
        .collect();
    if let (false, Some(object)) = (names.is_empty(), claims.as_object_mut()) {
        object.insert("warnings".to_owned(), json!(names));
    }
    claims
}
