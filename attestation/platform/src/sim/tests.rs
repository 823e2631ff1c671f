use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use vouchsafe_attestation::statement::introduction;
use vouchsafe_attestation::{
    AppraisalError, ChainCache, Collateral, Context, Residency, TrustAnchors, appraise,
};
use vouchsafe_protocol::anchors::{AmdAnchors, Anchors};
use vouchsafe_protocol::id::{AnchorClass, VaultId};
use vouchsafe_protocol::introduction::LogsWanted;
use vouchsafe_protocol::policy::{Accept, ChipRule, RevocationRule, SnpAccept, Tcb, TcbFloor};

use super::*;

/// A moment within the validity of simulated certificates: 2026-01-01.
const NOW: u64 = 1_767_225_600;

fn config(dir: &TempDir, machine: &str) -> SimConfig {
    SimConfig { creation: Creation::IfMissing, ..SimConfig::new(dir.path().join("fleet"), machine) }
}

fn machine(dir: &TempDir, name: &str) -> SimPlatform {
    SimPlatform::open(&config(dir, name)).unwrap()
}

fn refusal(result: Result<Key32, PlatformError>) -> SimError {
    match result {
        Err(PlatformError::Sim(error)) => error,
        Err(error) => panic!("another error: {error:?}"),
        Ok(_) => panic!("the root key came back"),
    }
}

fn accept(machine: &SimPlatform) -> Accept {
    Accept::Snp(SnpAccept::strict(
        vec![PRODUCT],
        vec![machine.measurement().into()],
        vec![TcbFloor::all(PRODUCT, Tcb::ZERO)],
        ChipRule::Allow(vec![machine.chip_id()]),
        RevocationRule::Unchecked,
    ))
}

#[test]
fn a_simulated_machine_is_accepted_by_the_verifier_from_end_to_end() {
    let dir = TempDir::new().unwrap();
    let (mut vault, mut agent) = (machine(&dir, "vault"), machine(&dir, "agent"));
    assert_eq!(vault.root(), agent.root());
    assert_ne!(vault.chip_id(), agent.chip_id());
    let root = fleet_root(&dir.path().join("fleet")).unwrap();
    let anchors = Anchors { amd: AmdAnchors::Simulated(vec![root]), tpm: vec![] };
    let anchors = TrustAnchors::new(&anchors).unwrap();
    let id = VaultId { class: AnchorClass::Simulated, digest: [7; 32] };
    let statement = introduction(b"challenge", &[1; 32], b"key", &"role".parse().unwrap(), &id);

    let rule = accept(&agent);
    let judge = |evidence: &Evidence| {
        let rules = std::slice::from_ref(&rule);
        let context = Context { anchors: &anchors, collateral: &Collateral::new(), now_unix_secs: NOW };
        appraise(evidence, &statement, rules, Residency::NotATpm, context, &mut ChainCache::new())
    };
    let appraisal = judge(&agent.evidence(&statement, &[], LogsWanted::default()).unwrap()).unwrap();
    assert_eq!(appraisal.anchor_class, AnchorClass::Simulated);
    let other_chip = judge(&vault.evidence(&statement, &[], LogsWanted::default()).unwrap());
    assert!(matches!(other_chip, Err(AppraisalError::SnpRule(_))), "{other_chip:?}");
}

#[test]
fn s11_its_evidence_shows_that_nothing_is_revoked_and_the_list_is_kept_young() {
    let dir = TempDir::new().unwrap();
    let mut agent = machine(&dir, "agent");
    let root = fleet_root(&dir.path().join("fleet")).unwrap();
    let anchors = Anchors { amd: AmdAnchors::Simulated(vec![root]), tpm: vec![] };
    let anchors = TrustAnchors::new(&anchors).unwrap();
    let id = VaultId { class: AnchorClass::Simulated, digest: [7; 32] };
    let statement = introduction(b"challenge", &[1; 32], b"key", &"role".parse().unwrap(), &id);
    let Accept::Snp(accept) = accept(&agent) else { panic!("a rule for reports") };
    let rules = [Accept::Snp(SnpAccept {
        revocation: RevocationRule::Checked { max_age_secs: 24 * 60 * 60 },
        ..accept
    })];
    let mut list = || {
        let evidence = agent.evidence(&statement, &[], LogsWanted::default()).unwrap();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let context = Context { anchors: &anchors, collateral: &Collateral::new(), now_unix_secs: now };
        appraise(&evidence, &statement, &rules, Residency::NotATpm, context, &mut ChainCache::new()).unwrap();
        let Evidence::Snp(evidence) = evidence else { panic!("a report") };
        evidence.endorsements.crl.unwrap()
    };
    let first = list();
    assert_eq!(list(), first);
    let file = fs::File::options().write(true).open(dir.path().join("fleet/crl.der")).unwrap();
    let made = file.metadata().unwrap().modified().unwrap();
    let hours = |hours: u64| made - std::time::Duration::from_secs(hours * 60 * 60);
    file.set_modified(hours(11)).unwrap();
    assert_eq!(list(), first);
    file.set_modified(hours(13)).unwrap();
    assert_ne!(list(), first);
}

#[test]
fn the_root_key_comes_back_on_the_same_machine() {
    let dir = TempDir::new().unwrap();
    let root = random::key().unwrap();
    let sealed = machine(&dir, "vault").seal(&root).unwrap();
    assert!(!sealed.windows(32).any(|window| window == root.expose_secret()));
    let mut again = SimPlatform::open(&SimConfig::new(dir.path().join("fleet"), "vault")).unwrap();
    assert!(again.unseal(&sealed).unwrap().ct_eq(root.expose_secret()));
}

