//! Logs of real machines, from the evidence folder: each case and each mutation of a log gets the verdict that is
//! written there, by the policy in that folder's README.

use std::path::PathBuf;

use serde_json::Value;
use vouchsafe_attestation::log::ima::ImaLog;
use vouchsafe_attestation::log::{EventLog, confirm};
use vouchsafe_crypto::verify::HashAlgorithm;

/// The folder, if it is there.
fn evidence() -> Option<PathBuf> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/evidence"));
    let folder = std::env::var_os("VOUCHSAFE_EVIDENCE").map_or_else(beside, PathBuf::from);
    if !folder.join("cases.json").exists() {
        eprintln!("SKIPPED: no evidence folder at {}", folder.display());
        return None;
    }
    Some(folder)
}

struct Folder {
    path: PathBuf,
    cases: Value,
}

impl Folder {
    fn open() -> Option<Self> {
        let path = evidence()?;
        let cases = serde_json::from_slice(&std::fs::read(path.join("cases.json")).unwrap()).unwrap();
        Some(Self { path, cases })
    }

    fn cases(&self) -> impl Iterator<Item = &Value> {
        self.cases["cases"].as_array().unwrap().iter()
    }

    fn read(&self, case: &Value, file: &str) -> Option<Vec<u8>> {
        let name = case["files"][file].as_str()?;
        Some(std::fs::read(self.path.join(name)).unwrap())
    }

    fn banks(&self, case: &Value) -> Option<Banks> {
        let listed: Value = serde_json::from_slice(&self.read(case, "pcrs")?).unwrap();
        let values = |values: &Value| {
            let values = values.as_object().unwrap().iter();
            values.map(|(pcr, value)| (pcr.parse().unwrap(), unhex(value))).collect()
        };
        // A quote's file is one bank; the others name theirs.
        let banks = listed["banks"].as_object()?;
        Some(banks.iter().map(|(bank, listed)| (bank_named(bank), values(listed))).collect())
    }
}

type Banks = Vec<(HashAlgorithm, Vec<(u8, Vec<u8>)>)>;

fn bank_named(name: &str) -> HashAlgorithm {
    match name {
        "sha1" => HashAlgorithm::DangerousSha1,
        "sha256" => HashAlgorithm::Sha256,
        "sha384" => HashAlgorithm::Sha384,
        _ => panic!("bank {name}"),
    }
}

fn unhex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap().as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The README's policy for logs.
fn accepts(log: &[u8], banks: &Banks, sha1_allowed: bool) -> bool {
    let Ok(log) = EventLog::parse(log) else { return false };
    let only_sha1 = banks.iter().all(|(bank, _)| *bank == HashAlgorithm::DangerousSha1);
    (sha1_allowed || !only_sha1)
        && banks.iter().all(|(bank, values)| {
            let values = values.iter().map(|(pcr, value)| (*pcr, value));
            confirm(&log, *bank, values.clone())
                .is_ok_and(|replayed| values.clone().all(|(pcr, _)| replayed.is_confirmed(pcr)))
        })
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Value) {
    let offset = || usize::try_from(mutation["offset"].as_u64().unwrap()).unwrap();
    let value = || unhex(&mutation["value"]);
    match mutation["op"].as_str().unwrap() {
        "append" => bytes.extend(value()),
        "set" => bytes[offset()..offset() + value().len()].copy_from_slice(&value()),
        "truncate" => bytes.truncate(usize::try_from(mutation["length"].as_u64().unwrap()).unwrap()),
        "xor" => bytes[offset()..].iter_mut().zip(value()).for_each(|(byte, mask)| *byte ^= mask),
        op => panic!("operation {op}"),
    }
}

