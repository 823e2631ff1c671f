use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use vouchsafe_attestation::statement::introduction;
use vouchsafe_protocol::id::{AnchorClass, VaultId};
use vouchsafe_protocol::policy::{LaunchDigest, Product};
use vouchsafe_simulation::SimulatedChip;

use super::report::REPORT_LEN;
use super::*;

/// The kernel, imitated over real files: it fills a new request with attributes and answers a write to `inblob`.
struct Kernel {
    files: Configfs,
    chip: Arc<SimulatedChip>,
    measurement: LaunchDigest,
    provider: &'static str,
    certificates: Vec<u8>,
    /// Changes the report before it is handed out.
    spoil: fn(&mut Vec<u8>),
    /// Raises the generation once more for so many writes, as a second writer would.
    disturbances: usize,
    generation: u64,
}

impl Kernel {
    fn new(path: &Path, chip: &Arc<SimulatedChip>) -> Self {
        let certificates = certificate_table(&[(VCEK, chip.vek()), (ASK, chip.issuer())]);
        Self {
            files: Configfs::new(path.to_owned()),
            chip: Arc::clone(chip),
            measurement: LaunchDigest([7; 48]),
            provider: "sev_guest\n",
            certificates,
            spoil: |_| {},
            disturbances: 0,
            generation: 0,
        }
    }
}

impl ReportDirectory for Kernel {
    fn is_present(&self) -> bool {
        self.files.is_present()
    }

    fn path(&self) -> &Path {
        self.files.path()
    }

    fn make(&mut self, request: &Path) -> io::Result<()> {
        self.files.make(request)?;
        fs::write(request.join("provider"), self.provider)?;
        fs::write(request.join("generation"), format!("{}\n", self.generation))?;
        fs::write(request.join("inblob"), b"")
    }

    fn read(&mut self, attribute: &Path, limit: usize) -> io::Result<Vec<u8>> {
        self.files.read(attribute, limit)
    }

    fn write(&mut self, attribute: &Path, value: &[u8]) -> io::Result<()> {
        self.files.write(attribute, value)?;
        assert!(attribute.ends_with("inblob"));
        let request = attribute.parent().unwrap();
        let data: &[u8; 64] = value.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut report = self.chip.attest(self.measurement, data).unwrap().report;
        (self.spoil)(&mut report);
        fs::write(request.join("outblob"), report)?;
        fs::write(request.join("auxblob"), &self.certificates)?;
        self.generation += 1;
        if self.disturbances > 0 {
            self.disturbances -= 1;
            self.generation += 1;
        }
        fs::write(request.join("generation"), format!("{}\n", self.generation))
    }

    fn remove(&mut self, request: &Path) -> io::Result<()> {
        // configfs removes its attributes with the request.
        for attribute in fs::read_dir(request)? {
            fs::remove_file(attribute?.path())?;
        }
        self.files.remove(request)
    }
}

/// The security processor, imitated: a key for every request, chip and measurement.
#[derive(Clone, Default)]
struct Processor {
    keys: Arc<Mutex<BTreeMap<Vec<u8>, [u8; 32]>>>,
    mixed_in: Vec<u8>,
}

impl GuestDevice for Processor {
    fn derived_key(&mut self, request: &KeyRequest) -> Result<Key32, SnpError> {
        let id = [self.mixed_in.clone(), format!("{request:?}").into_bytes()].concat();
        let mut keys = self.keys.lock().unwrap();
        let key = keys.entry(id).or_insert_with(|| random::array().unwrap());
        Ok(Key32::take(&mut key.clone()).unwrap())
    }

    fn report(&mut self, _: &[u8; 64]) -> Result<Vec<u8>, SnpError> {
        Err(SnpError::NoDevice { path: PathBuf::from("/dev/sev-guest") })
    }
}

const VCEK: u128 = 0x63da_758d_e664_4564_adc5_f4b9_3be8_accd;
const ASK: u128 = 0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782;

fn certificate_table(entries: &[(u128, &[u8]); 2]) -> Vec<u8> {
    let (mut header, mut body) = (Vec::new(), Vec::new());
    for (guid, certificate) in entries {
        let offset = u32::try_from(24 * 3 + body.len()).unwrap();
        header.extend_from_slice(&guid.to_be_bytes());
        header.extend_from_slice(&offset.to_le_bytes());
        header.extend_from_slice(&u32::try_from(certificate.len()).unwrap().to_le_bytes());
        body.extend_from_slice(certificate);
    }
    [header, vec![0; 24], body].concat()
}

fn chip() -> Arc<SimulatedChip> {
    Arc::new(SimulatedChip::generate(Product::Genoa).unwrap())
}