#[test]
fn another_machine_is_refused_as_such() {
    let (dir, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let sealed = machine(&dir, "vault").seal(&random::key().unwrap()).unwrap();
    assert!(matches!(refusal(machine(&dir, "agent").unseal(&sealed)), SimError::OtherMachine));
    assert!(matches!(refusal(machine(&elsewhere, "vault").unseal(&sealed)), SimError::OtherMachine));
}

#[test]
fn other_code_is_refused_as_such() {
    let dir = TempDir::new().unwrap();
    let sealed = machine(&dir, "vault").seal(&random::key().unwrap()).unwrap();
    let other = SimConfig { image: "other".to_owned(), ..config(&dir, "vault") };
    assert!(matches!(
        refusal(SimPlatform::open(&other).unwrap().unseal(&sealed)),
        SimError::OtherMeasurement
    ));
}

#[test]
fn changed_sealed_bytes_are_refused() {
    let dir = TempDir::new().unwrap();
    let mut vault = machine(&dir, "vault");
    let sealed = vault.seal(&random::key().unwrap()).unwrap();
    let mut altered = sealed.clone();
    *altered.last_mut().unwrap() ^= 1;
    assert!(matches!(refusal(vault.unseal(&altered)), SimError::Altered));

    // A machine that lies about what it is still has another key.
    let SealedBody::Sim(mut lying) = sealed::decode(&sealed).unwrap().body else { panic!("not simulated") };
    let mut agent = machine(&dir, "agent");
    lying.binding = agent.binding();
    let lying = sealed::encode(SealedBody::Sim(lying)).unwrap();
    assert!(matches!(refusal(agent.unseal(&lying)), SimError::Altered));

    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(vault.unseal(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn it_counts_by_one_and_remembers() {
    let dir = TempDir::new().unwrap();
    let mut vault = machine(&dir, "vault");
    assert!(matches!(vault.counter(), Err(PlatformError::NotUnsealed)));
    assert!(matches!(vault.increment(), Err(PlatformError::NotUnsealed)));
    let sealed = vault.seal(&random::key().unwrap()).unwrap();
    assert_eq!(vault.counter().unwrap(), Some(0));
    assert_eq!(vault.increment().unwrap(), 1);
    let mut again = machine(&dir, "vault");
    again.unseal(&sealed).unwrap();
    assert_eq!(again.counter().unwrap(), Some(1));

    let path = dir.path().join("fleet/machines/vault/counter");
    fs::write(&path, [0; 7]).unwrap();
    assert!(matches!(again.counter(), Err(PlatformError::Sim(SimError::Damaged { .. }))));
}

#[test]
fn a_machine_is_made_only_when_told() {
    let dir = TempDir::new().unwrap();
    let fleet = dir.path().join("fleet");
    let missing = |name| SimPlatform::open(&SimConfig::new(fleet.clone(), name)).err().unwrap();
    assert!(matches!(missing("vault"), SimError::NoMachine { .. }));
    assert!(!fleet.exists());
    machine(&dir, "vault");
    assert!(matches!(missing("agent"), SimError::NoMachine { .. }));
    for name in ["", "a/b", "..", "A", &"a".repeat(65)] {
        assert!(matches!(missing(name), SimError::Name), "{name}");
    }
}

#[test]
fn an_unfinished_machine_is_made_anew() {
    let dir = TempDir::new().unwrap();
    let machines = dir.path().join("fleet/machines");
    files_private(&machines.join("vault.new"));
    files_private(&dir.path().join("fleet"));
    fs::write(machines.join("vault.new/vcek.der"), b"part").unwrap();
    machine(&dir, "vault");
    assert!(!machines.join("vault.new").exists());
}

#[test]
fn a_directory_that_others_may_enter_is_refused() {
    let dir = TempDir::new().unwrap();
    machine(&dir, "vault");
    let fleet = dir.path().join("fleet");
    for path in [fleet.join("machines/vault"), fleet.clone()] {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        let error = SimPlatform::open(&SimConfig::new(fleet.clone(), "vault")).err().unwrap();
        assert!(matches!(error, SimError::Mode { mode: 0o750, .. }), "{error:?}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    SimPlatform::open(&SimConfig::new(fleet, "vault")).unwrap();
}

#[test]
fn it_has_no_tpm() {
    let dir = TempDir::new().unwrap();
    let mut vault = machine(&dir, "vault");
    assert_eq!(vault.kind(), PlatformKind::Sim);
    assert_eq!(vault.tpm_keys().unwrap(), None);
    let blob = vouchsafe_protocol::evidence::CredentialBlob { id_object: vec![], encrypted_secret: vec![] };
    assert!(matches!(vault.activate(&blob), Err(PlatformError::NoTpm)));
}

#[test]
fn the_measurement_is_the_documented_one() {
    let mut preimage = b"vouchsafe/1/simulated-measurement".to_vec();
    preimage.extend_from_slice(&[0, 0, 0, 3]);
    preimage.extend_from_slice(b"abc");
    assert_eq!(measurement("abc"), LaunchDigest(digest::sha384(&[&preimage])));
}

fn files_private(path: &Path) {
    crate::files::create_private_dir(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}
