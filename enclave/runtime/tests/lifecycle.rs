//! Boot, init, restart, lost links: with a host that does what it should, and a machine that may not.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test binary, helpers included"
)]

mod support;

use support::{Bench, refusal};
use vouchsafe_enclave_runtime::Exit;
use vouchsafe_platform::PlatformKind;
use vouchsafe_protocol::introduction::IntroductionReply;
use vouchsafe_protocol::link::{EnclaveState, LinkHello, StreamId};
use vouchsafe_protocol::refusal::RefusalCode;

#[tokio::test]
async fn a_vault_is_made_once_and_comes_back_without_an_operator() {
    let bench = Bench::new();
    let (running, vault) = bench.start_vault().await;
    assert!(vault.starts_with("sim-vault-"));
    assert_eq!(refusal(bench.init().await), RefusalCode::AlreadyInitialised);
    assert_eq!(running.stop().await, Exit::Stopped);
    assert!(!bench.socket().exists());

    let running = bench.restart().await;
    assert_eq!(running.serving().await, vault);
    assert!(matches!(bench.ask(&bench.hello()).await, Some(IntroductionReply::Offer(_))));
    assert_eq!(refusal(bench.init().await), RefusalCode::AlreadyInitialised);
    running.crash().await;

    let running = bench.restart().await;
    assert_eq!(running.serving().await, vault);
    assert_eq!(running.stop().await, Exit::Stopped);
}

#[tokio::test]
async fn every_epoch_is_counted_once_at_its_begin_and_once_at_its_end() {
    let bench = Bench::new();
    let (running, _) = bench.start_vault().await;
    let begun = bench.machine.set().counter.unwrap();
    running.stop().await;
    assert_eq!(bench.machine.set().counter.unwrap(), begun + 1);
    let running = bench.restart().await;
    running.serving().await;
    assert_eq!(bench.machine.set().counter.unwrap(), begun + 2);
    running.stop().await;
    assert_eq!(bench.machine.set().counter.unwrap(), begun + 3);
}

#[tokio::test]
async fn a_machine_without_a_counter_serves_all_the_same() {
    let bench = Bench::new();
    bench.machine.set().counter = None;
    let (running, vault) = bench.start_vault().await;
    running.stop().await;
    assert_eq!(bench.restart().await.serving().await, vault);
}

#[tokio::test]
async fn of_racing_inits_exactly_one_wins() {
    let bench = Bench::new();
    let mut running = bench.start().await;
    running.host.connect().await;
    running.host.wait(|state| matches!(state, EnclaveState::Uninitialised)).await;
    let (a, b, c, d) = tokio::join!(bench.init(), bench.init(), bench.init(), bench.init());
    let (done, refused): (Vec<_>, Vec<_>) = [a, b, c, d]
        .into_iter()
        .map(Option::unwrap)
        .partition(|reply| matches!(reply, IntroductionReply::InitDone(_)));
    assert_eq!(done.len(), 1);
    for reply in refused {
        let code = refusal(Some(reply));
        assert!(matches!(code, RefusalCode::Busy | RefusalCode::AlreadyInitialised), "{code:?}");
    }
}

#[tokio::test]
async fn before_a_vault_exists_only_init_is_answered_and_without_storage_nothing_is() {
    let bench = Bench::new();
    let mut running = bench.start().await;
    assert_eq!(bench.refusal(&bench.hello()).await, RefusalCode::Storage);
    assert_eq!(refusal(bench.init().await), RefusalCode::Storage);
    running.host.connect().await;
    running.host.wait(|state| matches!(state, EnclaveState::Uninitialised)).await;
    assert_eq!(bench.refusal(&bench.hello()).await, RefusalCode::NotInitialised);
    let mut session = bench.open(LinkHello::Session).await;
    assert!(support::is_closed(&mut session).await);
}

#[tokio::test]
async fn an_unacceptable_init_leaves_no_trace_and_the_next_one_works() {
    let bench = Bench::new();
    let mut running = bench.start().await;
    running.host.connect().await;
    running.host.wait(|state| matches!(state, EnclaveState::Uninitialised)).await;
    let mut request = bench.init_request();
    request.operators.clear();
    let request = vouchsafe_protocol::introduction::IntroductionRequest::Init(request);
    assert_eq!(bench.refusal(&request).await, RefusalCode::Init);
    bench.machine.set().willing = false;
    assert_eq!(refusal(bench.init().await), RefusalCode::Init);
    assert!(bench.disk.files().boot.is_none());
    assert_eq!(bench.disk.journal_len(), 0);
    bench.machine.set().willing = true;
    assert!(matches!(bench.init().await, Some(IntroductionReply::InitDone(_))));
}

