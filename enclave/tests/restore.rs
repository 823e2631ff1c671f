//! Coming back from what a hostile host kept: everything edited, cut, swapped or old is refused, each as such.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "test helpers; clippy exempts only the tests themselves"
)]

mod support;

use support::*;
use vouchsafe_crypto::random;
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_enclave::{BootRecord, Genesis, KernelPorts, PlatformName, RestoreError};
use vouchsafe_protocol::anchors::AmdAnchors;
use vouchsafe_protocol::introduction::InitRequest;
use vouchsafe_protocol::kv::Cas;
use vouchsafe_protocol::link::{StorageFailure, StorageReply, StreamId};
use vouchsafe_protocol::log::{Action, AuditEntry};
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_protocol::session::{Reply, Request};

/// A vault with a role and a secret, its agent, and its operator.
fn vault_with_secret() -> (Vault, Identity) {
    let mut vault = Vault::create();
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    let roles = Request::RoleApply(vec![role("web", &[("kv/web/*", ALL)])]);
    vault.outcome(&mut session, &operator, &roles).unwrap();
    vault.outcome(&mut session, &operator, &put("kv/web/db", b"hunter2", Cas::Version(0))).unwrap();
    let agent = vault.introduce("web").unwrap();
    (vault, agent)
}

fn refused(mut machine: Machine) -> RestoreError {
    match machine.restore(START) {
        Err(error) => error,
        Ok(_) => panic!("the vault came back"),
    }
}

#[test]
fn the_secret_and_the_identity_survive_a_restart_without_an_operator() {
    for come_back in [Vault::restart as fn(Vault) -> Vault, Vault::crash] {
        let (vault, agent) = vault_with_secret();
        let id = vault.id();
        let mut vault = come_back(vault);
        assert_eq!(vault.id(), id);
        let mut session = vault.open(&agent).unwrap();
        let reply = vault.outcome(&mut session, &agent, &get("kv/web/db", None)).unwrap();
        assert_eq!(value(reply), (1, b"hunter2".to_vec()));
    }
}

#[test]
fn h2_every_single_bit_flip_of_a_journal_is_refused() {
    let (vault, _) = vault_with_secret();
    let machine = vault.machine;
    for frame in 0..machine.frames.len() {
        let bits = machine.frames[frame].len() * 8;
        // Every bit of the header, and a prime stride over the rest.
        for bit in (0..bits.min(1600)).chain((1600..bits).step_by(31)) {
            let mut edited = machine.copy();
            edited.frames[frame][bit / 8] ^= 1 << (bit % 8);
            let error = refused(edited);
            let named = matches!(error, RestoreError::Frame { index, .. } if index as usize == frame || index as usize == frame + 1);
            assert!(named || error == RestoreError::ForeignJournal, "frame {frame}, bit {bit}: {error:?}");
        }
    }
}

#[test]
fn h2_dropped_swapped_doubled_and_truncated_frames_are_refused() {
    let (vault, _) = vault_with_secret();
    let machine = vault.machine;
    let count = machine.frames.len();
    let mut dropped = machine.copy();
    dropped.frames.remove(1);
    let mut swapped = machine.copy();
    swapped.frames.swap(1, 2);
    let mut doubled = machine.copy();
    doubled.frames.insert(1, machine.frames[1].clone());
    let mut truncated = machine.copy();
    let half = truncated.frames[count - 1].len() / 2;
    truncated.frames[count - 1].truncate(half);
    for (what, copy) in
        [("dropped", dropped), ("swapped", swapped), ("doubled", doubled), ("truncated", truncated)]
    {
        assert!(matches!(refused(copy), RestoreError::Frame { .. }), "{what}");
    }
}

#[test]
fn h2_a_missing_journal_is_refused() {
    let (vault, _) = vault_with_secret();
    let mut machine = vault.machine;
    machine.frames.clear();
    assert_eq!(refused(machine), RestoreError::Missing);
}

#[test]
fn h2_another_vaults_journal_is_refused_as_such() {
    let (vault, _) = vault_with_secret();
    let (other, _) = vault_with_secret();
    let mut machine = vault.machine;
    machine.frames = other.machine.frames;
    assert_eq!(refused(machine), RestoreError::ForeignJournal);
}

