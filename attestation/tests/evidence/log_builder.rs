//! Logs built event by event, and what they lead to by a replay of its own.

use vouchsafe_attestation::log::{EventKind, EventLog, Guid, MeasuredBoot, confirm};
use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::evidence::PcrValue;

pub const SHA1: u16 = 0x0004;
pub const SHA256: u16 = 0x000b;
pub const EXIT_INVOCATION: &[u8] = b"Exit Boot Services Invocation";
pub const EXIT_SUCCESS: &[u8] = b"Exit Boot Services Returned with Success";
pub const CALLING: &[u8] = b"Calling EFI Application from Boot Option";
pub const ZERO_SEPARATOR: &[u8] = &[0; 4];

pub fn sha256(data: &[u8]) -> [u8; 32] {
    HashAlgorithm::Sha256.digest(&[data]).try_into().unwrap()
}

fn hash(id: u16, data: &[u8]) -> Vec<u8> {
    let bank = if id == SHA1 { HashAlgorithm::DangerousSha1 } else { HashAlgorithm::Sha256 };
    bank.digest(&[data])
}

#[derive(Clone)]
pub struct LogEvent {
    pub pcr: u32,
    pub kind: EventKind,
    pub digests: Vec<(u16, Vec<u8>)>,
    pub data: Vec<u8>,
}

impl LogEvent {
    /// An event whose digests are the hash of its data.
    pub fn of(pcr: u32, kind: EventKind, data: &[u8]) -> Self {
        Self::measured(pcr, kind, data, data)
    }

    /// An event that logs other data than was measured.
    pub fn measured(pcr: u32, kind: EventKind, measured: &[u8], data: &[u8]) -> Self {
        let digests = [SHA1, SHA256].map(|id| (id, hash(id, measured))).to_vec();
        Self { pcr, kind, digests, data: data.to_vec() }
    }

    pub fn separator(pcr: u32) -> Self {
        Self::of(pcr, EventKind::SEPARATOR, ZERO_SEPARATOR)
    }

    pub fn action(pcr: u32, text: &[u8]) -> Self {
        Self::of(pcr, EventKind::EFI_ACTION, text)
    }

    /// A variable as firmware measures it before anything is started.
    pub fn variable(vendor: Guid, name: &str, value: &[u8]) -> Self {
        Self::of(7, EventKind::EFI_VARIABLE_DRIVER_CONFIG, &variable(vendor, name, value))
    }

    /// An application by the Authenticode digest that stands for it here: the hash of its name.
    pub fn application(name: &str) -> Self {
        let load = [&[0; 24][..], &0u64.to_le_bytes()].concat();
        Self::measured(4, EventKind::EFI_BOOT_SERVICES_APPLICATION, name.as_bytes(), &load)
    }

    /// A section as systemd-stub measures it: two events.
    pub fn section(name: &str, content: &[u8]) -> [Self; 2] {
        let logged = utf16(&format!("{name}\0"));
        [format!("{name}\0").as_bytes(), content]
            .map(|measured| Self::measured(11, EventKind::IPL, measured, &logged))
    }

    /// A command line as systemd-stub measures it.
    pub fn systemd_text(text: &str) -> Self {
        Self::measured(12, EventKind::IPL, &utf16(text), &utf16(&format!("{text}\0")))
    }

    /// A command line as GRUB measures it.
    pub fn grub_text(text: &str) -> Self {
        Self::measured(8, EventKind::IPL, text.as_bytes(), format!("kernel_cmdline: {text}\0").as_bytes())
    }

    pub fn startup_locality(locality: u8) -> Self {
        let mut event = Self::of(0, EventKind::NO_ACTION, &[&b"StartupLocality\0"[..], &[locality]].concat());
        event.digests.iter_mut().for_each(|(_, digest)| digest.fill(0));
        event
    }

    fn digest(&self, id: u16) -> Option<&[u8]> {
        self.digests.iter().find(|(of, _)| *of == id).map(|(_, digest)| digest.as_slice())
    }
}

pub fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// UEFI_VARIABLE_DATA.
pub fn variable(vendor: Guid, name: &str, value: &[u8]) -> Vec<u8> {
    let name = utf16(name);
    let lens = [name.len() / 2, value.len()].map(|len| (len as u64).to_le_bytes());
    [&vendor.0[..], &lens[0], &lens[1], &name, value].concat()
}

/// A log in the making. Events are counted as in the log: 1 is the header.
#[derive(Clone)]
pub struct LogBuilder {
    /// Data of the header; none in the old format.
    pub header: Option<Vec<u8>>,
    pub events: Vec<LogEvent>,
}

/// Announced algorithms with their lengths in bytes.
pub fn header(algorithms: &[(u16, u16)]) -> Vec<u8> {
    let mut data = b"Spec ID Event03\0".to_vec();
    data.extend([0, 0, 0, 0, 0, 2, 0, 2]);
    data.extend(u32::try_from(algorithms.len()).unwrap().to_le_bytes());
    data.extend(algorithms.iter().flat_map(|(id, len)| [id.to_le_bytes(), len.to_le_bytes()].concat()));
    data.push(0);
    data
}