fn guest(dir: &TempDir, chip: &Arc<SimulatedChip>, device: &Processor) -> SnpPlatform<Processor, Kernel> {
    SnpPlatform {
        config: SnpConfig { tsm: dir.path().to_owned(), ..SnpConfig::default() },
        device: device.clone(),
        directory: Kernel::new(dir.path(), chip),
        watch: EntropyWatch::default(),
    }
}

fn statement() -> StatementPreimage {
    let vault = VaultId { class: AnchorClass::Simulated, digest: [7; 32] };
    introduction(b"challenge", &[1; 32], b"identity", &"role".parse().unwrap(), &vault)
}

#[test]
fn what_the_host_does_not_give_is_missing_from_a_collection() {
    use crate::collect::{Part, Request, Weight, from_snp};
    let (dir, chip) = (TempDir::new().unwrap(), chip());
    let mut guest = guest(&dir, &chip, &Processor::default());
    let statement = vouchsafe_attestation::statement::collection(b"nonce");
    let request = Request { statement: &statement, pcrs: &[], ima: false };
    let collected = from_snp(&mut guest, request).unwrap();
    let parts = |collected: &crate::collect::Collected| {
        collected.missing.iter().map(|missing| (missing.part, missing.weight())).collect::<Vec<_>>()
    };
    assert_eq!(parts(&collected), [(Part::RevocationList, Weight::Optional)]);
    let Evidence::Snp(evidence) = collected.evidence else { panic!("a quote") };
    assert_eq!(evidence.report[0x50..0x90], statement.snp_report_data());
    assert_eq!(evidence.endorsements.vek.as_deref(), Some(chip.vek()));

    guest.directory.certificates.clear();
    let collected = from_snp(&mut guest, request).unwrap();
    let missing = [
        (Part::Vek, Weight::Needed),
        (Part::Intermediate, Weight::Optional),
        (Part::RevocationList, Weight::Optional),
    ];
    assert_eq!(parts(&collected), missing);
}

fn evidence(guest: &mut SnpPlatform<Processor, Kernel>) -> Result<SnpEvidence, SnpError> {
    match guest.evidence(&statement(), &[], LogsWanted::default()) {
        Ok(Evidence::Snp(evidence)) => Ok(evidence),
        Ok(Evidence::Tpm(_) | Evidence::SnpVtpm(_)) => panic!("an SNP guest gave a quote"),
        Err(PlatformError::Snp(error)) => Err(error),
        Err(error) => panic!("another error: {error:?}"),
    }
}

#[test]
fn a_report_comes_with_the_hosts_certificates_and_the_request_is_removed() {
    let (dir, chip) = (TempDir::new().unwrap(), chip());
    let mut guest = guest(&dir, &chip, &Processor::default());
    let evidence = evidence(&mut guest).unwrap();
    assert_eq!(evidence.report.len(), REPORT_LEN);
    assert_eq!(evidence.report[0x50..0x90], statement().snp_report_data());
    assert_eq!(evidence.endorsements.vek.as_deref(), Some(chip.vek()));
    assert_eq!(evidence.endorsements.intermediate.as_deref(), Some(chip.issuer()));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(guest.kind(), PlatformKind::Snp);
    assert_eq!(guest.tpm_keys().unwrap(), None);
}