#[test]
fn h2_a_boot_record_that_names_another_vault_is_refused() {
    let (vault, _) = vault_with_secret();
    let mut machine = vault.machine;
    machine.boot.vault_id.digest[0] ^= 1;
    assert_eq!(refused(machine), RestoreError::ForeignJournal);
}

#[test]
fn h3_an_older_epoch_is_refused_by_the_counter() {
    let (vault, _) = vault_with_secret();
    let old = vault.machine.copy();
    let vault = vault.restart();
    let mut rolled_back = old;
    rolled_back.counter = vault.machine.counter;
    assert!(matches!(refused(rolled_back), RestoreError::RolledBack { .. }));
}

#[test]
fn h3_a_cut_end_is_refused_after_an_orderly_stop() {
    let (mut vault, _) = vault_with_secret();
    vault.core.end(vault.now, &mut KernelPorts).unwrap();
    vault.store();
    vault.machine.counter = vault.core.expected_counter();
    let mut cut = vault.machine.copy();
    cut.frames.pop();
    assert!(matches!(refused(cut), RestoreError::RolledBack { .. }));
}

#[test]
fn t15_a_counter_that_went_back_or_vanished_is_refused() {
    let (vault, _) = vault_with_secret();
    for back in 2..4 {
        let mut machine = vault.machine.copy();
        machine.counter = machine.counter.map(|counter| counter - back);
        assert!(matches!(refused(machine), RestoreError::CounterBehind { .. }));
    }
    let mut vanished = vault.machine.copy();
    vanished.counter = None;
    assert_eq!(refused(vanished), RestoreError::CounterChanged);
    let mut appeared = Vault::create_with(None).machine;
    appeared.counter = Some(1);
    assert_eq!(refused(appeared), RestoreError::CounterChanged);
}

#[test]
fn a_crash_between_mark_and_count_is_made_good() {
    let (vault, agent) = vault_with_secret();
    let Vault { mut machine, now, operator, .. } = vault;
    machine.counter = machine.counter.map(|counter| counter - 1);
    let unattested = machine.restore(now).unwrap();
    let core = unattested.attest(evidence(&unattested_statement(&machine, now)));
    assert_eq!(core.expected_counter(), machine.counter.map(|counter| counter + 1));
    drop((core, agent, operator));
}

/// Evidence over anything: this test does not show it to anyone.
fn unattested_statement(machine: &Machine, now: u64) -> vouchsafe_attestation::statement::StatementPreimage {
    machine.copy().restore(now).unwrap().statement()
}

#[test]
fn h4_no_answer_but_done_frees_a_reply() {
    for (answer, failure) in [
        (StorageReply::Failed(StorageFailure::NoSpace), StorageFailure::NoSpace),
        (StorageReply::Failed(StorageFailure::Conflict), StorageFailure::Conflict),
        (StorageReply::Frames(Vec::new()), StorageFailure::Io),
        (StorageReply::Heads(Vec::new()), StorageFailure::Io),
        (StorageReply::Boot(None), StorageFailure::Io),
    ] {
        let (mut vault, agent) = vault_with_secret();
        let mut session = vault.open(&agent).unwrap();
        let asked = vault.ask(&mut session, &agent, &get("kv/web/db", None), false).ok().unwrap();
        assert!(asked.pending.release(&vault.durable).is_err(), "before anything was stored");
        let ticket = vault.core.cut().unwrap().unwrap().ticket;
        assert_eq!(ticket.stored(&answer).err(), Some(failure));
    }
}

#[test]
fn h4_a_reply_waits_for_its_own_record_and_not_for_an_earlier_one() {
    let (mut vault, agent) = vault_with_secret();
    let mut session = vault.open(&agent).unwrap();
    let first = vault.ask(&mut session, &agent, &get("kv/web/db", None), false).ok().unwrap();
    let earlier = vault.core.cut().unwrap().unwrap().ticket.stored(&StorageReply::Done).unwrap();
    let second = vault.ask(&mut session, &agent, &get("kv/web/db", None), false).ok().unwrap();
    assert!(first.pending.is_covered(&earlier));
    assert!(!second.pending.is_covered(&earlier));
}