#[tokio::test]
async fn a_lost_storage_link_ends_the_vault_and_the_next_one_boots_it_again() {
    let bench = Bench::new();
    let (mut running, vault) = bench.start_vault().await;
    let frames = bench.disk.journal_len();
    running.host.connect().await;
    assert_eq!(running.serving().await, vault);
    assert!(bench.disk.journal_len() > frames, "a new epoch begins");
    assert!(matches!(bench.ask(&bench.hello()).await, Some(IntroductionReply::Offer(_))));
}

#[tokio::test]
async fn each_cause_of_a_failed_boot_has_its_own_code_and_is_not_served() {
    let bench = Bench::new();
    let (running, vault) = bench.start_vault().await;
    running.stop().await;
    let good = bench.disk.files().clone();

    let damaged = |files: &mut support::host::Files| files.boot.as_mut().unwrap().push(0);
    let lost_record = |files: &mut support::host::Files| files.boot = None;
    let no_journal = |files: &mut support::host::Files| files.streams.clear();
    let cut_journal = |files: &mut support::host::Files| {
        files.streams.get_mut(&StreamId::Journal).unwrap().pop();
    };
    let flipped = |files: &mut support::host::Files| {
        files.streams.get_mut(&StreamId::Journal).unwrap().last_mut().unwrap()[60] ^= 1;
    };
    type Change<'a> = &'a dyn Fn(&mut support::host::Files);
    let cases: [(&str, Change<'_>); 5] = [
        ("boot.record_damaged", &damaged),
        ("boot.record_missing", &lost_record),
        ("journal.missing", &no_journal),
        ("journal.rolled_back", &cut_journal),
        ("journal.edited", &flipped),
    ];
    for (code, change) in cases {
        *bench.disk.files() = good.clone();
        change(&mut bench.disk.files());
        let running = bench.restart().await;
        assert_eq!(running.failed().await, code);
        assert_eq!(bench.refusal(&bench.hello()).await, RefusalCode::Storage, "{code}");
        assert_eq!(refusal(bench.init().await), RefusalCode::Storage, "{code}");
        running.stop().await;
    }
    *bench.disk.files() = good;

    bench.machine.set().willing = false;
    let running = bench.restart().await;
    assert_eq!(running.failed().await, "platform.unseal");
    running.stop().await;
    bench.machine.set().willing = true;

    bench.machine.set().kind = PlatformKind::Snp;
    let running = bench.restart().await;
    assert_eq!(running.failed().await, "boot.other_platform");
    running.stop().await;
    bench.machine.set().kind = PlatformKind::Sim;

    let running = bench.restart().await;
    assert_eq!(running.serving().await, vault);
}

#[tokio::test]
async fn a_counter_that_jumps_while_it_is_incremented_stops_the_boot() {
    let bench = Bench::new();
    let (running, _) = bench.start_vault().await;
    running.stop().await;
    bench.machine.set().step = 2;
    assert_eq!(bench.restart().await.failed().await, "counter.unexpected");
}

#[tokio::test]
async fn a_repaired_store_is_served_after_the_host_connects_again() {
    let bench = Bench::new();
    let (running, vault) = bench.start_vault().await;
    running.stop().await;
    let record = bench.disk.files().boot.take();
    let mut running = bench.restart().await;
    assert_eq!(running.failed().await, "boot.record_missing");
    bench.disk.files().boot = record;
    running.host.connect().await;
    assert_eq!(running.serving().await, vault);
}

#[test]
fn v10_strangers_who_keep_every_thread_busy_do_not_delay_the_platform() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || gate.recv());
    runtime.block_on(async {
        let bench = Bench::new();
        let (running, vault) = bench.start_vault().await;
        assert_eq!(running.stop().await, Exit::Stopped);
        let running = bench.restart().await;
        assert_eq!(running.serving().await, vault);
        assert_eq!(running.stop().await, Exit::Stopped);
    });
    open.send(()).unwrap();
}