#[test]
fn a_disturbed_request_is_asked_again_and_not_for_ever() {
    let (dir, chip) = (TempDir::new().unwrap(), chip());
    let mut guest = guest(&dir, &chip, &Processor::default());
    guest.directory.disturbances = 3;
    evidence(&mut guest).unwrap();
    guest.directory.disturbances = 4;
    assert!(matches!(evidence(&mut guest), Err(SnpError::TsmContended { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn s16_a_report_of_another_length_is_refused() {
    let (dir, chip) = (TempDir::new().unwrap(), chip());
    let mut guest = guest(&dir, &chip, &Processor::default());
    guest.directory.spoil = |report| report.truncate(1183);
    assert!(matches!(evidence(&mut guest), Err(SnpError::ReportLength { len: 1183 })));
    guest.directory.spoil = |report| report.push(0);
    assert!(matches!(evidence(&mut guest), Err(SnpError::ReportLength { len: 1185 })));
    guest.directory.spoil = |report| report.clear();
    assert!(matches!(evidence(&mut guest), Err(SnpError::ReportLength { len: 0 })));
}

#[test]
fn s16_a_malformed_certificate_table_is_refused() {
    let (dir, chip) = (TempDir::new().unwrap(), chip());
    let mut guest = guest(&dir, &chip, &Processor::default());
    guest.directory.certificates.pop();
    assert!(matches!(evidence(&mut guest), Err(SnpError::CertTable(CertTableError::OutOfRange))));
}

#[test]
fn another_provider_is_refused() {
    let (dir, chip) = (TempDir::new().unwrap(), chip());
    let mut guest = guest(&dir, &chip, &Processor::default());
    guest.directory.provider = "tdx_guest\n";
    assert!(matches!(evidence(&mut guest), Err(SnpError::TsmProvider { .. })));
}

#[test]
fn without_the_hosts_certificates_the_configured_ones_are_used() {
    let (dir, files, chip) = (TempDir::new().unwrap(), TempDir::new().unwrap(), chip());
    let mut guest = guest(&dir, &chip, &Processor::default());
    guest.directory.certificates.clear();
    assert!(matches!(evidence(&mut guest), Err(SnpError::NoVek)));

    let vek = files.path().join("vcek.der");
    guest.config.vek = Some(vek.clone());
    assert!(matches!(evidence(&mut guest), Err(SnpError::CertificateFile { .. })));
    fs::write(&vek, chip.vek()).unwrap();
    let shown = evidence(&mut guest).unwrap();
    assert_eq!(shown.endorsements.vek.as_deref(), Some(chip.vek()));
    assert_eq!(shown.endorsements.intermediate, None);
}

#[test]
fn a_revocation_list_comes_from_a_file_else_from_the_host() {
    let (dir, files, chip) = (TempDir::new().unwrap(), TempDir::new().unwrap(), chip());
    let mut guest = guest(&dir, &chip, &Processor::default());
    let list = |guest: &mut SnpPlatform<Processor, Kernel>| evidence(guest).unwrap().endorsements.crl;
    assert_eq!(list(&mut guest), None);

    let crl = 0x92f8_1bc3_5811_4d3d_97ff_d19f_88dc_67ea;
    guest.directory.certificates = certificate_table(&[(VCEK, chip.vek()), (crl, b"of the host")]);
    assert_eq!(list(&mut guest).as_deref(), Some(&b"of the host"[..]));

    let path = files.path().join("crl.der");
    guest.config.crl = Some(path.clone());
    assert!(matches!(evidence(&mut guest), Err(SnpError::CertificateFile { .. })));
    for contents in [&b"of a file"[..], b"replaced"] {
        fs::write(&path, contents).unwrap();
        assert_eq!(list(&mut guest).as_deref(), Some(contents));
    }
    fs::write(&path, vec![0; CRL_LEN + 1]).unwrap();
    assert!(matches!(evidence(&mut guest), Err(SnpError::CertificateFile { .. })));
}

#[test]
fn the_root_key_comes_back_to_the_same_guest() {
    let (dir, chip, device) = (TempDir::new().unwrap(), chip(), Processor::default());
    let root = random::key().unwrap();
    let sealed = guest(&dir, &chip, &device).seal(&root).unwrap();
    assert!(!sealed.windows(32).any(|window| window == root.expose_secret()));
    let mut again = guest(&dir, &chip, &device);
    assert!(again.unseal(&sealed).unwrap().ct_eq(root.expose_secret()));
    assert_eq!(again.counter().unwrap(), None);
    assert!(matches!(again.increment(), Err(PlatformError::NoCounter)));
}

#[test]
fn another_chip_measurement_or_key_is_refused_each_as_such() {
    let (dir, chip, device) = (TempDir::new().unwrap(), chip(), Processor::default());
    let mut first = guest(&dir, &chip, &device);
    let sealed = first.seal(&random::key().unwrap()).unwrap();
    let refusal = |guest: &mut SnpPlatform<Processor, Kernel>, sealed: &[u8]| match guest.unseal(sealed) {
        Err(PlatformError::Snp(error)) => error,
        _ => panic!("not refused by the guest"),
    };

    let other_chip = Arc::new(SimulatedChip::generate(Product::Genoa).unwrap());
    assert!(matches!(refusal(&mut guest(&dir, &other_chip, &device), &sealed), SnpError::OtherMachine));

    let mut other_code = guest(&dir, &chip, &device);
    other_code.directory.measurement = LaunchDigest([8; 48]);
    assert!(matches!(refusal(&mut other_code, &sealed), SnpError::OtherMeasurement));

    let other_processor = Processor { mixed_in: vec![1], ..device.clone() };
    assert!(matches!(refusal(&mut guest(&dir, &chip, &other_processor), &sealed), SnpError::Altered));

    for index in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[index] ^= 1 << (index % 8);
        assert!(first.unseal(&flipped).is_err(), "byte {index}");
    }
}

#[test]
fn elsewhere_it_says_that_there_is_no_device() {
    let dir = TempDir::new().unwrap();
    if Path::new("/dev/sev-guest").exists() {
        eprintln!("skipped: this is an SEV-SNP guest");
        return;
    }
    let config = SnpConfig { tsm: dir.path().join("missing"), ..SnpConfig::default() };
    let error = SnpPlatform::open(config).err().unwrap();
    assert!(error.to_string().starts_with("no SEV-SNP guest device: /dev/sev-guest is missing"), "{error}");
}