#[test]
fn h9_two_enclaves_from_one_snapshot_share_no_key() {
    // The same journal brought up twice: both write the same mark at the same place, and no bytes are alike.
    let (vault, _) = vault_with_secret();
    let (mut one, mut two) = (vault.machine.copy(), vault.machine.copy());
    let frame = |machine: &mut Machine| {
        let unattested = machine.restore(START).unwrap();
        let evidence = evidence(&unattested.statement());
        let mut core = unattested.attest(evidence);
        core.cut().unwrap().unwrap().appends.remove(0).frame
    };
    let (one, two) = (frame(&mut one), frame(&mut two));
    let alike = one.windows(16).filter(|window| two.windows(16).any(|other| other == *window)).count();
    // The header shares the hash of the frame before; the sealed part shares nothing.
    assert!(alike < 64, "{alike} windows alike");
    let tail = one.len() - 100;
    assert_ne!(one[tail..], two[tail..]);
}

#[test]
fn a_reply_to_a_write_and_its_receipt_survive_verification() {
    let (mut vault, agent) = vault_with_secret();
    let mut session = vault.open(&agent).unwrap();
    let response = vault.response(&mut session, &agent, &get("kv/web/db", None));
    let receipt = response.receipt.unwrap();
    let Reply::Kv(_) = (match response.outcome {
        vouchsafe_protocol::session::Outcome::Done(reply) => reply,
        vouchsafe_protocol::session::Outcome::Refused(refusal) => panic!("{refusal}"),
    }) else {
        panic!("no kv reply")
    };
    let key = vouchsafe_crypto::signature::LogPublicKey(vault.core.init_done().unwrap().vault.log_key);
    let entry = vouchsafe_log::verify_receipt(&receipt, &vault.id(), &key).unwrap();
    assert!(matches!(entry.action, vouchsafe_protocol::log::Action::Kv { versions, .. } if versions == [1]));
}

#[test]
fn a_boot_record_has_one_form() {
    let (vault, _) = vault_with_secret();
    let bytes = vault.machine.boot.encode().unwrap();
    assert_eq!(BootRecord::decode(&bytes).as_ref(), Ok(&vault.machine.boot));
    for len in 0..bytes.len() {
        assert!(BootRecord::decode(&bytes[..len]).is_err());
    }
    let mut newer = bytes;
    newer[0] = 2;
    assert!(BootRecord::decode(&newer).is_err());
}

fn genesis(change: impl FnOnce(&mut InitRequest), platform: PlatformName) -> Option<String> {
    let mut request = init_request(&P256Key::generate().unwrap());
    change(&mut request);
    let entropy = random::key().unwrap();
    Genesis::new(request, platform, &entropy, &mut KernelPorts)
        .err()
        .map(|refusal| refusal.rule.unwrap_or_default())
}

#[test]
fn s1_an_unacceptable_init_is_refused_by_rule() {
    let sim = PlatformName::Sim;
    assert_eq!(genesis(|_| (), sim), None);
    let rule = |name: &str| Some(format!("init.{name}"));
    assert_eq!(genesis(|request| request.operators.clear(), sim), rule("operator_count"));
    assert_eq!(genesis(|request| request.operators[0].key[30] ^= 0, sim), None);
    assert_eq!(genesis(|request| request.operators[0].key.truncate(90), sim), rule("operator_key"));
    let twice = |request: &mut InitRequest| request.operators.push(request.operators[0].clone());
    assert_eq!(genesis(twice, sim), rule("operator_twice"));
    let no_root = |request: &mut InitRequest| request.anchors.amd = AmdAnchors::Simulated(Vec::new());
    assert_eq!(genesis(no_root, sim), rule("anchors"));
    let real = |request: &mut InitRequest| request.anchors.amd = AmdAnchors::BuiltIn;
    assert_eq!(genesis(real, sim), rule("simulated_platform_needs_simulated_anchors"));
    assert_eq!(genesis(real, PlatformName::Snp), None);
    assert_eq!(genesis(|_| (), PlatformName::Snp), rule("real_platform_refuses_simulated_anchors"));
    assert_eq!(genesis(|request| request.version = 2, sim), Some(String::new()));
}