impl LogBuilder {
    pub fn of(events: Vec<LogEvent>) -> Self {
        Self { header: Some(header(&[(SHA1, 20), (SHA256, 32)])), events }
    }

    /// The log of a machine with Secure Boot that starts a boot loader and a unified kernel image.
    pub fn orderly() -> Self {
        let app = LogEvent::application;
        let mut events = vec![
            LogEvent::of(0, EventKind::S_CRTM_VERSION, b"1.0"),
            LogEvent::variable(Guid::GLOBAL, "SecureBoot", &[1]),
            LogEvent::variable(Guid::GLOBAL, "PK", b"pk"),
            LogEvent::variable(Guid::GLOBAL, "KEK", b"kek"),
            LogEvent::variable(Guid::IMAGE_SECURITY, "db", b"db"),
            LogEvent::variable(Guid::IMAGE_SECURITY, "dbx", b"dbx"),
            LogEvent::separator(7),
            LogEvent::action(4, CALLING),
        ];
        events.extend((0..7).map(LogEvent::separator));
        let authority = variable(Guid::IMAGE_SECURITY, "db", b"entry of db");
        events.push(LogEvent::of(7, EventKind::EFI_VARIABLE_AUTHORITY, &authority));
        events.push(LogEvent::of(5, EventKind::EFI_GPT_EVENT, b"partitions"));
        events.extend([app("systemd-boot"), app("uki")]);
        events.extend(LogEvent::section(".linux", b"kernel"));
        events.extend(LogEvent::section(".initrd", b"initrd"));
        events.push(LogEvent::systemd_text("console=ttyS0"));
        events.extend([EXIT_INVOCATION, EXIT_SUCCESS].map(|text| LogEvent::action(5, text)));
        Self::of(events)
    }

    /// The first event that fits.
    pub fn find(&mut self, fits: impl Fn(&LogEvent) -> bool) -> &mut LogEvent {
        self.events.iter_mut().find(|event| fits(event)).unwrap()
    }

    /// Its place in the log.
    pub fn number(&self, fits: impl Fn(&LogEvent) -> bool) -> u32 {
        u32::try_from(self.events.iter().position(fits).unwrap()).unwrap() + 2
    }

    pub fn last_number(&self) -> u32 {
        u32::try_from(self.events.len()).unwrap() + 1
    }

    pub fn encode(&self) -> Vec<u8> {
        let sized = |data: &[u8]| [&u32::try_from(data.len()).unwrap().to_le_bytes(), data].concat();
        let mut log = Vec::new();
        if let Some(header) = &self.header {
            log.extend(
                [&[0; 4][..], &EventKind::NO_ACTION.0.to_le_bytes(), &[0; 20], &sized(header)].concat(),
            );
        }
        for LogEvent { pcr, kind, digests, data } in &self.events {
            log.extend([pcr.to_le_bytes(), kind.0.to_le_bytes()].concat());
            if self.header.is_some() {
                log.extend(u32::try_from(digests.len()).unwrap().to_le_bytes());
                digests
                    .iter()
                    .for_each(|(id, digest)| log.extend([&id.to_le_bytes(), digest.as_slice()].concat()));
            } else {
                log.extend(&digests[0].1);
            }
            log.extend(sized(data));
        }
        log
    }

    /// What a TPM's SHA-256 bank holds after these events, by its definition.
    pub fn value(&self, pcr: u32) -> [u8; 32] {
        self.value_from(pcr, [if (17..=22).contains(&pcr) { 0xff } else { 0 }; 32])
    }

    pub fn value_from(&self, pcr: u32, start: [u8; 32]) -> [u8; 32] {
        let extended =
            self.events.iter().filter(|event| event.pcr == pcr && event.kind != EventKind::NO_ACTION);
        extended.fold(start, |value, event| sha256(&[&value, event.digest(SHA256).unwrap()].concat()))
    }

    pub fn pcrs(&self, indices: &[u8]) -> Vec<PcrValue> {
        indices.iter().map(|index| PcrValue { index: *index, value: self.value(u32::from(*index)) }).collect()
    }

    /// The values of all PCRs.
    pub fn all(&self) -> Vec<(u8, [u8; 32])> {
        (0..24).map(|pcr| (pcr, self.value(u32::from(pcr)))).collect()
    }
}

/// Looks at the log of a boot that replays and is orderly.
pub fn with_boot<T>(log: &LogBuilder, look: impl Fn(&MeasuredBoot<'_, '_>) -> T) -> T {
    let bytes = log.encode();
    let parsed = EventLog::parse(&bytes).unwrap();
    look(&confirm(&parsed, HashAlgorithm::Sha256, log.all()).unwrap().measured_boot().unwrap())
}
