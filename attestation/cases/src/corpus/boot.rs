//! A boot written out: a crypto-agile event log (PC Client Platform Firmware Profile 1.06, section 10), the values that
//! it leads to, and an IMA log. Made here, without the verifier's code.

use serde_json::{Value, json};
use vouchsafe_crypto::digest::sha256;
use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::evidence::PcrValue;

pub(super) const NO_ACTION: u32 = 3;
pub(super) const SEPARATOR: u32 = 4;
pub(super) const ACTION: u32 = 5;
pub(super) const CRTM_VERSION: u32 = 8;
pub(super) const IPL: u32 = 0x0d;
pub(super) const VARIABLE: u32 = 0x8000_0001;
pub(super) const APPLICATION: u32 = 0x8000_0003;
pub(super) const EFI_ACTION: u32 = 0x8000_0007;
/// Digest of the application that is started: an Authenticode hash, not one of the event's data.
pub(super) const APPLICATION_DIGEST: [u8; 32] = [0xb0; 32];
/// Digest of the kernel's section.
pub(super) const LINUX_DIGEST: [u8; 32] = [0x11; 32];
/// What the firmware says it is.
pub(super) const FIRMWARE: &[u8] = b"corpus firmware 1";
/// PCRs that the log explains and the fixtures judge by events.
pub(super) const JUDGED: [u8; 5] = [0, 4, 5, 7, 11];

/// An event of a log with SHA-256 digests.
#[derive(Clone)]
pub(super) struct Event {
    pub(super) pcr: u32,
    pub(super) kind: u32,
    pub(super) digest: [u8; 32],
    pub(super) data: Vec<u8>,
}

/// An event whose digest is that of its data.
pub(super) fn event(pcr: u32, kind: u32, data: &[u8]) -> Event {
    Event { pcr, kind, digest: sha256(&[data]), data: data.to_vec() }
}

/// The variable SecureBoot.
pub(super) fn secure_boot(on: bool) -> Event {
    // EFI_GLOBAL_VARIABLE, 8be4df61-93ca-11d2-aa0d-00e098032b8c.
    let guid =
        [0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c];
    let name = "SecureBoot";
    let mut data = guid.to_vec();
    data.extend(10u64.to_le_bytes());
    data.extend(1u64.to_le_bytes());
    data.extend(name.bytes().flat_map(|byte| [byte, 0]));
    data.push(u8::from(on));
    event(7, VARIABLE, &data)
}

/// An orderly boot.
pub(super) fn boot() -> Vec<Event> {
    let mut events = vec![event(0, CRTM_VERSION, FIRMWARE), secure_boot(true)];
    events.extend((0..=7).map(|pcr| event(pcr, SEPARATOR, &[0; 4])));
    events.push(event(4, EFI_ACTION, b"Calling EFI Application from Boot Option"));
    events.push(Event { pcr: 4, kind: APPLICATION, digest: APPLICATION_DIGEST, data: vec![0x5a; 64] });
    events.push(event(11, IPL, b".linux\0"));
    events.push(Event { pcr: 11, kind: IPL, digest: LINUX_DIGEST, data: b".linux\0".to_vec() });
    events.push(event(5, EFI_ACTION, b"Exit Boot Services Invocation"));
    events.push(event(5, EFI_ACTION, b"Exit Boot Services Returned with Success"));
    events
}

/// The policy that judges the orderly boot by its events.
pub(super) fn policy() -> Value {
    let events = |index: u8| (index.to_string(), json!("events"));
    let pcrs: serde_json::Map<String, Value> = JUDGED.map(events).into_iter().collect();
    json!({
        "pcrs": pcrs,
        "events": {
            "secure_boot": "required",
            "boot_applications": [hex::encode(APPLICATION_DIGEST)],
            "uki_sections": { ".linux": hex::encode(LINUX_DIGEST) },
            "boot_phases": ["firmware"],
            "allowed": { "0": [hex::encode(sha256(&[FIRMWARE]))] },
        },
    })
}

