//! A TPM that is copied, as the owner of a hypervisor can copy a virtual one: T11.

use std::path::Path;
use std::process::Command;

use vouchsafe_client::{ConnectError, Machine, RequestError, Session};
use vouchsafe_platform::tpm::{TpmConfig, TpmPlatform};
use vouchsafe_protocol::refusal::RefusalCode;
use vouchsafe_swtpm::Swtpm;
use vouchsafe_tests::stack::{Agent, Below, Operator, Stack};

use crate::rig::{PATH, ROLE, VALUE, apply, refused, tpm_anchors, write};
use crate::tpm_agents::role;

/// Switches a TPM of a directory on, and boots its machine.
fn start(dir: &Path) -> anyhow::Result<Swtpm> {
    let tpm = Swtpm::open(dir)?;
    tpm.boot()?;
    Ok(tpm)
}

/// The machine of a TPM; every copy has the same attestation key.
fn machine(tpm: &Swtpm, ak_file: &Path) -> anyhow::Result<Machine> {
    let config = TpmConfig { ak_file: Some(ak_file.to_owned()), ..TpmConfig::new(tpm.tcti().parse()?) };
    Ok(Machine::new(TpmPlatform::open(config)?))
}

async fn connects(agent: &mut Agent, stack: &Stack) -> anyhow::Result<bool> {
    match agent.connect(stack).await {
        Ok(session) => {
            session.close().await?;
            Ok(true)
        }
        Err(error) => match error.downcast_ref::<ConnectError>() {
            Some(_) => Ok(false),
            None => Err(error),
        },
    }
}

async fn reads(session: &Session) -> bool {
    session.kv().get(PATH).await.is_ok_and(|secret| secret.value.expose_secret() == VALUE)
}

#[tokio::test]
async fn t11_a_reboot_is_accepted_and_a_copy_of_an_older_state_ends_both() -> anyhow::Result<()> {
    let vault = Swtpm::create()?;
    let dir = tempfile::tempdir()?;
    let (original, copy, ak_file) =
        (dir.path().join("original"), dir.path().join("copy"), dir.path().join("attestation-key"));
    let mut tpm = start(&original)?;
    let mut stack = Stack::start(dir.path(), Below::Tpm(vault.tcti())).await?;
    let anchors = tpm_anchors(&[("vault", &vault), ("agent", &tpm)])?;
    let mut operator = Operator::init_with(&stack, anchors).await?;
    apply(&stack, &mut operator, &role(&tpm)?).await?;
    let session = operator.connect(&stack).await?;
    write(&session, PATH, VALUE).await?;
    session.close().await?;

    let pin = operator.pin.clone();
    let mut first = Agent::introduce(&stack, &pin, ROLE, &machine(&tpm, &ak_file)?).await?;
    assert!(connects(&mut first, &stack).await?);
    // Somebody keeps a copy of the machine that is switched off; the machine goes on.
    drop(tpm);
    let copied = Command::new("cp").arg("-a").args([&original, &copy]).status()?;
    anyhow::ensure!(copied.success(), "cp");
    tpm = start(&original)?;
    let mut second = Agent::introduce(&stack, &pin, ROLE, &machine(&tpm, &ak_file)?).await?;
    // What is left of the boot before opens no session, and does no harm.
    assert!(!connects(&mut first, &stack).await?);
    assert!(connects(&mut second, &stack).await?);
    tpm.power_cycle()?;
    tpm.boot()?;
    let mut third = Agent::introduce(&stack, &pin, ROLE, &machine(&tpm, &ak_file)?).await?;
    let open = third.connect(&stack).await?;
    assert!(reads(&open).await);

    // The copy boots beside it: its quote is genuine, its PCRs are right, and its counter is behind.
    let twin = start(&copy)?;
    let (code, rule) = refused(&stack, &operator, ROLE, &machine(&twin, &ak_file)?).await?;
    assert_eq!((code, rule.as_str()), (RefusalCode::Evidence, "tpm.clock.two-boots"));
    // Which of the two is the machine nobody knows: neither has an identity now.
    let after = open.kv().get(PATH).await;
    assert!(matches!(after, Err(RequestError::Ended(_) | RequestError::Refused(_))), "{after:?}");
    assert!(!connects(&mut third, &stack).await?);
    assert!(!connects(&mut second, &stack).await?);
    // The one that is ahead may come again; the copy may not.
    let mut again = Agent::introduce(&stack, &pin, ROLE, &machine(&tpm, &ak_file)?).await?;
    assert!(connects(&mut again, &stack).await?);
    stack.stop().await
}
