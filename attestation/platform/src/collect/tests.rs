use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use vouchsafe_attestation::log::ima::ImaLog;
use vouchsafe_attestation::log::{EventLog, confirm};
use vouchsafe_attestation::statement::collection;
use vouchsafe_crypto::verify::HashAlgorithm;
use vouchsafe_protocol::evidence::{AkProof, TpmEvidence};
use vouchsafe_swtpm::{KernelLogs, Swtpm};

use super::*;
use crate::LogFault;
use crate::sim::{Creation, SimConfig};
use crate::snp::{SnpConfig, SnpError};
use crate::tpm::paravisor::{ParavisorError, SnpVtpmConfig};
use crate::tpm::{ConnectError, Tcti, TpmConfig};

const PCRS: [u8; 4] = [0, 4, 7, 10];

/// A machine that booted and ran two files, with what its kernel shows of that.
struct Booted {
    tpm: Swtpm,
    logs: KernelLogs,
    securityfs: TempDir,
    _state: TempDir,
}

impl Booted {
    fn new() -> Self {
        let (state, securityfs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let tpm = Swtpm::open(state.path()).unwrap();
        let mut logs = KernelLogs::of_boot(&tpm).unwrap();
        logs.measure_file(&tpm, "/init", b"init").unwrap();
        logs.measure_file(&tpm, "/usr/bin/agent", b"agent").unwrap();
        logs.write(securityfs.path()).unwrap();
        Self { tpm, logs, securityfs, _state: state }
    }

    fn config(&self) -> TpmConfig {
        let logs = Some(LogPaths::below(self.securityfs.path(), "tpm0"));
        TpmConfig { logs, ..TpmConfig::new(self.tpm.tcti().parse().unwrap()) }
    }

    fn collect(&self, ima: bool) -> (TpmEvidence, Collected) {
        let mut machine = TpmPlatform::open(self.config()).unwrap();
        let statement = collection(b"nonce");
        let collected = from_tpm(&mut machine, Request { statement: &statement, pcrs: &PCRS, ima }).unwrap();
        let Evidence::Tpm(evidence) = collected.evidence.clone() else { panic!("a TPM gave no quote") };
        (evidence, collected)
    }
}

fn parts(collected: &Collected) -> Vec<Part> {
    collected.missing.iter().map(|missing| missing.part).collect()
}

#[test]
fn logs_that_are_collected_lead_to_the_values_that_are_quoted() {
    let machine = Booted::new();
    let (evidence, collected) = machine.collect(true);
    assert_eq!(parts(&collected), []);
    assert_eq!(evidence.logs.boot.as_ref(), Some(&machine.logs.boot));
    let quoted = evidence.pcrs.iter().map(|pcr| (pcr.index, pcr.value));
    let log = EventLog::parse(evidence.logs.boot.as_deref().unwrap()).unwrap();
    let replayed = confirm(&log, HashAlgorithm::Sha256, quoted).unwrap();
    assert!([0, 4, 7].into_iter().all(|pcr| replayed.is_confirmed(pcr)));
    replayed.measured_boot().unwrap();
    let ima = ImaLog::parse(evidence.logs.ima.as_deref().unwrap()).unwrap();
    ima.confirm(HashAlgorithm::Sha256, &evidence.pcrs[3].value).unwrap();

    let keys = collected.keys.unwrap();
    assert_eq!(keys.ak_public, evidence.ak_public);
    assert!(matches!(keys.proof, AkProof::Credential { .. }));
    let bank = &collected.banks[0];
    let same = evidence.pcrs.iter().map(|pcr| (pcr.index, pcr.value.to_vec())).collect::<Vec<_>>();
    assert_eq!((bank.name, &bank.values), ("sha256", &same));
}

#[test]
fn t7_what_is_logged_but_not_yet_extended_is_cut_off() {
    let mut machine = Booted::new();
    let before = machine.logs.ima.clone();
    machine.logs.note_file("/usr/bin/late", b"late");
    machine.logs.write(machine.securityfs.path()).unwrap();
    assert_eq!(machine.collect(true).0.logs.ima, Some(before));
}

#[test]
fn a_log_that_nobody_asked_for_is_not_collected() {
    let machine = Booted::new();
    let (evidence, collected) = machine.collect(false);
    assert_eq!(evidence.logs.ima, None);
    assert_eq!(parts(&collected), []);
}

#[test]
fn what_is_missing_does_not_keep_the_rest_from_being_collected() {
    let machine = Booted::new();
    fs::remove_dir_all(machine.securityfs.path().join("tpm0")).unwrap();
    let boot = &machine.logs.boot;
    let (evidence, collected) = machine.collect(true);
    assert_eq!(parts(&collected), [Part::BootLog]);
    let missing = &collected.missing[0];
    assert_eq!(missing.weight(), Weight::Needed);
    assert!(missing.hint().contains("securityfs"), "{}", missing.hint());
    assert!(evidence.logs.ima.is_some() && evidence.logs.boot.is_none());

    // Cut, as a full file system leaves it.
    fs::create_dir(machine.securityfs.path().join("tpm0")).unwrap();
    let path = machine.securityfs.path().join("tpm0/binary_bios_measurements");
    fs::write(path, &boot[..boot.len() - 1]).unwrap();
    let (_, collected) = machine.collect(false);
    let [Missing { part: Part::BootLog, cause: Some(PlatformError::Log(error)) }] =
        collected.missing.as_slice()
    else {
        panic!("{:?}", collected.missing)
    };
    assert!(matches!(error.fault, LogFault::Boot(_)), "{error:?}");
}

#[test]
fn t7_a_boot_log_that_does_not_explain_the_quote_is_said_to_be_so() {
    let machine = Booted::new();
    machine.tpm.extend(4, [7; 32]).unwrap();
    let (evidence, collected) = machine.collect(false);
    assert_eq!(parts(&collected), [Part::BootReplay]);
    assert!(evidence.logs.boot.is_some(), "it is kept, to be looked at");
    assert_eq!(collected.missing[0].weight(), Weight::Needed);
}

#[test]
fn an_agent_gives_exactly_the_logs_that_are_wanted_or_says_why_not() {
    let machine = Booted::new();
    let mut platform = TpmPlatform::open(machine.config()).unwrap();
    let statement = collection(b"nonce");
    let logs = |evidence: Evidence| match evidence {
        Evidence::Tpm(evidence) => evidence.logs,
        Evidence::Snp(_) | Evidence::SnpVtpm(_) => panic!("a TPM gave no quote"),
    };
    for wanted in [(false, false), (true, false), (false, true), (true, true)] {
        let wanted = LogsWanted { boot: wanted.0, ima: wanted.1 };
        let given = logs(platform.evidence(&statement, &PCRS, wanted).unwrap());
        assert_eq!((given.boot.is_some(), given.ima.is_some()), (wanted.boot, wanted.ima));
    }
    let all = LogsWanted { boot: true, ima: true };
    let error = platform.evidence(&statement, &[0, 4, 7], all).unwrap_err();
    let PlatformError::Log(LogError { log: Log::Ima, fault: LogFault::NotQuoted, .. }) = error else {
        panic!("{error:?}")
    };
    // A software TPM of its own has no log here.
    let without = TpmConfig { logs: None, ..machine.config() };
    let request = Request { statement: &statement, pcrs: &PCRS, ima: true };
    let collected = from_tpm(&mut TpmPlatform::open(without).unwrap(), request).unwrap();
    assert_eq!(parts(&collected), [Part::BootLog, Part::ImaLog]);
    let mut other = TpmPlatform::open(TpmConfig { logs: None, ..machine.config() }).unwrap();
    let error = other.evidence(&statement, &PCRS, LogsWanted { boot: true, ima: false }).unwrap_err();
    let PlatformError::Log(LogError { log: Log::Boot, fault: LogFault::OtherTpm, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(logs(other.evidence(&statement, &PCRS, LogsWanted::default()).unwrap()).boot, None);
}

#[test]
fn a_simulated_machine_brings_its_root() {
    let dir = TempDir::new().unwrap();
    let config = SimConfig::new(dir.path().join("fleet"), "agent");
    let mut machine = SimPlatform::open(&SimConfig { creation: Creation::IfMissing, ..config }).unwrap();
    let statement = collection(b"nonce");
    let collected = from_sim(&mut machine, Request { statement: &statement, pcrs: &[], ima: false }).unwrap();
    assert_eq!(collected.simulated_root, Some(machine.root()));
    let Evidence::Snp(evidence) = collected.evidence else { panic!("a quote") };
    assert_eq!(evidence.report[0x50..0x90], statement.snp_report_data());
}

/// A machine with this TPM, and configfs-tsm at this place.
fn candidates(tcti: Tcti, tsm: &str) -> Candidates {
    Candidates {
        snp: SnpConfig { tsm: PathBuf::from(tsm), ..SnpConfig::default() },
        snp_vtpm: SnpVtpmConfig::new(tcti.clone()),
        tpm: TpmConfig::new(tcti),
    }
}

fn is_snp_guest() -> bool {
    let guest = PathBuf::from("/dev/sev-guest").exists();
    if guest {
        eprintln!("skipped in part: this is an SEV-SNP guest");
    }
    guest
}

#[test]
fn a_machine_with_nothing_says_what_was_looked_for() {
    if is_snp_guest() {
        return;
    }
    let nowhere = Tcti::Device(PathBuf::from("/dev/vouchsafe-no-such-tpm"));
    let error = detect(candidates(nowhere, "/nowhere")).err().unwrap();
    let NothingFound::Nothing { snp: SnpError::NoDevice { .. }, tpm: TpmError::Connect(why) } = &error else {
        panic!("{error:?}")
    };
    assert!(matches!(why, ConnectError::NoDevice { .. }));
    assert!(error.to_string().contains("/dev/sev-guest") && !error.is_denied(), "{error}");
}

#[test]
fn the_machine_that_says_most_is_found() {
    let tpm = Swtpm::create().unwrap();
    let tcti: Tcti = tpm.tcti().parse().unwrap();
    if !is_snp_guest() {
        assert!(matches!(detect(candidates(tcti.clone(), "/nowhere")).unwrap(), Machine::Tpm(_)));
    }
    let tsm = TempDir::new().unwrap();
    let with_tsm = candidates(tcti, tsm.path().to_str().unwrap());
    assert!(matches!(detect(with_tsm.clone()).unwrap(), Machine::Snp(_)));
    // A paravisor's report without its key: something is wrong, and no other evidence is taken in its place.
    tpm.provision(0x0140_0001, b"report").unwrap();
    let error = detect(with_tsm).err().unwrap();
    let NothingFound::ParavisorUnusable(PlatformError::Paravisor(ParavisorError::NoKey)) = error else {
        panic!("{error:?}")
    };
}