#[test]
fn h8_a_stuck_platform_generator_does_not_make_the_root_key() {
    // The platform's bytes are mixed in: two vaults whose platform gives the same bytes differ all the same.
    let request = init_request(&P256Key::generate().unwrap());
    let stuck = || vouchsafe_crypto::secret::Key32::take(&mut [0; 32]).unwrap();
    let root = |request: &InitRequest| {
        let genesis = Genesis::new(request.clone(), PlatformName::Sim, &stuck(), &mut KernelPorts).unwrap();
        *genesis.root().expose_secret()
    };
    assert_ne!(root(&request), root(&request));
}

#[test]
fn v1_paths_outside_the_engine_are_refused() {
    let (mut vault, _) = vault_with_secret();
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    for path in ["sys/x", "kvx/a", "kv"] {
        let refused = vault.outcome(&mut session, &operator, &put(path, b"", Cas::Any)).err();
        assert_eq!(refused, Some(vouchsafe_protocol::refusal::RefusalCode::Path), "{path}");
    }
}

#[test]
fn operators_write_and_never_read() {
    let (mut vault, _) = vault_with_secret();
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    let refused = vault.outcome(&mut session, &operator, &get("kv/web/db", None)).err();
    assert_eq!(refused, Some(vouchsafe_protocol::refusal::RefusalCode::Denied));
    assert_eq!(
        written(vault.outcome(&mut session, &operator, &put("kv/web/db", b"2", Cas::Any)).unwrap()),
        2
    );
}

#[test]
fn h3_nothing_is_taken_after_the_end_mark() {
    // What came after the mark could be cut off unnoticed, so it must not be acknowledged at all.
    let (mut vault, agent) = vault_with_secret();
    let mut session = vault.open(&agent).unwrap();
    let hello = vault.hello(support::agent("web"));
    let offer = vault.offer(&hello).unwrap();
    let key = P256Key::generate().unwrap();
    let late = proof(&hello, &offer, &key, &key.spki(), "web", MEASUREMENT);
    vault.core.end(vault.now, &mut KernelPorts).unwrap();
    let before = vault.core.state_digest();
    let end = vault.ask(&mut session, &agent, &put("kv/web/db", b"late", Cas::Any), false).err().unwrap();
    assert_eq!(end.refusal.code, RefusalCode::Busy);
    assert_eq!(vault.open(&agent).err().unwrap().code, RefusalCode::Busy);
    assert_eq!(vault.prove(&late).unwrap_err().code, RefusalCode::Busy);
    assert_eq!(vault.core.state_digest(), before);
}

#[test]
fn h2_the_end_mark_counts_every_access_that_was_waiting() {
    let (mut vault, agent) = vault_with_secret();
    let mut session = vault.open(&agent).unwrap();
    vault.outcome(&mut session, &agent, &get("kv/web/db", None)).unwrap();
    for _ in 0..3 {
        // Not stored yet when the end is recorded.
        drop(vault.ask(&mut session, &agent, &get("kv/web/db", None), false).ok().unwrap());
    }
    vault.core.end(vault.now, &mut KernelPorts).unwrap();
    vault.store();
    let key = vouchsafe_crypto::secret::Key32::take(&mut audit_key(&vault)).unwrap();
    let key = std::sync::Arc::new(key);
    let mut journal = vouchsafe_log::AuditReader::new(key.clone(), StreamId::Journal);
    let entries: Vec<_> =
        vault.machine.frames.iter().flat_map(|frame| journal.open(frame).unwrap().entries).collect();
    let Some(Action::EpochEnd { epoch, access_size, access_root }) =
        entries.last().map(|entry| &entry.action)
    else {
        panic!("the journal does not end with a mark")
    };
    let mut access = vouchsafe_log::AuditReader::new(key, StreamId::Access { epoch: *epoch });
    let mut tree = vouchsafe_log::Tree::default();
    for frame in &vault.machine.access {
        access.open(frame).unwrap().leaves.into_iter().for_each(|leaf| tree.push(leaf));
    }
    assert_eq!((tree.size(), tree.root()), (*access_size, *access_root));
}