/// Values that events lead to, for these PCRs; PCR 0 begins with the locality.
pub(super) fn replay(events: &[Event], pcrs: &[u8], locality: u8) -> Vec<PcrValue> {
    let value = |index: u8| {
        let mut value = [0; 32];
        if let (0, Some(last)) = (index, value.last_mut()) {
            *last = locality;
        }
        let of_pcr = events.iter().filter(|event| event.pcr == u32::from(index) && event.kind != NO_ACTION);
        of_pcr.fold(value, |value, event| sha256(&[&value, &event.digest]))
    };
    pcrs.iter().map(|index| PcrValue { index: *index, value: value(*index) }).collect()
}

/// The header of a log that announces algorithms with their digest lengths.
pub(super) fn header(algorithms: &[(u16, u16)]) -> Vec<u8> {
    let mut data = b"Spec ID Event03\0".to_vec();
    // Platform class; version 2.0, errata 0, 64-bit.
    data.extend([0, 0, 0, 0, 0, 2, 0, 2]);
    data.extend(u32::try_from(algorithms.len()).unwrap_or(0).to_le_bytes());
    for (id, len) in algorithms {
        data.extend(id.to_le_bytes());
        data.extend(len.to_le_bytes());
    }
    data.push(0);
    sha1_event(0, NO_ACTION, &[0; 20], &data)
}

/// An event of the old format.
pub(super) fn sha1_event(pcr: u32, kind: u32, digest: &[u8; 20], data: &[u8]) -> Vec<u8> {
    [&pcr.to_le_bytes(), &kind.to_le_bytes(), digest.as_slice(), &len(data), data].concat()
}

/// An event of the new format.
pub(super) fn agile(event: &Event) -> Vec<u8> {
    let Event { pcr, kind, digest, data } = event;
    let one = [&1u32.to_le_bytes(), 0x000b_u16.to_le_bytes().as_slice(), digest].concat();
    [&pcr.to_le_bytes(), kind.to_le_bytes().as_slice(), &one, &len(data), data].concat()
}

fn len(data: &[u8]) -> [u8; 4] {
    u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes()
}

/// A whole log of the SHA-256 bank.
pub(super) fn encode(events: &[Event]) -> Vec<u8> {
    let mut log = header(&[(0x000b, 32)]);
    log.extend(events.iter().flat_map(agile));
    log
}

/// The event that gives PCR 0 its start value.
pub(super) fn locality(locality: u8) -> Event {
    let data = [b"StartupLocality\0".as_slice(), &[locality]].concat();
    Event { pcr: 0, kind: NO_ACTION, digest: [0; 32], data }
}

/// A file that IMA measured.
#[derive(Clone)]
pub(super) struct Measured {
    pub(super) pcr: u8,
    pub(super) digest: [u8; 32],
    pub(super) name: &'static str,
    pub(super) violation: bool,
}

/// Template data of `ima-ng`.
fn template(file: &Measured) -> Vec<u8> {
    let digest = [b"sha256:\0".as_slice(), &file.digest].concat();
    let name = [file.name.as_bytes(), &[0]].concat();
    [&len(&digest), digest.as_slice(), &len(&name), &name].concat()
}

/// `ascii_runtime_measurements`.
pub(super) fn ima_text(files: &[Measured]) -> Vec<u8> {
    let line = |file: &Measured| {
        let hash = match file.violation {
            true => vec![0; 20],
            false => HashAlgorithm::DangerousSha1.digest(&[&template(file)]),
        };
        let (hash, digest) = (hex::encode(hash), hex::encode(file.digest));
        format!("{} {hash} ima-ng sha256:{digest} {}\n", file.pcr, file.name)
    };
    files.iter().map(line).collect::<String>().into_bytes()
}

/// What IMA's measurements lead PCR 10 to.
pub(super) fn ima_value(files: &[Measured]) -> [u8; 32] {
    files.iter().filter(|file| file.pcr == 10).fold([0; 32], |value, file| {
        let extended = if file.violation { [0xff; 32] } else { sha256(&[&template(file)]) };
        sha256(&[&value, &extended])
    })
}

/// What kernels before 5.8 extend instead: the SHA-1 hash, filled up with zeros.
pub(super) fn ima_padded_value(files: &[Measured]) -> [u8; 32] {
    files.iter().fold([0; 32], |value, file| {
        let mut extended = HashAlgorithm::DangerousSha1.digest(&[&template(file)]);
        extended.resize(32, 0);
        sha256(&[&value, &extended])
    })
}