#[test]
fn logs_of_real_machines_get_the_verdict_of_their_case() {
    let Some(folder) = Folder::open() else { return };
    let mut seen = 0;
    for case in folder.cases().filter(|case| case["kind"] == "event-log") {
        let (log, banks) = (folder.read(case, "event_log").unwrap(), folder.banks(case).unwrap());
        let sha1_allowed = case["policy"]["allow_sha1"] == true;
        let expected = case["expect"] == "valid";
        assert_eq!(accepts(&log, &banks, sha1_allowed), expected, "{}", case["name"]);
        let mutations = folder.cases["mutations"].as_array().unwrap().iter();
        for mutation in mutations.filter(|m| m["base"] == case["name"] && m["file"] == "event_log") {
            let mut log = log.clone();
            mutate(&mut log, mutation);
            let expected = mutation["expect"] == "valid";
            assert_eq!(accepts(&log, &banks, sha1_allowed), expected, "{}", mutation["name"]);
            seen += 1;
        }
        seen += 1;
    }
    assert!(seen >= 9, "the folder has logs");
}

#[test]
fn logs_of_real_machines_hold_what_their_case_tells_of_them() {
    let Some(folder) = Folder::open() else { return };
    for case in
        folder.cases().filter(|case| ["event-log", "log-parse"].contains(&case["kind"].as_str().unwrap()))
    {
        let (name, bytes) = (&case["name"], folder.read(case, "event_log").unwrap());
        let parsed = EventLog::parse(&bytes);
        if case["kind"] == "log-parse" {
            assert_eq!(parsed.is_ok(), case["expect"] == "valid", "{name}");
        }
        let (Ok(log), facts) = (parsed, &case["facts"]) else { continue };
        if let Some(events) = facts["events"].as_u64() {
            assert_eq!(u64::try_from(log.record_count()).unwrap(), events, "{name}");
        }
        if let Some(format) = facts["format"].as_str() {
            assert_eq!(log.is_crypto_agile(), format == "crypto-agile", "{name}");
        }
        if let Some(locality) = facts["startup_locality"].as_u64() {
            assert_eq!(u64::from(log.startup_locality().unwrap_or(0)), locality, "{name}");
        }
        if let Some(algorithms) = facts["algorithms"].as_array() {
            let banks: Vec<_> = algorithms.iter().map(|bank| bank_named(bank.as_str().unwrap())).collect();
            assert!(
                banks.iter().all(|bank| log.has_bank(*bank)) && banks.len() == log.algorithms().len(),
                "{name}"
            );
            let uncovered = |bank: &HashAlgorithm| {
                let events = log.events().iter().filter(|event| event.kind.should_cover_data());
                events.filter(|event| event.covered_data(*bank).is_none()).count()
            };
            let uncovered: usize = banks.iter().map(uncovered).sum();
            assert_eq!(Some(uncovered as u64), facts["event_data_hash_mismatches"].as_u64(), "{name}");
        }
    }
}

#[test]
fn logs_of_real_machines_are_of_orderly_boots() {
    let Some(folder) = Folder::open() else { return };
    for case in folder.cases().filter(|case| case["kind"] == "event-log" && case["expect"] == "valid") {
        let (log, banks) = (folder.read(case, "event_log").unwrap(), folder.banks(case).unwrap());
        let log = EventLog::parse(&log).unwrap();
        for (bank, values) in banks {
            let replayed = confirm(&log, bank, values).unwrap();
            let boot = replayed.measured_boot().unwrap_or_else(|error| panic!("{}: {error}", case["name"]));
            assert!(boot.secure_boot().unwrap().enabled.is_some(), "{}", case["name"]);
        }
    }
}

#[test]
fn ima_logs_of_real_machines_get_the_verdict_of_their_case() {
    let Some(folder) = Folder::open() else { return };
    for case in folder.cases().filter(|case| case["kind"] == "ima-parse") {
        let log = folder.read(case, "ima_log").unwrap();
        assert_eq!(ImaLog::parse(&log).is_ok(), case["expect"] == "valid", "{}", case["name"]);
    }
}