/// The audit key, as an operator gets it; taken from a copy of the machine, so that nothing is logged here.
fn audit_key(vault: &Vault) -> [u8; 32] {
    let Vault { machine, now, operator, .. } = vault;
    let mut machine = machine.copy();
    machine.counter = vault.core.expected_counter();
    let unattested = machine.restore(*now).unwrap();
    let evidence = evidence(&unattested.statement());
    let operator = P256Key::from_pkcs8(vouchsafe_crypto::secret::SecretBytes::new(
        operator.expose_pkcs8().expose_secret().to_vec(),
    ))
    .unwrap();
    let core = unattested.attest(evidence);
    let mut copy =
        Vault { machine, core, now: *now, durable: vouchsafe_enclave::Durable::default(), operator };
    copy.machine.access.clear();
    copy.store();
    let operator = copy.introduce_operator();
    let mut session = copy.open(&operator).unwrap();
    match copy.outcome(&mut session, &operator, &Request::AuditKey).unwrap() {
        Reply::AuditKey(key) => key.expose_secret().try_into().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_auditor_can_hold_an_agent_to_its_signed_chain() {
    use vouchsafe_crypto::signature::P256PublicKey;
    use vouchsafe_crypto::transcript::{chain_head_preimage, chain_link_of_digest};
    let (mut vault, agent) = vault_with_secret();
    let mut session = vault.open(&agent).unwrap();
    for _ in 0..5 {
        vault.outcome(&mut session, &agent, &get("kv/web/db", None)).unwrap();
    }
    vault.sign(&mut session, &agent).ok().unwrap();
    vault.core.end(vault.now, &mut KernelPorts).unwrap();
    vault.store();
    let key = std::sync::Arc::new(vouchsafe_crypto::secret::Key32::take(&mut audit_key(&vault)).unwrap());
    let open = |stream, frames: &[Vec<u8>]| -> Vec<AuditEntry> {
        let mut reader = vouchsafe_log::AuditReader::new(key.clone(), stream);
        frames.iter().flat_map(|frame| reader.open(frame).unwrap().entries).collect()
    };
    let journal = open(StreamId::Journal, &vault.machine.frames);
    let access = open(StreamId::Access { epoch: 1 }, &vault.machine.access);
    let (start, upto, head, signature, actor) = access
        .iter()
        .find_map(|entry| match &entry.action {
            Action::ChainHead { start, upto, head, signature } => {
                Some((*start, *upto, *head, signature.clone(), entry.actor.clone()))
            }
            _ => None,
        })
        .unwrap();
    let asked: Vec<_> =
        access.iter().filter_map(|entry| entry.request).filter(|r| r.session == start[..16]).collect();
    assert_eq!(asked.len() as u64, upto);
    let link =
        asked.iter().fold(start, |link, r| chain_link_of_digest(&link, r.number, r.receipt, &r.digest));
    assert_eq!(link, head);
    let spki = journal
        .iter()
        .find_map(|entry| match &entry.action {
            Action::Introduce { key, .. } if entry.actor == actor => Some(key.clone()),
            _ => None,
        })
        .unwrap();
    P256PublicKey::from_spki(&spki).unwrap().verify(&chain_head_preimage(upto, &head), &signature).unwrap();
}

#[test]
fn h6_a_start_with_an_implausible_clock_is_refused_and_a_slow_one_goes_on_from_the_journal() {
    let (vault, _) = vault_with_secret();
    let mut machine = vault.machine.copy();
    let years = machine.restore(START + 401 * 86_400 + 1);
    assert!(matches!(years.err(), Some(RestoreError::Clock { days: 401 })));
    let mut machine = vault.machine.copy();
    assert!(machine.restore(START + 399 * 86_400).is_ok());
    let mut machine = vault.machine.copy();
    assert_eq!(machine.restore(START - 3_600).unwrap().clock(), START);
}

#[test]
fn every_role_of_one_request_is_named_in_the_log() {
    let mut vault = Vault::create();
    let operator = vault.introduce_operator();
    let mut session = vault.open(&operator).unwrap();
    let roles = vec![role("harmless", &[]), role("backdoor", &[("kv/*", ALL)])];
    let receipt = vault.response(&mut session, &operator, &Request::RoleApply(roles)).receipt.unwrap();
    let entry: AuditEntry = vouchsafe_protocol::codec::decode(&receipt.entry, 64 * 1024).unwrap();
    let Action::RoleApply(named) = entry.action else { panic!("{:?}", entry.action) };
    let names: Vec<_> = named.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["harmless", "backdoor"]);
    assert_ne!(named[0].1, named[1].1);
}
