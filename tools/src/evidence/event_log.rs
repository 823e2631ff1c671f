//! Boot event logs, for showing: TCG PC Client Platform Firmware Profile 1.06, section 10. Little-endian. Nothing is
//! replayed or believed here; this version's verdicts do not look at logs.

use anyhow::{Context, bail, ensure};

/// Most events shown; real logs have a few hundred.
const EVENTS: usize = 16_384;
/// Most algorithms a header may announce.
const ALGORITHMS: u32 = 16;
/// Signature of a crypto-agile header event.
const AGILE: &[u8] = b"Spec ID Event03\0";

/// A log.
#[derive(Debug)]
pub(super) struct EventLog {
    /// Announced digest algorithms with their lengths in bytes; SHA-1 alone in the old format.
    pub(super) algorithms: Vec<(u16, u16)>,
    /// Whether the log has a crypto-agile header.
    pub(super) crypto_agile: bool,
    /// Events behind the header.
    pub(super) events: Vec<Event>,
}

/// An event.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) pcr: u32,
    pub(super) kind: u32,
    pub(super) digests: Vec<(u16, Vec<u8>)>,
    pub(super) data: Vec<u8>,
}

/// Parses a whole log.
///
/// # Errors
/// Anything that does not add up, with the number of the event.
pub(super) fn parse(bytes: &[u8]) -> anyhow::Result<EventLog> {
    let mut at = Cursor(bytes);
    let first = old_event(&mut at).context("this is not an event log")?;
    let agile = first.kind == NO_ACTION && first.data.starts_with(AGILE);
    let mut log = if agile {
        EventLog { algorithms: announced(&first.data)?, crypto_agile: true, events: Vec::new() }
    } else {
        EventLog { algorithms: vec![(SHA1, 20)], crypto_agile: false, events: vec![first] }
    };
    while !at.0.is_empty() {
        let number = log.events.len() + 1;
        ensure!(number <= EVENTS, "the log has more than {EVENTS} events");
        let event = if agile { agile_event(&mut at, &log.algorithms) } else { old_event(&mut at) };
        log.events.push(event.with_context(|| format!("event {number} is malformed"))?);
    }
    Ok(log)
}

const SHA1: u16 = 0x0004;
const NO_ACTION: u32 = 3;

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> anyhow::Result<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(len).context("it ends early")?;
        self.0 = rest;
        Ok(field)
    }

    fn u16(&mut self) -> anyhow::Result<u16> {
        Ok(u16::from_le_bytes(self.take(2)?.try_into()?))
    }

    fn u32(&mut self) -> anyhow::Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into()?))
    }

    fn sized(&mut self) -> anyhow::Result<&'a [u8]> {
        let len = usize::try_from(self.u32()?)?;
        self.take(len)
    }
}

/// TCG_PCClientPCREvent (section 10.2.1).
fn old_event(at: &mut Cursor<'_>) -> anyhow::Result<Event> {
    let (pcr, kind, digest) = (at.u32()?, at.u32()?, at.take(20)?.to_vec());
    ensure!(pcr < 32, "it is for PCR {pcr}");
    Ok(Event { pcr, kind, digests: vec![(SHA1, digest)], data: at.sized()?.to_vec() })
}

/// TCG_EfiSpecIDEvent (section 10.4.5.1).
fn announced(data: &[u8]) -> anyhow::Result<Vec<(u16, u16)>> {
    let mut at = Cursor(data);
    // Signature, platform class, version minor, major, errata, uintn size.
    at.take(16 + 4 + 4).context("the header is malformed")?;
    let count = at.u32()?;
    ensure!((1..=ALGORITHMS).contains(&count), "the header announces {count} algorithms");
    (0..count).map(|_| Ok((at.u16()?, at.u16()?))).collect()
}

/// TCG_PCR_EVENT2 (section 10.2.2).
fn agile_event(at: &mut Cursor<'_>, algorithms: &[(u16, u16)]) -> anyhow::Result<Event> {
    let (pcr, kind, count) = (at.u32()?, at.u32()?, at.u32()?);
    ensure!(count <= ALGORITHMS, "it has {count} digests");
    let mut digests = Vec::new();
    for _ in 0..count {
        let id = at.u16()?;
        let Some((_, len)) = algorithms.iter().find(|(announced, _)| *announced == id) else {
            bail!("its algorithm {id:#06x} is not announced");
        };
        digests.push((id, at.take(usize::from(*len))?.to_vec()));
    }
    Ok(Event { pcr, kind, digests, data: at.sized()?.to_vec() })
}

/// Name of an event type (section 10.4.1), if it is a common one.
pub(super) fn kind_name(kind: u32) -> Option<&'static str> {
    Some(match kind {
        0x0000_0001 => "EV_POST_CODE",
        0x0000_0003 => "EV_NO_ACTION",
        0x0000_0004 => "EV_SEPARATOR",
        0x0000_0005 => "EV_ACTION",
        0x0000_0006 => "EV_EVENT_TAG",
        0x0000_0007 => "EV_S_CRTM_CONTENTS",
        0x0000_0008 => "EV_S_CRTM_VERSION",
        0x0000_0009 => "EV_CPU_MICROCODE",
        0x0000_000a => "EV_PLATFORM_CONFIG_FLAGS",
        0x0000_000b => "EV_TABLE_OF_DEVICES",
        0x0000_000c => "EV_COMPACT_HASH",
        0x0000_000d => "EV_IPL",
        0x0000_000e => "EV_IPL_PARTITION_DATA",
        0x0000_0011 => "EV_NONHOST_INFO",
        0x8000_0001 => "EV_EFI_VARIABLE_DRIVER_CONFIG",
        0x8000_0002 => "EV_EFI_VARIABLE_BOOT",
        0x8000_0003 => "EV_EFI_BOOT_SERVICES_APPLICATION",
        0x8000_0004 => "EV_EFI_BOOT_SERVICES_DRIVER",
        0x8000_0005 => "EV_EFI_RUNTIME_SERVICES_DRIVER",
        0x8000_0006 => "EV_EFI_GPT_EVENT",
        0x8000_0007 => "EV_EFI_ACTION",
        0x8000_0008 => "EV_EFI_PLATFORM_FIRMWARE_BLOB",
        0x8000_0009 => "EV_EFI_HANDOFF_TABLES",
        0x8000_000a => "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
        0x8000_000b => "EV_EFI_HANDOFF_TABLES2",
        0x8000_0010 => "EV_EFI_HCRTM_EVENT",
        0x8000_00e0 => "EV_EFI_VARIABLE_AUTHORITY",
        0x8000_00e1 => "EV_EFI_SPDM_FIRMWARE_BLOB",
        0x8000_00e2 => "EV_EFI_SPDM_FIRMWARE_CONFIG",
        _ => return None,
    })
}
